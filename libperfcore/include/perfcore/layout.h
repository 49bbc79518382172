// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// How a type lies in memory: members, holes, bit-fields and padding, as far as the debug information says.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "perfcore/kernel.h"
#include "perfcore/types.h"

namespace perfcore {

inline constexpr uint64_t kCacheLine = 64;  ///< bytes; x86-64

/// A member, or a place that no member takes.
struct LayoutEntry {
  enum class Kind {
    kMember,
    kHole,     ///< between two members; `bit_size` bits, whole bytes or the rest of one behind a bit-field
    kPadding,  ///< behind the last member
  };
  Kind kind = Kind::kMember;
  std::string name;            ///< empty for holes and for anonymous structs and unions
  const Type* type = nullptr;  ///< of a member; may be nullptr where the debug information is damaged
  uint64_t bit_offset = 0;     ///< from the start of the outermost type
  uint64_t bit_size = 0;
  bool bit_field = false;
  /// Members of a struct or union without a tag, which is declared right here.
  std::vector<LayoutEntry> members;

  uint64_t offset() const { return bit_offset / 8; }
  /// Bytes that it touches.
  uint64_t size() const { return (bit_offset % 8 + bit_size + 7) / 8; }
};

struct Layout {
  const Type* type = nullptr;  ///< complete, without typedefs and qualifiers
  uint64_t size = 0;           ///< bytes
  std::vector<LayoutEntry> entries;
  size_t members = 0;  ///< named ones, those of nested anonymous types included
  size_t holes = 0;    ///< of whole bytes
  uint64_t hole_bytes = 0;
  size_t bit_holes = 0;
  uint64_t bit_hole_bits = 0;
  uint64_t padding_bytes = 0;  ///< at the end of the type itself
  uint64_t cache_lines() const { return (size + kCacheLine - 1) / kCacheLine; }
};

/// The layout of a struct or union; of other types only type and size. Nesting and number of entries are
/// bounded against damaged debug information.
Layout layout_of(const Type* type);

/// A declaration as C writes it: declare(type, "events") is "struct perf_event *events[64]", with the
/// parameters of pointers to functions where they are known. Array dimensions are multiplied, since BTF keeps
/// their product only: int[2][3] is "int x[6]" by either source. A struct, union or enum without a tag is
/// "struct".
std::string declare(const Type* type, std::string_view name);

/// What a user means by a name such as "struct perf_event", "perf_event", "u64", "perf_event.hw.idx",
/// "cpu_hw_events.events[3]".
struct NamedType {
  std::string name;             ///< as given, without the member
  const Type* outer = nullptr;  ///< the type of that name
  std::string member;           ///< path; empty without one
  MemberLocation location;      ///< of the member; of the type itself without one
};

/// Finds a type or a member of one. A name without struct, union or enum is looked for as each of them and as
/// a typedef. Throws std::invalid_argument where there is none; the message names the nearest names there
/// are.
NamedType find_named_type(Kernel& kernel, std::string_view name);

}  // namespace perfcore
