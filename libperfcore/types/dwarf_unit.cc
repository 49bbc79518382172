// SPDX-License-Identifier: LGPL-2.1-or-later
#include "types/dwarf_unit.h"

// Constants only (DW_TAG_*, DW_AT_*, DW_FORM_*); the library itself is used in dwarf.cc.
#include <libdwarf/dwarf.h>

#include <unordered_map>

#include "types/dwarf_entries.h"

namespace perfcore {
namespace {

/// Deeper than inlining and blocks go in any kernel.
constexpr size_t kMaxDepth = 1024;
/// The largest unit of a Debian kernel has some 20,000 entries.
constexpr size_t kMaxEntries = size_t{1} << 19;
constexpr size_t kMaxRanges = 100'000;

bool is_named_entity(uint16_t tag) {
  switch (tag) {
    case DW_TAG_structure_type:
    case DW_TAG_class_type:
    case DW_TAG_union_type:
    case DW_TAG_enumeration_type:
    case DW_TAG_typedef:
    case DW_TAG_base_type:
    case DW_TAG_variable:
      return true;
    default:
      return false;
  }
}

/// Lists the top-level DIEs of a unit while it is scanned.
class EntryCollector {
 public:
  EntryCollector(const DwarfSections& sections, Unit& unit) : sections_(sections), unit_(unit) {}

  void add(ByteCursor cursor, uint64_t offset, const AbbrevTable& abbrevs, const Abbrev& abbrev) {
    UnitEntry entry{{}, offset, abbrev.tag, false};
    uint64_t specification = 0;
    for (const AttributeSpec& spec : abbrevs.specs(abbrev)) {
      const AttributeValue value = read_value(cursor, spec);
      switch (spec.name) {
        case DW_AT_name:
          entry.name = string_value(value, spec.form, sections_, unit_.header, unit_.root);
          break;
        case DW_AT_declaration:
          entry.declaration = value.number != 0;
          break;
        case DW_AT_specification:
          specification = local_reference(value, spec.form, unit_.header);
          break;
        default:
          break;
      }
    }
    if (specification) {
      // `extern struct x86_pmu x86_pmu;` and later the definition, which refers to it and has no name of its
      // own.
      if (auto declared = variables_.find(specification); declared != variables_.end()) {
        UnitEntry& known = unit_.entries[declared->second];
        known.declaration = false;
        known.offset = offset;
      }
      return;
    }
    if (entry.name.empty()) return;
    if (abbrev.tag == DW_TAG_variable && entry.declaration) variables_.emplace(offset, unit_.entries.size());
    unit_.entries.push_back(entry);
  }

