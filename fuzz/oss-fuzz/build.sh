#!/bin/bash -eu
# Builds the targets of fuzz/registry for OSS-Fuzz and ClusterFuzzLite into $OUT.
#
# Honours CC, CXX, CFLAGS, CXXFLAGS, LIB_FUZZING_ENGINE, OUT, SRC and WORK, as the base image sets
# them. Per target: TARGET, TARGET_seed_corpus.zip, TARGET.options and .dict; $TARGETS: only those.
cd "$(dirname "$0")"
[ -f rules.mk ] || cd "$SRC/hakmem/fuzz/oss-fuzz"
cd ../..
: "${CC:?}" "${CXX:?}" "${LIB_FUZZING_ENGINE:?}" "${OUT:?}"
export BUILD=${WORK:-$PWD/build}/oss-fuzz
export OSS_CFLAGS=${CFLAGS:-} OSS_CXXFLAGS=${CXXFLAGS:-${CFLAGS:-}} OSS_ENGINE=$LIB_FUZZING_ENGINE
unset CFLAGS CXXFLAGS
mkdir -p "$OUT"
make -j"$(nproc)" CC="$CC" OSS_CXX="$CXX" OSS_TARGETS="${TARGETS:-}" BUILD="$BUILD" oss-fuzz
exec fuzz/oss-fuzz/place "$BUILD" "$OUT" ${TARGETS:-}
