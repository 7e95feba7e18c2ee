CREATE TABLE notes (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    tag TEXT,
    size INTEGER NOT NULL DEFAULT 0 CONSTRAINT notes_size_positive CHECK (size >= 0),
    parent INTEGER REFERENCES notes (id)
) STRICT;
CREATE UNIQUE INDEX notes_lower_tag ON notes (lower(tag));
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
