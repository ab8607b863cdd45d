#!/bin/bash
# redis: data of all types, redis-benchmark during a background save, a restart from what was saved.
# needs: redis-server redis-cli redis-benchmark
# processes: redis-check-rdb redis-benchmark
# short: yes
. "$REAL/under.sh"

trap '[ -z "$server" ] || kill -9 "$server" 2>/dev/null' EXIT
server=

redis() { timeout 60 redis-cli -s "$PWD/socket" "$@"; }

start() {
    LD_PRELOAD=$REAL_PRELOAD redis-server --port 0 --unixsocket "$PWD/socket" --dir "$PWD" \
        --save '' --enable-debug-command yes --daemonize no --logfile log --maxmemory 0 &
    server=$!
    for _ in $(seq 300); do
        [ "$(redis ping 2>/dev/null)" = PONG ] && return
        sleep 0.1
    done
    echo "redis-server did not start"
    cat log
    exit 1
}

stop() {
    redis shutdown nosave
    wait "$server"
    echo "redis-server ended with $?"
    server=
}

wait_for_save() {
    for _ in $(seq 300); do
        redis info persistence | grep -q 'rdb_bgsave_in_progress:0' && break
        sleep 0.1
    done
    redis info persistence | grep -E '^rdb_(bgsave_in_progress|last_bgsave_status)' | tr -d '\r'
}

fill='for i = 1, 40000 do
    redis.call("SET", "key:" .. i, string.rep("v", i % 300))
    redis.call("LPUSH", "list:" .. i % 100, i)
    redis.call("HSET", "hash:" .. i % 500, "field" .. i, i * 3)
    redis.call("ZADD", "order:" .. i % 50, i * 7919 % 10007, "member" .. i)
end
return redis.call("DBSIZE")'

start
redis eval "$fill" 0
redis debug digest
# A save in the background, while clients write what is removed again afterwards.
redis bgsave
under timeout 100 redis-benchmark -s "$PWD/socket" -q -n 20000 -c 20 -P 4 \
    -t set,get,incr,lpush,rpush,lpop,sadd,hset,zadd,mset -d 100 --csv >benchmark.csv || exit
echo "$(wc -l <benchmark.csv) lines of the benchmark"
wait_for_save
redis eval 'for _, k in ipairs(redis.call("KEYS", "*")) do
    if not (k:match("^key:%d+$") or k:match("^list:%d+$") or k:match("^hash:") or
            k:match("^order:")) or k:match("__rand_int__") then redis.call("DEL", k) end
    end return redis.call("DBSIZE")' 0
redis debug digest
redis bgsave
wait_for_save
stop
# What was saved is read by a new server.
start
redis dbsize
redis debug digest
stop
