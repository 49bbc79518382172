// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// kallsyms tables made by hand, as scripts/kallsyms.c of several releases writes them.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "support/image_memory.h"

namespace perfcore::test {

struct BuiltSymbol {
  uint64_t address = 0;
  char kind = 'T';
  std::string name;
};

enum class KallsymsForm { kAbsolutePerCpu, kFromBase, kFromEntry };

struct KallsymsOptions {
  bool tables_behind_tokens = true;  ///< the order since 6.4
  KallsymsForm form = KallsymsForm::kAbsolutePerCpu;
  bool seqs = true;
  uint64_t alignment = 8;
  uint64_t base = 0xffffffff81000000;    ///< kallsyms_relative_base
  uint64_t tables = 0xffffffff82000000;  ///< where the first table begins
};

/// The tables in a memory, and where each of them is.
struct BuiltKallsyms {
  ImageMemory memory;
  std::map<std::string, uint64_t> tables;  ///< "kallsyms_names" and so on
  uint64_t end = 0;                        ///< one past the last table

  /// Lines of VMCOREINFO; those of kallsyms as the kernel gives them since 6.0.
  std::string vmcoreinfo(uint64_t stext, bool with_kallsyms = true) const;
};

/// \param symbols  sorted by address here, as the kernel does
BuiltKallsyms build_kallsyms(std::vector<BuiltSymbol> symbols, const KallsymsOptions& options);

}  // namespace perfcore::test
