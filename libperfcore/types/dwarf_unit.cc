// SPDX-License-Identifier: LGPL-2.1-or-later
#include "types/dwarf_unit.h"

// Constants only (DW_TAG_*, DW_AT_*, DW_FORM_*); the library itself is used in dwarf.cc.
#include <libdwarf/dwarf.h>

#include <unordered_map>

namespace perfcore {
namespace {

/// Longer names are not C identifiers but damage; paths of source files fit as well.
constexpr size_t kMaxName = 4096;
/// Deeper than inlining and blocks go in any kernel.
constexpr size_t kMaxDepth = 1024;
/// Compilers number abbreviations from 1 without holes; a table with more than these holes is damage.
constexpr uint64_t kMaxAbbrevHoles = 4096;
/// The largest unit of a Debian kernel has some 20,000 entries.
constexpr size_t kMaxEntries = size_t{1} << 19;
constexpr size_t kMaxRanges = 100'000;

struct AttributeSpec {
  uint16_t name = 0;
  uint16_t form = 0;
  int8_t size = 0;  ///< bytes, -1 when it has to be decoded
  int64_t implicit_const = 0;
};

struct Abbrev {
  uint16_t tag = 0;
  bool children = false;
  bool has_sibling = false;
  int32_t fixed_size = 0;  ///< bytes of all attributes; -1 when it differs from DIE to DIE
  uint32_t first = 0;      ///< into AbbrevTable::specs
  uint32_t count = 0;
};

/// Size of a form's value, -1 when it has to be decoded, nullopt for unknown forms (DW_FORM_indirect among
/// them: no compiler writes it).
std::optional<int8_t> form_size(uint64_t form, const UnitHeader& header) {
  switch (form) {
    case DW_FORM_flag_present:
    case DW_FORM_implicit_const:
      return 0;
    case DW_FORM_data1:
    case DW_FORM_ref1:
    case DW_FORM_flag:
    case DW_FORM_strx1:
    case DW_FORM_addrx1:
      return 1;
    case DW_FORM_data2:
    case DW_FORM_ref2:
    case DW_FORM_strx2:
    case DW_FORM_addrx2:
      return 2;
    case DW_FORM_strx3:
    case DW_FORM_addrx3:
      return 3;
    case DW_FORM_data4:
    case DW_FORM_ref4:
    case DW_FORM_strx4:
    case DW_FORM_addrx4:
    case DW_FORM_ref_sup4:
      return 4;
    case DW_FORM_data8:
    case DW_FORM_ref8:
    case DW_FORM_ref_sig8:
    case DW_FORM_ref_sup8:
      return 8;
    case DW_FORM_data16:
      return 16;
    case DW_FORM_addr:
      return static_cast<int8_t>(header.address_size);
    case DW_FORM_ref_addr:
      return static_cast<int8_t>(header.version == 2 ? header.address_size : header.offset_size);
    case DW_FORM_strp:
    case DW_FORM_line_strp:
    case DW_FORM_sec_offset:
    case DW_FORM_strp_sup:
    case DW_FORM_GNU_ref_alt:
    case DW_FORM_GNU_strp_alt:
      return static_cast<int8_t>(header.offset_size);
    case DW_FORM_sdata:
    case DW_FORM_udata:
    case DW_FORM_ref_udata:
    case DW_FORM_string:
    case DW_FORM_block1:
    case DW_FORM_block2:
    case DW_FORM_block4:
    case DW_FORM_block:
    case DW_FORM_exprloc:
    case DW_FORM_strx:
    case DW_FORM_addrx:
    case DW_FORM_loclistx:
    case DW_FORM_rnglistx:
      return -1;
    default:
      return std::nullopt;
  }
}

class AbbrevTable {
 public:
  static std::optional<AbbrevTable> read(ByteSpan section, const UnitHeader& header) {
    AbbrevTable table;
    ByteCursor cursor(section, header.abbrev_offset);
    while (!cursor.failed()) {
      const uint64_t code = cursor.uleb();
      if (code == 0) break;
      const uint64_t tag = cursor.uleb();
      const uint8_t children = cursor.u8();
      if (code > table.abbrevs_.size() + kMaxAbbrevHoles || tag == 0 || tag > UINT16_MAX || children > 1)
        return std::nullopt;
      Abbrev abbrev{
          static_cast<uint16_t>(tag), children != 0, false, 0, static_cast<uint32_t>(table.specs_.size()), 0};
      while (true) {
        const uint64_t name = cursor.uleb();
        const uint64_t form = cursor.uleb();
        if (cursor.failed()) return std::nullopt;
        if (name == 0 && form == 0) break;
        const auto size = form_size(form, header);
        if (name > UINT16_MAX || !size) return std::nullopt;
        table.specs_.push_back({static_cast<uint16_t>(name), static_cast<uint16_t>(form), *size,
                                form == DW_FORM_implicit_const ? cursor.sleb() : 0});
        abbrev.count++;
        abbrev.has_sibling |= name == DW_AT_sibling;
        if (*size < 0 || abbrev.fixed_size < 0 || abbrev.fixed_size > 4096)
          abbrev.fixed_size = -1;
        else
          abbrev.fixed_size += *size;
      }
      if (table.abbrevs_.size() <= code) table.abbrevs_.resize(code + 1);
      if (table.abbrevs_[code].tag != 0) return std::nullopt;
      table.abbrevs_[code] = abbrev;
    }
    if (cursor.failed()) return std::nullopt;
    table.size_ = cursor.position() - header.abbrev_offset;
    return table;
  }

