// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// What this build is made of.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace perfcore {

struct Component {
  std::string name;
  std::string version;
};

/// perfcore's own version, "0.1.0".
std::string_view version();

/// The libraries in use. Where a library can say its version at run time that is what is reported, else the
/// version it was built against.
std::vector<Component> components();

/// Page compressions that libkdumpfile was built with: "zlib", "lzo", "snappy", "zstd".
std::vector<std::string> codecs();

}  // namespace perfcore
