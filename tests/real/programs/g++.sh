#!/bin/bash
# g++: C++ compiled to the same object, with and without debugging data, and what it made run.
# needs: g++
# processes: cc1plus x86_64-linux-gnu-as x86_64-linux-gnu-ld.bfd program
# short: yes
. "$REAL/under.sh"

under g++ -std=c++17 -O1 -c -o out/work.o "$REAL/work.cc" &&
    under g++ -std=c++17 -O2 -g -fdebug-prefix-map="$PWD=." -c -o out/debug.o "$REAL/work.cc" &&
    under g++ -pthread -o program out/work.o && under ./program
