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