 private:
  const DwarfSections& sections_;
  Unit& unit_;
  std::unordered_map<uint64_t, size_t> variables_;  ///< declarations: DIE offset to index in Unit::entries
};

}  // namespace

std::optional<UnitHeader> read_unit_header(ByteSpan info, uint64_t offset) {
  ByteCursor cursor(info, offset);
  UnitHeader header;
  header.begin = offset;
  uint64_t length = cursor.u32();
  if (length == 0xffffffff) {
    header.offset_size = 8;
    length = cursor.u64();
  }
  if (cursor.failed() || length > cursor.left()) return std::nullopt;
  header.end = cursor.position() + length;
  header.version = cursor.u16();
  if (header.version < 2 || header.version > 5) return std::nullopt;
  if (header.version == 5) {
    header.unit_type = cursor.u8();
    header.address_size = cursor.u8();
    header.abbrev_offset = cursor.unsigned_value(header.offset_size);
    switch (header.unit_type) {
      case DW_UT_compile:
      case DW_UT_partial:
        break;
      case DW_UT_type:
        header.type_signature = cursor.u64();
        header.type_die = header.begin + cursor.unsigned_value(header.offset_size);
        break;
      default:  // skeleton and split units: the types are in another file
        return std::nullopt;
    }
  } else {
    header.unit_type = DW_UT_compile;
    header.abbrev_offset = cursor.unsigned_value(header.offset_size);
    header.address_size = cursor.u8();
  }
  header.first_die = cursor.position();
  if (cursor.failed() || header.address_size != 8 || header.first_die >= header.end) return std::nullopt;
  return header;
}

std::vector<UnitRange> read_aranges(ByteSpan aranges) {
  std::vector<UnitRange> ranges;
  ByteCursor sets(aranges);
  while (!sets.at_end()) {
    const uint64_t begin = sets.position();
    unsigned offset_size = 4;
    uint64_t length = sets.u32();
    if (length == 0xffffffff) {
      offset_size = 8;
      length = sets.u64();
    }
    if (sets.failed() || length > sets.left()) break;
    ByteCursor set(aranges.first(sets.position() + length), sets.position());
    sets.skip(length);
    const uint16_t version = set.u16();
    const uint64_t unit = set.unsigned_value(offset_size);
    const uint8_t address_size = set.u8();
    const uint8_t segment_size = set.u8();
    if (version != 2 || address_size != 8 || segment_size != 0) continue;
    // Tuples are aligned to their own size from the start of the set.
    constexpr uint64_t kTuple = 16;
    set.skip((kTuple - (set.position() - begin) % kTuple) % kTuple);
    while (set.left() >= kTuple) {
      const uint64_t address = set.u64();
      const uint64_t size = set.u64();
      if (address == 0 && size == 0) break;
      if (size != 0 && address + size > address) ranges.push_back({address, address + size, unit});
    }
  }
  return ranges;
}

std::optional<UnitRoot> read_unit_root(const DwarfSections& sections, const UnitHeader& header) {
  const auto abbrevs = AbbrevTable::read(sections.abbrev, header);
  if (!abbrevs) return std::nullopt;
  ByteCursor cursor(sections.info.first(header.end), header.first_die);
  const Abbrev* abbrev = abbrevs->find(cursor.uleb());
  if (!abbrev) return std::nullopt;
  return decode_root(cursor, *abbrevs, *abbrev, sections, header);
}

std::optional<Unit> scan_unit(const DwarfSections& sections, const UnitHeader& header, UnitScan scan,
                              uint64_t* work) {
  const auto abbrevs = AbbrevTable::read(sections.abbrev, header);
  // What a table that is refused cost is not known; it cannot be more than the section.
  if (work) *work += header.end - header.begin + (abbrevs ? abbrevs->size() : sections.abbrev.size());
  if (!abbrevs) return std::nullopt;
  Unit unit;
  unit.header = header;
  if (scan == UnitScan::kAll) unit.die_starts.resize(header.end - header.begin);
  EntryCollector collector(sections, unit);

  // Of each DIE whose children are being read: where it says its next sibling is, 0 when it does not say.
  // libdwarf goes by these, so each must be where the next sibling really is.
  std::vector<uint64_t> siblings;
  ByteCursor cursor(sections.info.first(header.end), header.first_die);
  bool first = true;
  while (!cursor.at_end()) {
    const uint64_t offset = cursor.position();
    const uint64_t code = cursor.uleb();
    if (code == 0) {
      if (siblings.empty()) break;  // padding behind the last DIE
      const uint64_t sibling = siblings.back();
      siblings.pop_back();
      if (sibling && sibling != cursor.position()) return std::nullopt;
      if (siblings.empty()) break;
      continue;
    }
    const Abbrev* abbrev = abbrevs->find(code);
    if (!abbrev || (siblings.empty() && !first)) return std::nullopt;
    if (scan == UnitScan::kAll) unit.die_starts[offset - header.begin] = true;
    const bool top_level = siblings.size() == 1;
    if (first)
      unit.root = decode_root(cursor, *abbrevs, *abbrev, sections, header);
    else if (top_level && is_named_entity(abbrev->tag))
      collector.add(cursor, offset, *abbrevs, *abbrev);
    first = false;

    const auto sibling = skip_attributes(cursor, *abbrevs, *abbrev, header);
    if (!sibling) return std::nullopt;
    if (cursor.failed() || unit.entries.size() > kMaxEntries) return std::nullopt;
    if (!abbrev->children) {
      if (*sibling && *sibling != cursor.position()) return std::nullopt;
      if (siblings.empty()) break;
    } else if (scan == UnitScan::kNames && top_level && *sibling > cursor.position()) {
      cursor.skip(*sibling - cursor.position());
    } else {
      if (siblings.size() >= kMaxDepth) return std::nullopt;
      siblings.push_back(*sibling);
    }
  }
  if (first || cursor.failed() || !siblings.empty()) return std::nullopt;
  return unit;
}

std::optional<uint64_t> indexed_address(const DwarfSections& sections, const UnitHeader& header,
                                        const UnitRoot& root, uint64_t index) {
  if (index > sections.addr.size()) return std::nullopt;
  ByteCursor cursor(sections.addr, root.addr_base);
  cursor.skip(index * header.address_size);
  const uint64_t address = cursor.unsigned_value(header.address_size);
  return cursor.failed() ? std::nullopt : std::optional(address);
}

std::optional<uint64_t> range_list_offset(const DwarfSections& sections, const UnitHeader& header,
                                          const UnitRoot& root, uint64_t index) {
  if (index > sections.rnglists.size()) return std::nullopt;
  ByteCursor cursor(sections.rnglists, root.rnglists_base);
  cursor.skip(index * header.offset_size);
  const uint64_t offset = cursor.unsigned_value(header.offset_size);
  return cursor.failed() ? std::nullopt : std::optional(root.rnglists_base + offset);
}

std::vector<UnitRange> read_ranges(const DwarfSections& sections, const UnitHeader& header,
                                   const UnitRoot& root, uint64_t offset) {
  std::vector<UnitRange> ranges;
  uint64_t base = root.low_pc;
  const auto add = [&](uint64_t begin, uint64_t end) {
    if (begin < end) ranges.push_back({begin, end, header.begin});
  };
  if (header.version < 5) {
    ByteCursor cursor(sections.ranges, offset);
    while (ranges.size() < kMaxRanges) {
      const uint64_t begin = cursor.u64();
      const uint64_t end = cursor.u64();
      if (cursor.failed() || (begin == 0 && end == 0)) break;
      if (begin == ~uint64_t{0})
        base = end;
      else
        add(base + begin, base + end);
    }
    return ranges;
  }
  ByteCursor cursor(sections.rnglists, offset);
  const auto indexed = [&] { return indexed_address(sections, header, root, cursor.uleb()).value_or(0); };
  while (ranges.size() < kMaxRanges && !cursor.failed()) {
    // One braced list per entry: operands are read in the order they are stored.
    switch (cursor.u8()) {
      case DW_RLE_base_addressx:
        base = indexed();
        break;
      case DW_RLE_startx_endx: {
        const uint64_t begin = indexed();
        add(begin, indexed());
        break;
      }
      case DW_RLE_startx_length: {
        const uint64_t begin = indexed();
        add(begin, begin + cursor.uleb());
        break;
      }
      case DW_RLE_offset_pair: {
        const uint64_t begin = cursor.uleb();
        add(base + begin, base + cursor.uleb());
        break;
      }
      case DW_RLE_base_address:
        base = cursor.u64();
        break;
      case DW_RLE_start_end: {
        const uint64_t begin = cursor.u64();
        add(begin, cursor.u64());
        break;
      }
      case DW_RLE_start_length: {
        const uint64_t begin = cursor.u64();
        add(begin, begin + cursor.uleb());
        break;
      }
      default:  // DW_RLE_end_of_list, or damage
        return ranges;
    }
  }
  return ranges;
}

}  // namespace perfcore
