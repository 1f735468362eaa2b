#!/bin/bash
# Everything a change must pass. Parts run in two lanes beside each other; each writes build/logs/PART.log. The closing
# table has a line a part; the last line is the sum, "N passed, N failed", and so is the exit status.
#
#   scripts/test.sh              all parts
#   scripts/test.sh lint unit    these parts: lint docs unit asan tsan fuzz scenarios
#                                scenarios_asan scenarios_tsan
. "$(dirname "$0")/common.sh"
mkdir -p "$LOGS"
started=$SECONDS
parts=("$@")
[ ${#parts[@]} -gt 0 ] || parts=(lint docs unit asan tsan fuzz scenarios scenarios_asan scenarios_tsan)
for p in "${parts[@]}"; do
    rm -f "$LOGS/$p.count" "$LOGS/$p.log" "$LOGS/$p.time" "$LOGS/$p.failed"
done
rm -f "$LOGS"/scenarios*.xml "$LOGS/scenarios.unsteady" "$LOGS/again.log"

# A part's command prints what it likes; how_many PART prints "passed failed skipped" once it is over,
# and then a line for each that failed.
run_lint() { scripts/lint.sh; }
run_docs() { python3 scripts/check_docs.py; }
# Four times the time a test has where nothing else runs: here two lanes share the cores.
meson_test() {
    local dir=$1
    shift
    meson test -C "$dir" --no-rebuild --print-errorlogs --timeout-multiplier 4 --no-suite long "$@"
}
run_unit() { build_variant plain && meson_test build; }
run_asan() { build_variant asan && meson_test build-asan; }
# Without what has no threads.
run_tsan() {
    build_variant tsan && meson_test build-tsan --no-suite bson --no-suite change --no-suite model --no-suite map --no-suite cli
}
run_fuzz() { FUZZ_SECONDS=${FUZZ_SECONDS:-20} scripts/fuzz.sh; }
run_scenarios() { timeout --signal=INT --kill-after=60 "${SCENARIOS_TIMEOUT:-4850}" scripts/scenarios.sh; }
# A whole migration there and back with the sanitizers watching the program's threads and memory.
sanitized=(tests/scenarios/test_e2e_migration.py)
run_scenarios_asan() { VARIANT=asan timeout --signal=INT --kill-after=60 1200 scripts/scenarios.sh "${sanitized[@]}"; }
run_scenarios_tsan() { VARIANT=tsan timeout --signal=INT --kill-after=60 1200 scripts/scenarios.sh "${sanitized[@]}"; }

how_many() {
    case $1 in
    unit) python3 scripts/count.py meson build/meson-logs/testlog.json ;;
    asan | tsan) python3 scripts/count.py meson "build-$1/meson-logs/testlog.json" ;;
    scenarios*) python3 scripts/count.py pytest "$LOGS/$1.xml" ;;
    *)
        sed -n 's/^\([0-9]*\) passed, \([0-9]*\) failed$/\1 \2 0/p' "$LOGS/$1.log" | tail -1
        sed -n 's/^FAIL //p' "$LOGS/$1.log"
        ;;
    esac
}

run_part() {
    local part=$1 status=0 passed failed skipped begun=$SECONDS names=$LOGS/$1.failed
    case $part in
    unit) rm -f build/meson-logs/testlog.json ;;
    asan | tsan) rm -f "build-$part/meson-logs/testlog.json" ;;
    esac
    "run_$part" >"$LOGS/$part.log" 2>&1 || status=$?
    how_many "$part" >"$names" 2>>"$LOGS/$part.log" || true
    read -r passed failed skipped <"$names" || true
    sed -i 1d "$names"
    # A part that failed and counted no failure (a build that broke, a runner that died) is one failure.
    if [ "$status" != 0 ] && [ "${failed:-0}" = 0 ]; then
        failed=1
    fi
    # And one that passed without counting anything has not run.
    if [ "$status" = 0 ] && [ "${passed:-0}" = 0 ]; then
        failed=1
    fi
    echo "${passed:-0} ${failed:-0} ${skipped:-0}" >"$LOGS/$part.count"
    echo "$status" >"$LOGS/$part.status"
    echo $((SECONDS - begun)) >"$LOGS/$part.time"
    echo "$part: ${passed:-0} passed, ${failed:-0} failed ($((SECONDS - begun)) s)"
    if [ "${failed:-0}" != 0 ]; then
        tail -n "${TAIL:-60}" "$LOGS/$part.log" | sed "s/^/    $part| /"
    fi
}

