-- Format 3, as it was before the pointers of an environment had a revision.
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
-- What contracts add to the ledger, and the pointers that they move: since format 2.

-- What reject rules made of a raw tree, by the hash of tree, reader schema and rules.
CREATE TABLE split (id BLOB PRIMARY KEY, body TEXT NOT NULL) STRICT, WITHOUT ROWID;

-- Fingerprints, by the hash of visible tree, reader schema and fingerprint schema. The state is what merges.
CREATE TABLE fingerprint (id BLOB PRIMARY KEY, body TEXT NOT NULL, state BLOB NOT NULL) STRICT, WITHOUT ROWID;

-- Values of metrics, by the hash of definition, visible tree and reader schema; of those that read inputs, the action's key too.
CREATE TABLE metric (id BLOB PRIMARY KEY, body TEXT NOT NULL) STRICT, WITHOUT ROWID;

-- Judgements of a subject (a version, or what an input brings) under rules (their hash); the newest counts.
CREATE TABLE judgement (id INTEGER PRIMARY KEY, environment INTEGER NOT NULL REFERENCES environment, subject BLOB NOT NULL, rules BLOB NOT NULL,
  body TEXT NOT NULL) STRICT;
CREATE INDEX judgement_by_subject ON judgement (environment, subject, rules, id);

-- Acceptances of what rules held, and their revocations; the newest of the same findings counts.
CREATE TABLE acceptance (id INTEGER PRIMARY KEY, environment INTEGER NOT NULL REFERENCES environment, target INTEGER NOT NULL REFERENCES target,
  partition TEXT NOT NULL, body TEXT NOT NULL) STRICT;
CREATE INDEX acceptance_by_target ON acceptance (environment, target, partition, id);

-- current: key and outputs are those of the version, and shape is the rules that it was accepted under, kept here so that one scan tells a build all that it
-- knows already.
CREATE TABLE pointer (environment INTEGER NOT NULL REFERENCES environment, target INTEGER NOT NULL REFERENCES target, partition TEXT NOT NULL,
  version BLOB NOT NULL, key BLOB NOT NULL, shape BLOB NOT NULL, outputs BLOB NOT NULL, PRIMARY KEY (environment, target, partition)) STRICT, WITHOUT ROWID;
CREATE INDEX pointer_by_key ON pointer (key);
-- What ran, and in which build: since format 3. Times are in milliseconds since 1970, so that a stretch of time is found without reading bodies.

-- Builds that had something to record: written when that begins, and completed when the build ends.
CREATE TABLE build (id INTEGER PRIMARY KEY AUTOINCREMENT, workspace TEXT NOT NULL, started INTEGER NOT NULL, body TEXT NOT NULL) STRICT;
CREATE INDEX build_by_start ON build (workspace, started);

-- Every attempt to make a result; build is 0 for none.
CREATE TABLE run (id INTEGER PRIMARY KEY, key BLOB NOT NULL, target INTEGER NOT NULL REFERENCES target, partition TEXT NOT NULL,
  started INTEGER NOT NULL, build INTEGER NOT NULL, body TEXT NOT NULL) STRICT;
CREATE INDEX run_by_key ON run (key);
CREATE INDEX run_by_target ON run (target, partition);
CREATE INDEX run_by_start ON run (started, target);
CREATE INDEX run_by_build ON run (build, target);
