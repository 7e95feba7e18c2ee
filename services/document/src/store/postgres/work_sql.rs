//! Statements of workers on PostgreSQL, and what fills the tables for `touchstone explain`.

use touchstone_store::postgres::{inbox, outbox, statements};

use super::sql::{DOCUMENT_ID, SOME_IDS, TENANT};

const CLAIM: &str = "(SELECT claim FROM work WHERE claim IS NOT NULL LIMIT 1)";
const QUEUED: &str = "(SELECT document_id FROM work LIMIT 1)";
const QUEUED_IDS: &str =
    "(SELECT array_agg(document_id) FROM (SELECT document_id FROM work LIMIT 10) AS w)";

statements! {
    /// Says that this process lives.
    ALIVE ["gen_random_uuid()"] =
        "INSERT INTO workers (id, seen_at) VALUES ($1, clock_timestamp()) \
         ON CONFLICT ON CONSTRAINT workers_pk DO UPDATE SET seen_at = excluded.seen_at";
    /// Processes that have been silent.
    SILENT ["60"] whole "one row per process" =
        "SELECT id FROM workers WHERE seen_at < clock_timestamp() - make_interval(secs => $1)";
    /// Frees what processes held that are gone.
    FREE_OF_WORKERS ["(SELECT array_agg(id) FROM workers)", "now()"] =
        "UPDATE work SET claim = NULL, worker_id = NULL, visible_at = $2, \
         losses = losses + CASE WHEN superseded THEN 0 ELSE 1 END, superseded = false \
         WHERE worker_id = ANY($1) AND claim IS NOT NULL";
    /// Forgets processes.
    BURY ["(SELECT array_agg(id) FROM workers)"] whole "one row per process" =
        "DELETE FROM workers WHERE id = ANY($1)";
    /// Frees leases that ran out.
    FREE_OVERDUE ["now() - interval '1 year'"] =
        "UPDATE work SET claim = NULL, worker_id = NULL, visible_at = $1, \
         losses = losses + CASE WHEN superseded THEN 0 ELSE 1 END, superseded = false \
         WHERE claim IS NOT NULL AND visible_at <= $1";
    /// Makes work visible. Work that waits for a dependency or for its next attempt is not hurried.
    ANNOUNCE ["now()", QUEUED, TENANT, "1", "'ingest'"] =
        "UPDATE work SET visible_at = $1 WHERE document_id = $2 AND tenant_id = $3 \
         AND version = $4 AND action = $5 AND claim IS NULL AND visible_at > $1 \
         AND attempts = 0 AND waits = 0";
    /// Whether some work can be claimed.
    HAS_WORK ["now()"] = "SELECT EXISTS (SELECT 1 FROM work WHERE visible_at <= $1)";
    /// The oldest visible work that nobody is about to take.
    OLDEST ["now()"] =
        "SELECT document_id, tenant_id, attempts + losses > 0 OR claim IS NOT NULL AS alone \
         FROM work WHERE visible_at <= $1 ORDER BY visible_at LIMIT 1 FOR UPDATE SKIP LOCKED";
    /// More of its tenant.
    MORE ["(SELECT tenant_id FROM work LIMIT 1)", "now()", "32"] =
        "SELECT w.document_id, d.size_bytes FROM work w JOIN documents d ON d.id = w.document_id \
         WHERE w.tenant_id = $1 AND w.visible_at <= $2 AND w.attempts = 0 AND w.losses = 0 \
         AND w.claim IS NULL ORDER BY w.visible_at LIMIT $3 FOR UPDATE OF w SKIP LOCKED";
    /// Takes the lease.
    TAKE [QUEUED_IDS, "gen_random_uuid()", "now()", "gen_random_uuid()"] =
        "UPDATE work SET losses = losses + \
         CASE WHEN claim IS NOT NULL AND NOT superseded THEN 1 ELSE 0 END, superseded = false, \
         claim = $2, visible_at = $3, worker_id = $4 WHERE document_id = ANY($1)";
    /// What a claim holds, with everything that a worker needs.
    CLAIMED [CLAIM] =
        "SELECT w.document_id, w.tenant_id, w.version, w.action, w.rebuild, w.attempts, w.losses, \
         w.waits, w.wait_code, d.status, d.filename, d.title, d.format, d.language, \
         d.language_given, d.source, d.metadata, d.created_at \
         FROM work w JOIN documents d ON d.id = w.document_id WHERE w.claim = $1 \
         ORDER BY w.document_id";
    /// The bytes of versions.
    ORIGINALS [SOME_IDS, "'{1,1,1}'"] =
        "SELECT o.document_id, o.body FROM unnest($1::uuid[], $2::int[]) \
         AS w (document_id, version) \
         JOIN originals o ON o.document_id = w.document_id AND o.version = w.version";
    /// The text of a version.
    STORED_TEXT [DOCUMENT_ID, "1"] =
        "SELECT document_id, version, title, body FROM texts \
         WHERE document_id = $1 AND version = $2";
    /// The chunks of a version.
    STORED_CHUNKS [DOCUMENT_ID, "1"] =
        "SELECT ordinal, start_byte, end_byte, heading FROM chunks \
         WHERE document_id = $1 AND version = $2 ORDER BY ordinal";
    /// What a claim still holds.
    HELD [CLAIM] = "SELECT document_id FROM work WHERE claim = $1 AND NOT superseded";
    /// Lets go of what requests have changed.
    LET_GO_SUPERSEDED [CLAIM, "now()"] =
        "UPDATE work SET claim = NULL, worker_id = NULL, superseded = false, visible_at = $2 \
         WHERE claim = $1 AND superseded";
    /// Extends the lease.
    RENEW [CLAIM, "now()"] =
        "UPDATE work SET visible_at = $2 WHERE claim = $1 RETURNING document_id";

    /// What a claim holds, locked document by document, as requests do.
    HOLDINGS [CLAIM] =
        "SELECT w.document_id, w.tenant_id, w.version, w.superseded, w.wait_code, \
         1 + w.attempts + w.losses AS attempt, d.status, d.deleted_at IS NOT NULL AS deleted \
         FROM documents d JOIN work w ON w.document_id = d.id WHERE w.claim = $1 \
         ORDER BY d.id FOR UPDATE OF d, w";
    /// Gives work back to everybody.
    LET_GO [QUEUED, "now()"] =
        "UPDATE work SET claim = NULL, worker_id = NULL, superseded = false, visible_at = $2 \
         WHERE document_id = $1";
    /// A document was cut into chunks.
    CHUNKED [DOCUMENT_ID, "'chunked'", "'title'", "'en'", "1", "now()"] =
        "UPDATE documents SET status = $2, title = $3, language = $4, chunk_count = $5, \
         updated_at = $6 WHERE id = $1";
    /// The text of a version, again perhaps.
    PUT_TEXT [DOCUMENT_ID, "1", TENANT, "'title'", "'\\x00'"] =
        "INSERT INTO texts (document_id, version, tenant_id, title, body) \
         VALUES ($1, $2, $3, $4, $5) ON CONFLICT ON CONSTRAINT texts_version \
         DO UPDATE SET title = excluded.title, body = excluded.body";
    /// Removes the chunks of a version.
    CLEAR_CHUNKS [DOCUMENT_ID, "1"] =
        "DELETE FROM chunks WHERE document_id = $1 AND version = $2";
    /// The chunks of a version.
    PUT_CHUNKS [DOCUMENT_ID, "9", "'{0,1}'", "'{0,5}'", "'{5,9}'", "'{a,b}'"] =
        "INSERT INTO chunks (document_id, version, ordinal, start_byte, end_byte, heading) \
         SELECT $1, $2, * FROM unnest($3::int[], $4::int[], $5::int[], $6::text[])";
    /// Puts work off until a dependency may be back.
    WAIT [QUEUED, "now()", "'code'"] =
        "UPDATE work SET claim = NULL, worker_id = NULL, visible_at = $2, waits = waits + 1, \
         wait_code = $3 WHERE document_id = $1";
    /// Counts an attempt that failed.
    AGAIN [QUEUED, "now()"] =
        "UPDATE work SET claim = NULL, worker_id = NULL, visible_at = $2, \
         attempts = attempts + 1, waits = 0, wait_code = NULL WHERE document_id = $1";
    /// A document enters a state.
    ENTER [DOCUMENT_ID, "'indexed'", "NULL", "NULL", "now()"] =
        "UPDATE documents SET status = $2, failure_code = $3, failure_message = $4, \
         updated_at = $5 WHERE id = $1";
    /// Notes the model of a document's points.
    NOTE_MODEL [DOCUMENT_ID, "'model'"] =
        "UPDATE documents SET index_model = $2 \
         WHERE id = $1 AND index_model IS DISTINCT FROM $2";
    /// Ends work.
    FINISH [QUEUED] = "DELETE FROM work WHERE document_id = $1";
    /// Chunks of old versions.
    DROP_CHUNKS [DOCUMENT_ID, "1"] = "DELETE FROM chunks WHERE document_id = $1 AND version < $2";
    /// Texts of old versions.
    DROP_TEXTS [DOCUMENT_ID, "1"] = "DELETE FROM texts WHERE document_id = $1 AND version < $2";
    /// Originals of old versions.
    DROP_ORIGINALS [DOCUMENT_ID, "1"] =
        "DELETE FROM originals WHERE document_id = $1 AND version < $2";
    /// Purges a document; versions, texts, chunks and timeline go with it.
    PURGE ["(SELECT id FROM documents WHERE deleted_at IS NOT NULL LIMIT 1)"] =
        "DELETE FROM documents WHERE id = $1 AND deleted_at IS NOT NULL";
    /// A document is given up.
    GIVE_UP [DOCUMENT_ID, TENANT, "1", "'code'", "'message'", "5", "now()"] =
        "INSERT INTO dead_letters \
         (document_id, tenant_id, version, code, message, attempts, at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT ON CONSTRAINT dead_letters_document \
         DO UPDATE SET version = excluded.version, code = excluded.code, \
         message = excluded.message, attempts = excluded.attempts, at = excluded.at";
    /// The queue at a glance.
    STATS [] whole "counts the queue and the dead letters" =
        "SELECT (SELECT count(*) FROM work) AS queued, \
         (SELECT min(queued_at) FROM work) AS oldest, \
         (SELECT count(*) FROM dead_letters) AS dead";
    /// Forgets some old keys.
    PRUNE_KEYS ["(SELECT min(at) + interval '1 second' FROM idempotency_keys)", "1000"] =
        "DELETE FROM idempotency_keys WHERE (tenant_id, key) IN (SELECT tenant_id, key \
         FROM idempotency_keys WHERE at < $1 ORDER BY at LIMIT $2)";
}

