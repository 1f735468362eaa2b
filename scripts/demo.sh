#!/bin/bash
# `make demo`, `make demo-mysql-upgrade`: a whole live migration on throw-away servers. Needs build/midflight and the test packages.
cd "$(dirname "$0")"
play=demo.py
if [ "${1:-}" = mysql ]; then
    play=demo_mysql.py
    shift
fi
exec /usr/bin/python3 "$play" "$@"
