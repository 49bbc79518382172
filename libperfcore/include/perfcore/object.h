// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// A typed value or place in the dead kernel's memory, with the expression that leads to it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "perfcore/memory.h"
#include "perfcore/reading.h"
#include "perfcore/types.h"

namespace perfcore {

class Kernel;

/// An lvalue (typed memory at an address), an rvalue (a number with a type) or an Unread: whatever is done to
/// an unread object gives an unread object again, so that a path can be written down in one go and asked
/// once: `kernel.per_cpu("cpu_hw_events", 1).member("event_list[0]").member("hw.state").u64()`. Nothing is
/// read before a value is asked for. Cheap to copy. Must not outlive its Kernel. One thread at a time.
class Object {
 public:
  /// An lvalue.
  Object(Kernel& kernel, const Type* type, uint64_t address, std::string expression);
  /// An rvalue.
  static Object of_value(Kernel& kernel, const Type* type, uint64_t value, std::string expression);
  static Object of_unread(Kernel& kernel, Unread unread);

  Kernel& kernel() const { return *kernel_; }
  /// nullptr for an unread object.
  const Type* type() const { return type_; }
  /// What `perfcore print` accepts to show this object again.
  const std::string& expression() const { return expression_; }
  /// Why there is no object; nullptr when there is one (its memory may still turn out to be unreadable).
  const Unread* unread() const { return std::get_if<Unread>(&place_); }

  /// Address of an lvalue; unread for rvalues.
  Reading<uint64_t> address() const;
  /// Bits of a bit-field in memory; 0 for everything else.
  uint32_t bit_field_size() const {
    const auto* location = std::get_if<Location>(&place_);
    return location ? location->bit_size : 0;
  }
  /// Where a bit-field starts in the byte at its address, 0 the least significant bit.
  uint8_t bit_offset() const {
    const auto* location = std::get_if<Location>(&place_);
    return location ? location->bit_offset : uint8_t{0};
  }

  /// Member by path, "hw.state" or "attr.config" or "events[2]"; pointers to structs are followed first, as
  /// -> does.
  Object member(std::string_view path) const;
  /// True when the (pointed-to) type has such a member; reads no memory.
  bool has_member(std::string_view path) const;
  /// Element of an array, or of what a pointer points to.
  Object index(int64_t i) const;
  /// What a pointer points to. A NULL pointer gives an unread object (kNullPointer).
  Object deref() const;
  /// An rvalue pointer to this lvalue.
  Object address_of() const;
  /// The same value or place seen as another type; expression "(type)expr" for rvalues and pointers.
  Object cast(const Type* type) const;
  Object cast(std::string_view type_name) const;
  /// The struct `type_name` that contains, as its member `path`, the object that this pointer points to.
  Object container_of(std::string_view type_name, std::string_view path) const;
  /// Element of a dynamic per-CPU pointer (alloc_percpu()) for one CPU: an lvalue of the pointed-to type.
  Object per_cpu_ptr(int cpu) const;

  /// The scalar, zero-extended: integers, enums, pointers, _Bool, bit-fields. Unread for other types.
  Reading<uint64_t> u64() const;
  /// The scalar, sign-extended when its type is signed.
  Reading<int64_t> s64() const;
  /// True when the scalar is not 0.
  Reading<bool> truth() const;
  /// A char array up to its NUL, or the string a char pointer points to; at most `max_size` bytes.
  Reading<std::string> string(size_t max_size = 4096) const;
  /// The object's bytes. At most 16 MiB.
  Reading<std::vector<std::byte>> bytes() const;

  /// Reads the object's memory once; members of the returned object are taken from those bytes.
  Object load() const;

 private:
  struct Location {
    uint64_t address = 0;
    uint8_t bit_offset = 0;  // within the byte at address
    uint32_t bit_size = 0;   // 0 unless a bit-field
    std::shared_ptr<const Snapshot> snapshot;
  };
  struct Value {
    uint64_t value = 0;
  };

  Object(Kernel& kernel, const Type* type, std::variant<Location, Value, Unread> place,
         std::string expression, std::string pointee_of = {});
  Object fail(UnreadReason reason, std::string detail, uint64_t address = 0) const;
  Object step(std::string_view name) const;
  Reading<uint64_t> scalar() const;
  std::optional<Unread> fetch(const Location& location, std::span<std::byte> out) const;

  Kernel* kernel_;
  const Type* type_ = nullptr;
  std::variant<Location, Value, Unread> place_;
  std::string expression_;
  std::string
      pointee_of_;  // expression of the pointer when made by following one: "p->m" reads better than "(*p).m"
  friend class Kernel;
};

/// A list walked to its end or to where it stopped; where it stopped at memory that cannot be read, the
/// entries that can be reached from the end backwards follow.
struct ListWalk {
  std::vector<Object> entries;
  std::optional<Unread> incomplete;  ///< unreadable link, cycle (kLimit) or a NULL next pointer
};

/// Entries of a struct list_head list. \param head lvalue list_head (or pointer to one); \param type_name
/// "struct perf_event"; \param link path of the list_head in it; \param max more entries than this are a
/// corrupt list (kLimit).
ListWalk list_entries(const Object& head, std::string_view type_name, std::string_view link,
                      size_t max = 100000);

/// An expression in C's syntax over the kernel's objects: names, numbers, casts, . -> [] * & - ! ~ + - * / %
/// << >> & | ^ == != < > <= >= && ||, parentheses, per_cpu(name, cpu), per_cpu_ptr(pointer, cpu),
/// container_of(pointer, type, member), sizeof(type). Throws std::invalid_argument with the column when it is
/// not an expression; what cannot be read or found is an unread object. Nesting is bounded.
Object evaluate(Kernel& kernel, std::string_view expression);

struct PrintOptions {
  int indent = 0;
  size_t max_array = 64;  ///< elements shown; runs of zero are folded
  bool hex_integers = false;
  int max_depth = 6;
};

/// An object as C would initialise it: "(struct hw_perf_event){ .idx = (int)1, ... }", symbols behind
/// pointers to text, enumerator names, "<page excluded by makedumpfile>" where memory could not be read.
std::string format_object(const Object& object, const PrintOptions& options = {});

}  // namespace perfcore
