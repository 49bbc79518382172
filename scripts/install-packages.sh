#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
# install-packages.sh [LIST]: installs what a list in scripts/ (packages.txt) names and is not there yet. Does nothing, and
# needs no root, when all is.
set -eu
cd "$(dirname "$0")"

missing=
for package in $(sed 's/#.*//' "${1:-packages.txt}"); do
  dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

echo "installing:$missing"
as_root=
if [ "$(id -u)" != 0 ]; then
  command -v sudo >/dev/null || { echo "not root and no sudo: install these packages first:$missing" >&2; exit 1; }
  as_root=sudo
fi
$as_root apt-get update -q
# shellcheck disable=SC2086  # a list of words
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $missing
