// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// One DWARF unit at a time, without libdwarf: finding it, checking every byte of it, and listing what it
/// defines. libdwarf 20210528 sees only units that scan_unit() accepted, and of those only DIEs that start
/// where scan_unit() saw one start, so that damaged debug information does not reach its parser.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "types/dwarf_file.h"

namespace perfcore {

/// The sections that units refer to.
struct DwarfSections {
  ByteSpan info, abbrev, str, line_str, str_offsets, addr, ranges, rnglists;
};

/// Header of a unit in .debug_info (DWARF 5 section 7.5.1). Offsets are from the start of the section.
struct UnitHeader {
  uint64_t begin = 0;
  uint64_t end = 0;
  uint64_t abbrev_offset = 0;
  uint64_t first_die = 0;
  uint64_t type_signature = 0;  ///< type units only
  uint64_t type_die = 0;        ///< type units only
  uint16_t version = 0;         ///< 2 to 5
  uint8_t unit_type = 0;        ///< DW_UT_*; DW_UT_compile before DWARF 5
  uint8_t address_size = 8;
  uint8_t offset_size = 4;  ///< 8 for 64-bit DWARF
};

/// nullopt when there is no good unit at `offset`.
std::optional<UnitHeader> read_unit_header(ByteSpan info, uint64_t offset);

/// Link-time addresses [begin, end) and the unit whose code lies there.
struct UnitRange {
  uint64_t begin = 0;
  uint64_t end = 0;
  uint64_t unit = 0;  ///< offset of its header in .debug_info
};

/// All of .debug_aranges; sets that make no sense are skipped. Empty when the compiler wrote none (clang).
std::vector<UnitRange> read_aranges(ByteSpan aranges);

/// What the DIE of a unit itself says.
struct UnitRoot {
  std::string_view name;           ///< path of the source file as the compiler got it
  uint64_t low_pc = 0;             ///< base of the unit's range lists
  uint64_t high_pc = 0;            ///< one past the last byte; 0 when absent
  std::optional<uint64_t> ranges;  ///< offset in .debug_ranges or .debug_rnglists
  uint64_t str_offsets_base = 0;
  uint64_t addr_base = 0;
  uint64_t rnglists_base = 0;
};

/// A named type or variable at the top level of a unit.
struct UnitEntry {
  std::string_view name;
  uint64_t offset = 0;  ///< of the DIE, from the start of .debug_info
  uint16_t tag = 0;
  bool declaration = false;
};

struct Unit {
  UnitHeader header;
  UnitRoot root;
  std::vector<UnitEntry> entries;  ///< in file order
  std::vector<bool> die_starts;    ///< by byte from header.begin: a DIE starts here

  bool has_die(uint64_t offset) const {
    return offset >= header.begin && offset < header.end && die_starts[offset - header.begin];
  }
};

/// Reads the unit's own DIE only.
std::optional<UnitRoot> read_unit_root(const DwarfSections& sections, const UnitHeader& header);

enum class UnitScan {
  kAll,    ///< every DIE is decoded and checked
  kNames,  ///< children of top-level DIEs are passed over: Unit::die_starts stays empty, nothing may be read
           ///< by it
};

/// Decodes a unit: nullopt when anything in it is malformed (an abbreviation or form that does not exist, a
/// DIE beyond the end, unbalanced children, a sibling that is not the next one). Adds to `work`, if given,
/// the bytes it went through, so that a caller who tries many units can stop.
std::optional<Unit> scan_unit(const DwarfSections& sections, const UnitHeader& header, UnitScan scan,
                              uint64_t* work = nullptr);

/// The ranges of a DW_AT_ranges list at `offset` in .debug_rnglists (DWARF 5) or .debug_ranges; what is
/// malformed ends the list.
std::vector<UnitRange> read_ranges(const DwarfSections& sections, const UnitHeader& header,
                                   const UnitRoot& root, uint64_t offset);
/// The offset that DW_FORM_rnglistx number `index` stands for.
std::optional<uint64_t> range_list_offset(const DwarfSections& sections, const UnitHeader& header,
                                          const UnitRoot& root, uint64_t index);
/// The address that DW_FORM_addrx number `index` stands for.
std::optional<uint64_t> indexed_address(const DwarfSections& sections, const UnitHeader& header,
                                        const UnitRoot& root, uint64_t index);

}  // namespace perfcore
