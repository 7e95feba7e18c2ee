//! Tests of the service from outside: the store's contract, the spool, the wire and the HTTP
//! surface.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod contract;
mod fixtures;
mod http;
mod spool;
mod wire;
