#!/bin/bash -eu
# The same build as for OSS-Fuzz.
exec "$SRC/hakmem/fuzz/oss-fuzz/build.sh"
