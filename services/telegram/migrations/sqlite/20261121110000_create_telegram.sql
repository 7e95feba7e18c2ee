CREATE TABLE channels (
    id INTEGER NOT NULL CONSTRAINT channels_pk PRIMARY KEY,
    access_hash INTEGER NOT NULL,
    title TEXT NOT NULL,
    username TEXT,
    -- 0: nothing was read yet, or everything has to be read again.
    pts INTEGER NOT NULL,
    -- Newest number that was ever seen.
    top INTEGER NOT NULL
) STRICT;

CREATE TABLE followers (
    channel_id INTEGER NOT NULL,
    tenant_id BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    CONSTRAINT followers_pk PRIMARY KEY (channel_id, tenant_id)
) STRICT, WITHOUT ROWID;

-- What every number of a channel stands for, as it is now. Numbers that are covered and have no row
-- stand for nothing.
CREATE TABLE messages (
    channel_id INTEGER NOT NULL,
    id INTEGER NOT NULL,
    kind TEXT NOT NULL CONSTRAINT messages_kind CHECK (kind IN ('post', 'service', 'deleted')),
    revision INTEGER NOT NULL,
    grouped_id INTEGER,
    edited_at INTEGER,
    body TEXT,
    hash BLOB NOT NULL,
    CONSTRAINT messages_pk PRIMARY KEY (channel_id, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX messages_by_group ON messages (channel_id, grouped_id) WHERE grouped_id IS NOT NULL;

-- What posts were before they were edited or deleted.
CREATE TABLE revisions (
    channel_id INTEGER NOT NULL,
    id INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    body TEXT NOT NULL,
    replaced_at INTEGER NOT NULL,
    CONSTRAINT revisions_pk PRIMARY KEY (channel_id, id, revision)
) STRICT, WITHOUT ROWID;

-- Numbers that are accounted for: closed intervals that do not touch.
CREATE TABLE coverage (
    channel_id INTEGER NOT NULL,
    low INTEGER NOT NULL,
    high INTEGER NOT NULL,
    CONSTRAINT coverage_pk PRIMARY KEY (channel_id, low)
) STRICT, WITHOUT ROWID;

-- A digest over each thousand numbers.
CREATE TABLE blocks (
    channel_id INTEGER NOT NULL,
    block INTEGER NOT NULL,
    digest BLOB NOT NULL,
    CONSTRAINT blocks_pk PRIMARY KEY (channel_id, block)
) STRICT, WITHOUT ROWID;

-- Which document a post became.
CREATE TABLE documents (
    channel_id INTEGER NOT NULL,
    message_id INTEGER NOT NULL,
    tenant_id BLOB NOT NULL,
    document_id BLOB NOT NULL,
    digest TEXT NOT NULL,
    CONSTRAINT documents_pk PRIMARY KEY (channel_id, message_id, tenant_id)
) STRICT, WITHOUT ROWID;

-- Who may use an account now.
CREATE TABLE leases (
    account TEXT NOT NULL CONSTRAINT leases_pk PRIMARY KEY,
    holder BLOB NOT NULL,
    until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

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
