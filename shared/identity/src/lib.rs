//! Who is calling: tokens, keys and their verification.
//!
//! Three credentials exist, and [`Verifier`] tells them apart by their shape:
//!
//! * **access tokens**, short-lived JWTs that auth signs (EdDSA, or HS256 with a shared secret);
//! * **API keys**, `tsk_…`, which only auth can judge, so that the verdict is cached for a while;
//! * **service tokens**, one-minute HS256 JWTs that services mint for each other with the
//!   [`ServiceKey`] of the deployment and that carry the caller on whose behalf they act.
//!
//! Claims are strict types and every rule (`exp`, `nbf`, `iss`, `aud`, `typ`) is checked here with
//! the injected clock, because the checks of the JWT library skip claims that are absent.

mod caller;
mod claims;
mod error;
mod service_key;
mod signer;
mod verifier;

pub use caller::{Caller, CallerKind, RequestContext};
pub use claims::{AccessClaims, AccessPolicy, TokenType};
pub use error::Error;
pub use service_key::ServiceKey;
pub use signer::{Signer, SignerError};
pub use verifier::{ApiKeyVerdict, KeySource, KeySourceError, PublicKey, Verifier};

/// First characters of every API key.
pub const API_KEY_PREFIX: &str = "tsk_";

/// Longest credential that is looked at, in bytes.
pub const MAX_CREDENTIAL_BYTES: usize = 8192;
