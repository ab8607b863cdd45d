#!/bin/bash
# sqlite3: inserts, indices, joins, aggregates, updates, deletes, vacuum of work.sql.
# needs: sqlite3
# processes: sqlite3
# short: yes
. "$REAL/under.sh"

under sqlite3 out/work.db <"$REAL/work.sql" && under sqlite3 out/work.db .dump | md5sum
