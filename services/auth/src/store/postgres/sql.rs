//! Every statement on PostgreSQL, each with values that `touchstone explain` tries.

use touchstone_store::postgres::statements;

const USER: &str = "(SELECT id FROM users ORDER BY id OFFSET 7 LIMIT 1)";
const TENANT: &str = "(SELECT id FROM tenants ORDER BY id OFFSET 7 LIMIT 1)";
const FAMILY: &str = "(SELECT id FROM families WHERE ended_at IS NULL ORDER BY id LIMIT 1)";
const API_KEY: &str = "(SELECT id FROM api_keys ORDER BY id LIMIT 1)";

statements! {
    /// A tenant.
    INSERT_TENANT ["gen_random_uuid()", "'name'", "now()"] =
        "INSERT INTO tenants (id, name, created_at) VALUES ($1, $2, $3)";
    /// A user, unless the address is taken.
    INSERT_USER ["gen_random_uuid()", TENANT, "'A@b'", "'a@b'", "'$argon2'", "'admin'", "now()"] =
        "INSERT INTO users (id, tenant_id, email, email_key, password_hash, role, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT ON CONSTRAINT users_email_key_unique DO NOTHING";
    /// A user by address.
    USER_BY_EMAIL ["(SELECT email_key FROM users LIMIT 1)"] =
        "SELECT id AS user_id, tenant_id, email, email_key, password_hash, role,
                created_at AS user_created_at
         FROM users WHERE email_key = $1";
    /// A user with the tenant.
    ACCOUNT [USER] =
        "SELECT u.id AS user_id, u.tenant_id, u.email, u.email_key, u.password_hash, u.role,
                u.created_at AS user_created_at, t.name, t.created_at
         FROM users u JOIN tenants t ON t.id = u.tenant_id WHERE u.id = $1";
    /// Whether the hash is the present one. The lock keeps it so: a change of the password waits,
    /// and then ends the login that is opened meanwhile.
    HAS_HASH [USER, "'$argon2'"] =
        "SELECT 1 FROM users WHERE id = $1 AND password_hash = $2 FOR SHARE";
    /// Replaces the present hash.
    REPLACE_HASH ["'$new'", USER, "'$argon2'"] =
        "UPDATE users SET password_hash = $1 WHERE id = $2 AND password_hash = $3";
    /// Whether an address is known.
    KNOWS_ADDRESS ["(SELECT fingerprint FROM known_addresses LIMIT 1)", "now()"] =
        "SELECT 1 FROM known_addresses WHERE fingerprint = $1 AND last_seen_at >= $2";
    /// Remembers an address.
    REMEMBER_ADDRESS ["sha256('new')", USER, "now()"] =
        "INSERT INTO known_addresses (fingerprint, user_id, last_seen_at) VALUES ($1, $2, $3)
         ON CONFLICT ON CONSTRAINT known_addresses_pk
         DO UPDATE SET last_seen_at = excluded.last_seen_at";

    /// A login.
    INSERT_FAMILY [
        "gen_random_uuid()", USER, TENANT, "sha256('seed')", "0", "now()", "now()", "now()"
    ] =
        "INSERT INTO families
           (id, user_id, tenant_id, seed, generation, rotated_at, created_at, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    /// A refresh token.
    INSERT_TOKEN ["sha256('token')", FAMILY, "1000000"] =
        "INSERT INTO refresh_tokens (hash, family_id, generation) VALUES ($1, $2, $3)";
    /// A login by id.
    FAMILY_BY_ID [FAMILY] =
        "SELECT id, user_id, tenant_id, generation, rotated_at, created_at, expires_at, ended_at
         FROM families WHERE id = $1";
    /// The login of a token.
    FAMILY_BY_TOKEN ["(SELECT hash FROM refresh_tokens LIMIT 1)"] =
        "SELECT r.generation AS offered, f.id, f.user_id, f.tenant_id, f.seed, f.generation,
                f.rotated_at, f.created_at, f.expires_at, f.ended_at
         FROM refresh_tokens r JOIN families f ON f.id = r.family_id WHERE r.hash = $1";
    /// Spends the live token. Of several at once, one finds it alive.
    ADVANCE ["now()", FAMILY, "0"] =
        "UPDATE families SET generation = generation + 1, rotated_at = $1
         WHERE id = $2 AND generation = $3 AND ended_at IS NULL AND expires_at > $1";
    /// Ends a login.
    END_FAMILY ["now()", "'logout'", FAMILY] =
        "UPDATE families SET ended_at = $1, end_reason = $2 WHERE id = $3 AND ended_at IS NULL";
    /// Ends every login of a user.
    END_ALL ["now()", "'password_changed'", USER] =
        "UPDATE families SET ended_at = $1, end_reason = $2
         WHERE user_id = $3 AND ended_at IS NULL";
    /// Deletes some logins that expired.
    PURGE_FAMILIES ["(SELECT min(expires_at) + interval '1 minute' FROM families)", "1000"] =
        "DELETE FROM families WHERE id = ANY (ARRAY(SELECT id FROM families
         WHERE expires_at < $1 ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED))";
    /// Forgets some addresses.
    PURGE_ADDRESSES [
        "(SELECT min(last_seen_at) + interval '1 minute' FROM known_addresses)", "1000"
    ] =
        "DELETE FROM known_addresses WHERE fingerprint = ANY (ARRAY(
         SELECT fingerprint FROM known_addresses
         WHERE last_seen_at < $1 ORDER BY last_seen_at LIMIT $2 FOR UPDATE SKIP LOCKED))";

    /// An API key, unless its `Idempotency-Key` made one before.
    INSERT_API_KEY [
        "gen_random_uuid()", TENANT, USER, "'name'", "'tsk_x'", "sha256('key')", "now()", "NULL",
        "NULL", "NULL", "sha256('request')"
    ] =
        "INSERT INTO api_keys (id, tenant_id, user_id, name, prefix, hash, created_at, expires_at,
                               last_used_at, idempotency_hash, request_hash)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
         ON CONFLICT ON CONSTRAINT api_keys_idempotency_unique DO NOTHING";
    /// The key of an `Idempotency-Key`.
    API_KEY_BY_IDEMPOTENCY [TENANT, "sha256('x')"] =
        "SELECT * FROM api_keys WHERE tenant_id = $1 AND idempotency_hash = $2";
    /// Another secret for a key that was never used.
    REPLACE_SECRET ["'tsk_y'", "sha256('other')", API_KEY] =
        "UPDATE api_keys SET prefix = $1, hash = $2 WHERE id = $3 AND last_used_at IS NULL";
    /// A page of a tenant's keys.
    API_KEYS [TENANT, "'00000000-0000-0000-0000-000000000000'", "50"] =
        "SELECT * FROM api_keys WHERE tenant_id = $1 AND id > $2 ORDER BY id LIMIT $3";
    /// Keys by the first characters of their secrets.
    API_KEYS_BY_PREFIX ["(SELECT prefix FROM api_keys LIMIT 1)"] =
        "SELECT k.*, u.email, u.email_key, u.password_hash, u.role,
                u.created_at AS user_created_at
         FROM api_keys k JOIN users u ON u.id = k.user_id AND u.tenant_id = k.tenant_id
         WHERE k.prefix = $1";
    /// Notes a use.
    TOUCH_API_KEY ["now()", API_KEY] =
        "UPDATE api_keys SET last_used_at = $1
         WHERE id = $2 AND (last_used_at IS NULL OR last_used_at < $1)";
    /// Deletes a key.
    DELETE_API_KEY [TENANT, API_KEY] = "DELETE FROM api_keys WHERE tenant_id = $1 AND id = $2";

    /// Signing keys in force.
    SIGNING_KEYS ["now()"] whole "there are a handful" =
        "SELECT kid, private_key, public_key, created_at FROM signing_keys
         WHERE retired_at IS NULL OR retired_at > $1 ORDER BY created_at DESC, kid";
    /// A signing key.
    INSERT_SIGNING_KEY ["'kid'", "'\\x00'", "'x'", "now()"] =
        "INSERT INTO signing_keys (kid, private_key, public_key, created_at)
         VALUES ($1, $2, $3, $4)";
}

