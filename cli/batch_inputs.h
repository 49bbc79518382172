// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// What a batch works on: files and what is in directories.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "perfcore/store.h"

namespace perfcore::cli {

struct BatchInput {
  enum class Kind { kDump, kText, kJsonl } kind = Kind::kDump;
  StoredInput file;  ///< outcome empty
};

/// Do these first bytes (18 suffice) belong to a dump or a recording?
bool begins_like_dump(std::string_view head);

/// Files as they are named; of directories, all below that look like dumps and recordings by their content,
/// and console text by their name (*.log, *.txt, *dmesg*, *.jsonl). Text that kdump writes beside a dump is
/// of the same crash and left out. Sorted by path. Throws InputError for what is not there.
std::vector<BatchInput> find_inputs(const std::vector<std::string>& paths);

}  // namespace perfcore::cli
