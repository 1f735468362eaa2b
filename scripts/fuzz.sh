#!/bin/bash
# Runs every fuzz target under libFuzzer, ASan and UBSan for FUZZ_SECONDS (20 unless given), JOBS at a time, starting
# from its seeds in tests/fuzz/corpus and from what earlier runs found. A failing input is kept under build/logs.
# Targets may be named as arguments. The last line is "N passed, N failed".
. "$(dirname "$0")/common.sh"
seconds=${FUZZ_SECONDS:-20}
build_variant asan
mkdir -p "$LOGS/fuzz"
if [ $# -gt 0 ]; then
    targets=("$@")
else
    mapfile -t targets < <(sed -n "/^mf_fuzz_targets/,/^]/s/^ *'\(.*\)',.*/\1/p" tests/fuzz/meson.build)
fi

run_target() {
    local name=$1 seeds=tests/fuzz/corpus/$1 found=build-asan/fuzz-corpus/$1 log=$LOGS/fuzz/$1.log
    mkdir -p "$found"
    [ -d "$seeds" ] || seeds=
    # shellcheck disable=SC2086
    if ASAN_OPTIONS=allocator_may_return_null=1 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 \
        timeout --kill-after=10 $((seconds * 2 + 120)) \
        "build-asan/tests/fuzz/fuzz_$name" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=2048 -max_len=16384 \
        -artifact_prefix="$LOGS/fuzz/$name-" -print_final_stats=1 "$found" $seeds >"$log" 2>&1; then
        echo "ok   $name ($(sed -n 's/^stat::number_of_executed_units: *//p' "$log") runs)"
    else
        # The first line that says what it ran into.
        echo "FAIL $name: $(grep -m1 -E '^SUMMARY|ERROR: libFuzzer|runtime error' "$log" || echo "ended without a report"): $log"
        return 1
    fi
}

failed=0
running=0
for name in "${targets[@]}"; do
    run_target "$name" &
    running=$((running + 1))
    if [ "$running" -ge "$JOBS" ]; then
        wait -n || failed=$((failed + 1))
        running=$((running - 1))
    fi
done
while [ "$running" -gt 0 ]; do
    wait -n || failed=$((failed + 1))
    running=$((running - 1))
done
echo "$((${#targets[@]} - failed)) passed, $failed failed"
[ "$failed" = 0 ]
