#!/bin/bash
# postgres: a new cluster, pgbench with several clients, checks of its sums, queries of all sorts,
# in parallel too, and a dump. The server does not run as root.
# needs: /usr/lib/postgresql/*/bin/postgres /usr/lib/postgresql/*/bin/pgbench
# processes: initdb postgres pgbench psql pg_dump
. "$REAL/under.sh"

bin=$(dirname "$(ls /usr/lib/postgresql/*/bin/postgres | tail -n 1)")
user() { LD_PRELOAD=$REAL_PRELOAD "$@"; }
if [ "$(id -u)" = 0 ]; then
    chown -R nobody .
    user() { setpriv --reuid nobody --regid nogroup --clear-groups \
        env LD_PRELOAD="$REAL_PRELOAD" "$@"; }
fi
export PGHOST=$PWD/tmp PGDATA=$PWD/data PGUSER=tester PGDATABASE=postgres
psql() { user "$bin/psql" -X -q -A -t -v ON_ERROR_STOP=1 "$@"; }

user "$bin/initdb" -U tester --auth trust --no-sync -E UTF8 --no-locale >initdb.log ||
    { cat initdb.log; exit 1; }
user "$bin/pg_ctl" -s -w -t 60 -l tmp/log start -o "-c listen_addresses='' -c fsync=off \
    -c unix_socket_directories=$PGHOST -c shared_buffers=32MB -c max_parallel_workers=4" ||
    { cat tmp/log; exit 1; }
trap 'user "$bin/pg_ctl" -s -w -m immediate stop' EXIT

user "$bin/pgbench" -i -q -s 2 2>/dev/null &&
    user "$bin/pgbench" -n -c 4 -j 2 -t 400 >pgbench.log 2>&1 || { cat pgbench.log; exit 1; }
grep -E '^number of (transactions actually|failed)' pgbench.log
psql -f "$REAL/work.pg.sql" || exit
user "$bin/pg_dump" -t squares | grep -vE '^.(un)?restrict ' | md5sum
user "$bin/pg_ctl" -s -w -m fast stop && trap - EXIT
