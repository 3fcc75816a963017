-- From format 2 to 3. Of the runs of before nobody knows the builds; of one that can't be read, not the time either.
DROP INDEX run_by_key;
DROP INDEX run_by_target;
ALTER TABLE run RENAME TO run2;
