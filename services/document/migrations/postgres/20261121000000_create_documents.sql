CREATE TABLE documents (
    id UUID NOT NULL CONSTRAINT documents_id PRIMARY KEY,
    tenant_id UUID NOT NULL,
    created_by UUID NOT NULL,
    source TEXT NOT NULL,
    filename TEXT NOT NULL,
    title TEXT NOT NULL,
    mime TEXT NOT NULL,
    format TEXT NOT NULL,
    language TEXT NOT NULL,
    -- Whether the language was given, not detected.
    language_given BOOLEAN NOT NULL,
    -- JSON; text, because JSONB refuses U+0000.
    metadata TEXT NOT NULL,
    status TEXT NOT NULL,
    failure_code TEXT,
    failure_message TEXT,
    version INTEGER NOT NULL,
    size_bytes BIGINT NOT NULL,
    sha256 TEXT NOT NULL,
    chunk_count INTEGER NOT NULL,
    -- Dense model of the points in the index; part of their ids.
    index_model TEXT,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    -- Deleted, but its points may still be in the index.
    deleted_at TIMESTAMPTZ,
    CONSTRAINT documents_failure CHECK ((status = 'failed') = (failure_code IS NOT NULL))
) WITH (fillfactor = 80);
CREATE INDEX documents_list ON documents (tenant_id, id) WHERE deleted_at IS NULL;
CREATE INDEX documents_by_status ON documents (tenant_id, status, id) WHERE deleted_at IS NULL;

-- The bytes as they were accepted.
CREATE TABLE originals (
    document_id UUID NOT NULL,
    version INTEGER NOT NULL,
    tenant_id UUID NOT NULL,
    filename TEXT NOT NULL,
    mime TEXT NOT NULL,
    body BYTEA NOT NULL,
    CONSTRAINT originals_version PRIMARY KEY (document_id, version),
    CONSTRAINT originals_document FOREIGN KEY (document_id) REFERENCES documents (id) ON DELETE CASCADE
);

-- The extracted text as UTF-8, to which all offsets refer. Not compressed, so that a piece is read
-- without the rest.
CREATE TABLE texts (
    document_id UUID NOT NULL,
    version INTEGER NOT NULL,
    tenant_id UUID NOT NULL,
    title TEXT NOT NULL,
    body BYTEA NOT NULL,
    CONSTRAINT texts_version PRIMARY KEY (document_id, version),
    CONSTRAINT texts_document FOREIGN KEY (document_id) REFERENCES documents (id) ON DELETE CASCADE
);
ALTER TABLE texts ALTER COLUMN body SET STORAGE EXTERNAL;

CREATE TABLE chunks (
    document_id UUID NOT NULL,
    version INTEGER NOT NULL,
    ordinal INTEGER NOT NULL,
    start_byte INTEGER NOT NULL,
    end_byte INTEGER NOT NULL,
    heading TEXT,
    CONSTRAINT chunks_ordinal PRIMARY KEY (document_id, version, ordinal),
    CONSTRAINT chunks_span CHECK (start_byte >= 0 AND start_byte < end_byte),
    CONSTRAINT chunks_document FOREIGN KEY (document_id) REFERENCES documents (id) ON DELETE CASCADE
);

CREATE TABLE timeline (
    seq BIGINT GENERATED ALWAYS AS IDENTITY CONSTRAINT timeline_pk PRIMARY KEY,
    document_id UUID NOT NULL,
    tenant_id UUID NOT NULL,
    version INTEGER NOT NULL,
    at TIMESTAMPTZ NOT NULL,
    status TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    detail TEXT,
    CONSTRAINT timeline_document FOREIGN KEY (document_id) REFERENCES documents (id) ON DELETE CASCADE
);
CREATE INDEX timeline_of_document ON timeline (document_id, seq);

