#!/bin/bash
# chromium: a local page with a script, a picture and a worker, as the document it ends up as.
# Its executable exports a malloc of its own, which no preloaded library can replace: this shows
# that both live in one process. Its launcher's processes have the library's malloc.
# needs: chromium
# processes: dash
# own: chromium chrome_crashpad_handler
. "$REAL/under.sh"

under chromium --headless --no-sandbox --disable-gpu --user-data-dir="$PWD/profile" \
    --virtual-time-budget=3000 --dump-dom "file://$REAL/work.html" 2>log || { cat log; exit 1; }
grep -a hakmem: log
true
