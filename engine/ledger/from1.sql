-- From format 1 to 2. What contracts keep was not written yet; a pointer without a shape is judged anew, without a job.
DROP TABLE fingerprint;
DROP TABLE judgement;
DROP TABLE acceptance;
DROP INDEX pointer_by_key;
ALTER TABLE pointer RENAME TO pointer1;
