-- Hashes are SHA-256, ids are UUIDv7.

CREATE TABLE tenants (
    id UUID NOT NULL CONSTRAINT tenants_pk PRIMARY KEY,
    name TEXT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL
);

CREATE TABLE users (
    id UUID NOT NULL CONSTRAINT users_pk PRIMARY KEY,
    tenant_id UUID NOT NULL CONSTRAINT users_tenant_fk REFERENCES tenants (id),
    email TEXT NOT NULL,
    -- The address in lower case: what it is unique by.
    email_key TEXT NOT NULL CONSTRAINT users_email_key_unique UNIQUE,
    -- Argon2id in PHC form.
    password_hash TEXT NOT NULL,
    role TEXT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL
);

CREATE INDEX users_tenant_id_index ON users (tenant_id);

-- Addresses from which an account was opened: hashes over account and address.
CREATE TABLE known_addresses (
    fingerprint BYTEA NOT NULL CONSTRAINT known_addresses_pk PRIMARY KEY,
    user_id UUID NOT NULL
        CONSTRAINT known_addresses_user_fk REFERENCES users (id) ON DELETE CASCADE,
    last_seen_at TIMESTAMPTZ NOT NULL
);

CREATE INDEX known_addresses_user_id_index ON known_addresses (user_id);
CREATE INDEX known_addresses_last_seen_at_index ON known_addresses (last_seen_at);

-- One login each; only the token of `generation` lives.
CREATE TABLE families (
    id UUID NOT NULL CONSTRAINT families_pk PRIMARY KEY,
    user_id UUID NOT NULL CONSTRAINT families_user_fk REFERENCES users (id) ON DELETE CASCADE,
    tenant_id UUID NOT NULL CONSTRAINT families_tenant_fk REFERENCES tenants (id),
    -- A child token is derived from this and its parent, so that a repeated call gets the same one.
    seed BYTEA NOT NULL,
    generation INTEGER NOT NULL,
    rotated_at TIMESTAMPTZ NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    expires_at TIMESTAMPTZ NOT NULL,
    ended_at TIMESTAMPTZ,
    end_reason TEXT
) WITH (fillfactor = 80);

CREATE INDEX families_alive_index ON families (user_id) WHERE ended_at IS NULL;
CREATE INDEX families_user_id_index ON families (user_id);
CREATE INDEX families_expires_at_index ON families (expires_at);

CREATE TABLE refresh_tokens (
    hash BYTEA NOT NULL CONSTRAINT refresh_tokens_pk PRIMARY KEY,
    family_id UUID NOT NULL
        CONSTRAINT refresh_tokens_family_fk REFERENCES families (id) ON DELETE CASCADE,
    generation INTEGER NOT NULL,
    CONSTRAINT refresh_tokens_generation_unique UNIQUE (family_id, generation)
);

CREATE TABLE api_keys (
    id UUID NOT NULL CONSTRAINT api_keys_pk PRIMARY KEY,
    tenant_id UUID NOT NULL CONSTRAINT api_keys_tenant_fk REFERENCES tenants (id),
    user_id UUID NOT NULL CONSTRAINT api_keys_user_fk REFERENCES users (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    -- The first characters of the secret, to find and to show it.
    prefix TEXT NOT NULL,
    hash BYTEA NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    expires_at TIMESTAMPTZ,
    last_used_at TIMESTAMPTZ,
    -- Hashes of the `Idempotency-Key` and of the request that it came with.
    idempotency_hash BYTEA,
    request_hash BYTEA NOT NULL,
    CONSTRAINT api_keys_idempotency_unique UNIQUE (tenant_id, idempotency_hash)
);

CREATE INDEX api_keys_prefix_index ON api_keys (prefix);
CREATE INDEX api_keys_tenant_id_index ON api_keys (tenant_id, id);
CREATE INDEX api_keys_user_id_index ON api_keys (user_id);

CREATE TABLE signing_keys (
    kid TEXT NOT NULL CONSTRAINT signing_keys_pk PRIMARY KEY,
    -- Ed25519 in PKCS#8 DER.
    private_key BYTEA NOT NULL,
    -- base64url without padding.
    public_key TEXT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    -- Published no longer from then on.
    retired_at TIMESTAMPTZ
);
