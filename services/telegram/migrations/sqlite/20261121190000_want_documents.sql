-- Numbers whose posts a tenant wants as documents: those that it parsed. Of what lies above `untold`
-- it was told through the outbox; below `low` nothing is left to tell.
CREATE TABLE wanted (
    channel_id INTEGER NOT NULL,
    tenant_id BLOB NOT NULL,
    low INTEGER NOT NULL,
    high INTEGER NOT NULL,
    untold INTEGER NOT NULL,
    CONSTRAINT wanted_pk PRIMARY KEY (channel_id, tenant_id, low, high)
) STRICT, WITHOUT ROWID;
-- The smallest rest comes first: five posts do not wait behind a million.
CREATE INDEX wanted_untold ON wanted (untold - low) WHERE untold >= low;