  const Abbrev* find(uint64_t code) const {
    return code < abbrevs_.size() && abbrevs_[code].tag != 0 ? &abbrevs_[code] : nullptr;
  }
  std::span<const AttributeSpec> specs(const Abbrev& abbrev) const {
    return std::span(specs_).subspan(abbrev.first, abbrev.count);
  }

  /// Bytes it takes in .debug_abbrev.
  uint64_t size() const { return size_; }

 private:
  uint64_t size_ = 0;
  std::vector<Abbrev> abbrevs_;
  std::vector<AttributeSpec> specs_;
};

/// Reads one value. Blocks are skipped (their value is their size), strings in place are given as `text`.
struct Value {
  uint64_t number = 0;
  std::string_view text;
};

Value read_value(ByteCursor& cursor, const AttributeSpec& spec) {
  switch (spec.form) {
    case DW_FORM_flag_present:
      return {1, {}};
    case DW_FORM_implicit_const:
      return {static_cast<uint64_t>(spec.implicit_const), {}};
    case DW_FORM_sdata:
      return {static_cast<uint64_t>(cursor.sleb()), {}};
    case DW_FORM_udata:
    case DW_FORM_ref_udata:
    case DW_FORM_strx:
    case DW_FORM_addrx:
    case DW_FORM_loclistx:
    case DW_FORM_rnglistx:
      return {cursor.uleb(), {}};
    case DW_FORM_string:
      return {0, cursor.c_string(cursor.left())};
    case DW_FORM_data16:
      cursor.skip(16);
      return {};
    case DW_FORM_block1:
    case DW_FORM_block2:
    case DW_FORM_block4:
    case DW_FORM_block:
    case DW_FORM_exprloc: {
      const uint64_t size = spec.form == DW_FORM_block1   ? cursor.u8()
                            : spec.form == DW_FORM_block2 ? cursor.u16()
                            : spec.form == DW_FORM_block4 ? cursor.u32()
                                                          : cursor.uleb();
      cursor.skip(size);
      return {size, {}};
    }
    default:
      return {cursor.unsigned_value(static_cast<unsigned>(spec.size)), {}};
  }
}

std::string_view string_value(const Value& value, uint16_t form, const DwarfSections& sections,
                              const UnitHeader& header, const UnitRoot& root) {
  switch (form) {
    case DW_FORM_string:
      return value.text.size() <= kMaxName ? value.text : std::string_view();
    case DW_FORM_strp:
      return string_at(sections.str, value.number, kMaxName);
    case DW_FORM_line_strp:
      return string_at(sections.line_str, value.number, kMaxName);
    case DW_FORM_strx:
    case DW_FORM_strx1:
    case DW_FORM_strx2:
    case DW_FORM_strx3:
    case DW_FORM_strx4: {
      if (value.number > sections.str_offsets.size()) return {};
      ByteCursor cursor(sections.str_offsets, root.str_offsets_base);
      cursor.skip(value.number * header.offset_size);
      const uint64_t offset = cursor.unsigned_value(header.offset_size);
      return cursor.failed() ? std::string_view() : string_at(sections.str, offset, kMaxName);
    }
    default:
      return {};
  }
}

bool is_indexed_address(uint16_t form) {
  return form == DW_FORM_addrx || (form >= DW_FORM_addrx1 && form <= DW_FORM_addrx4);
}

/// Offset from the start of the unit's section that a reference within the unit stands for; 0 for other
/// references.
uint64_t local_reference(const Value& value, uint16_t form, const UnitHeader& header) {
  switch (form) {
    case DW_FORM_ref1:
    case DW_FORM_ref2:
    case DW_FORM_ref4:
    case DW_FORM_ref8:
    case DW_FORM_ref_udata:
      return value.number < header.end - header.begin ? header.begin + value.number : 0;
    default:
      return 0;
  }
}

/// Decodes the root DIE's attributes. Bases come first: DW_AT_name may be an index that needs them.
UnitRoot decode_root(ByteCursor cursor, const AbbrevTable& abbrevs, const Abbrev& abbrev,
                     const DwarfSections& sections, const UnitHeader& header) {
  UnitRoot root;
  // Producers leave DW_AT_str_offsets_base and the like out only in split units, which have no header to skip
  // either.
  struct Seen {
    AttributeSpec spec;
    Value value;
  };
  std::vector<Seen> seen;
  for (const AttributeSpec& spec : abbrevs.specs(abbrev)) {
    const Value value = read_value(cursor, spec);
    switch (spec.name) {
      case DW_AT_str_offsets_base:
        root.str_offsets_base = value.number;
        break;
      case DW_AT_addr_base:
        root.addr_base = value.number;
        break;
      case DW_AT_rnglists_base:
        root.rnglists_base = value.number;
        break;
      default:
        seen.push_back({spec, value});
    }
  }
  std::optional<uint64_t> high;
  bool high_is_size = false;
  for (const auto& [spec, value] : seen) {
    switch (spec.name) {
      case DW_AT_name:
        root.name = string_value(value, spec.form, sections, header, root);
        break;
      case DW_AT_low_pc:
        root.low_pc = is_indexed_address(spec.form)
                          ? indexed_address(sections, header, root, value.number).value_or(0)
                          : value.number;
        break;
      case DW_AT_high_pc:
        high = value.number;
        high_is_size = spec.form != DW_FORM_addr && !is_indexed_address(spec.form);
        if (is_indexed_address(spec.form)) high = indexed_address(sections, header, root, value.number);
        break;
      case DW_AT_ranges:
        root.ranges = spec.form == DW_FORM_rnglistx ? range_list_offset(sections, header, root, value.number)
                                                    : std::optional(value.number);
        break;
      default:
        break;
    }
  }
  if (high) root.high_pc = high_is_size ? root.low_pc + *high : *high;
  return root;
}

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
    bool has_code = false;
    for (const AttributeSpec& spec : abbrevs.specs(abbrev)) {
      const Value value = read_value(cursor, spec);
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
        case DW_AT_low_pc:
        case DW_AT_ranges:
          has_code = true;
          break;
        default:
          break;
      }
    }
    if (abbrev.tag == DW_TAG_subprogram) {
      if (has_code) unit_.functions.push_back(offset);
      return;
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
    else if (top_level && (is_named_entity(abbrev->tag) || abbrev->tag == DW_TAG_subprogram))
      collector.add(cursor, offset, *abbrevs, *abbrev);
    first = false;

    uint64_t sibling = 0;
    if (abbrev->fixed_size >= 0 && !(abbrev->children && abbrev->has_sibling)) {
      cursor.skip(static_cast<uint64_t>(abbrev->fixed_size));
    } else {
      for (const AttributeSpec& spec : abbrevs->specs(*abbrev)) {
        const Value value = read_value(cursor, spec);
        if (spec.name != DW_AT_sibling) continue;
        sibling = local_reference(value, spec.form, header);
        if (sibling == 0) return std::nullopt;
      }
    }
    if (cursor.failed() || unit.entries.size() + unit.functions.size() > kMaxEntries) return std::nullopt;
    if (!abbrev->children) {
      if (sibling && sibling != cursor.position()) return std::nullopt;
      if (siblings.empty()) break;
    } else if (scan == UnitScan::kNames && top_level && sibling > cursor.position()) {
      cursor.skip(sibling - cursor.position());
    } else {
      if (siblings.size() >= kMaxDepth) return std::nullopt;
      siblings.push_back(sibling);
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
