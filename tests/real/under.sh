# shellcheck shell=bash
# under.sh: read by each of programs/*.sh first.
set -uo pipefail

# Runs a command with the library of this run preloaded, if there is one, and the witness. Not for
# the background: $! would be a shell; there, `LD_PRELOAD=$REAL_PRELOAD COMMAND &`.
under() { LD_PRELOAD=$REAL_PRELOAD "$@"; }
