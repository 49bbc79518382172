// SPDX-License-Identifier: LGPL-2.1-or-later
#include "kernel/synthetic_types.h"

namespace perfcore {

SyntheticTypes::SyntheticTypes() {
  integers_["void"] = add(TypeKind::kVoid, "void", 0);
  const struct {
    const char* name;
    uint64_t size;
    IntEncoding encoding;
  } integers[] = {
      {"char", 1, IntEncoding::kChar},
      {"signed char", 1, IntEncoding::kSigned},
      {"unsigned char", 1, IntEncoding::kUnsigned},
      {"short", 2, IntEncoding::kSigned},
      {"unsigned short", 2, IntEncoding::kUnsigned},
      {"int", 4, IntEncoding::kSigned},
      {"unsigned int", 4, IntEncoding::kUnsigned},
      {"unsigned", 4, IntEncoding::kUnsigned},
      {"long", 8, IntEncoding::kSigned},
      {"unsigned long", 8, IntEncoding::kUnsigned},
      {"long long", 8, IntEncoding::kSigned},
      {"unsigned long long", 8, IntEncoding::kUnsigned},
      {"_Bool", 1, IntEncoding::kBool},
      {"bool", 1, IntEncoding::kBool},
      {"u8", 1, IntEncoding::kUnsigned},
      {"u16", 2, IntEncoding::kUnsigned},
      {"u32", 4, IntEncoding::kUnsigned},
      {"u64", 8, IntEncoding::kUnsigned},
      {"s8", 1, IntEncoding::kSigned},
      {"s16", 2, IntEncoding::kSigned},
      {"s32", 4, IntEncoding::kSigned},
      {"s64", 8, IntEncoding::kSigned},
      {"size_t", 8, IntEncoding::kUnsigned},
  };
  for (const auto& integer : integers) {
    Type* type = add(TypeKind::kInt, integer.name, integer.size);
    type->encoding = integer.encoding;
    integers_[integer.name] = type;
  }
}

Type* SyntheticTypes::add(TypeKind kind, std::string name, uint64_t size) {
  Type& type = types_.emplace_back();
  type.kind = kind;
  type.name = std::move(name);
  type.size = size;
  type.source = this;
  return &type;
}

uint64_t SyntheticTypes::target_id(const Type* target) {
  targets_.push_back(target);
  return targets_.size();
}

const Type* SyntheticTypes::find(TypeKind kind, std::string_view name) {
  if (kind != TypeKind::kInt && kind != TypeKind::kVoid) return nullptr;
  const auto found = integers_.find(name);
  return found == integers_.end() ? nullptr : found->second;
}

const Type* SyntheticTypes::resolve(uint64_t id) {
  return id >= 1 && id <= targets_.size() ? targets_[id - 1] : nullptr;
}

const Type* SyntheticTypes::pointer_to(const Type* target) {
  const Type*& pointer = pointers_[target];
  if (!pointer) {
    Type* type = add(TypeKind::kPointer, "", 8);
    type->target_id = target_id(target);
    pointer = type;
  }
  return pointer;
}

const Type* SyntheticTypes::array_of(const Type* element, uint64_t count) {
  const Type*& array = arrays_[{element, count}];
  if (!array) {
    Type* type = add(TypeKind::kArray, "", element->size * count);
    type->count = count;
    type->target_id = target_id(element);
    array = type;
  }
  return array;
}

}  // namespace perfcore
