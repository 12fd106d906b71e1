\pset pager off
\set VERBOSITY verbose
\echo == types
SELECT 1::int2, 2::int4, 3::int8, 1.50::numeric, 'NaN'::float8, true, 'ü☃🐘', '\x00ff'::bytea, NULL;
SELECT date '2000-01-01', timestamptz '2000-01-01 00:00+00', interval '1 day 2 hours', '{1,NULL}'::int[], '[1,3)'::int4range;
SELECT 'happy ☺'::mood, ROW(1, 'x')::pair, '{"a":1}'::jsonb;
SELECT;
\echo == describe
\d item
\d+ part
\df shout
\dT+ mood
\dn
\l template1
SELECT id, name AS n, price FROM item \gdesc
SELECT 1/0 AS x, 'a'::text \gdesc
\echo == errors
SELECT 1/0;
SELECT * FROM missing;
SELECT id FROM item WHERE nmae = 'x';
INSERT INTO item (name) VALUES ('one');
INSERT INTO part VALUES (99, 'x');
INSERT INTO item (name, price) VALUES ('neg', -1);
SELECT fail_with('XY123');
\errverbose
SELEC 1;
\echo == notices
SELECT shout('hey');
DROP TABLE IF EXISTS missing;
DO $$BEGIN RAISE WARNING 'careful' USING HINT = 'really'; END$$;
COMMIT;
\echo == transactions
BEGIN;
INSERT INTO item (name) VALUES ('temporary');
SAVEPOINT a;
SELECT 1/0;
SELECT 1;
ROLLBACK TO a;
SELECT count(*) FROM item;
ROLLBACK;
SELECT count(*) FROM item;
\set AUTOCOMMIT off
SELECT 1;
SELECT now() = statement_timestamp();
ROLLBACK;
\set AUTOCOMMIT on
\set ON_ERROR_ROLLBACK on
BEGIN;
SELECT 1/0;
SELECT 'still alive';
COMMIT;
\set ON_ERROR_ROLLBACK off
\echo == several statements
SELECT 1\; SELECT 2\; SELECT 3;
SELECT 1\; SELECT 1/0\; SELECT 3;
CREATE TABLE multi (a int)\; INSERT INTO multi VALUES (1)\; SELECT * FROM multi\; DROP TABLE multi;
\echo == copy
\copy item (name, price, tags) TO stdout
\copy (SELECT n, n * n FROM generate_series(1, 5) n) TO stdout CSV HEADER
CREATE TABLE copied (a int, b text);
\copy copied FROM stdin
1	one
2	\N
\.
COPY copied FROM stdin CSV;
3,"a, b"
4,
\.
COPY copied FROM stdin;
bad	row
\.
COPY copied FROM stdin;
5	five	too many
\.
SELECT * FROM copied ORDER BY a;
COPY copied TO stdout (FORMAT csv, HEADER, FORCE_QUOTE *);
COPY (SELECT 10 / (n - 3) FROM generate_series(1, 5) n) TO stdout;
COPY copied FROM stdin\; SELECT count(*) FROM copied;
6	six
\.
DROP TABLE copied;
\echo == cursors
BEGIN;
DECLARE c SCROLL CURSOR FOR SELECT n FROM generate_series(1, 10) n;
FETCH 3 FROM c;
FETCH LAST FROM c;
FETCH BACKWARD 2 FROM c;
MOVE ABSOLUTE 5 FROM c;
FETCH NEXT FROM c;
CLOSE c;
COMMIT;
DECLARE h CURSOR WITH HOLD FOR SELECT n FROM generate_series(1, 5) n;
FETCH 2 FROM h;
FETCH ALL FROM h;
CLOSE h;
\echo == fetch count
\set FETCH_COUNT 7
SELECT n, repeat('x', n) FROM generate_series(1, 30) n;
SELECT 10 / (20 - n) FROM generate_series(1, 30) n;
\unset FETCH_COUNT
\echo == prepared
PREPARE p (int) AS SELECT name FROM item WHERE id = $1;
EXECUTE p(1);
EXECUTE p(2);
ALTER TABLE item ADD extra int;
EXECUTE p(3);
ALTER TABLE item DROP extra;
DEALLOCATE p;
EXECUTE p(1);
\echo == settings
SET work_mem = '2MB';
SHOW work_mem;
BEGIN; SET LOCAL work_mem = '3MB'; SHOW work_mem; COMMIT;
SHOW work_mem;
SET TIME ZONE 'Asia/Tokyo';
SELECT timestamptz '2000-01-01 00:00+00';
SET DateStyle = 'SQL, DMY';
SELECT date '2000-02-01';
SET client_encoding = 'LATIN1';
SELECT length('ü') AS length;
SET client_encoding = 'UTF8';
SET search_path = pg_catalog;
SELECT count(*) FROM item;
RESET ALL;
SHOW TimeZone;
\echo == temporary tables
CREATE TEMP TABLE tmp AS SELECT 1 AS a;
SELECT * FROM tmp;
DISCARD TEMP;
SELECT * FROM tmp;
\echo == listen
LISTEN channel;
UNLISTEN channel;
\echo == large objects
SELECT lo_from_bytea(12345, '\x6c61726765');
SELECT convert_from(lo_get(12345), 'UTF8');
\lo_unlink 12345
\echo == advisory locks
SELECT pg_advisory_lock(1), pg_try_advisory_lock(1);
SELECT pg_advisory_unlock(1), pg_advisory_unlock(1), pg_advisory_unlock(1);
\echo == timeouts
SET statement_timeout = '50ms';
SELECT pg_sleep(5);
RESET statement_timeout;
SELECT 'after';
\echo == psql's own
SELECT 5 AS five, 'x' AS ex \gset
SELECT :five + 1, :'ex';
SELECT format('SELECT %s AS n', n) FROM generate_series(1, 3) n \gexec
SELECT n % 2 AS odd, n AS v, n * n FROM generate_series(1, 4) n \crosstabview odd v
\x on
SELECT * FROM item ORDER BY id LIMIT 2;
\x off
SELECT 1 AS again \g
\g
\g
\echo == a large value
SELECT length(repeat('x', 50000000));
SELECT md5(string_agg(n::text, ',')) FROM generate_series(1, 100000) n;
\pset format unaligned
SELECT repeat('0123456789', 500000) AS big \g /dev/null
CALL twice(21);
EXPLAIN (COSTS OFF) SELECT * FROM item WHERE id = 1;
