// SPDX-License-Identifier: LGPL-2.1-or-later
#include <algorithm>

#include "perfcore/types.h"

namespace perfcore {
namespace {

/// C allows no deeper nesting in practice; corrupt debug information could loop.
constexpr int kMaxDepth = 64;

const Type* skip_aliases(const Type* type) {
  for (int depth = 0; type && depth < kMaxDepth; depth++) {
    switch (type->kind) {
      case TypeKind::kTypedef:
      case TypeKind::kConst:
      case TypeKind::kVolatile:
      case TypeKind::kRestrict:
        type = type->target();
        break;
      default:
        return type;
    }
  }
  return nullptr;
}

/// Anonymous members make a search branch; with corrupt debug information, that contain each other, without
/// end. No type of the kernel needs more than some hundred steps.
constexpr int kMaxSteps = 100'000;

std::optional<MemberLocation> find_direct(const Type* type, std::string_view name, int depth, int* steps) {
  type = type ? skip_aliases(type) : nullptr;
  if (!type || depth > kMaxDepth) return std::nullopt;
  if (type->kind == TypeKind::kForward) type = type->source->complete(type);
  if (!type || !type->is_aggregate()) return std::nullopt;
  for (const Member& member : type->members()) {
    if (--*steps < 0) return std::nullopt;
    if (!member.name.empty()) {
      if (member.name == name)
        return MemberLocation{type->member_type(member), member.bit_offset, member.bit_size};
      continue;
    }
    if (auto inner = find_direct(type->member_type(member), name, depth + 1, steps)) {
      inner->bit_offset += member.bit_offset;
      return inner;
    }
  }
  return std::nullopt;
}

/// Appends the innermost members of `type` that cover the byte at `offset`, as paths that start with
/// `prefix`.
void collect_members_at(const Type* type, uint64_t offset, const std::string& prefix, int depth, int* steps,
                        std::vector<std::string>* out) {
  type = type ? skip_aliases(type) : nullptr;
  if (!type || depth > kMaxDepth) return;
  if (type->kind == TypeKind::kArray) {
    const Type* element = type->target();
    if (!element || element->size == 0) return;
    collect_members_at(element, offset % element->size,
                       prefix + "[" + std::to_string(offset / element->size) + "]", depth + 1, steps, out);
    return;
  }
  if (!type->is_aggregate()) {
    if (!prefix.empty()) out->push_back(prefix);
    return;
  }
  for (const Member& member : type->members()) {
    if (--*steps < 0) return;
    const Type* member_type = type->member_type(member);
    if (!member_type) continue;
    const uint64_t begin = member.bit_offset / 8;
    const uint64_t end =
        member.bit_size ? (member.bit_offset + member.bit_size + 7) / 8 : begin + member_type->size;
    if (offset < begin || offset >= end) continue;
    std::string name = prefix;
    if (!member.name.empty()) name += (prefix.empty() ? "" : ".") + member.name;
    collect_members_at(member_type, offset - begin, name, depth + 1, steps, out);
  }
}

/// `depth` bounds what corrupt debug information could make endless.
std::string describe(const Type* type, int depth) {
  if (!type || depth > kMaxDepth) return "?";
  const auto tag = [&](const char* keyword) {
    return keyword + (type->name.empty() ? " {...}" : " " + type->name);
  };
  switch (type->kind) {
    case TypeKind::kVoid:
      return "void";
    case TypeKind::kArray: {
      // The outermost dimension is written first, behind the type of the elements.
      std::string dimensions;
      for (; type && type->kind == TypeKind::kArray && depth <= kMaxDepth; depth++) {
        dimensions += type->count ? "[" + std::to_string(type->count) + "]" : "[]";
        type = type->target();
      }
      return describe(type, depth + 1) + dimensions;
    }
    case TypeKind::kPointer: {
      const std::string inner = describe(type->target(), depth + 1);
      return inner + (inner.ends_with('*') ? "*" : " *");
    }
    case TypeKind::kForward:
      return tag(type->declared_union ? "union" : "struct");
    case TypeKind::kStruct:
      return tag("struct");
    case TypeKind::kUnion:
      return tag("union");
    case TypeKind::kEnum:
      return tag("enum");
    case TypeKind::kConst:
    case TypeKind::kVolatile: {
      // A qualifier of a pointer stands behind its asterisk.
      const std::string qualifier = type->kind == TypeKind::kConst ? "const" : "volatile";
      const std::string inner = describe(type->target(), depth + 1);
      return inner.ends_with('*') ? inner + qualifier : qualifier + " " + inner;
    }
    case TypeKind::kRestrict:
      return describe(type->target(), depth + 1) + "restrict";
    case TypeKind::kFunction:
      return "function";
    default:
      return type->name.empty() ? "?" : type->name;
  }
}

}  // namespace

const Type* Type::target() const {
  switch (kind) {
    case TypeKind::kPointer:
    case TypeKind::kArray:
    case TypeKind::kTypedef:
    case TypeKind::kConst:
    case TypeKind::kVolatile:
    case TypeKind::kRestrict:
      return source->resolve(target_id);
    default:
      return nullptr;
  }
}

const std::vector<Member>& Type::members() const {
  if (!members_) members_ = is_aggregate() ? source->load_members(*this) : std::vector<Member>{};
  return *members_;
}

const Type* Type::member_type(const Member& member) const {
  return source->resolve(member.type_id);
}

const std::vector<Enumerator>& Type::enumerators() const {
  if (!enumerators_)
    enumerators_ = kind == TypeKind::kEnum ? source->load_enumerators(*this) : std::vector<Enumerator>{};
  return *enumerators_;
}

const Type* Type::strip() const {
  return skip_aliases(this);
}

std::string Type::to_string() const {
  return describe(this, 0);
}

const Type* TypeSource::complete(const Type* type) {
  if (!type || type->kind != TypeKind::kForward) return type;
  for (TypeKind kind : {TypeKind::kStruct, TypeKind::kUnion, TypeKind::kEnum})
    if (const Type* found = find(kind, type->name)) return found;
  return nullptr;
}

std::optional<Prototype> TypeSource::prototype(std::string_view, uint64_t) {
  return std::nullopt;
}

std::optional<Prototype> TypeSource::signature(const Type&) {
  return std::nullopt;
}

void TypeSource::for_each_name(const std::function<void(TypeKind, std::string_view)>&) {}

std::optional<MemberLocation> TypeSource::find_member(const Type* type, std::string_view path) {
  MemberLocation here{type, 0, 0};
  while (!path.empty()) {
    if (path.front() == '[') {
      const size_t close = path.find(']');
      const Type* array = here.type ? skip_aliases(here.type) : nullptr;
      if (close == std::string_view::npos || close < 2 || !array || array->kind != TypeKind::kArray)
        return std::nullopt;
      uint64_t index = 0;
      for (char c : path.substr(1, close - 1)) {
        if (c < '0' || c > '9' || index > UINT32_MAX) return std::nullopt;
        index = index * 10 + static_cast<uint64_t>(c - '0');
      }
      const Type* element = array->target();
      if (!element || (array->count && index >= array->count)) return std::nullopt;
      uint64_t offset = 0;  // in bits
      if (__builtin_mul_overflow(index, element->size, &offset) ||
          __builtin_mul_overflow(offset, uint64_t{8}, &offset))
        return std::nullopt;
      here = {element, here.bit_offset + offset, 0};
      path.remove_prefix(close + 1);
    } else {
      if (path.front() == '.') path.remove_prefix(1);
      const size_t end = std::min(path.find_first_of(".["), path.size());
      int steps = kMaxSteps;
      auto found = find_direct(here.type, path.substr(0, end), 0, &steps);
      if (!found) return std::nullopt;
      found->bit_offset += here.bit_offset;
      here = *found;
      path.remove_prefix(end);
    }
  }
  return here;
}

std::vector<std::string> TypeSource::members_at(const Type* type, uint64_t offset) {
  std::vector<std::string> names;
  int steps = kMaxSteps;
  collect_members_at(type, offset, "", 0, &steps, &names);
  return names;
}

}  // namespace perfcore
