#!/bin/bash
# gcc: C compiled to the same object, linked with link-time optimisation, and what it made run.
# needs: gcc
# processes: cc1 lto1 x86_64-linux-gnu-as x86_64-linux-gnu-ld.bfd work
# short: yes
. "$REAL/under.sh"

under gcc -O2 -c -o out/work.o "$REAL/work.c" &&
    under gcc -O2 -flto -o work "$REAL/work.c" && under ./work
