#!/bin/bash
# compress: xz and zstd with threads, and sort; the same bytes, and back.
# needs: xz zstd sort
# processes: xz zstd sort
. "$REAL/under.sh"

seq 300000 | sed 's/7/seven/g' >numbers
under xz -T2 -1 --block-size=512KiB -c numbers >out/numbers.xz &&
    under zstd -q -T2 -6 -B512K -c numbers >out/numbers.zst &&
    under xz -T2 -dc out/numbers.xz | cmp - numbers &&
    under zstd -q -dc out/numbers.zst | cmp - numbers &&
    under sort --parallel=2 -S 4M -R --random-source=numbers numbers | md5sum &&
    under sort --parallel=2 -S 16M -k1.3n numbers | md5sum
