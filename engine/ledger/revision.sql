-- What tells whether pointers moved, without a look at each: since format 4.

-- Of each environment, something else after each change of its pointers, whoever makes it.
CREATE TABLE revision (environment INTEGER PRIMARY KEY REFERENCES environment, pointers BLOB NOT NULL) STRICT;
CREATE TRIGGER pointer_inserted AFTER INSERT ON pointer BEGIN INSERT OR REPLACE INTO revision VALUES (new.environment, randomblob(16)); END;
CREATE TRIGGER pointer_deleted AFTER DELETE ON pointer BEGIN INSERT OR REPLACE INTO revision VALUES (old.environment, randomblob(16)); END;
CREATE TRIGGER pointer_updated AFTER UPDATE ON pointer BEGIN INSERT OR REPLACE INTO revision VALUES (old.environment, randomblob(16)), (new.environment, randomblob(16)); END;
