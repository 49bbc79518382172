// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// Types made up in a test.
#pragma once

#include <deque>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "perfcore/types.h"

namespace perfcore::test {

class FakeTypes : public TypeSource {
 public:
  const Type* integer(std::string name, uint64_t size) { return add(TypeKind::kInt, std::move(name), size); }
  const Type* pointer(const Type* target) {
    Type* type = add(TypeKind::kPointer, "", 8);
    type->target_id = target->id;
    return type;
  }
  const Type* array(const Type* element, uint64_t count) {
    Type* type = add(TypeKind::kArray, "", element->size * count);
    type->target_id = element->id;
    type->count = count;
    return type;
  }
  /// A struct or union without members yet.
  const Type* aggregate(TypeKind kind, std::string name, uint64_t size) {
    return add(kind, std::move(name), size);
  }
  void member(const Type* of, std::string name, uint64_t offset, const Type* type) {
    members_[of->id].push_back({std::move(name), offset * 8, 0, type->id});
  }

  void bit_field(const Type* of, std::string name, uint64_t bit_offset, uint32_t bits, const Type* type) {
    members_[of->id].push_back({std::move(name), bit_offset, bits, type->id});
  }
  void prototype(std::string function, const Type* result, std::vector<const Type*> parameters) {
    prototypes_[std::move(function)] = {result, std::move(parameters)};
  }

  std::string_view source() const override { return "fake"; }
  const Type* find(TypeKind kind, std::string_view name) override {
    for (const Type& type : types_)
      if (type.kind == kind && type.name == name) return &type;
    return nullptr;
  }
  const Type* variable(std::string_view) override { return nullptr; }
  std::optional<uint64_t> percpu_offset(std::string_view) override { return std::nullopt; }
  std::optional<Prototype> prototype(std::string_view name, uint64_t) override {
    const auto found = prototypes_.find(name);
    return found == prototypes_.end() ? std::nullopt : std::optional(found->second);
  }
  const Type* resolve(uint64_t id) override {
    return id > 0 && id <= types_.size() ? &types_[id - 1] : nullptr;
  }

 protected:
  std::vector<Member> load_members(const Type& type) override { return members_[type.id]; }
  std::vector<Enumerator> load_enumerators(const Type&) override { return {}; }

 private:
  Type* add(TypeKind kind, std::string name, uint64_t size) {
    Type& type = types_.emplace_back();
    type.kind = kind;
    type.name = std::move(name);
    type.size = size;
    type.source = this;
    type.id = types_.size();
    return &type;
  }

  std::map<std::string, Prototype, std::less<>> prototypes_;
  std::deque<Type> types_;
  std::map<uint64_t, std::vector<Member>> members_;
};

}  // namespace perfcore::test
