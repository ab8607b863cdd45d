#!/bin/bash
# php: arrays, strings, objects and generators of work.php; variants: its own allocator, and malloc.
# Without modules: php loads them with RTLD_DEEPBIND, so they call the C library's free, whatever is
# preloaded; php crashes at its start so under other allocators too.
# needs: php
# processes: php8.2
# variants: own malloc
. "$REAL/under.sh"

[ "$1" != malloc ] || export USE_ZEND_ALLOC=0
under php -n "$REAL/work.php"
