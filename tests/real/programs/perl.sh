#!/bin/bash
# perl: strings, hashes, sorting, regular expressions, closures and forked children of work.pl.
# needs: perl
# processes: perl
# short: yes
. "$REAL/under.sh"

under perl "$REAL/work.pl"
