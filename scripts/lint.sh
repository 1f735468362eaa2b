#!/bin/bash
# The rules a compiler does not check. Each prints what breaks it; the last line is "N passed, N failed" (rules).
. "$(dirname "$0")/common.sh"
exec python3 scripts/lint.py "$@"
