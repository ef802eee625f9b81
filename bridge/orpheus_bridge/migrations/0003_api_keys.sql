-- migrate:up

-- Keys are stored as hashes; one that is revoked stays, so that its use can still be told from a stranger's.
CREATE TABLE orpheus_api_keys (
    key_hash   TEXT PRIMARY KEY CHECK (key_hash <> ''),
    label      TEXT NOT NULL DEFAULT '',
    created_at TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP,
    revoked_at TIMESTAMPTZ
);
