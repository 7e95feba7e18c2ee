//! The service against the simulated data centre, over real MTProto.

mod channels;
mod documents;
mod egress;
mod files;
mod guests;
mod media;
mod messages;
mod parse;
mod schedules;
mod secrets;
mod store;
mod support;
mod sync;
mod trouble;
