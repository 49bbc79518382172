// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// Words of the trade, explained where an answer uses them.
#pragma once

#include <string_view>
#include <vector>

namespace perfcore::cli {

struct Term {
  std::string_view term;
  std::string_view meaning;
};

/// The terms that occur in `text` as whole words, in the order of the alphabet.
std::vector<Term> terms_in(std::string_view text);

}  // namespace perfcore::cli
