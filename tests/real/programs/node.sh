#!/bin/bash
# node: worker threads that compress, hash, sort, parse and send buffers to each other (work.js).
# needs: node
# processes: node
. "$REAL/under.sh"

under node "$REAL/work.js"
