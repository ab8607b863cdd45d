-- Work for postgres, after pgbench: its sums agree; sorts, joins, aggregates, documents, parallel
-- scans, functions and errors that are caught.
SELECT (SELECT sum(abalance) FROM pgbench_accounts) = (SELECT sum(delta) FROM pgbench_history),
    (SELECT sum(bbalance) FROM pgbench_branches) = (SELECT sum(tbalance) FROM pgbench_tellers),
    (SELECT sum(tbalance) FROM pgbench_tellers) = (SELECT sum(delta) FROM pgbench_history),
    (SELECT count(*) FROM pgbench_history);
CREATE TABLE squares AS SELECT i, i * i AS square, md5(i::text) AS text,
    jsonb_build_object('i', i, 'list', jsonb_build_array(i % 7, i % 11)) AS document
    FROM generate_series(1, 40000) AS i;
CREATE INDEX ON squares (text);
CREATE INDEX ON squares USING gin (document);
ANALYZE squares;
SET work_mem = '256kB';
SELECT count(*), sum(rank) FROM
    (SELECT rank() OVER (PARTITION BY i % 100 ORDER BY text DESC) FROM squares) AS ranked;
SELECT a.i % 10, count(*), max(b.text) FROM squares a JOIN squares b ON a.square = b.i * 4
    GROUP BY 1 ORDER BY 1;
SELECT count(*) FROM squares WHERE document @> '{"list": [3]}';
SELECT md5(string_agg(text, ',' ORDER BY text COLLATE "C")) FROM squares;
SET work_mem = '64MB';
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SELECT count(DISTINCT substr(text, 1, 3)), sum(length(document::text)) FROM squares;
SELECT document->'list'->>0 AS first, count(*), avg(square)::bigint FROM squares
    GROUP BY 1 ORDER BY 1;
CREATE FUNCTION tries(n integer) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE failed integer := 0; parts text[] := '{}';
BEGIN
    FOR i IN 1 .. n LOOP
        parts := parts || repeat('x', i % 300);
        BEGIN
            PERFORM 1 / (i % 3);
        EXCEPTION WHEN division_by_zero THEN
            failed := failed + 1;
        END;
    END LOOP;
    RETURN failed * 1000000 + length(array_to_string(parts, ','));
END $$;
SELECT tries(2000);
WITH RECURSIVE tree(n, path) AS (SELECT 1, '1' UNION ALL
    SELECT n * 2 + side, path || '.' || (n * 2 + side) FROM tree, (VALUES (0), (1)) AS s(side)
    WHERE n < 2000)
SELECT count(*), md5(string_agg(path, ' ' ORDER BY n)) FROM tree;
UPDATE squares SET text = text || text WHERE i % 3 = 0;
DELETE FROM squares WHERE i % 7 = 0;
VACUUM FULL squares;
SELECT count(*), sum(length(text)) FROM squares;