-- What is still to be done: at most one piece of work per document.
CREATE TABLE work (
    document_id UUID NOT NULL CONSTRAINT work_document PRIMARY KEY,
    tenant_id UUID NOT NULL,
    version INTEGER NOT NULL,
    action TEXT NOT NULL CONSTRAINT work_action CHECK (action IN ('ingest', 'remove')),
    -- Remove the document's points before new ones are written.
    rebuild BOOLEAN NOT NULL,
    queued_at TIMESTAMPTZ NOT NULL,
    -- Nobody may claim it before; a claim moves it to the end of the lease.
    visible_at TIMESTAMPTZ NOT NULL,
    -- Who holds the lease, and in which process.
    claim UUID,
    worker_id UUID,
    -- Changed by a request while somebody holds the lease.
    superseded BOOLEAN NOT NULL,
    -- Failures that count, leases that ran out, waits for a dependency.
    attempts INTEGER NOT NULL,
    losses INTEGER NOT NULL,
    waits INTEGER NOT NULL,
    wait_code TEXT,
    CONSTRAINT work_of_document FOREIGN KEY (document_id) REFERENCES documents (id) ON DELETE CASCADE
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05);
CREATE INDEX work_visible ON work (visible_at);
CREATE INDEX work_of_tenant ON work (tenant_id, visible_at);
CREATE INDEX work_claim ON work (claim) WHERE claim IS NOT NULL;
CREATE INDEX work_worker ON work (worker_id) WHERE worker_id IS NOT NULL;
CREATE INDEX work_queued ON work (queued_at);

-- Processes that claim work, with their last sign of life by the clock of the server.
CREATE TABLE workers (
    id UUID NOT NULL CONSTRAINT workers_pk PRIMARY KEY,
    seen_at TIMESTAMPTZ NOT NULL
);

CREATE TABLE dead_letters (
    document_id UUID NOT NULL CONSTRAINT dead_letters_document PRIMARY KEY,
    tenant_id UUID NOT NULL,
    version INTEGER NOT NULL,
    code TEXT NOT NULL,
    message TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    at TIMESTAMPTZ NOT NULL,
    CONSTRAINT dead_letters_of_document FOREIGN KEY (document_id) REFERENCES documents (id) ON DELETE CASCADE
);
CREATE INDEX dead_letters_list ON dead_letters (tenant_id, document_id);

CREATE TABLE idempotency_keys (
    tenant_id UUID NOT NULL,
    key TEXT NOT NULL,
    request_hash BYTEA NOT NULL,
    document_id UUID NOT NULL,
    version INTEGER NOT NULL,
    at TIMESTAMPTZ NOT NULL,
    CONSTRAINT idempotency_keys_key PRIMARY KEY (tenant_id, key)
);
CREATE INDEX idempotency_keys_at ON idempotency_keys (at);

CREATE TABLE outbox (
    seq BIGINT GENERATED ALWAYS AS IDENTITY CONSTRAINT outbox_pk PRIMARY KEY,
    id UUID NOT NULL CONSTRAINT outbox_id UNIQUE,
    topic TEXT NOT NULL,
    key TEXT NOT NULL,
    at TIMESTAMPTZ NOT NULL,
    traceparent TEXT,
    payload TEXT NOT NULL,
    sent_at TIMESTAMPTZ
);
CREATE INDEX outbox_pending ON outbox (seq) WHERE sent_at IS NULL;
CREATE INDEX outbox_sent ON outbox (sent_at) WHERE sent_at IS NOT NULL;

CREATE TABLE outbox_lease (
    id SMALLINT NOT NULL CONSTRAINT outbox_lease_pk PRIMARY KEY CONSTRAINT outbox_lease_one CHECK (id = 1),
    holder UUID,
    until TIMESTAMPTZ NOT NULL
);
INSERT INTO outbox_lease (id, holder, until) VALUES (1, NULL, now());

CREATE TABLE inbox (
    consumer TEXT NOT NULL,
    event_id UUID NOT NULL,
    at TIMESTAMPTZ NOT NULL,
    CONSTRAINT inbox_pk PRIMARY KEY (consumer, event_id)
);
CREATE INDEX inbox_at ON inbox (at);
