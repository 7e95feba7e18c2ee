//! Statements of requests on PostgreSQL, each with values that `touchstone explain` tries.

use touchstone_store::postgres::statements;

pub(super) const DOCUMENT_ID: &str = "(SELECT id FROM documents WHERE deleted_at IS NULL
     AND status = 'indexed' ORDER BY id DESC OFFSET 5 LIMIT 1)";
pub(super) const TENANT: &str = "(SELECT tenant_id FROM documents WHERE deleted_at IS NULL
     AND status = 'indexed' ORDER BY id DESC OFFSET 5 LIMIT 1)";
pub(super) const SOME_IDS: &str = "(SELECT array_agg(id) FROM (SELECT id FROM documents
     WHERE deleted_at IS NULL AND tenant_id = (SELECT tenant_id FROM documents
     WHERE deleted_at IS NULL AND status = 'indexed' ORDER BY id DESC OFFSET 5 LIMIT 1)
     LIMIT 3) AS d)";

/// Columns of a document as the API shows it.
macro_rules! document_where {
    ($rest:literal) => {
        concat!(
            "SELECT id, filename, title, mime, language, source, status, failure_code, \
             failure_message, version, size_bytes, sha256, chunk_count, metadata, created_at, \
             updated_at FROM documents WHERE tenant_id = $1 AND deleted_at IS NULL AND ",
            $rest
        )
    };
}

