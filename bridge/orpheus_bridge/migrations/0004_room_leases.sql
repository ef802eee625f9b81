-- migrate:up

-- Which bridge speaks in a room, where all bridges join under one identity and a second join evicts the first.
CREATE TABLE orpheus_room_leases (
    room TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    expires_at TIMESTAMPTZ NOT NULL
);
