CREATE TABLE conversations (
    id UUID NOT NULL CONSTRAINT conversations_pk PRIMARY KEY,
    tenant_id UUID NOT NULL,
    user_id UUID NOT NULL,
    title TEXT NOT NULL,
    message_count INTEGER NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL
);

CREATE INDEX conversations_by_owner ON conversations (tenant_id, user_id, updated_at DESC, id DESC);

CREATE TABLE messages (
    conversation_id UUID NOT NULL
        CONSTRAINT messages_conversation_fk REFERENCES conversations (id) ON DELETE CASCADE,
    sequence INTEGER NOT NULL,
    id UUID NOT NULL CONSTRAINT messages_id_key UNIQUE,
    role TEXT NOT NULL,
    content TEXT NOT NULL,
    -- JSON; text, because JSONB refuses U+0000.
    citations TEXT NOT NULL,
    complete BOOLEAN NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    CONSTRAINT messages_pk PRIMARY KEY (conversation_id, sequence)
);
