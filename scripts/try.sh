#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# From a fresh checkout to a diagnosis: installs the packages, builds, and triages a real vmcore that is bundled.
set -eu
cd "$(dirname "$0")/.."
log=$(mktemp)
trap 'rm -f "$log"' EXIT
scripts/build.sh >"$log" 2>&1 || { cat "$log" >&2; exit 1; }
dump=$(ls testdata/null-events-6.18.12*.vmcore | head -n 1)
echo "\$ build/release/bin/perfcore triage $dump"
status=0
build/release/bin/perfcore triage "$dump" || status=$?
# 10 says that the root cause was found: for this dump anything else is a failure.
[ "$status" = 10 ]
