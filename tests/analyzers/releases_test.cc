// SPDX-License-Identifier: LGPL-2.1-or-later
#include "analyzers/releases.h"

#include <gtest/gtest.h>

namespace perfcore {
namespace {

TEST(Releases, DebianNamesTheUpstreamReleaseInTheVersion) {
  EXPECT_EQ(upstream_release("6.1.0-56-amd64", "#1 SMP PREEMPT_DYNAMIC Debian 6.1.192-2 (2026-10-01)"),
            (Release{6, 1, 192}));
}

TEST(Releases, PlainReleaseNames) {
  EXPECT_EQ(upstream_release("6.18.12+deb13-amd64", ""), (Release{6, 18, 12}));
  EXPECT_EQ(upstream_release("6.19.6", ""), (Release{6, 19, 6}));
  EXPECT_EQ(upstream_release("6.19.0-rc3", ""), (Release{6, 19, 0}));
}

TEST(Releases, VendorNumbersAreNotUpstreams) {
  EXPECT_EQ(upstream_release("5.14.0-427.13.1.el9_4.x86_64", ""), std::nullopt);
  EXPECT_EQ(upstream_release("6.8.0-31-generic", ""), std::nullopt);
  EXPECT_EQ(upstream_release("6.4.0-150600.21-default", ""), std::nullopt);
  EXPECT_EQ(upstream_release("6.1.0-56-amd64", ""), std::nullopt);
  EXPECT_EQ(upstream_release("", ""), std::nullopt);
  EXPECT_EQ(upstream_release("linux", ""), std::nullopt);
}

TEST(Releases, RangesExcludeTheirEnd) {
  const ReleaseRange ranges[] = {{{6, 18, 2}, {6, 18, 20}}};
  EXPECT_FALSE(in_any({6, 18, 1}, ranges));
  EXPECT_TRUE(in_any({6, 18, 2}, ranges));
  EXPECT_TRUE(in_any({6, 18, 19}, ranges));
  EXPECT_FALSE(in_any({6, 18, 20}, ranges));
}

}  // namespace
}  // namespace perfcore
