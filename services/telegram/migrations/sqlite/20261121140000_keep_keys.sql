-- What opens an account at data centres other than its home, sealed with a key that follows from the
-- session.
CREATE TABLE keys (
    account TEXT NOT NULL,
    data_centre INTEGER NOT NULL,
    sealed BLOB NOT NULL,
    CONSTRAINT keys_pk PRIMARY KEY (account, data_centre)
) STRICT, WITHOUT ROWID;
