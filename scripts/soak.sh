#!/bin/bash
# The long runs: fuzz targets for SOAK_SECONDS each (1800 unless given), what sanitizers are too slow for in `make
# test`, then the scenarios marked `soak`.
. "$(dirname "$0")/common.sh"
FUZZ_SECONDS=${SOAK_SECONDS:-1800} scripts/fuzz.sh
for variant in asan tsan; do
    build_variant "$variant"
    meson test -C "build-$variant" --no-rebuild --print-errorlogs --timeout-multiplier 4 --suite long
done
SOAK_SECONDS=${SOAK_SECONDS:-1800} scripts/scenarios.sh -m soak --timeout=0 -o junit_family=xunit2
