-- application_id: 1685086769
-- user_version: 4
-- journal_mode: wal
CREATE TABLE target (id INTEGER PRIMARY KEY, workspace TEXT NOT NULL, label TEXT NOT NULL, UNIQUE (workspace, label)) STRICT
CREATE TABLE environment (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT
CREATE TABLE section (digest BLOB PRIMARY KEY, chunks INTEGER NOT NULL, body BLOB NOT NULL) STRICT, WITHOUT ROWID
CREATE TABLE result (key BLOB PRIMARY KEY, body TEXT NOT NULL) STRICT, WITHOUT ROWID
CREATE TABLE version (id BLOB PRIMARY KEY, target INTEGER NOT NULL REFERENCES target, partition TEXT NOT NULL, sequence INTEGER NOT NULL UNIQUE,
  body TEXT NOT NULL) STRICT, WITHOUT ROWID
CREATE INDEX version_by_target ON version (target, partition, sequence)
CREATE TABLE split (id BLOB PRIMARY KEY, body TEXT NOT NULL) STRICT, WITHOUT ROWID
CREATE TABLE fingerprint (id BLOB PRIMARY KEY, body TEXT NOT NULL, state BLOB NOT NULL) STRICT, WITHOUT ROWID
CREATE TABLE metric (id BLOB PRIMARY KEY, body TEXT NOT NULL) STRICT, WITHOUT ROWID
CREATE TABLE judgement (id INTEGER PRIMARY KEY, environment INTEGER NOT NULL REFERENCES environment, subject BLOB NOT NULL, rules BLOB NOT NULL,
  body TEXT NOT NULL) STRICT
CREATE INDEX judgement_by_subject ON judgement (environment, subject, rules, id)
CREATE TABLE acceptance (id INTEGER PRIMARY KEY, environment INTEGER NOT NULL REFERENCES environment, target INTEGER NOT NULL REFERENCES target,
  partition TEXT NOT NULL, body TEXT NOT NULL) STRICT
CREATE INDEX acceptance_by_target ON acceptance (environment, target, partition, id)
CREATE TABLE pointer (environment INTEGER NOT NULL REFERENCES environment, target INTEGER NOT NULL REFERENCES target, partition TEXT NOT NULL,
  version BLOB NOT NULL, key BLOB NOT NULL, shape BLOB NOT NULL, outputs BLOB NOT NULL, PRIMARY KEY (environment, target, partition)) STRICT, WITHOUT ROWID
CREATE INDEX pointer_by_key ON pointer (key)
CREATE TABLE build (id INTEGER PRIMARY KEY AUTOINCREMENT, workspace TEXT NOT NULL, started INTEGER NOT NULL, body TEXT NOT NULL) STRICT
CREATE TABLE sqlite_sequence(name,seq)
CREATE INDEX build_by_start ON build (workspace, started)
CREATE TABLE run (id INTEGER PRIMARY KEY, key BLOB NOT NULL, target INTEGER NOT NULL REFERENCES target, partition TEXT NOT NULL,
  started INTEGER NOT NULL, build INTEGER NOT NULL, body TEXT NOT NULL) STRICT
CREATE INDEX run_by_key ON run (key)
CREATE INDEX run_by_target ON run (target, partition)
CREATE INDEX run_by_start ON run (started, target)
CREATE INDEX run_by_build ON run (build, target)
CREATE TABLE revision (environment INTEGER PRIMARY KEY REFERENCES environment, pointers BLOB NOT NULL) STRICT
CREATE TRIGGER pointer_inserted AFTER INSERT ON pointer BEGIN INSERT OR REPLACE INTO revision VALUES (new.environment, randomblob(16)); END
CREATE TRIGGER pointer_deleted AFTER DELETE ON pointer BEGIN INSERT OR REPLACE INTO revision VALUES (old.environment, randomblob(16)); END
CREATE TRIGGER pointer_updated AFTER UPDATE ON pointer BEGIN INSERT OR REPLACE INTO revision VALUES (old.environment, randomblob(16)), (new.environment, randomblob(16)); END
