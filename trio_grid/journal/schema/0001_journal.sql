-- The journal's first schema. `records` and `images` are written by one process at a time and never changed.

PRAGMA application_id = 1414678346; -- "TRGJ": what `file` and the program recognise a journal by

-- Who this journal speaks for; one row, made before the first order (R3, R13).
CREATE TABLE identity (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    bot_id TEXT NOT NULL,
    venue TEXT NOT NULL,
    symbol TEXT NOT NULL,
    tick_size TEXT NOT NULL,   -- the unit in which the lattice below is written
    lattice TEXT NOT NULL,     -- LatticeSettings as JSON
    created_ms INTEGER NOT NULL
);

-- One row per life of the process; a number is never given twice, whatever becomes of the records (R3).
CREATE TABLE sessions (
    session INTEGER PRIMARY KEY CHECK (session >= 1),
    started_ms INTEGER NOT NULL,
    last_sequence INTEGER NOT NULL  -- the last record of the sessions before
);

-- Every input that reached a decision, and every decision; `sequence` has no gaps.
CREATE TABLE records (
    sequence INTEGER PRIMARY KEY CHECK (sequence >= 1),
    now_ms INTEGER NOT NULL,
    kind TEXT NOT NULL,
    entry BLOB NOT NULL,        -- JSON
    checksum INTEGER NOT NULL   -- CRC-32 over sequence, time and entry: finds what SQLite does not look for
);

-- The whole state after the record `sequence`.
CREATE TABLE images (
    sequence INTEGER PRIMARY KEY CHECK (sequence >= 1),
    image BLOB NOT NULL,
    checksum INTEGER NOT NULL
);
