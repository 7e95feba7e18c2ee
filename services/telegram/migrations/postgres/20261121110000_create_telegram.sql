CREATE TABLE channels (
    id BIGINT NOT NULL CONSTRAINT channels_pk PRIMARY KEY,
    access_hash BIGINT NOT NULL,
    title TEXT NOT NULL,
    username TEXT,
    -- 0: nothing was read yet, or everything has to be read again.
    pts INTEGER NOT NULL,
    -- Newest number that was ever seen.
    top INTEGER NOT NULL
);

CREATE TABLE followers (
    channel_id BIGINT NOT NULL,
    tenant_id UUID NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    CONSTRAINT followers_pk PRIMARY KEY (channel_id, tenant_id)
);

-- What every number of a channel stands for, as it is now. Numbers that are covered and have no row
-- stand for nothing.
CREATE TABLE messages (
    channel_id BIGINT NOT NULL,
    id INTEGER NOT NULL,
    kind TEXT NOT NULL CONSTRAINT messages_kind CHECK (kind IN ('post', 'service', 'deleted')),
    revision INTEGER NOT NULL,
    grouped_id BIGINT,
    edited_at INTEGER,
    body TEXT,
    hash BYTEA NOT NULL,
    CONSTRAINT messages_pk PRIMARY KEY (channel_id, id)
);
CREATE INDEX messages_by_group ON messages (channel_id, grouped_id) WHERE grouped_id IS NOT NULL;

-- What posts were before they were edited or deleted.
CREATE TABLE revisions (
    channel_id BIGINT NOT NULL,
    id INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    body TEXT NOT NULL,
    replaced_at TIMESTAMPTZ NOT NULL,
    CONSTRAINT revisions_pk PRIMARY KEY (channel_id, id, revision)
);

-- Numbers that are accounted for: closed intervals that do not touch.
CREATE TABLE coverage (
    channel_id BIGINT NOT NULL,
    low INTEGER NOT NULL,
    high INTEGER NOT NULL,
    CONSTRAINT coverage_pk PRIMARY KEY (channel_id, low)
);

-- A digest over each thousand numbers.
CREATE TABLE blocks (
    channel_id BIGINT NOT NULL,
    block INTEGER NOT NULL,
    digest BYTEA NOT NULL,
    CONSTRAINT blocks_pk PRIMARY KEY (channel_id, block)
);

-- Which document a post became.
CREATE TABLE documents (
    channel_id BIGINT NOT NULL,
    message_id INTEGER NOT NULL,
    tenant_id UUID NOT NULL,
    document_id UUID NOT NULL,
    digest TEXT NOT NULL,
    CONSTRAINT documents_pk PRIMARY KEY (channel_id, message_id, tenant_id)
);

-- Who may use an account now.
CREATE TABLE leases (
    account TEXT NOT NULL CONSTRAINT leases_pk PRIMARY KEY,
    holder UUID NOT NULL,
    until TIMESTAMPTZ NOT NULL
);

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
