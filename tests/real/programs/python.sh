#!/bin/bash
# python: containers, buffers, documents, threads and processes of work.py.
# Variants: its own allocator for small objects, all objects from malloc, and 512 MiB of addresses.
# needs: /usr/bin/python3
# processes: python3.11
# variants: own malloc limited
# short: yes
. "$REAL/under.sh"

case $1 in
    own) under /usr/bin/python3 "$REAL/work.py" ;;
    malloc) PYTHONMALLOC=malloc under /usr/bin/python3 "$REAL/work.py" ;;
    limited)
        ulimit -v 524288
        under /usr/bin/python3 -c 'print(sum(len(str(i)) for i in range(10**5)))'
        ;;
esac
