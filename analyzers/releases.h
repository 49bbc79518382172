// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// Upstream releases, for the case that the code itself cannot be asked. Distributions backport: what follows
/// from a release is never more than likely.
#pragma once

#include <array>
#include <compare>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace perfcore {

struct Release {
  int major = 0;
  int minor = 0;
  int patch = 0;
  auto operator<=>(const Release&) const = default;
  std::string to_string() const;
};

/// The upstream release that a kernel was built from. nullopt for vendor kernels whose numbers are not
/// upstream's (RHEL, SUSE, Ubuntu), and for what cannot be parsed. \param release  uts release,
/// "6.18.12+deb13-amd64" \param version  uts version; Debian's names the upstream release there ("...
/// Debian 6.1.192-2"), as its uts release need
///                 not ("6.1.0-56-amd64")
std::optional<Release> upstream_release(std::string_view release, std::string_view version);

/// From `first` up to but not including `end`.
struct ReleaseRange {
  Release first;
  Release end;
};

bool in_any(const Release& release, std::span<const ReleaseRange> ranges);

}  // namespace perfcore
