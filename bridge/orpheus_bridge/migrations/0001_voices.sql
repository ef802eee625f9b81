-- migrate:up

-- The production table, where it is absent; where it is there, in whichever shape, it is left as it is.
CREATE TABLE IF NOT EXISTS tts_voices (
    voice_id   VARCHAR(255) PRIMARY KEY,
    name       VARCHAR(255) NOT NULL,
    audio_data BYTEA NOT NULL,
    created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
    updated_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP
);

-- What is known of a recording besides the recording. It holds for the recording with this hash only: the older
-- service may put another one in its place without a word. `recording_xmin` spares the hashing while the row is the
-- same version.
CREATE TABLE orpheus_voices (
    voice_id          VARCHAR(255) PRIMARY KEY
                      REFERENCES tts_voices (voice_id) ON DELETE CASCADE ON UPDATE CASCADE,
    recording_sha256  BYTEA NOT NULL CHECK (octet_length(recording_sha256) = 32),
    recording_xmin    TEXT NOT NULL,
    language          TEXT NOT NULL DEFAULT 'en',
    transcript        TEXT,
    transcript_origin TEXT CHECK (transcript_origin IN ('caller', 'machine')),
    -- uint16, little endian, seven to a frame
    codes             BYTEA CHECK (octet_length(codes) > 0 AND octet_length(codes) % 14 = 0),
    updated_at        TIMESTAMPTZ NOT NULL DEFAULT CURRENT_TIMESTAMP,
    CHECK ((transcript IS NULL) = (transcript_origin IS NULL))
);
