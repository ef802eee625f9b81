-- migrate:up

-- Further names. A target is a preset of a checkpoint, which has no row anywhere, or a stored voice.
CREATE TABLE orpheus_voice_aliases (
    alias      VARCHAR(255) PRIMARY KEY CHECK (alias <> ''),
    target     VARCHAR(255) NOT NULL CHECK (target <> ''),
    created_at TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP
);
