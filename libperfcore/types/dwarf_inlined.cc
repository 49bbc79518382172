// SPDX-License-Identifier: LGPL-2.1-or-later
#include "types/dwarf_inlined.h"

// Constants only (DW_TAG_*, DW_AT_*, DW_FORM_*); the library itself is used in dwarf.cc.
#include <libdwarf/dwarf.h>

#include <algorithm>

namespace perfcore {
namespace {

constexpr size_t kMaxFunctions = 1'000'000;
/// Deeper than inlining and blocks go in any kernel.
constexpr size_t kMaxDepth = 1024;

}  // namespace

std::unique_ptr<UnitCode> UnitCode::open(const DwarfSections& sections, uint64_t offset) {
  const auto header = read_unit_header(sections.info, offset);
  auto abbrevs = header ? AbbrevTable::read(sections.abbrev, *header) : std::nullopt;
  if (!abbrevs) return nullptr;
  ByteCursor cursor(sections.info.first(header->end), header->first_die);
  const Abbrev* abbrev = abbrevs->find(cursor.uleb());
  if (!abbrev) return nullptr;
  std::unique_ptr<UnitCode> code(new UnitCode(sections, *header, std::move(*abbrevs)));
  const Abbrev& root = *code->abbrevs_.find(ByteCursor(sections.info, header->first_die).uleb());
  code->root_ = decode_root(cursor, code->abbrevs_, root, sections, *header);
  if (root.children && skip_attributes(cursor, code->abbrevs_, root, *header)) code->list_functions(cursor);
  return code;
}

void UnitCode::list_functions(ByteCursor cursor) {
  size_t depth = 1;
  while (depth > 0 && !cursor.at_end() && functions_.size() < kMaxFunctions) {
    const uint64_t offset = cursor.position();
    const uint64_t number = cursor.uleb();
    if (number == 0) {
      depth--;
      continue;
    }
    const Abbrev* abbrev = abbrevs_.find(number);
    if (!abbrev) return;
    if (depth == 1 && abbrev->tag == DW_TAG_subprogram && abbrev->has_code)
      for (const UnitRange& range : code_of(cursor, abbrevs_, *abbrev, sections_, header_, root_))
        functions_.push_back({range.begin, range.end, offset});
    const auto sibling = skip_attributes(cursor, abbrevs_, *abbrev, header_);
    if (!sibling || cursor.failed()) return;
    if (!abbrev->children) continue;
    // Forward only: a damaged sibling cannot make a loop.
    if (*sibling > cursor.position())
      cursor.skip(*sibling - cursor.position());
    else
      depth++;
  }
}

const UnitCode::Function* UnitCode::function_at(uint64_t address) const {
  const auto found = std::find_if(functions_.begin(), functions_.end(),
                                  [&](const Function& f) { return address >= f.begin && address < f.end; });
  return found == functions_.end() ? nullptr : &*found;
}

ByteCursor UnitCode::cursor_at(uint64_t die) const {
  const ByteSpan unit = sections_.info.first(header_.end);
  return ByteCursor(unit, die < header_.first_die ? unit.size() : die);
}

std::vector<uint64_t> UnitCode::inlined_at(uint64_t address) const {
  std::vector<uint64_t> calls;
  const Function* function = function_at(address);
  if (!function) return calls;
  ByteCursor cursor = cursor_at(function->die);
  const Abbrev* abbrev = abbrevs_.find(cursor.uleb());
  if (!abbrev || !abbrev->children || !skip_attributes(cursor, abbrevs_, *abbrev, header_)) return calls;

  // `inside` is how many of the scopes around the cursor contain the address; a scope that does not is passed
  // over, and behind one that does nothing more can be found on its level.
  size_t inside = 1;
  size_t depth = 1;
  while (depth >= inside && !cursor.at_end() && depth < kMaxDepth) {
    const uint64_t number = cursor.uleb();
    if (number == 0) {
      depth--;
      continue;
    }
    abbrev = abbrevs_.find(number);
    if (!abbrev) break;
    const bool scope = abbrev->tag == DW_TAG_inlined_subroutine || abbrev->tag == DW_TAG_lexical_block;
    bool contains = false;
    if (scope && depth == inside && abbrev->has_code) {
      const auto code = code_of(cursor, abbrevs_, *abbrev, sections_, header_, root_);
      contains = std::any_of(code.begin(), code.end(), [&](const UnitRange& range) {
        return address >= range.begin && address < range.end;
      });
    }
    if (contains && abbrev->tag == DW_TAG_inlined_subroutine) {
      ByteCursor attributes = cursor;
      for (const AttributeSpec& spec : abbrevs_.specs(*abbrev)) {
        const AttributeValue value = read_value(attributes, spec);
        if (spec.name == DW_AT_abstract_origin) calls.push_back(reference(value, spec.form));
      }
    }
    const auto sibling = skip_attributes(cursor, abbrevs_, *abbrev, header_);
    if (!sibling || cursor.failed()) break;
    if (!abbrev->children) {
      if (contains) break;
      continue;
    }
    if (contains)
      inside = ++depth;
    else if (*sibling > cursor.position())
      cursor.skip(*sibling - cursor.position());
    else
      depth++;
  }
  return calls;
}

uint64_t UnitCode::reference(const AttributeValue& value, uint16_t form) const {
  return form == DW_FORM_ref_addr ? value.number : local_reference(value, form, header_);
}

UnitCode::Name UnitCode::name_of(uint64_t die) const {
  Name name;
  ByteCursor cursor = cursor_at(die);
  const Abbrev* abbrev = abbrevs_.find(cursor.uleb());
  if (!abbrev || cursor.failed() || abbrev->tag != DW_TAG_subprogram) return name;
  for (const AttributeSpec& spec : abbrevs_.specs(*abbrev)) {
    const AttributeValue value = read_value(cursor, spec);
    if (spec.name == DW_AT_name) name.text = string_value(value, spec.form, sections_, header_, root_);
    if (spec.name == DW_AT_abstract_origin || spec.name == DW_AT_specification)
      name.elsewhere = reference(value, spec.form);
  }
  return cursor.failed() ? Name() : name;
}

}  // namespace perfcore
