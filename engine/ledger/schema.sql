-- The ledger: records that are only ever added, and pointers. Bodies are JSON unless said otherwise; digests and keys are 32 bytes.

CREATE TABLE target (id INTEGER PRIMARY KEY, workspace TEXT NOT NULL, label TEXT NOT NULL, UNIQUE (workspace, label)) STRICT;
CREATE TABLE environment (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;

-- The sections that keys were made of, in engine.Section's encoding. The body of a long one is a list of digests: its bytes are those of so many others,
-- of 64 entries each, one after the other.
CREATE TABLE section (digest BLOB PRIMARY KEY, chunks INTEGER NOT NULL, body BLOB NOT NULL) STRICT, WITHOUT ROWID;

-- What a job made, by its key: the first that was recorded counts.
CREATE TABLE result (key BLOB PRIMARY KEY, body TEXT NOT NULL) STRICT, WITHOUT ROWID;

-- Versions, by id.
CREATE TABLE version (id BLOB PRIMARY KEY, target INTEGER NOT NULL REFERENCES target, partition TEXT NOT NULL, sequence INTEGER NOT NULL UNIQUE,
  body TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE INDEX version_by_target ON version (target, partition, sequence);
