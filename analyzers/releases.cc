// SPDX-License-Identifier: LGPL-2.1-or-later
#include "analyzers/releases.h"

#include <algorithm>
#include <charconv>

namespace perfcore {
namespace {

/// Parses "6.18.12"; the patch level may be missing. Returns what follows in `rest`.
std::optional<Release> parse(std::string_view text, std::string_view* rest) {
  std::array<int, 3> numbers = {0, 0, 0};
  const char* at = text.data();
  const char* const end = text.data() + text.size();
  size_t count = 0;
  while (count < numbers.size()) {
    const auto [next, error] = std::from_chars(at, end, numbers[count]);
    if (error != std::errc() || numbers[count] < 0) break;
    at = next;
    count++;
    if (count == numbers.size() || at == end || *at != '.') break;
    at++;
  }
  if (count < 2) return std::nullopt;
  *rest = std::string_view(at, static_cast<size_t>(end - at));
  return Release{numbers[0], numbers[1], numbers[2]};
}

}  // namespace

std::string Release::to_string() const {
  return std::to_string(major) + "." + std::to_string(minor) + (patch ? "." + std::to_string(patch) : "");
}

std::optional<Release> upstream_release(std::string_view release, std::string_view version) {
  std::string_view rest;
  if (const size_t debian = version.find("Debian "); debian != std::string_view::npos)
    if (const auto parsed = parse(version.substr(debian + 7), &rest)) return parsed;
  const auto parsed = parse(release, &rest);
  if (!parsed) return std::nullopt;
  // ".el9", "-generic", "-150600.21-default", "-azure" ...: the first three numbers name the vendor's base,
  // not what is in it.
  for (const std::string_view vendor :
       {".el", "-generic", "-default", "-azure", "-aws", "-gcp", "-oracle", ".uek", "-lowlatency"})
    if (rest.find(vendor) != std::string_view::npos) return std::nullopt;
  // x.y.0 with a package revision after it ("6.1.0-56-amd64", "6.4.0-150600"): an ABI name, not a release.
  if (parsed->patch == 0 && rest.size() > 1 && rest[0] == '-' && rest[1] >= '0' && rest[1] <= '9')
    return std::nullopt;
  return parsed;
}

bool in_any(const Release& release, std::span<const ReleaseRange> ranges) {
  return std::any_of(ranges.begin(), ranges.end(), [&](const ReleaseRange& range) {
    return range.first <= release && release < range.end;
  });
}

}  // namespace perfcore
