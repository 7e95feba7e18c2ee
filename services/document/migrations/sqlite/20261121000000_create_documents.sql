-- Times are microseconds since 1970, UTC; ids are the sixteen bytes of a UUID.

CREATE TABLE documents (
    id BLOB NOT NULL,
    tenant_id BLOB NOT NULL,
    created_by BLOB NOT NULL,
    source TEXT NOT NULL,
    filename TEXT NOT NULL,
    title TEXT NOT NULL,
    mime TEXT NOT NULL,
    format TEXT NOT NULL,
    language TEXT NOT NULL,
    -- Whether the language was given, not detected.
    language_given INTEGER NOT NULL,
    metadata TEXT NOT NULL,
    status TEXT NOT NULL,
    failure_code TEXT,
    failure_message TEXT,
    version INTEGER NOT NULL,
    size_bytes INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    chunk_count INTEGER NOT NULL,
    -- Dense model of the points in the index; part of their ids.
    index_model TEXT,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    -- Deleted, but its points may still be in the index.
    deleted_at INTEGER,
    CONSTRAINT documents_id PRIMARY KEY (id),
    CONSTRAINT documents_failure CHECK ((status = 'failed') = (failure_code IS NOT NULL))
) STRICT, WITHOUT ROWID;
CREATE INDEX documents_list ON documents (tenant_id, id) WHERE deleted_at IS NULL;
CREATE INDEX documents_by_status ON documents (tenant_id, status, id) WHERE deleted_at IS NULL;

-- The bytes as they were accepted.
CREATE TABLE originals (
    document_id BLOB NOT NULL,
    version INTEGER NOT NULL,
    tenant_id BLOB NOT NULL,
    filename TEXT NOT NULL,
    mime TEXT NOT NULL,
    body BLOB NOT NULL,
    CONSTRAINT originals_version PRIMARY KEY (document_id, version),
    CONSTRAINT originals_document FOREIGN KEY (document_id) REFERENCES documents (id) ON DELETE CASCADE
) STRICT;

-- The extracted text, to which all offsets refer.
CREATE TABLE texts (
    document_id BLOB NOT NULL,
    version INTEGER NOT NULL,
    tenant_id BLOB NOT NULL,
    title TEXT NOT NULL,
    body TEXT NOT NULL,
    CONSTRAINT texts_version PRIMARY KEY (document_id, version),
    CONSTRAINT texts_document FOREIGN KEY (document_id) REFERENCES documents (id) ON DELETE CASCADE
) STRICT;

CREATE TABLE chunks (
    document_id BLOB NOT NULL,
    version INTEGER NOT NULL,
    ordinal INTEGER NOT NULL,
    start_byte INTEGER NOT NULL,
    end_byte INTEGER NOT NULL,
    heading TEXT,
    CONSTRAINT chunks_ordinal PRIMARY KEY (document_id, version, ordinal),
    CONSTRAINT chunks_span CHECK (start_byte >= 0 AND start_byte < end_byte),
    CONSTRAINT chunks_document FOREIGN KEY (document_id) REFERENCES documents (id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE TABLE timeline (
    seq INTEGER PRIMARY KEY,
    document_id BLOB NOT NULL,
    tenant_id BLOB NOT NULL,
    version INTEGER NOT NULL,
    at INTEGER NOT NULL,
    status TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    detail TEXT,
    CONSTRAINT timeline_document FOREIGN KEY (document_id) REFERENCES documents (id) ON DELETE CASCADE
) STRICT;
CREATE INDEX timeline_of_document ON timeline (document_id, seq);

-- What is still to be done: at most one piece of work per document.
CREATE TABLE work (
    document_id BLOB NOT NULL,
    tenant_id BLOB NOT NULL,
    version INTEGER NOT NULL,
    action TEXT NOT NULL,
    -- Remove the document's points before new ones are written.
    rebuild INTEGER NOT NULL,
    queued_at INTEGER NOT NULL,
    -- Nobody may claim it before; a claim moves it to the end of the lease.
    visible_at INTEGER NOT NULL,
    -- Who holds the lease.
    claim BLOB,
    -- Changed by a request while somebody holds the lease.
    superseded INTEGER NOT NULL,
    -- Failures that count, leases that ran out, waits for a dependency.
    attempts INTEGER NOT NULL,
    losses INTEGER NOT NULL,
    waits INTEGER NOT NULL,
    wait_code TEXT,
    CONSTRAINT work_document PRIMARY KEY (document_id),
    CONSTRAINT work_action CHECK (action IN ('ingest', 'remove')),
    CONSTRAINT work_of_document FOREIGN KEY (document_id) REFERENCES documents (id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX work_visible ON work (visible_at);
CREATE INDEX work_of_tenant ON work (tenant_id, visible_at);
CREATE INDEX work_claim ON work (claim) WHERE claim IS NOT NULL;
CREATE INDEX work_queued ON work (queued_at);

CREATE TABLE dead_letters (
    document_id BLOB NOT NULL,
    tenant_id BLOB NOT NULL,
    version INTEGER NOT NULL,
    code TEXT NOT NULL,
    message TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    at INTEGER NOT NULL,
    CONSTRAINT dead_letters_document PRIMARY KEY (document_id),
    CONSTRAINT dead_letters_of_document FOREIGN KEY (document_id) REFERENCES documents (id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX dead_letters_list ON dead_letters (tenant_id, document_id);

CREATE TABLE idempotency_keys (
    tenant_id BLOB NOT NULL,
    key TEXT NOT NULL,
    request_hash BLOB NOT NULL,
    document_id BLOB NOT NULL,
    version INTEGER NOT NULL,
    at INTEGER NOT NULL,
    CONSTRAINT idempotency_keys_key PRIMARY KEY (tenant_id, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_keys_at ON idempotency_keys (at);

CREATE TABLE outbox (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id BLOB NOT NULL CONSTRAINT outbox_id UNIQUE,
    topic TEXT NOT NULL,
    key TEXT NOT NULL,
    at INTEGER NOT NULL,
    traceparent TEXT,
    payload TEXT NOT NULL,
    sent_at INTEGER
) STRICT;
CREATE INDEX outbox_pending ON outbox (seq) WHERE sent_at IS NULL;
CREATE INDEX outbox_sent ON outbox (sent_at) WHERE sent_at IS NOT NULL;

CREATE TABLE inbox (
    consumer TEXT NOT NULL,
    event_id BLOB NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (consumer, event_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX inbox_at ON inbox (at);
