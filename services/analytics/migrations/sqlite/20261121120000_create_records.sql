-- What ClickHouse keeps in tables of the same names. An event that comes again is ignored.
CREATE TABLE requests (
    event_id    BLOB    NOT NULL CONSTRAINT requests_pk PRIMARY KEY,
    at          INTEGER NOT NULL,
    tenant_id   BLOB    NOT NULL,
    service     TEXT    NOT NULL,
    route       TEXT    NOT NULL,
    method      TEXT    NOT NULL,
    status      INTEGER NOT NULL,
    duration_us INTEGER NOT NULL,
    channel     TEXT    NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX requests_at ON requests (at, tenant_id);

CREATE TABLE queries (
    event_id    BLOB    NOT NULL CONSTRAINT queries_pk PRIMARY KEY,
    at          INTEGER NOT NULL,
    tenant_id   BLOB    NOT NULL,
    text        TEXT    NOT NULL,
    hits        INTEGER NOT NULL,
    degraded    INTEGER NOT NULL,
    duration_us INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX queries_at ON queries (at, tenant_id);

CREATE TABLE ingestions (
    event_id    BLOB    NOT NULL CONSTRAINT ingestions_pk PRIMARY KEY,
    at          INTEGER NOT NULL,
    tenant_id   BLOB    NOT NULL,
    document_id BLOB    NOT NULL,
    version     INTEGER NOT NULL,
    status      TEXT    NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX ingestions_at ON ingestions (at, tenant_id);
