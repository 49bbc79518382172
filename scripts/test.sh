#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# Installs the packages, builds, and runs all tests; of those that boot real kernels (ctest -L vmtest) a slice of a few
# minutes. What CI runs.
set -eu
cd "$(dirname "$0")/.."
scripts/build.sh
ctest --preset release --parallel "$(nproc)"

# Whatever cannot be done here (no network, no QEMU, no space, no kernel on offer) is skipped with its reason.
scripts/install-packages.sh lab-packages.txt || echo "vmtest: the packages of scripts/lab-packages.txt could not be installed"
PERFCORE_VMTEST_DEBUGINFO="${PERFCORE_VMTEST_DEBUGINFO:-cached}" PERFCORE_VMTEST_SECONDS=150 PERFCORE_VMTEST_LAB=may-fail \
  exec ctest --test-dir build/release -L vmtest-slice --no-tests=error --verbose
