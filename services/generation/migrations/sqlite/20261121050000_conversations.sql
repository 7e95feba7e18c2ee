CREATE TABLE conversations (
    id BLOB NOT NULL CONSTRAINT conversations_pk PRIMARY KEY,
    tenant_id BLOB NOT NULL,
    user_id BLOB NOT NULL,
    title TEXT NOT NULL,
    message_count INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX conversations_by_owner ON conversations (tenant_id, user_id, updated_at DESC, id DESC);

CREATE TABLE messages (
    conversation_id BLOB NOT NULL
        CONSTRAINT messages_conversation_fk REFERENCES conversations (id) ON DELETE CASCADE,
    sequence INTEGER NOT NULL,
    id BLOB NOT NULL CONSTRAINT messages_id_key UNIQUE,
    role TEXT NOT NULL,
    content TEXT NOT NULL,
    citations TEXT NOT NULL,
    complete INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    CONSTRAINT messages_pk PRIMARY KEY (conversation_id, sequence)
) STRICT, WITHOUT ROWID;
