#!/bin/bash
# nginx: files large and small, compressed on the way, to 50 clients at a time, across a reload.
# needs: nginx ab curl
# processes: nginx ab curl
. "$REAL/under.sh"

mkdir site
for i in 1 100 10000 200000; do seq "$i" >"site/$i.txt"; done
configure() {
    cat >nginx.conf <<EOF
daemon off; master_process on; worker_processes 2; pid nginx.pid; error_log error.log;
events { worker_connections 256; }
http {
    access_log access.log; gzip on; gzip_types text/plain; gzip_min_length 100;
    client_body_temp_path tmp; proxy_temp_path tmp; fastcgi_temp_path tmp; uwsgi_temp_path tmp;
    scgi_temp_path tmp; types { text/plain txt; }
    server { listen 127.0.0.1:$1; root site; }
    server { listen 127.0.0.1:$(($1 + 1));
        location / { proxy_pass http://127.0.0.1:$1; proxy_buffers 4 4k; } }
}
EOF
}

# The first port that nobody has.
for port in $(seq $((20000 + $$ % 10000)) 100 32000); do
    configure "$port"
    LD_PRELOAD=$REAL_PRELOAD nginx -p "$PWD" -c nginx.conf 2>start.log &
    server=$!
    for _ in $(seq 100); do
        curl -s -o first "http://127.0.0.1:$port/1.txt" && break 2
        kill -0 "$server" 2>/dev/null || break
        sleep 0.1
    done
done
trap 'kill -TERM "$server" 2>/dev/null; wait "$server"' EXIT

load() {
    under ab -q -n "$1" -c 50 $2 "http://127.0.0.1:$3/$4.txt" 2>&1 |
        grep -E '^(Complete|Failed|Non-2xx|Write errors|apr_|Document Length)' || exit
}
load 5000 -k "$port" 100
load 2000 '-k -HAccept-Encoding:gzip' "$port" 10000
kill -HUP "$server"
load 2000 '' "$((port + 1))" 100
load 300 '-HAccept-Encoding:gzip' "$((port + 1))" 200000
for i in 1 100 10000 200000; do
    under curl -s --compressed "http://127.0.0.1:$((port + 1))/$i.txt" | md5sum
done
kill -QUIT "$server"
wait "$server"
status=$?
trap - EXIT
echo "nginx ended with $status"
grep -vE 'notice|using inherited' error.log start.log
true
