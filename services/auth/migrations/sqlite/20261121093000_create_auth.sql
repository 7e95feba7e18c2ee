-- Times are integer microseconds UTC, ids are the 16 bytes of a UUIDv7, hashes are SHA-256.

CREATE TABLE tenants (
    id BLOB NOT NULL CONSTRAINT tenants_pk PRIMARY KEY,
    name TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

CREATE TABLE users (
    id BLOB NOT NULL CONSTRAINT users_pk PRIMARY KEY,
    tenant_id BLOB NOT NULL CONSTRAINT users_tenant_fk REFERENCES tenants (id),
    email TEXT NOT NULL,
    -- The address in lower case: what it is unique by.
    email_key TEXT NOT NULL CONSTRAINT users_email_key_unique UNIQUE,
    -- Argon2id in PHC form.
    password_hash TEXT NOT NULL,
    role TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

CREATE INDEX users_tenant_id_index ON users (tenant_id);

-- Addresses from which an account was opened: hashes over account and address.
CREATE TABLE known_addresses (
    fingerprint BLOB NOT NULL CONSTRAINT known_addresses_pk PRIMARY KEY,
    user_id BLOB NOT NULL
        CONSTRAINT known_addresses_user_fk REFERENCES users (id) ON DELETE CASCADE,
    last_seen_at INTEGER NOT NULL
) STRICT;

CREATE INDEX known_addresses_last_seen_at_index ON known_addresses (last_seen_at);

-- One login each; only the token of `generation` lives.
CREATE TABLE families (
    id BLOB NOT NULL CONSTRAINT families_pk PRIMARY KEY,
    user_id BLOB NOT NULL CONSTRAINT families_user_fk REFERENCES users (id) ON DELETE CASCADE,
    tenant_id BLOB NOT NULL CONSTRAINT families_tenant_fk REFERENCES tenants (id),
    -- A child token is derived from this and its parent, so that a repeated call gets the same one.
    seed BLOB NOT NULL,
    generation INTEGER NOT NULL,
    rotated_at INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    ended_at INTEGER,
    end_reason TEXT
) STRICT;

CREATE INDEX families_user_id_index ON families (user_id);
CREATE INDEX families_expires_at_index ON families (expires_at);

CREATE TABLE refresh_tokens (
    hash BLOB NOT NULL CONSTRAINT refresh_tokens_pk PRIMARY KEY,
    family_id BLOB NOT NULL
        CONSTRAINT refresh_tokens_family_fk REFERENCES families (id) ON DELETE CASCADE,
    generation INTEGER NOT NULL,
    CONSTRAINT refresh_tokens_generation_unique UNIQUE (family_id, generation)
) STRICT;

CREATE TABLE api_keys (
    id BLOB NOT NULL CONSTRAINT api_keys_pk PRIMARY KEY,
    tenant_id BLOB NOT NULL CONSTRAINT api_keys_tenant_fk REFERENCES tenants (id),
    user_id BLOB NOT NULL CONSTRAINT api_keys_user_fk REFERENCES users (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    -- The first characters of the secret, to find and to show it.
    prefix TEXT NOT NULL,
    hash BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    last_used_at INTEGER,
    -- Hashes of the `Idempotency-Key` and of the request that it came with.
    idempotency_hash BLOB,
    request_hash BLOB NOT NULL,
    CONSTRAINT api_keys_idempotency_unique UNIQUE (tenant_id, idempotency_hash)
) STRICT;

CREATE INDEX api_keys_prefix_index ON api_keys (prefix);
CREATE INDEX api_keys_tenant_id_index ON api_keys (tenant_id, id);

CREATE TABLE signing_keys (
    kid TEXT NOT NULL CONSTRAINT signing_keys_pk PRIMARY KEY,
    -- Ed25519 in PKCS#8 DER.
    private_key BLOB NOT NULL,
    -- base64url without padding.
    public_key TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    -- Published no longer from then on.
    retired_at INTEGER
) STRICT;
