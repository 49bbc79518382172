// SPDX-License-Identifier: LGPL-2.1-or-later
#include "kernel/unwind_orc.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>

namespace perfcore {
namespace {

/// Bytes of text that one word of orc_lookup stands for (LOOKUP_BLOCK_SIZE, asm/orc_lookup.h).
constexpr uint64_t kLookupBlock = 256;
/// More entries than any kernel or module has; bounds what a corrupt dump can make us search.
constexpr uint64_t kMaxEntries = 1 << 24;
constexpr size_t kHashSize = 20;
/// A block of the table that is read at once.
constexpr uint64_t kTogether = 64;

using RawEntry = std::array<uint8_t, kOrcEntrySize>;

using R = OrcRegister;

constexpr std::array<OrcRegister, 16> registers(std::initializer_list<OrcRegister> list) {
  std::array<OrcRegister, 16> all{};
  all.fill(R::kInvalid);
  std::copy(list.begin(), list.end(), all.begin());
  return all;
}

/// Numbers in use from 4.14 to 7.0.
constexpr auto kRegisters = registers({R::kUndefined, R::kPrevSp, R::kDx, R::kDi, R::kBp, R::kSp, R::kR10,
                                       R::kR13, R::kBpIndirect, R::kSpIndirect});
/// Renumbered in 7.1.
constexpr auto kRegisters71 = registers({R::kUndefined, R::kAx, R::kDx, R::kSp, R::kBp, R::kDi, R::kR10,
                                         R::kR13, R::kPrevSp, R::kSpIndirect, R::kBpIndirect});

constexpr OrcFormat kFormats[] = {
    // type:2, end:1.
    {"6.1 (no .orc_header)", "", 0x4, false, -1, kRegisters},
    // type:2, signal:1, end:1 since ffb1b4a41016 ("x86/unwind/orc: Add 'signal' field to ORC metadata", 6.3).
    {"6.3 (no .orc_header)", "", 0x8, false, 2, kRegisters},
    // type:3, signal:1 since fb799447ae29 (6.4); .orc_header came a little later, b9f174c811e3 (6.4).
    {"6.4 (no .orc_header)", "", 0x1, true, 3, kRegisters},
    {"6.4 (fe5d32bf581bd63b2ca9a5c65ba5a625eab3fe24)", "fe5d32bf581bd63b2ca9a5c65ba5a625eab3fe24", 0x1, true,
     3, kRegisters},
    {"7.1 (137c36ad7627c4dd55932176bb0ecdbd5041fc82)", "137c36ad7627c4dd55932176bb0ecdbd5041fc82", 0x1, true,
     3, kRegisters71},
};

uint64_t address_of(SymbolTable& symbols, std::string_view name) {
  const auto symbol = symbols.find(name);
  return symbol ? symbol->address : 0;
}

}  // namespace

std::span<const OrcFormat> orc_formats() {
  return kFormats;
}

const OrcFormat* orc_format_by_hash(std::string_view hash) {
  for (const OrcFormat& format : kFormats)
    if (!format.hash.empty() && format.hash == hash) return &format;
  return nullptr;
}

OrcEntry OrcFormat::decode(std::span<const uint8_t, kOrcEntrySize> bytes) const {
  OrcEntry entry;
  std::memcpy(&entry.sp_offset, bytes.data(), 2);
  std::memcpy(&entry.bp_offset, bytes.data() + 2, 2);
  entry.sp_reg = registers[bytes[4] & 0xf];
  entry.bp_reg = registers[bytes[4] >> 4];
  const uint8_t flags = bytes[5];
  if (three_bit_type) {
    const uint8_t type = flags & 7;
    entry.type = type <= static_cast<uint8_t>(OrcType::kRegsPartial) ? static_cast<OrcType>(type)
                                                                     : OrcType::kUndefined;
  } else if (entry.sp_reg == OrcRegister::kUndefined) {
    const bool end = (flags & end_of_stack) != 0;
    entry.type = end ? OrcType::kEndOfStack : OrcType::kUndefined;
  } else {
    constexpr OrcType kTypes[] = {OrcType::kCall, OrcType::kRegs, OrcType::kRegsPartial, OrcType::kUndefined};
    entry.type = kTypes[flags & 3];
  }
  const bool regs = entry.type == OrcType::kRegs || entry.type == OrcType::kRegsPartial;
  entry.signal = signal_bit < 0 ? regs : ((flags >> signal_bit) & 1) != 0;
  return entry;
}

OrcTables::OrcTables(Kernel& kernel) : kernel_(kernel) {
  SymbolTable& symbols = kernel.symbols();
  static constexpr std::string_view kNames[] = {"__start_orc_unwind_ip",
                                                "__stop_orc_unwind_ip",
                                                "__start_orc_unwind",
                                                "__stop_orc_unwind",
                                                "__start_orc_header",
                                                "__stop_orc_header",
                                                "orc_lookup",
                                                "orc_lookup_end",
                                                "_stext",
                                                "_etext",
                                                "_sinittext",
                                                "_einittext",
                                                "entry_SYSCALL_64"};
  symbols.prefetch(kNames);
  ip_table_ = address_of(symbols, "__start_orc_unwind_ip");
  entry_table_ = address_of(symbols, "__start_orc_unwind");
  const uint64_t ip_end = address_of(symbols, "__stop_orc_unwind_ip");
  lookup_ = address_of(symbols, "orc_lookup");
  const uint64_t lookup_end = address_of(symbols, "orc_lookup_end");
  text_begin_ = address_of(symbols, "_stext");
  text_end_ = address_of(symbols, "_etext");
  init_begin_ = address_of(symbols, "_sinittext");
  init_end_ = address_of(symbols, "_einittext");
  if (lookup_ && lookup_end > lookup_) lookup_blocks_ = (lookup_end - lookup_) / 4;
  if (!ip_table_ || !entry_table_ || ip_end <= ip_table_ || !text_begin_ || text_end_ <= text_begin_) {
    problem_ = {UnreadReason::kNoSymbol, 0, "__start_orc_unwind_ip",
                "the kernel has no ORC tables (CONFIG_UNWINDER_ORC), or its symbols lack them"};
    return;
  }
  count_ = (ip_end - ip_table_) / 4;
  if (count_ > kMaxEntries) {
    problem_ = {UnreadReason::kCorrupt, ip_table_, "__stop_orc_unwind_ip",
                fmt::format("{} ORC entries are more than any kernel has", count_)};
    return;
  }
  choose_format();
}

void OrcTables::choose_format() {
  SymbolTable& symbols = kernel_.symbols();
  const uint64_t header = address_of(symbols, "__start_orc_header");
  const uint64_t header_end = address_of(symbols, "__stop_orc_header");
  if (header && header_end > header) {
    const auto bytes = read_value<std::array<uint8_t, kHashSize>>(kernel_.memory(), header);
    if (!bytes.has_value()) {
      format_name_ = "unknown (.orc_header not readable)";
      problem_ = bytes.unread();
      problem_.path = ".orc_header";
      return;
    }
    std::string hash;
    for (uint8_t byte : bytes.value()) hash += fmt::format("{:02x}", byte);
    format_ = orc_format_by_hash(hash);
    format_name_ = format_ ? hash : fmt::format("unknown (hash {})", hash);
    if (!format_)
      problem_ = {UnreadReason::kUnsupported, header, ".orc_header",
                  fmt::format("ORC format {} is not known to this perfcore: a newer one may know it", hash)};
    return;
  }
  const uint64_t entry_code = address_of(symbols, "entry_SYSCALL_64");
  const auto index = index_of(entry_code);
  const auto raw = index.and_then(
      [&](uint64_t i) { return read_value<RawEntry>(kernel_.memory(), entry_table_ + i * kOrcEntrySize); });
  if (!raw.has_value()) {
    format_name_ = "unknown (no .orc_header)";
    problem_ = raw.unread();
    return;
  }
  for (const OrcFormat& format : kFormats) {
    if (!format.hash.empty() || (raw.value()[5] & 0xf) != format.end_of_stack || raw.value()[4] != 0)
      continue;
    format_ = &format;
    format_name_ = format.name;
    return;
  }
  format_name_ = "unknown (no .orc_header)";
  problem_ = {UnreadReason::kUnsupported, entry_code, "ORC entry of entry_SYSCALL_64",
              fmt::format("flags {:#x} {:#x} fit no format known", raw.value()[4], raw.value()[5])};
}

bool OrcTables::covers(uint64_t ip) const {
  return (ip >= text_begin_ && ip < text_end_) || (ip >= init_begin_ && ip < init_end_);
}

Reading<OrcEntry> OrcTables::find(uint64_t ip) {
  if (!format_) return problem_;
  return entry_at(entry_table_, index_of(ip));
}

Reading<OrcEntry> OrcTables::find_in(uint64_t ip, uint64_t ip_table, uint64_t entry_table, uint64_t count) {
  if (!format_) return problem_;
  if (count == 0 || count > kMaxEntries)
    return Unread{UnreadReason::kCorrupt, ip_table, "ORC table", fmt::format("{} entries", count)};
  return entry_at(entry_table, index_of(ip, ip_table, 0, count - 1));
}

Reading<OrcEntry> OrcTables::entry_at(uint64_t entry_table, const Reading<uint64_t>& index) {
  if (!index.has_value()) return index.unread();
  const auto raw = read_value<RawEntry>(kernel_.memory(), entry_table + *index * kOrcEntrySize);
  if (!raw.has_value()) return raw.unread();
  return format_->decode(*raw);
}

Reading<uint64_t> OrcTables::index_of(uint64_t ip) {
  if (!covers(ip))
    return Unread{UnreadReason::kNoSymbol, ip, "ORC entry", "the address is not in the kernel's text"};
  uint64_t first = 0;
  uint64_t last = count_ - 1;
  const uint64_t block = (ip - text_begin_) / kLookupBlock;
  // orc_lookup covers .text only, and its last word only ends the block before it.
  if (ip >= text_begin_ && ip < text_end_ && block + 1 < lookup_blocks_) {
    const auto range = read_value<std::array<uint32_t, 2>>(kernel_.memory(), lookup_ + block * 4);
    if (!range.has_value()) return range.unread();
    first = (*range)[0];
    last = (*range)[1];
    if (first > last || last >= count_)
      return Unread{UnreadReason::kCorrupt, lookup_ + block * 4, "orc_lookup",
                    fmt::format("block {} names entries {}..{} of {}", block, first, last, count_)};
  }
  return index_of(ip, ip_table_, first, last);
}

Reading<uint64_t> OrcTables::index_of(uint64_t ip, uint64_t ip_table, uint64_t first, uint64_t last) {
  // Entry i covers the text from ip_table[i] on, which is stored relative to the word itself. As the kernel
  // does, take the last one at or below ip, or the first of the block.
  uint64_t found = first;
  const auto text_of = [&](uint64_t i, int32_t word) {
    return ip_table + i * 4 + static_cast<uint64_t>(int64_t{word});
  };
  while (last - first >= kTogether) {
    const uint64_t middle = first + (last - first) / 2;
    const auto word = read_value<int32_t>(kernel_.memory(), ip_table + middle * 4);
    if (!word.has_value()) return word.unread();
    if (text_of(middle, *word) <= ip)
      found = first = middle;
    else
      last = middle - 1;
  }
  const auto words = read_array<int32_t>(kernel_.memory(), ip_table + first * 4, last - first + 1);
  if (!words.has_value()) return words.unread();
  for (uint64_t i = first; i <= last && text_of(i, (*words)[i - first]) <= ip; i++) found = i;
  return found;
}

}  // namespace perfcore
