// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// From the paths that a user gave to an opened container.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "dump/container.h"

namespace perfcore {

struct LocatedDump {
  std::string path;  ///< of the (first) file
  std::unique_ptr<Container> container;
};

/// Finds the files, tells their format by content and opens them. Throws InputError.
LocatedDump locate_dump(const std::vector<std::string>& paths, const DumpOptions& options);

/// Path of the text that kdump has written into the directory of a dump; empty when there is none.
std::string find_dmesg_beside(const std::string& dump);

}  // namespace perfcore
