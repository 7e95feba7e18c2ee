//! Users, credentials, sessions, API keys and signing keys.
