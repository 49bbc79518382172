// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// Finds the vmlinux that belongs to a dump.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace perfcore {

struct VmlinuxSearch {
  std::string path;                  ///< of the vmlinux that fits; empty when none was found
  std::vector<std::string> remarks;  ///< what was looked at and why it was refused, for people
};

/// Looks for the vmlinux of a kernel: in `given` (files or directories; --debuginfo), then, if
/// `usual_places`, in /usr/lib/debug and its kin by release and build ID. Build IDs decide; a kernel without
/// one (before 5.9) is told by its release string. Throws InputError when a file that the user named is of
/// another build, with both build IDs.
VmlinuxSearch find_vmlinux(const std::vector<std::string>& given, std::string_view release,
                           std::string_view build_id, bool usual_places);

}  // namespace perfcore
