#!/bin/bash
# `make bench`: every benchmark, or the one that is named with its options. See bench/README.md.
exec "$(dirname "$0")/../bench/run" "$@"
