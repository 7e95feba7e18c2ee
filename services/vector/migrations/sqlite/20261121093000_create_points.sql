CREATE TABLE collections (
    -- AUTOINCREMENT: the key of a dropped collection never comes back.
    collection_key  INTEGER NOT NULL CONSTRAINT collections_pk PRIMARY KEY AUTOINCREMENT,
    name            TEXT    NOT NULL CONSTRAINT collections_name_unique UNIQUE,
    dense_model     TEXT,
    dense_dimension INTEGER,
    -- A JSON array; the position of a name is its number in `points.sparse`.
    sparse_names    TEXT    NOT NULL,
    created_at      INTEGER NOT NULL,
    CONSTRAINT collections_dense_whole CHECK ((dense_model IS NULL) = (dense_dimension IS NULL))
) STRICT;

-- The truth about points; the index in memory is made from it.
CREATE TABLE points (
    point_key      INTEGER NOT NULL CONSTRAINT points_pk PRIMARY KEY,
    collection_key INTEGER NOT NULL
        CONSTRAINT points_collection_fk REFERENCES collections (collection_key),
    tenant_id      BLOB    NOT NULL,
    id             BLOB    NOT NULL,
    document_id    BLOB    NOT NULL,
    version        INTEGER NOT NULL,
    ordinal        INTEGER NOT NULL,
    span_start     INTEGER NOT NULL,
    span_end       INTEGER NOT NULL,
    language       TEXT    NOT NULL,
    source         TEXT    NOT NULL,
    created_at     INTEGER NOT NULL,
    metadata       TEXT,
    sparse         BLOB    NOT NULL,
    dense          BLOB,
    title          TEXT    NOT NULL,
    heading        TEXT,
    body           TEXT    NOT NULL,
    CONSTRAINT points_id_unique UNIQUE (collection_key, tenant_id, id)
) STRICT;
