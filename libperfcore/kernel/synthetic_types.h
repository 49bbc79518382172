// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <deque>
#include <map>
#include <string>
#include <utility>

#include "perfcore/types.h"

namespace perfcore {

/// Types that no debug information needs to hold: C's integers, and pointers to and arrays of other types.
class SyntheticTypes : public TypeSource {
 public:
  SyntheticTypes();

  std::string_view source() const override { return "built in"; }
  /// Integers by C name ("unsigned long", "u64", "char", "void").
  const Type* find(TypeKind kind, std::string_view name) override;
  const Type* variable(std::string_view) override { return nullptr; }
  std::optional<uint64_t> percpu_offset(std::string_view) override { return std::nullopt; }
  const Type* resolve(uint64_t id) override;

  const Type* pointer_to(const Type* target);
  /// `count` 0: of unknown length.
  const Type* array_of(const Type* element, uint64_t count);

 protected:
  std::vector<Member> load_members(const Type&) override { return {}; }
  std::vector<Enumerator> load_enumerators(const Type&) override { return {}; }

 private:
  Type* add(TypeKind kind, std::string name, uint64_t size);
  uint64_t target_id(const Type* target);

  std::deque<Type> types_;
  std::deque<const Type*> targets_;  // by id - 1; id 0 is void
  std::map<std::string, const Type*, std::less<>> integers_;
  std::map<const Type*, const Type*> pointers_;
  std::map<std::pair<const Type*, uint64_t>, const Type*> arrays_;
};

}  // namespace perfcore
