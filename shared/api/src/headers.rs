//! Names of the headers that the stack reads and writes, lower case.

/// Request id, accepted and returned.
pub const REQUEST_ID: &str = "x-request-id";
/// W3C trace context.
pub const TRACEPARENT: &str = "traceparent";
/// Time left for a request, in whole milliseconds; each hop passes on what remains.
pub const DEADLINE: &str = "x-deadline-ms";
/// Address of the client, set by the gateway in both modes.
pub const CLIENT_ADDRESS: &str = "x-client-address";
/// What a degraded answer lacks, comma-separated.
pub const DEGRADED: &str = "degraded";
/// Which service behind the one that answers has failed, if that is why it answers with a 5xx; among
/// services only.
pub const FAILED_BELOW: &str = "x-failed-below";
/// Makes a creating request repeatable.
pub const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// An API key, instead of `Authorization: Bearer`.
pub const API_KEY: &str = "x-api-key";