/// Two processes that start at once agree on one key.
pub const LOCK_SIGNING_KEYS: &str = "LOCK TABLE signing_keys IN SHARE ROW EXCLUSIVE MODE";

/// Ten users per tenant, some logins, tokens and keys each.
pub const FILL: &[&str] = &[
    "INSERT INTO tenants SELECT gen_random_uuid(), 'tenant ' || n, now()
     FROM generate_series(1, $1 / 10 + 1) AS n",
    "INSERT INTO users SELECT gen_random_uuid(), t.id, 'U' || n || '@x', 'u' || row_number() OVER ()
            || '@x', '$argon2', 'admin', now()
     FROM tenants t, generate_series(1, 10) AS n LIMIT $1",
    "INSERT INTO known_addresses SELECT sha256(id::text::bytea), id,
            now() - random() * interval '90 days' FROM users",
    "INSERT INTO families SELECT gen_random_uuid(), id, tenant_id, sha256('seed'), 0, now(),
            now(), now() + random() * interval '30 days',
            CASE WHEN random() < 0.5 THEN now() END FROM users",
    "INSERT INTO refresh_tokens SELECT sha256(id::text::bytea), id, 0 FROM families",
    "INSERT INTO api_keys SELECT gen_random_uuid(), tenant_id, id, 'key',
            'tsk_' || left(md5(id::text), 8), sha256('key'), now(), NULL, NULL,
            sha256(id::text::bytea), sha256('request') FROM users",
    "INSERT INTO signing_keys SELECT 'kid ' || n, '\\x00', 'x', now()
     FROM generate_series(1, LEAST($1, 2)) AS n",
];
