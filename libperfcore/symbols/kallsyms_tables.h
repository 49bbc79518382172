// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// Where the tables of kallsyms lie in the kernel image (scripts/kallsyms.c, write_src()).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "perfcore/dump.h"
#include "perfcore/memory.h"

namespace perfcore {

/// Addresses are run-time addresses. Everything here was checked to be of sane size, nothing to be true.
struct KallsymsTables {
  uint32_t count = 0;                     ///< kallsyms_num_syms
  uint64_t names = 0;                     ///< compressed names, one after the other
  uint64_t names_size = 0;                ///< bytes; an upper bound where `markers` is empty
  uint64_t offsets = 0;                   ///< s32 per symbol
  std::optional<uint64_t> relative_base;  ///< value of kallsyms_relative_base; gone in 7.0
  std::string token_table;                ///< up to 256 strings, each with its NUL
  std::vector<uint16_t> token_index;      ///< 256 offsets into token_table

  /// Offset into `names` of every 256th symbol; empty when the table was not found.
  std::vector<uint32_t> markers;
  /// kallsyms_seqs_of_names: symbol numbers in the order of their names, 3 bytes each, most significant
  /// first. Since 6.2 (60443c88f3a8 "kallsyms: Improve the performance of kallsyms_lookup_name()" and
  /// 19bd8981dc2e, which made 3 bytes of 4). Places where it can be, most likely first: whoever uses it must
  /// check it.
  std::vector<uint64_t> seqs_candidates;
};

/// More symbols than this are taken for corruption; a Debian kernel has 0.2 million.
inline constexpr uint32_t kMaxSymbols = 2'000'000;
/// KSYM_NAME_LEN is 512 since 6.1 (b8a94bfb3395), 128 before; with the letter of the kind in front.
inline constexpr uint32_t kMaxNameSize = 512;
/// Symbols per marker.
inline constexpr uint32_t kMarkerStep = 256;

/// Finds the tables by VMCOREINFO's SYMBOL(kallsyms_*), there since 6.0 (f09bddbd8661 "vmcoreinfo: add
/// kallsyms_num_syms symbol" and 5fd8fea935a1).
/// \return nothing and a reason in `why` when they are not there or make no sense
std::optional<KallsymsTables> locate_kallsyms(Memory& memory, const VmcoreInfo& info, Unread* why);

/// Finds the tables of a kernel before 6.0 by their contents, in the first 64 MiB of the kernel image from
/// `stext` on: the digits of the token table, and from there backwards (order: offsets, relative base,
/// number, names, markers, token table, token index).
std::optional<KallsymsTables> search_kallsyms(Memory& memory, uint64_t stext, Unread* why);

}  // namespace perfcore