wanted() {
    local p
    for p in "${parts[@]}"; do [ "$p" = "$1" ] && return 0; done
    return 1
}

lane() {
    local p
    for p in "$@"; do
        wanted "$p" && run_part "$p"
    done
    return 0
}

# Once for both lanes: two builds in one directory get in each other's way. What breaks is told by the part that needs it.
build_variant plain >"$LOGS/build.log" 2>&1 || true

# The first lane mostly waits for servers, the second one mostly computes: it takes what the first one leaves, since a test
# with a server and a clock in it notices who else uses the cores.
lane scenarios &
first=$!
(
    renice -n 5 -p "$BASHPID" >/dev/null
    lane lint docs unit asan tsan fuzz scenarios_asan scenarios_tsan
) &
second=$!
trap 'kill $first $second 2>/dev/null' INT TERM
wait "$first" "$second"

# What failed in a few of so many scenarios, with both cores full, is asked again with nothing beside it: each must pass twice.
# It is named all the same, with what it failed of, and more than UNSTEADY_MAX is a failure without a question.
unsteady_max=${UNSTEADY_MAX:-3}
ask_again() {
    local passed failed skipped ids
    wanted scenarios && [ "$(cat "$LOGS/scenarios.status")" = 1 ] || return 0 # 1: pytest came to its end, tests failed
    read -r passed failed skipped <"$LOGS/scenarios.count"
    mapfile -t ids < <(python3 scripts/count.py ids "$LOGS/scenarios.xml" 2>/dev/null)
    if [ "$failed" = 0 ] || [ "$failed" -gt "$unsteady_max" ] || [ "${#ids[@]}" != "$failed" ] || [ "$passed" -lt 500 ]; then
        return 0
    fi
    if timeout --signal=INT --kill-after=60 900 python3 -m pytest -q "${ids[@]}" >"$LOGS/again.log" 2>&1 &&
        timeout --signal=INT --kill-after=60 900 python3 -m pytest -q "${ids[@]}" >>"$LOGS/again.log" 2>&1; then
        mv "$LOGS/scenarios.failed" "$LOGS/scenarios.unsteady"
        echo "$((passed + failed)) 0 $skipped" >"$LOGS/scenarios.count"
    else
        tail -n "${TAIL:-60}" "$LOGS/again.log" | sed "s/^/    again| /"
    fi
}
ask_again

# What the times above were measured on: most of a difference between two machines is in their disks.
machine() {
    local begun=$EPOCHREALTIME file
    file=$(mktemp)
    dd if=/dev/zero of="$file" bs=4k count=200 oflag=dsync status=none
    printf '%s cores, %s free memory, %s free in /dev/shm, a synced write %d us, load %s\n' "$(nproc)" \
        "$(awk '/MemAvailable/ { printf "%.1f GB", $2 / 1e6 }' /proc/meminfo)" \
        "$(df -k /dev/shm 2>/dev/null | awk 'NR == 2 { printf "%.1f GB", $4 / 1e6 }')" \
        $(((${EPOCHREALTIME/./} - ${begun/./}) / 200)) "$(cut -d' ' -f1-3 /proc/loadavg)"
    rm -f "$file"
}

total_passed=0 total_failed=0 total_skipped=0
printf '\n%-15s %8s %8s %8s %8s\n' part passed failed skipped seconds
for p in "${parts[@]}"; do
    read -r passed failed skipped <"$LOGS/$p.count" || { passed=0 failed=1 skipped=0; }
    printf '%-15s %8d %8d %8d %8d\n' "$p" "$passed" "$failed" "$skipped" "$(cat "$LOGS/$p.time" 2>/dev/null || echo 0)"
    total_passed=$((total_passed + passed))
    total_failed=$((total_failed + failed))
    total_skipped=$((total_skipped + skipped))
done
printf '%-15s %8d %8d %8d %8d\n' sum "$total_passed" "$total_failed" "$total_skipped" $((SECONDS - started))
machine
echo
# What failed stands at the very end, where a log that was cut short still shows it.
[ -s "$LOGS/scenarios.unsteady" ] && sed "s/^/unsteady: passed twice by itself: /" "$LOGS/scenarios.unsteady"
for p in "${parts[@]}"; do
    [ -s "$LOGS/$p.failed" ] && sed "s/^/failed: $p: /" "$LOGS/$p.failed"
done
echo "$total_passed passed, $total_failed failed" | tee "$LOGS/total"
[ "$total_failed" = 0 ]
