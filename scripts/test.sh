#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Installs the packages, builds, and runs all tests. What CI runs.
set -eu
cd "$(dirname "$0")/.."
scripts/build.sh
exec ctest --preset release --parallel "$(nproc)"
