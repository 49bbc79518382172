// SPDX-License-Identifier: LGPL-2.1-or-later
#include "symbols/kallsyms_tables.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <span>

namespace perfcore {
namespace {

constexpr uint64_t kMaxNamesSize = uint64_t{64} << 20;       // bytes; 2.1 MB in Debian 6.12
constexpr uint64_t kMaxTokenTableSize = uint64_t{64} << 10;  // bytes; the index has 16 bits
constexpr uint64_t kTokens = 256;
constexpr uint64_t kSeqSize = 3;  // bytes an entry of kallsyms_seqs_of_names
constexpr uint64_t kSearchSize = uint64_t{64} << 20;

constexpr uint64_t align_up(uint64_t value, uint64_t alignment) {
  return (value + alignment - 1) & ~(alignment - 1);
}

constexpr uint32_t markers_of(uint32_t count) {
  return (count + kMarkerStep - 1) / kMarkerStep;
}

Unread unusable(uint64_t address, std::string detail) {
  return {UnreadReason::kCorrupt, address, "kallsyms", std::move(detail)};
}

Unread with_path(Unread unread, std::string_view what) {
  unread.path = what;
  return unread;
}

/// Markers ascend from zero, by at least two bytes a name.
bool are_markers(std::span<const uint32_t> markers, uint64_t names_size) {
  if (markers.empty() || markers[0] != 0 || markers.back() >= names_size) return false;
  for (size_t i = 1; i < markers.size(); i++)
    if (markers[i] < markers[i - 1] + 2 * kMarkerStep) return false;
  return true;
}

/// The markers end where the next table begins, or up to 4 bytes before it for alignment (the tables are
/// aligned to 8 bytes up to 6.x, to 4 in 7.x).
/// \return the address of the markers
std::optional<uint64_t> read_markers_before(Memory& memory, uint64_t end, uint64_t names, uint32_t count,
                                            std::vector<uint32_t>* markers) {
  const uint64_t size = uint64_t{markers_of(count)} * sizeof(uint32_t);
  for (uint64_t padding : {0, 4}) {
    const uint64_t address = end - padding - size;
    if (end < size + padding || address <= names) continue;
    auto read = read_array<uint32_t>(memory, address, markers_of(count));
    if (!read.has_value() || !are_markers(*read, address - names)) continue;
    *markers = std::move(read).value();
    return address;
  }
  return std::nullopt;
}

bool are_tokens(const std::string& table, std::span<const uint16_t> index) {
  return std::all_of(index.begin(), index.end(), [&](uint16_t offset) {
    return offset < table.size() && table.find('\0', offset) != std::string::npos;
  });
}

/// True at "0\0" "1\0" ... "9\0": digits are too rare in names to be tokens of their own, so they stand for
/// themselves.
constexpr std::string_view kDigits("0\0001\0002\0003\0004\0005\0006\0007\0008\0009\0", 20);

/// The token table around its digits at `digits` of the bytes before and after them.
struct TokenTable {
  size_t begin = 0;  ///< offset of the first token
  size_t index = 0;  ///< offset of the token index
};

/// The offset of the token index behind the tokens that start at `begin`; nothing unless it agrees with them.
std::optional<size_t> index_behind(std::string_view bytes, size_t begin) {
  std::array<uint16_t, kTokens> expected;
  size_t end = begin;
  for (uint16_t& offset : expected) {
    if (end - begin > UINT16_MAX) return std::nullopt;
    offset = static_cast<uint16_t>(end - begin);
    const size_t nul = bytes.find('\0', end);
    if (nul == std::string_view::npos) return std::nullopt;
    end = nul + 1;
  }
  const std::string_view index(reinterpret_cast<const char*>(expected.data()), sizeof(expected));
  for (size_t padding = 0; padding < 8; padding++)
    if (bytes.substr(std::min(end + padding, bytes.size()), index.size()) == index) return end + padding;
  return std::nullopt;
}

/// Walks back from the digits to the first token. In front of it may stand a byte that is not zero, so that
/// only the alignment tells where it begins.
/// \param address  of the first of the bytes
std::optional<TokenTable> token_table_around(std::string_view bytes, uint64_t address, size_t digits) {
  size_t begin = digits;
  size_t first_end = digits;  // behind the NUL of the first token
  for (int token = 0; token < '0'; token++) {
    if (begin < 2) return std::nullopt;
    const size_t nul = bytes.rfind('\0', begin - 2);
    if (nul == std::string_view::npos) return std::nullopt;
    first_end = begin;
    begin = nul + 1;
  }
  for (; begin < first_end; begin = align_up(address + begin + 1, 4) - address)
    if (const auto index = index_behind(bytes, begin)) return TokenTable{begin, *index};
  return std::nullopt;
}

/// Finds the markers, and by them the end of the names and the places where kallsyms_seqs_of_names can be, of
/// tables that end before the token table: names, markers, [seqs,] token table.
void find_markers_before(Memory& memory, uint64_t token_table, KallsymsTables* tables) {
  auto markers = read_markers_before(memory, token_table, tables->names, tables->count, &tables->markers);
  const uint64_t seqs_size = uint64_t{tables->count} * kSeqSize;
  for (uint64_t alignment : {8, 4}) {
    if (markers || token_table - tables->names < seqs_size) break;
    const uint64_t seqs = (token_table - seqs_size) & ~(alignment - 1);
    markers = read_markers_before(memory, seqs, tables->names, tables->count, &tables->markers);
    if (markers) tables->seqs_candidates.push_back(seqs);
  }
  if (markers) tables->names_size = *markers - tables->names;
}

/// The tables in front of a token table in the order of kernels before 6.4. They begin with the base address,
/// which is that of the first symbol of the image, at or a little before _stext.
std::optional<KallsymsTables> tables_before(Memory& memory, uint64_t stext, uint64_t token_table) {
  constexpr uint64_t kStep = uint64_t{64} << 10;
  constexpr uint64_t kMaxBaseDistance = uint64_t{2} << 20;
  for (uint64_t end = token_table & ~uint64_t{7}; end > stext && token_table - end < kMaxNamesSize;
       end -= kStep) {
    const Snapshot read = take_snapshot(memory, end - kStep, kStep);
    for (size_t i = kStep / sizeof(uint64_t); i-- > 0;) {
      uint64_t base = 0;
      std::memcpy(&base, read.bytes.data() + i * sizeof(base), sizeof(base));
      if (base > stext || stext - base > kMaxBaseDistance) continue;
      const uint64_t address = end - kStep + i * sizeof(uint64_t);
      const Reading<uint32_t> count = read_value<uint32_t>(memory, address + 8);
      if (!count.has_value() || *count == 0 || *count > kMaxSymbols) continue;
      KallsymsTables tables;
      tables.count = *count;
      tables.names = address + 16;
      tables.offsets = address - align_up(uint64_t{*count} * sizeof(int32_t), 8);
      tables.relative_base = base;
      find_markers_before(memory, token_table, &tables);
      if (!tables.markers.empty()) return tables;
    }
  }
  return std::nullopt;
}

}  // namespace

std::optional<KallsymsTables> locate_kallsyms(Memory& memory, const VmcoreInfo& info, Unread* why) {
  const auto fail = [&](Unread unread) {
    *why = std::move(unread);
    return std::nullopt;
  };
  const auto names = info.symbol("kallsyms_names");
  const auto num_syms = info.symbol("kallsyms_num_syms");
  const auto token_table = info.symbol("kallsyms_token_table");
  const auto token_index = info.symbol("kallsyms_token_index");
  const auto offsets = info.symbol("kallsyms_offsets");
  if (!names || !num_syms || !token_table || !token_index || !offsets)
    return fail(
        {UnreadReason::kNoSymbol, 0, "kallsyms", "VMCOREINFO lacks SYMBOL(kallsyms_*), as before 6.0"});

  const auto count = read_value<uint32_t>(memory, *num_syms);
  if (!count.has_value()) return fail(with_path(count.unread(), "kallsyms_num_syms"));
  if (*count == 0 || *count > kMaxSymbols)
    return fail(unusable(*num_syms, fmt::format("{} symbols", *count)));
  if (*token_table <= *names || *token_table - *names > kMaxNamesSize)
    return fail(unusable(*names, fmt::format("names at {:#x}, token table at {:#x}", *names, *token_table)));
  if (*token_index <= *token_table || *token_index - *token_table > kMaxTokenTableSize)
    return fail(unusable(
        *token_table, fmt::format("token table at {:#x}, its index at {:#x}", *token_table, *token_index)));

  KallsymsTables tables;
  tables.count = *count;
  tables.names = *names;
  tables.names_size = *token_table - *names;
  tables.offsets = *offsets;
  tables.token_table.resize(*token_index - *token_table);
  if (auto unread = memory.read(*token_table, std::as_writable_bytes(std::span(tables.token_table))))
    return fail(with_path(std::move(*unread), "kallsyms_token_table"));
  auto index = read_array<uint16_t>(memory, *token_index, kTokens);
  if (!index.has_value()) return fail(with_path(index.unread(), "kallsyms_token_index"));
  tables.token_index = std::move(index).value();
  if (!are_tokens(tables.token_table, tables.token_index))
    return fail(unusable(*token_index, "the token index points outside the token table"));

  const auto base_address = info.symbol("kallsyms_relative_base");
  if (base_address) {
    const auto base = read_value<uint64_t>(memory, *base_address);
    if (!base.has_value()) return fail(with_path(base.unread(), "kallsyms_relative_base"));
    tables.relative_base = *base;
  }

  // What VMCOREINFO leaves out stands at fixed places between its neighbours. Up to 6.3: offsets, relative
  // base, number, names, markers, [seqs,] token table, token index. Since 6.4 (404bad70fcf7
  // "scripts/kallsyms: change the output order"): number, names, markers, token table, token index, offsets,
  // [relative base,] seqs.
  if (*offsets < *token_index) {
    find_markers_before(memory, *token_table, &tables);
    return tables;
  }
  if (const auto markers = read_markers_before(memory, *token_table, *names, *count, &tables.markers))
    tables.names_size = *markers - *names;
  const uint64_t offsets_end = *offsets + uint64_t{*count} * sizeof(int32_t);
  if (base_address) tables.seqs_candidates.push_back(*base_address + sizeof(uint64_t));
  tables.seqs_candidates.push_back(offsets_end);
  if (offsets_end % 8 != 0) tables.seqs_candidates.push_back(align_up(offsets_end, 8));
  return tables;
}

std::optional<KallsymsTables> search_kallsyms(Memory& memory, uint64_t stext, Unread* why) {
  constexpr size_t kStep = size_t{64} << 10;
  constexpr uint64_t kAround = uint64_t{8} << 10;  // a token table takes about 1 KiB
  // Digits that two pieces share are found with the tail of the piece before.
  std::string piece;
  for (uint64_t offset = 0; offset < kSearchSize; offset += kStep) {
    piece.erase(0, piece.size() - std::min(piece.size(), kDigits.size() - 1));
    const uint64_t piece_address = stext + offset - piece.size();
    // Init memory was freed and can be missing: what cannot be read is zero, which is never taken for digits.
    const Snapshot read = take_snapshot(memory, stext + offset, kStep);
    piece.append(reinterpret_cast<const char*>(read.bytes.data()), read.bytes.size());
    for (size_t at = piece.find(kDigits); at != piece.npos; at = piece.find(kDigits, at + 1)) {
      const uint64_t begin = piece_address + at - std::min(piece_address + at - stext, kAround);
      const Snapshot around = take_snapshot(memory, begin, kAround * 2);
      const std::string_view bytes(reinterpret_cast<const char*>(around.bytes.data()), around.bytes.size());
      const auto found = token_table_around(bytes, begin, piece_address + at - begin);
      if (!found) continue;
      auto tables = tables_before(memory, stext, begin + found->begin);
      if (!tables) continue;
      tables->token_table = bytes.substr(found->begin, found->index - found->begin);
      tables->token_index.resize(kTokens);
      std::memcpy(tables->token_index.data(), bytes.data() + found->index, kTokens * sizeof(uint16_t));
      return tables;
    }
  }
  *why = {UnreadReason::kNoSymbol, stext, "kallsyms",
          fmt::format("no token table within {} MiB of _stext", kSearchSize >> 20)};
  return std::nullopt;
}

}  // namespace perfcore
