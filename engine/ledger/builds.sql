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
