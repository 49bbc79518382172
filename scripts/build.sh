#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Installs the packages and builds the release: build/release/bin/perfcore.
set -eu
cd "$(dirname "$0")/.."
scripts/install-packages.sh
cmake --preset release
cmake --build --preset release --parallel "$(nproc)"