statements! {
    /// A document.
    DOCUMENT [TENANT, DOCUMENT_ID] = document_where!("id = $2");
    /// A page of a tenant's documents.
    LIST [TENANT, "'ffffffff-ffff-ffff-ffff-ffffffffffff'", "NULL", "'-infinity'", "'infinity'", "50"] =
        document_where!(
            "id < $2 AND ($3::text IS NULL OR source = $3) AND created_at >= $4 \
             AND created_at < $5 ORDER BY id DESC LIMIT $6"
        );
    /// A page of a tenant's documents in one state.
    LIST_BY_STATUS [
        TENANT, "'ffffffff-ffff-ffff-ffff-ffffffffffff'", "NULL", "'-infinity'", "'infinity'", "50",
        "'failed'",
    ] =
        document_where!(
            "status = $7 AND id < $2 AND ($3::text IS NULL OR source = $3) AND created_at >= $4 \
             AND created_at < $5 ORDER BY id DESC LIMIT $6"
        );
    /// The text of a document's current version.
    TEXT [TENANT, DOCUMENT_ID] =
        "SELECT t.document_id, t.version, t.title, t.body FROM documents d \
         JOIN texts t ON t.document_id = d.id AND t.version = d.version \
         WHERE d.tenant_id = $1 AND d.id = $2 AND d.deleted_at IS NULL";
    /// Texts of versions.
    TEXTS [TENANT, SOME_IDS, "'{1,1,1}'"] =
        "SELECT t.document_id, t.version, t.title, t.body \
         FROM unnest($2::uuid[], $3::int[]) AS w (document_id, version) \
         JOIN documents d ON d.id = w.document_id \
         JOIN texts t ON t.document_id = w.document_id AND t.version = w.version \
         WHERE d.deleted_at IS NULL AND d.tenant_id = $1";
    /// Pieces of texts.
    PIECES [TENANT, "'{0,1,2}'", SOME_IDS, "'{1,1,1}'", "'{1,1,1}'", "'{100,100,100}'"] =
        "SELECT w.number, t.title, substring(t.body FROM w.first FOR w.length) AS body, \
         octet_length(t.body) < w.first + w.length AS ends \
         FROM unnest($2::int[], $3::uuid[], $4::int[], $5::int[], $6::int[]) \
         AS w (number, document_id, version, first, length) \
         JOIN documents d ON d.id = w.document_id \
         JOIN texts t ON t.document_id = w.document_id AND t.version = w.version \
         WHERE d.deleted_at IS NULL AND d.tenant_id = $1";
    /// The bytes of a document's current version.
    ORIGINAL [TENANT, DOCUMENT_ID] =
        "SELECT o.filename, o.mime, o.body, d.sha256 FROM documents d \
         JOIN originals o ON o.document_id = d.id AND o.version = d.version \
         WHERE d.tenant_id = $1 AND d.id = $2 AND d.deleted_at IS NULL";
    /// Chunks of a version.
    CHUNKS [TENANT, DOCUMENT_ID, "1", "0", "100"] =
        "SELECT d.index_model, c.ordinal, c.start_byte, c.end_byte, c.heading FROM documents d \
         JOIN chunks c ON c.document_id = d.id \
         WHERE d.tenant_id = $1 AND d.id = $2 AND d.deleted_at IS NULL \
         AND c.version = $3 AND c.ordinal >= $4 ORDER BY c.ordinal LIMIT $5";
    /// The life of a document.
    TIMELINE [TENANT, DOCUMENT_ID] =
        "SELECT t.at, t.version, t.status, t.attempt, t.detail FROM documents d \
         JOIN timeline t ON t.document_id = d.id \
         WHERE d.tenant_id = $1 AND d.id = $2 AND d.deleted_at IS NULL ORDER BY t.seq";
    /// A page of a tenant's dead letters.
    DEAD_LETTERS [TENANT, "'ffffffff-ffff-ffff-ffff-ffffffffffff'", "50"] =
        "SELECT document_id, version, code, message, attempts, at FROM dead_letters \
         WHERE tenant_id = $1 AND document_id < $2 ORDER BY document_id DESC LIMIT $3";

    /// The answer to an earlier request with the same key.
    FIRST_ANSWER [TENANT, "'key 7'"] =
        "SELECT request_hash, document_id, version FROM idempotency_keys \
         WHERE tenant_id = $1 AND key = $2";
    /// Notes a key, unless another request has it; one that is under way is waited for.
    INSERT_KEY [TENANT, "'new'", "sha256('x')", DOCUMENT_ID, "1", "now()"] =
        "INSERT INTO idempotency_keys (tenant_id, key, request_hash, document_id, version, at) \
         VALUES ($1, $2, $3, $4, $5, $6) \
         ON CONFLICT ON CONSTRAINT idempotency_keys_key DO NOTHING";
    /// State and version of a document that is not deleted. The lock puts everything that changes
    /// one document in a row.
    PRESENT [TENANT, DOCUMENT_ID] =
        "SELECT status, version FROM documents \
         WHERE tenant_id = $1 AND id = $2 AND deleted_at IS NULL FOR UPDATE";
    /// A document, unless an earlier try wrote it, whose answer got lost.
    INSERT_DOCUMENT [
        "gen_random_uuid()", TENANT, TENANT, "'upload'", "'f'", "'f'", "'text/plain'", "'text'",
        "'und'", "false", "'{}'", "1", "'00'", "now()",
    ] =
        "INSERT INTO documents (id, tenant_id, created_by, source, filename, title, mime, format, \
         language, language_given, metadata, status, version, size_bytes, sha256, chunk_count, \
         created_at, updated_at) VALUES \
         ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 'queued', 1, $12, $13, 0, $14, $14) \
         ON CONFLICT ON CONSTRAINT documents_id DO NOTHING";
    /// The next version of a document.
    REPLACE_DOCUMENT [
        TENANT, DOCUMENT_ID, "'f'", "'text/plain'", "'text'", "'und'", "false", "'{}'", "2", "1",
        "'00'", "now()",
    ] =
        "UPDATE documents SET filename = $3, title = $3, mime = $4, format = $5, language = $6, \
         language_given = $7, metadata = $8, status = 'queued', failure_code = NULL, \
         failure_message = NULL, version = $9, size_bytes = $10, sha256 = $11, chunk_count = 0, \
         updated_at = $12 WHERE tenant_id = $1 AND id = $2";
    /// The bytes of a version.
    INSERT_ORIGINAL [DOCUMENT_ID, "9", TENANT, "'f'", "'text/plain'", "'\\x00'"] =
        "INSERT INTO originals (document_id, version, tenant_id, filename, mime, body) \
         VALUES ($1, $2, $3, $4, $5, $6)";
    /// Forgets that a document was given up.
    FORGET_DEAD_LETTER [DOCUMENT_ID] = "DELETE FROM dead_letters WHERE document_id = $1";
    /// Hides a document.
    HIDE [TENANT, DOCUMENT_ID, "now()"] =
        "UPDATE documents SET deleted_at = $3, updated_at = $3 WHERE tenant_id = $1 AND id = $2";
    /// Changes the state of a document on request.
    REQUEST [TENANT, DOCUMENT_ID, "'queued'", "now()"] =
        "UPDATE documents SET status = $3, failure_code = NULL, failure_message = NULL, \
         updated_at = $4 WHERE tenant_id = $1 AND id = $2";
    /// Queues work; takes the place of what was queued before. Who holds a lease keeps it until it
    /// notices, so that two never work on one document.
    QUEUE [DOCUMENT_ID, TENANT, "1", "'ingest'", "false", "now()", "now()"] =
        "INSERT INTO work (document_id, tenant_id, version, action, rebuild, queued_at, \
         visible_at, superseded, attempts, losses, waits) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, false, 0, 0, 0) \
         ON CONFLICT ON CONSTRAINT work_document DO UPDATE SET \
         version = excluded.version, action = excluded.action, \
         rebuild = excluded.rebuild OR work.rebuild OR work.action = 'remove', \
         queued_at = excluded.queued_at, superseded = work.claim IS NOT NULL, \
         visible_at = CASE WHEN work.claim IS NULL THEN excluded.visible_at \
         ELSE work.visible_at END, attempts = 0, losses = 0, waits = 0, wait_code = NULL";
    /// A line of the timeline.
    NOTE [DOCUMENT_ID, TENANT, "1", "now()", "'queued'", "1", "NULL"] =
        "INSERT INTO timeline (document_id, tenant_id, version, at, status, attempt, detail) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)";

    /// Documents of a tenant that a rebuild concerns, in batches.
    REBUILT_OF_TENANT [TENANT, "'00000000-0000-0000-0000-000000000000'", "500"] =
        "SELECT id FROM documents WHERE tenant_id = $1 AND deleted_at IS NULL \
         AND status <> 'cancelled' AND id > $2 ORDER BY id LIMIT $3 FOR UPDATE";
    /// Documents of all tenants that a rebuild concerns, in batches.
    REBUILT ["'00000000-0000-0000-0000-000000000000'", "500"] =
        "SELECT id FROM documents WHERE deleted_at IS NULL AND status <> 'cancelled' \
         AND id > $1 ORDER BY id LIMIT $2 FOR UPDATE";
    /// Tells the timelines of documents about a rebuild.
    REBUILD_NOTE [SOME_IDS, "now()"] =
        "INSERT INTO timeline (document_id, tenant_id, version, at, status, attempt, detail) \
         SELECT id, tenant_id, version, $2, 'queued', 1, 'the index is rebuilt' \
         FROM documents WHERE id = ANY($1)";
    /// Forgets that documents were given up.
    REBUILD_DEAD_LETTERS [SOME_IDS] = "DELETE FROM dead_letters WHERE document_id = ANY($1)";
    /// Queues documents.
    REBUILD_WORK [SOME_IDS, "now()"] =
        "INSERT INTO work (document_id, tenant_id, version, action, rebuild, queued_at, \
         visible_at, superseded, attempts, losses, waits) \
         SELECT id, tenant_id, version, 'ingest', true, $2, $2, false, 0, 0, 0 \
         FROM documents WHERE id = ANY($1) \
         ON CONFLICT ON CONSTRAINT work_document DO UPDATE SET version = excluded.version, \
         action = 'ingest', rebuild = true, queued_at = excluded.queued_at, \
         superseded = work.claim IS NOT NULL, \
         visible_at = CASE WHEN work.claim IS NULL THEN excluded.visible_at \
         ELSE work.visible_at END, attempts = 0, losses = 0, waits = 0, wait_code = NULL";
    /// Puts documents back to the start.
    REBUILD_DOCUMENTS [SOME_IDS, "now()"] =
        "UPDATE documents SET status = 'queued', failure_code = NULL, failure_message = NULL, \
         updated_at = $2 WHERE id = ANY($1)";
}
