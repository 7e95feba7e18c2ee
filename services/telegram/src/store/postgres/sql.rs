//! The statements.

use touchstone_store::postgres::{outbox, statements};

const CHANNEL_ID: &str = "(SELECT min(id) FROM channels)";
const TENANT: &str = "(SELECT tenant_id FROM followers ORDER BY channel_id, tenant_id LIMIT 1)";

statements! {
    /// Remembers a channel, or what is new about one.
    MEET [CHANNEL_ID, "1", "'title'", "'name'"] =
        "INSERT INTO channels (id, access_hash, title, username, pts, top)
         VALUES ($1, $2, $3, $4, 0, 0) ON CONFLICT ON CONSTRAINT channels_pk DO UPDATE SET
         access_hash = excluded.access_hash, title = excluded.title, username = excluded.username";
    /// A channel.
    CHANNEL [CHANNEL_ID] =
        "SELECT id, access_hash, title, username, pts, top FROM channels WHERE id = $1";
    /// A channel, for whoever changes it.
    CHANNEL_TO_CHANGE [CHANNEL_ID] =
        "SELECT id, access_hash, title, username, pts, top FROM channels WHERE id = $1 FOR UPDATE";
    /// How far a channel was read.
    SET_STATE [CHANNEL_ID, "1", "1"] = "UPDATE channels SET pts = $2, top = $3 WHERE id = $1";
    /// Everything has to be read again.
    DISTRUST [CHANNEL_ID] = "UPDATE channels SET pts = 0 WHERE id = $1";
    /// Nothing is accounted for.
    UNCOVER [CHANNEL_ID] = "DELETE FROM coverage WHERE channel_id = $1";
    /// A follower.
    FOLLOW [CHANNEL_ID, "gen_random_uuid()", "now()"] =
        "INSERT INTO followers (channel_id, tenant_id, created_at) VALUES ($1, $2, $3)
         ON CONFLICT ON CONSTRAINT followers_pk DO NOTHING";
    /// No follower any more.
    UNFOLLOW [CHANNEL_ID, TENANT] =
        "DELETE FROM followers WHERE channel_id = $1 AND tenant_id = $2";
    /// Who follows a channel.
    FOLLOWERS [CHANNEL_ID] =
        "SELECT tenant_id FROM followers WHERE channel_id = $1 ORDER BY tenant_id";
    /// Channels that somebody follows.
    FOLLOWED [] whole "all of them are looked after" =
        "SELECT id, access_hash, title, username, pts, top FROM channels
         WHERE id IN (SELECT channel_id FROM followers) ORDER BY id";
    /// Numbers between two.
    ROWS [CHANNEL_ID, "10", "20"] =
        "SELECT id, kind, revision, grouped_id, reply_to, edited_at, body, hash FROM messages
         WHERE channel_id = $1 AND id BETWEEN $2 AND $3 ORDER BY id";
    /// Numbers of an album.
    ALBUM [CHANNEL_ID, "5"] =
        "SELECT id, kind, revision, grouped_id, reply_to, edited_at, body, hash FROM messages
         WHERE channel_id = $1 AND grouped_id = $2 ORDER BY id";
    /// Numbers that answer others.
    ANSWERED [CHANNEL_ID, "10", "20", "500"] =
        "SELECT id, kind, revision, grouped_id, reply_to, edited_at, body, hash FROM messages
         WHERE channel_id = $1 AND reply_to BETWEEN $2 AND $3 ORDER BY reply_to, id LIMIT $4";
    /// Numbers as they are now.
    PUT_ROWS [
        CHANNEL_ID, "ARRAY[10]", "ARRAY['post']", "ARRAY[1]", "ARRAY[NULL::bigint]",
        "ARRAY[NULL::int]", "ARRAY['{}']", "ARRAY['\\x00'::bytea]", "ARRAY[9]",
    ] =
        "INSERT INTO messages
         (channel_id, id, kind, revision, grouped_id, edited_at, body, hash, reply_to)
         SELECT $1, * FROM unnest($2::int[], $3::text[], $4::int[], $5::bigint[], $6::int[],
         $7::text[], $8::bytea[], $9::int[])
         ON CONFLICT ON CONSTRAINT messages_pk DO UPDATE SET kind = excluded.kind,
         revision = excluded.revision, grouped_id = excluded.grouped_id,
         edited_at = excluded.edited_at, body = excluded.body, hash = excluded.hash,
         reply_to = excluded.reply_to";
    /// What posts were.
    PUT_REVISIONS [CHANNEL_ID, "ARRAY[10]", "ARRAY[1]", "ARRAY['{}']", "now()"] =
        "INSERT INTO revisions (channel_id, id, revision, body, replaced_at)
         SELECT $1, id, revision, body, $5 FROM unnest($2::int[], $3::int[], $4::text[])
         AS replaced (id, revision, body) ON CONFLICT ON CONSTRAINT revisions_pk DO NOTHING";
    /// What is accounted for.
    COVERAGE [CHANNEL_ID] =
        "SELECT low, high FROM coverage WHERE channel_id = $1 ORDER BY low";
    /// An interval goes.
    REMOVE_INTERVAL [CHANNEL_ID, "10"] =
        "DELETE FROM coverage WHERE channel_id = $1 AND low = $2";
    /// An interval comes.
    ADD_INTERVAL [CHANNEL_ID, "2000000000", "2000000001"] =
        "INSERT INTO coverage (channel_id, low, high) VALUES ($1, $2, $3)";
    /// Hashes of a block.
    HASHES [CHANNEL_ID, "10", "20"] =
        "SELECT id, revision, hash FROM messages
         WHERE channel_id = $1 AND id BETWEEN $2 AND $3 ORDER BY id";
    /// Digests of the blocks.
    BLOCKS [CHANNEL_ID] =
        "SELECT block, digest FROM blocks WHERE channel_id = $1 ORDER BY block";
    /// The digest of a block.
    PUT_BLOCK [CHANNEL_ID, "0", "'\\x00'::bytea"] =
        "INSERT INTO blocks (channel_id, block, digest) VALUES ($1, $2, $3)
         ON CONFLICT ON CONSTRAINT blocks_pk DO UPDATE SET digest = excluded.digest";
    /// Documents of a tenant.
    DOCUMENTS [CHANNEL_ID, TENANT, "10", "20"] =
        "SELECT message_id, digest FROM documents WHERE channel_id = $1 AND tenant_id = $2
         AND message_id BETWEEN $3 AND $4 ORDER BY message_id";
    /// What is wanted inside of something that is wanted now.
    SWALLOW [CHANNEL_ID, TENANT, "10", "20"] =
        "DELETE FROM wanted WHERE channel_id = $1 AND tenant_id = $2 AND low >= $3 AND high <= $4";
    /// Posts that a tenant wants as documents.
    WANT [CHANNEL_ID, "gen_random_uuid()", "10", "20"] =
        "INSERT INTO wanted (channel_id, tenant_id, low, high, untold) VALUES ($1, $2, $3, $4, $4)
         ON CONFLICT ON CONSTRAINT wanted_pk DO UPDATE SET untold = excluded.untold";
    /// What is told next.
    WANTED [] =
        "SELECT channel_id, tenant_id, low, high, untold FROM wanted
         WHERE untold >= low ORDER BY untold - low LIMIT 1 FOR UPDATE SKIP LOCKED";
    /// How far it was told.
    SET_UNTOLD ["1", CHANNEL_ID, TENANT, "10", "20"] =
        "UPDATE wanted SET untold = $1
         WHERE channel_id = $2 AND tenant_id = $3 AND low = $4 AND high = $5";
    /// How many numbers were not told yet.
    UNTOLD [] = "SELECT coalesce(sum(untold - low + 1), 0) FROM wanted WHERE untold >= low";
    /// What followers wanted once; they want all that is there.
    FORGET_FOLLOWERS [] whole "the start tells it all" =
        "DELETE FROM wanted USING followers WHERE wanted.channel_id = followers.channel_id
         AND wanted.tenant_id = followers.tenant_id";
    /// All that is there is wanted by whoever follows.
    WANT_ALL [] whole "the start tells it all" =
        "INSERT INTO wanted (channel_id, tenant_id, low, high, untold)
         SELECT followers.channel_id, followers.tenant_id, 1, channels.top, channels.top
         FROM followers JOIN channels ON channels.id = followers.channel_id
         WHERE channels.top > 0
         ON CONFLICT ON CONSTRAINT wanted_pk DO UPDATE SET untold = excluded.untold";
    /// Everything is told again.
    TELL_AGAIN [] whole "the start tells it all" = "UPDATE wanted SET untold = high";
    /// The document of a post.
    MAPPED [CHANNEL_ID, "10", TENANT] =
        "SELECT document_id, digest FROM documents
         WHERE channel_id = $1 AND message_id = $2 AND tenant_id = $3";
    /// A post became a document.
    MAP [CHANNEL_ID, "10", TENANT, "gen_random_uuid()", "'digest'"] =
        "INSERT INTO documents (channel_id, message_id, tenant_id, document_id, digest)
         VALUES ($1, $2, $3, $4, $5) ON CONFLICT ON CONSTRAINT documents_pk
         DO UPDATE SET document_id = excluded.document_id, digest = excluded.digest";
    /// A post's document is gone.
    UNMAP [CHANNEL_ID, "10", TENANT] =
        "DELETE FROM documents WHERE channel_id = $1 AND message_id = $2 AND tenant_id = $3";
    /// Takes or extends a lease, by the clock of the server.
    HOLD ["'account'", "gen_random_uuid()", "10"] =
        "INSERT INTO leases (account, holder, until)
         VALUES ($1, $2, clock_timestamp() + make_interval(secs => $3))
         ON CONFLICT ON CONSTRAINT leases_pk DO UPDATE
         SET holder = excluded.holder, until = excluded.until
         WHERE leases.holder = excluded.holder OR leases.until <= clock_timestamp()";
    /// What opens an account at a data centre.
    KEEP_KEY ["'account'", "4", "'\\x00'::bytea"] =
        "INSERT INTO keys (account, data_centre, sealed) VALUES ($1, $2, $3)
         ON CONFLICT ON CONSTRAINT keys_pk DO UPDATE SET sealed = excluded.sealed";
    /// What was kept of an account.
    KEYS ["'account'"] =
        "SELECT data_centre, sealed FROM keys WHERE account = $1 ORDER BY data_centre";
    /// Gives a lease back.
    RELEASE ["'account'", "gen_random_uuid()"] =
        "DELETE FROM leases WHERE account = $1 AND holder = $2";
}

