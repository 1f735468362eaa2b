# Sourced by the other scripts: where the tree is, which compilers, how a build variant is made.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export PATH="/usr/bin:$PATH" # the python3, meson and pytest of Debian, whatever else is installed
JOBS=${JOBS:-$(nproc)}
LOGS=build/logs

pick() { # the first of these commands that exists
    local c
    for c in "$@"; do
        command -v "$c" >/dev/null && { echo "$c"; return; }
    done
    echo "none of these is installed: $*; run scripts/install-deps.sh" >&2
    return 1
}

# build_variant plain|asan|tsan: configures (once) and builds; prints nothing but errors.
#   plain  build       the compiler of the system, what is shipped
#   asan   build-asan  clang, AddressSanitizer and UndefinedBehaviorSanitizer, fuzz targets with libFuzzer
#   tsan   build-tsan  clang, ThreadSanitizer
build_variant() {
    local dir options=()
    dir=$(variant_dir "$1")
    case $1 in
    plain) ;;
    asan) options=(-Db_sanitize=address,undefined -Dfuzzers=true -Doptimization=1 -Ddebug=true) ;;
    tsan) options=(-Db_sanitize=thread -Doptimization=1 -Ddebug=true) ;;
    esac
    if [ ! -f "$dir/build.ninja" ]; then
        if [ "$1" = plain ]; then
            meson setup "$dir" >/dev/null
        else
            CC=$(pick clang-14 clang) meson setup "$dir" "${options[@]}" >/dev/null
        fi
    fi
    local log
    log=$(mktemp)
    if ! ninja -C "$dir" -j "$JOBS" --quiet >"$log" 2>&1; then
        cat "$log"
        rm -f "$log"
        return 1
    fi
    rm -f "$log"
}

variant_dir() {
    case $1 in
    plain) echo build ;;
    asan | tsan) echo "build-$1" ;;
    *) echo "no build variant $1" >&2 && return 2 ;;
    esac
}
