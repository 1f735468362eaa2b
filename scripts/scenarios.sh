#!/bin/bash
# The tests against real servers. Arguments go to pytest, e.g. scripts/scenarios.sh -k copy. Servers are started by
# the tests themselves, so several run at once (PYTEST_JOBS, one a core unless given).
#
#   VARIANT=asan scripts/scenarios.sh -k live    with the program of another build (plain, asan, tsan); a sanitizer's
#                                                report fails the run even when every test passed
. "$(dirname "$0")/common.sh"
variant=${VARIANT:-plain}
export VARIANT=$variant
build_variant "$variant"
[ "$variant" = plain ] || build_variant plain # some tests use tools of the plain build
mkdir -p "$LOGS"
reports=$PWD/$LOGS/sanitizer-$variant
rm -rf "$reports"
mkdir -p "$reports"
report=scenarios
if [ "$variant" != plain ]; then
    report=scenarios_$variant
    MIDFLIGHT=$PWD/$(variant_dir "$variant")/midflight
    export MIDFLIGHT
    export ASAN_OPTIONS="log_path=$reports/asan:allocator_may_return_null=1:detect_stack_use_after_return=1"
    export UBSAN_OPTIONS="log_path=$reports/ubsan:print_stacktrace=1:halt_on_error=1"
    export TSAN_OPTIONS="log_path=$reports/tsan:second_deadlock_stack=1:history_size=5"
fi
args=("$@")
[ ${#args[@]} -gt 0 ] || args=(-m "not soak")
[ "$variant" = plain ] || args+=(--timeout 1200) # a sanitizer makes the program many times slower
status=0
python3 -m pytest -n "${PYTEST_JOBS:-$JOBS}" --dist load --junitxml="$LOGS/$report.xml" --durations=25 "${args[@]}" ||
    status=$?
found=$(find "$reports" -type f | wc -l)
if [ "$found" -gt 0 ]; then
    find "$reports" -type f -print0 | xargs -0 head -n 60
    echo "$found sanitizer reports in $reports"
    status=1
fi
rmdir "$reports" 2>/dev/null || true
exit $status
