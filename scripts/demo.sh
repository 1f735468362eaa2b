#!/bin/bash
# `make demo`: a whole live migration on throw-away servers. Needs build/midflight and the test packages.
exec /usr/bin/python3 "$(dirname "$0")/demo.py" "$@"
