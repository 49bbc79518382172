// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// ORC tables of the dumped kernel: formats and look-up (arch/x86/include/asm/orc_types.h,
/// arch/x86/kernel/unwind_orc.c).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "perfcore/kernel.h"

namespace perfcore {

/// Registers that an ORC entry can name, whatever their number in a format.
enum class OrcRegister : uint8_t {
  kUndefined,
  kPrevSp,
  kAx,
  kDx,
  kDi,
  kBp,
  kSp,
  kR10,
  kR13,
  kBpIndirect,
  kSpIndirect,
  kInvalid,
};

/// Kinds of frames as the kernel has named them since fb799447ae29 ("x86,objtool: Split UNWIND_HINT_EMPTY in
/// two", 6.4); older formats are mapped to them.
enum class OrcType : uint8_t { kUndefined, kEndOfStack, kCall, kRegs, kRegsPartial };

/// One entry, decoded.
struct OrcEntry {
  int16_t sp_offset = 0;
  int16_t bp_offset = 0;
  OrcRegister sp_reg = OrcRegister::kUndefined;
  OrcRegister bp_reg = OrcRegister::kUndefined;
  OrcType type = OrcType::kUndefined;
  bool signal = false;  ///< the frame found with this entry is at an interrupted instruction
};

inline constexpr size_t kOrcEntrySize = 6;  ///< bytes, in every format so far

/// How a kernel release packs an entry.
struct OrcFormat {
  std::string_view name;  ///< for people
  std::string_view hash;  ///< of .orc_header in hex; empty for formats older than that section
  /// Low half of an entry's last byte at entry_SYSCALL_64, where every format has an end-of-stack hint: tells
  /// formats without a hash apart.
  uint8_t end_of_stack = 0;
  bool three_bit_type = false;
  int signal_bit = -1;  ///< -1: told by the type
  std::array<OrcRegister, 16> registers{};

  OrcEntry decode(std::span<const uint8_t, kOrcEntrySize> bytes) const;
};

/// All formats known.
std::span<const OrcFormat> orc_formats();
/// The format with this hash (40 hex digits), nullptr when it is not known.
const OrcFormat* orc_format_by_hash(std::string_view hash);

/// The ORC tables of vmlinux (__start_orc_unwind_ip, __start_orc_unwind, orc_lookup), read a few bytes at a
/// time. One thread at a time.
class OrcTables {
 public:
  explicit OrcTables(Kernel& kernel);

  /// nullptr when the format is not known or the tables were not found; see problem().
  const OrcFormat* format() const { return format_; }
  /// "6.1 (no .orc_header)", a hash, "unknown (hash ...)", "none".
  const std::string& format_name() const { return format_name_; }
  /// Why format() is null.
  const Unread& problem() const { return problem_; }

  /// The entry that covers an address of vmlinux' text. Unread (kNoSymbol) outside of it.
  Reading<OrcEntry> find(uint64_t ip);
  /// The entry that covers `ip` in tables elsewhere (a module's). \param count entries in each table.
  Reading<OrcEntry> find_in(uint64_t ip, uint64_t ip_table, uint64_t entry_table, uint64_t count);
  /// True within vmlinux' text, init text included.
  bool covers(uint64_t ip) const;

 private:
  void choose_format();
  Reading<uint64_t> index_of(uint64_t ip);
  Reading<uint64_t> index_of(uint64_t ip, uint64_t ip_table, uint64_t first, uint64_t last);
  Reading<OrcEntry> entry_at(uint64_t entry_table, const Reading<uint64_t>& index);

  Kernel& kernel_;
  const OrcFormat* format_ = nullptr;
  std::string format_name_ = "none";
  Unread problem_;
  uint64_t ip_table_ = 0, entry_table_ = 0, count_ = 0;
  uint64_t lookup_ = 0, lookup_blocks_ = 0;
  uint64_t text_begin_ = 0, text_end_ = 0, init_begin_ = 0, init_end_ = 0;
};

}  // namespace perfcore
