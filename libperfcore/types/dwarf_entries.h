// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// Abbreviations and attribute values of DWARF 2 to 5, decoded with every byte checked: what the scan of a
/// unit (dwarf_unit.h) and the search for inlined calls (dwarf_inlined.h) share.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "types/dwarf_file.h"
#include "types/dwarf_unit.h"

namespace perfcore {

/// Longer names are not C identifiers but damage; paths of source files fit as well.
inline constexpr size_t kMaxDwarfName = 4096;

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
  bool has_code = false;   ///< DW_AT_low_pc or DW_AT_ranges
  int32_t fixed_size = 0;  ///< bytes of all attributes; -1 when it differs from DIE to DIE
  int32_t sibling_at =
      -1;              ///< bytes from the first attribute to a four-byte DW_AT_sibling; -1 when not known
  uint32_t first = 0;  ///< into the table's attribute specifications
  uint32_t count = 0;
};

/// The abbreviations of one unit.
class AbbrevTable {
 public:
  /// nullopt when anything in the table is malformed or of an unknown form.
  static std::optional<AbbrevTable> read(ByteSpan section, const UnitHeader& header);

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

/// The value of an attribute. Blocks are skipped (their value is their size), strings in place are given as
/// `text`.
struct AttributeValue {
  uint64_t number = 0;
  std::string_view text;
};

AttributeValue read_value(ByteCursor& cursor, const AttributeSpec& spec);
/// Moves over the attributes of a DIE. Returns the value of DW_AT_sibling as an offset in .debug_info, 0 when
/// there is none; nullopt when it refers to nowhere in the unit.
std::optional<uint64_t> skip_attributes(ByteCursor& cursor, const AbbrevTable& abbrevs, const Abbrev& abbrev,
                                        const UnitHeader& header);
/// The string that an attribute of any string form stands for; empty for other forms and bad offsets.
std::string_view string_value(const AttributeValue& value, uint16_t form, const DwarfSections& sections,
                              const UnitHeader& header, const UnitRoot& root);
/// Offset in .debug_info that a reference within the unit stands for; 0 for other references.
uint64_t local_reference(const AttributeValue& value, uint16_t form, const UnitHeader& header);
/// Whether a form gives an index into .debug_addr.
bool is_indexed_address(uint16_t form);
/// Decodes the attributes of a unit's own DIE, which the cursor is at.
UnitRoot decode_root(ByteCursor cursor, const AbbrevTable& abbrevs, const Abbrev& abbrev,
                     const DwarfSections& sections, const UnitHeader& header);
/// [begin, end) of a DIE's code, by DW_AT_ranges or DW_AT_low_pc and DW_AT_high_pc; the cursor is at its
/// first attribute.
std::vector<UnitRange> code_of(ByteCursor cursor, const AbbrevTable& abbrevs, const Abbrev& abbrev,
                               const DwarfSections& sections, const UnitHeader& header, const UnitRoot& root);

}  // namespace perfcore
