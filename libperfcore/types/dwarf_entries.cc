// SPDX-License-Identifier: LGPL-2.1-or-later
#include "types/dwarf_entries.h"

// Constants only (DW_TAG_*, DW_AT_*, DW_FORM_*); the library itself is used in dwarf.cc.
#include <libdwarf/dwarf.h>

namespace perfcore {
namespace {

/// Compilers number abbreviations from 1 without holes; a table with more than these holes is damage.
constexpr uint64_t kMaxAbbrevHoles = 4096;

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

}  // namespace

std::optional<AbbrevTable> AbbrevTable::read(ByteSpan section, const UnitHeader& header) {
  AbbrevTable table;
  ByteCursor cursor(section, header.abbrev_offset);
  while (!cursor.failed()) {
    const uint64_t code = cursor.uleb();
    if (code == 0) break;
    const uint64_t tag = cursor.uleb();
    const uint8_t children = cursor.u8();
    if (code > table.abbrevs_.size() + kMaxAbbrevHoles || tag == 0 || tag > UINT16_MAX || children > 1)
      return std::nullopt;
    Abbrev abbrev;
    abbrev.tag = static_cast<uint16_t>(tag);
    abbrev.children = children != 0;
    abbrev.first = static_cast<uint32_t>(table.specs_.size());
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
      if (name == DW_AT_sibling) {
        abbrev.has_sibling = true;
        if (form == DW_FORM_ref4) abbrev.sibling_at = abbrev.fixed_size;
      }
      abbrev.has_code |= name == DW_AT_low_pc || name == DW_AT_ranges;
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

AttributeValue read_value(ByteCursor& cursor, const AttributeSpec& spec) {
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

std::optional<uint64_t> skip_attributes(ByteCursor& cursor, const AbbrevTable& abbrevs, const Abbrev& abbrev,
                                        const UnitHeader& header) {
  // Nearly all DIEs are of one size that the abbreviation tells, with the sibling at one place in it.
  if (abbrev.fixed_size >= 0 && (!abbrev.has_sibling || abbrev.sibling_at >= 0)) {
    const auto size = static_cast<uint64_t>(abbrev.fixed_size);
    if (!abbrev.has_sibling) {
      cursor.skip(size);
      return 0;
    }
    cursor.skip(static_cast<uint64_t>(abbrev.sibling_at));
    const uint64_t sibling = cursor.u32();
    cursor.skip(size - static_cast<uint64_t>(abbrev.sibling_at) - sizeof(uint32_t));
    if (sibling == 0 || sibling >= header.end - header.begin) return std::nullopt;
    return header.begin + sibling;
  }
  uint64_t sibling = 0;
  for (const AttributeSpec& spec : abbrevs.specs(abbrev)) {
    if (spec.size >= 0 && spec.name != DW_AT_sibling) {
      cursor.skip(static_cast<uint64_t>(spec.size));
      continue;
    }
    const AttributeValue value = read_value(cursor, spec);
    if (spec.name != DW_AT_sibling) continue;
    sibling = local_reference(value, spec.form, header);
    if (sibling == 0) return std::nullopt;
  }
  return sibling;
}

std::string_view string_value(const AttributeValue& value, uint16_t form, const DwarfSections& sections,
                              const UnitHeader& header, const UnitRoot& root) {
  switch (form) {
    case DW_FORM_string:
      return value.text.size() <= kMaxDwarfName ? value.text : std::string_view();
    case DW_FORM_strp:
      return string_at(sections.str, value.number, kMaxDwarfName);
    case DW_FORM_line_strp:
      return string_at(sections.line_str, value.number, kMaxDwarfName);
    case DW_FORM_strx:
    case DW_FORM_strx1:
    case DW_FORM_strx2:
    case DW_FORM_strx3:
    case DW_FORM_strx4: {
      if (value.number > sections.str_offsets.size()) return {};
      ByteCursor cursor(sections.str_offsets, root.str_offsets_base);
      cursor.skip(value.number * header.offset_size);
      const uint64_t offset = cursor.unsigned_value(header.offset_size);
      return cursor.failed() ? std::string_view() : string_at(sections.str, offset, kMaxDwarfName);
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
uint64_t local_reference(const AttributeValue& value, uint16_t form, const UnitHeader& header) {
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

namespace {

/// What the attributes of a DIE say about where its code is.
struct CodeAttributes {
  std::optional<uint64_t> low, high, ranges;
  bool high_is_size = false;

  void take(const AttributeSpec& spec, const AttributeValue& value, const DwarfSections& sections,
            const UnitHeader& header, const UnitRoot& root) {
    const auto address = [&] {
      return is_indexed_address(spec.form) ? indexed_address(sections, header, root, value.number)
                                           : std::optional(value.number);
    };
    switch (spec.name) {
      case DW_AT_low_pc:
        low = address();
        break;
      case DW_AT_high_pc:
        // An address, or since DWARF 4 a constant that is added.
        high = address();
        high_is_size = spec.form != DW_FORM_addr && !is_indexed_address(spec.form);
        break;
      case DW_AT_ranges:
        ranges = spec.form == DW_FORM_rnglistx ? range_list_offset(sections, header, root, value.number)
                                               : std::optional(value.number);
        break;
      default:
        break;
    }
  }

  uint64_t end() const { return !high ? 0 : high_is_size ? low.value_or(0) + *high : *high; }
};

}  // namespace

UnitRoot decode_root(ByteCursor cursor, const AbbrevTable& abbrevs, const Abbrev& abbrev,
                     const DwarfSections& sections, const UnitHeader& header) {
  // Bases come first: DW_AT_name may be an index that needs them. Producers leave DW_AT_str_offsets_base and
  // the like out only in split units, which have no header to skip either.
  UnitRoot root;
  const ByteCursor begin = cursor;
  for (const AttributeSpec& spec : abbrevs.specs(abbrev)) {
    const AttributeValue value = read_value(cursor, spec);
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
        break;
    }
  }
  cursor = begin;
  CodeAttributes code;
  for (const AttributeSpec& spec : abbrevs.specs(abbrev)) {
    const AttributeValue value = read_value(cursor, spec);
    if (spec.name == DW_AT_name) root.name = string_value(value, spec.form, sections, header, root);
    code.take(spec, value, sections, header, root);
  }
  root.low_pc = code.low.value_or(0);
  root.high_pc = code.end();
  root.ranges = code.ranges;
  return root;
}

std::vector<UnitRange> code_of(ByteCursor cursor, const AbbrevTable& abbrevs, const Abbrev& abbrev,
                               const DwarfSections& sections, const UnitHeader& header,
                               const UnitRoot& root) {
  CodeAttributes code;
  for (const AttributeSpec& spec : abbrevs.specs(abbrev))
    code.take(spec, read_value(cursor, spec), sections, header, root);
  if (cursor.failed()) return {};
  if (code.ranges) return read_ranges(sections, header, root, *code.ranges);
  if (!code.low || code.end() <= *code.low) return {};
  return {{*code.low, code.end(), header.begin}};
}

}  // namespace perfcore
