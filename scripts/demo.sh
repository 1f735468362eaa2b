#!/bin/bash
# `make demo`, `make demo-mysql-upgrade`, `make demo-cassandra`, `make demo-mongodb`: a whole live migration on throw-away servers. Needs build/midflight and the test packages.
cd "$(dirname "$0")"
play=demo.py
case "${1:-}" in
mysql | cassandra | mongodb)
    play=demo_$1.py
    shift
    ;;
esac
exec /usr/bin/python3 "$play" "$@"
