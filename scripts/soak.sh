#!/bin/bash
# The long runs: fuzz targets for SOAK_SECONDS each (1800 unless given), then the scenarios marked `soak`.
. "$(dirname "$0")/common.sh"
FUZZ_SECONDS=${SOAK_SECONDS:-1800} scripts/fuzz.sh
SOAK_SECONDS=${SOAK_SECONDS:-1800} scripts/scenarios.sh -m soak --timeout=0 -o junit_family=xunit2
