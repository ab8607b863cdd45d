#!/bin/bash
# ruby: strings, hashes, threads, forks, ractors and compaction of the heap (work.rb).
# needs: ruby
# processes: ruby3.1
. "$REAL/under.sh"

under ruby -W0 "$REAL/work.rb"