/// A channel in a thousand numbers, with a follower, a document in ten numbers, and an album.
pub(super) const FILL: &[&str] = &[
    "INSERT INTO channels SELECT n, n, 'title', 'name', 1, 1000
     FROM generate_series(1, $1 / 1000 + 1) AS n",
    "INSERT INTO followers SELECT n, md5(n::text)::uuid, now()
     FROM generate_series(1, $1 / 1000 + 1) AS n",
    "INSERT INTO messages SELECT n / 1000 + 1, n % 1000, 'post', 1,
            CASE WHEN n % 100 = 0 THEN n / 100 END, NULL::int, '{}', '\\x00'::bytea,
            CASE WHEN n % 1000 % 12 = 5 THEN n % 1000 - 2 END
     FROM generate_series(1, $1) AS n",
    "INSERT INTO revisions SELECT n / 100 + 1, n % 100, 1, '{}', now()
     FROM generate_series(1, $1 / 10) AS n",
    "INSERT INTO coverage SELECT n, 1, 1000 FROM generate_series(1, $1 / 1000 + 1) AS n",
    "INSERT INTO blocks SELECT n, 0, '\\x00'::bytea FROM generate_series(1, $1 / 1000 + 1) AS n",
    "INSERT INTO documents SELECT n / 100 + 1, n % 100 * 10, md5((n / 100 + 1)::text)::uuid,
            gen_random_uuid(), 'digest'
     FROM generate_series(1, $1 / 10) AS n",
    "INSERT INTO wanted SELECT n / 100 + 1, md5((n / 100 + 1)::text)::uuid, n % 100 * 10,
            n % 100 * 10 + 9, n % 100 * 10 - CASE WHEN n % 50 = 0 THEN -9 ELSE 1 END
     FROM generate_series(1, $1 / 10) AS n",
    "INSERT INTO keys SELECT 'account ' || n / 5, n % 5, '\\x00'::bytea
     FROM generate_series(1, $1 / 10) AS n",
    outbox::FILL,
];
