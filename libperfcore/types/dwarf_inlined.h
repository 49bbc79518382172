// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// Which functions have code in a unit, and which calls are inlined at an address, by reading no more of the
/// unit than the DIEs at its top level and those of the one function: a stack passes through a dozen units,
/// and checking each of them whole, as types need it, costs more than everything else in a triage.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "types/dwarf_entries.h"
#include "types/dwarf_unit.h"

namespace perfcore {

/// The code of one unit. Keeps references to the sections given. One thread at a time.
class UnitCode {
 public:
  /// nullptr when the unit's header, abbreviations or own DIE are malformed. A DIE that is malformed ends
  /// what is known of the unit there.
  static std::unique_ptr<UnitCode> open(const DwarfSections& sections, uint64_t offset);

  struct Function {
    uint64_t begin = 0;  ///< link-time addresses
    uint64_t end = 0;
    uint64_t die = 0;  ///< from the start of .debug_info
  };
  /// In file order; a function that was split has several.
  const std::vector<Function>& functions() const { return functions_; }
  const Function* function_at(uint64_t address) const;

  /// The calls inlined at a link-time address, the outermost first: DIEs of the functions that were inlined,
  /// from the start of .debug_info.
  std::vector<uint64_t> inlined_at(uint64_t address) const;

  /// What a DIE of this unit says about the name of a function: the name, or the DIE that has it.
  struct Name {
    std::string_view text;
    uint64_t elsewhere = 0;  ///< from the start of .debug_info, perhaps in another unit; 0 for none
  };
  Name name_of(uint64_t die) const;

  const UnitHeader& header() const { return header_; }

 private:
  UnitCode(const DwarfSections& sections, const UnitHeader& header, AbbrevTable abbrevs)
      : sections_(sections), header_(header), abbrevs_(std::move(abbrevs)) {}
  void list_functions(ByteCursor cursor);
  ByteCursor cursor_at(uint64_t die) const;
  /// What a reference of any form but a type signature refers to.
  uint64_t reference(const AttributeValue& value, uint16_t form) const;

  const DwarfSections& sections_;
  UnitHeader header_;
  AbbrevTable abbrevs_;
  UnitRoot root_;
  std::vector<Function> functions_;
};

}  // namespace perfcore
