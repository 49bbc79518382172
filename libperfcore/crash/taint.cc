// SPDX-License-Identifier: LGPL-2.1-or-later
#include "crash/taint.h"

#include <fmt/format.h>

#include <iterator>
#include <string_view>

namespace perfcore {
namespace {

struct TaintFlag {
  char letter;
  std::string_view words;
};

// By bit number. Only ever appended to: N is new in 5.11, J in 6.15.
constexpr TaintFlag kTaintFlags[] = {
    {'P', "proprietary module"},
    {'F', "module loaded by force"},
    {'S', "processor out of its specification"},
    {'R', "module unloaded by force"},
    {'M', "machine check"},
    {'B', "bad page"},
    {'U', "set by user space"},
    {'D', "oops or BUG, this crash's own included"},
    {'A', "ACPI table overridden"},
    {'W', "warning"},
    {'C', "staging driver"},
    {'I', "firmware workaround"},
    {'O', "out-of-tree module"},
    {'E', "unsigned module"},
    {'L', "soft lockup"},
    {'K', "live patch"},
    {'X', "auxiliary, set by the distribution"},
    {'T', "built with struct randomization"},
    {'N', "in-kernel test"},
    {'J', "firmware changed through fwctl"},
};

}  // namespace

std::string taint_letters(uint64_t mask) {
  std::string letters;
  for (size_t bit = 0; bit < 64; ++bit) {
    if (!(mask >> bit & 1)) continue;
    if (bit < std::size(kTaintFlags))
      letters += kTaintFlags[bit].letter;
    else
      letters += fmt::format("<bit {}>", bit);
  }
  return letters;
}

std::string taint_words(uint64_t mask) {
  std::string words;
  for (size_t bit = 0; bit < 64; ++bit) {
    if (!(mask >> bit & 1)) continue;
    if (!words.empty()) words += ", ";
    if (bit < std::size(kTaintFlags))
      words += fmt::format("{} ({})", kTaintFlags[bit].letter, kTaintFlags[bit].words);
    else
      words += fmt::format("bit {} (newer than this perfcore)", bit);
  }
  return words;
}

}  // namespace perfcore
