//! Relational pools, migrations, outbox and inbox.