/// A hundred documents per tenant, four chunks each; three in ten are queued, one in ten failed.
pub const FILL: &[&str] = &[
    "INSERT INTO documents SELECT gen_random_uuid(), md5((n / 100)::text)::uuid, gen_random_uuid(),
            'upload', 'f' || n, 'title', 'text/plain', 'text', 'en', false, '{}',
            CASE WHEN n % 10 = 0 THEN 'failed' ELSE 'indexed' END,
            CASE WHEN n % 10 = 0 THEN 'code' END, CASE WHEN n % 10 = 0 THEN 'message' END,
            1, 1000, '00', 4, 'model', now() - n * interval '1 second', now(),
            CASE WHEN n % 97 = 0 THEN now() END FROM generate_series(1, $1 / 4 + 100) AS n",
    "INSERT INTO originals SELECT id, 1, tenant_id, filename, mime, decode(repeat('61', 200), 'hex')
     FROM documents",
    "INSERT INTO texts SELECT id, 1, tenant_id, title, decode(repeat('61', 4000), 'hex')
     FROM documents",
    "INSERT INTO chunks SELECT id, 1, o, o * 100, o * 100 + 100, NULL
     FROM documents, generate_series(0, 3) AS o",
    "INSERT INTO timeline (document_id, tenant_id, version, at, status, attempt)
     SELECT id, tenant_id, 1, now(), s, 1
     FROM documents, unnest('{queued,parsed,chunked,embedded,indexed}'::text[]) AS s",
    "INSERT INTO workers SELECT gen_random_uuid(), now() FROM generate_series(1, LEAST($1, 5))",
    "INSERT INTO work SELECT id, tenant_id, 1, 'ingest', false, now(),
            now() + (random() - 0.3) * interval '1 hour',
            CASE WHEN random() < 0.1 THEN gen_random_uuid() END, NULL, false, 0, 0, 0, NULL
     FROM documents WHERE random() < 0.3 AND deleted_at IS NULL LIMIT $1",
    "UPDATE work SET worker_id = (SELECT id FROM workers LIMIT 1)
     WHERE claim IS NOT NULL AND $1 > 0",
    "INSERT INTO dead_letters SELECT id, tenant_id, 1, 'code', 'message', 5, now()
     FROM documents WHERE status = 'failed' AND $1 > 0",
    "INSERT INTO idempotency_keys SELECT tenant_id, 'key ' || row_number() OVER (), sha256('x'),
            id, 1, created_at FROM documents WHERE $1 > 0",
    outbox::FILL,
    inbox::FILL,
];
