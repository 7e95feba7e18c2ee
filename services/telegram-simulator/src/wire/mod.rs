//! What travels between TCP and MTProto messages: transports, their obfuscation, encryption.

pub(crate) mod crypto;
pub(crate) mod framing;
pub(crate) mod obfuscation;
