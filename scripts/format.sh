#!/bin/bash
# Formats every C file in place; with --check changes nothing and fails when something would change.
. "$(dirname "$0")/common.sh"
format=$(pick clang-format-14 clang-format)
if [ "${1:-}" = --check ]; then
    find src tests -name '*.[ch]' -print0 | xargs -0 "$format" --dry-run --Werror
else
    find src tests -name '*.[ch]' -print0 | xargs -0 "$format" -i
fi
