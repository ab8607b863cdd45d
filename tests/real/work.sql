-- Work for sqlite3: inserts, indices, joins, aggregates, updates, vacuum.
PRAGMA journal_mode = MEMORY;
CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT, weight REAL, body BLOB);
WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 60000)
INSERT INTO item SELECT i, printf('item-%06d', i * 7919 % 60013), i * 0.37,
    zeroblob(i % 700) FROM n;
CREATE INDEX item_name ON item (name);
CREATE INDEX item_weight ON item (weight, name);
CREATE TABLE part AS SELECT id % 500 AS owner, name, length(body) AS size FROM item;
SELECT count(*), sum(weight), max(name) FROM item;
SELECT i.id, i.name, count(*), sum(p.size) FROM item i JOIN part p ON p.owner = i.id
    GROUP BY i.id ORDER BY sum(p.size) DESC, i.id LIMIT 20;
SELECT group_concat(name, ',') FROM (SELECT name FROM item WHERE id % 5000 = 0 ORDER BY name);
UPDATE item SET name = name || '-' || upper(name), body = zeroblob(length(body) * 2)
    WHERE id % 3 = 0;
DELETE FROM item WHERE id % 7 = 0;
SELECT count(*), sum(length(name)), sum(length(body)) FROM item;
WITH RECURSIVE f(a, b) AS (VALUES (0, 1) UNION ALL SELECT b, a + b FROM f LIMIT 60)
SELECT max(a) FROM f;
SELECT length(json_group_array(name)) FROM item;
VACUUM;
PRAGMA integrity_check;
SELECT count(DISTINCT substr(name, 1, 8)) FROM item;
