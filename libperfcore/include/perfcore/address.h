// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// What an address is: symbol, per-CPU variable, slab object, stack, page, poison, or nothing at all.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "perfcore/kernel.h"
#include "perfcore/reading.h"

namespace perfcore {

/// Parts of the x86-64 address space (Documentation/arch/x86/x86_64/mm.rst).
enum class Region {
  kNullPage,  ///< below 4096: NULL plus the offset of a member
  kUser,
  kNonCanonical,
  kDirectMap,  ///< all physical memory, from page_offset_base
  kVmalloc,
  kVmemmap,       ///< struct page of every page, from vmemmap_base
  kCpuEntryArea,  ///< exception stacks, GDT, TSS, debug store of every CPU
  kKernelImage,   ///< from __START_KERNEL_map
  kModules,
  kFixmap,        ///< fixed mappings and vsyscall
  kErrorPointer,  ///< ERR_PTR(): the last 4095 addresses
  kOtherKernel,   ///< LDT, KASAN shadow, ESPFIX stacks, EFI, holes
};
std::string_view to_string(Region region);

/// Tells regions apart; reads three variables of the kernel, once. One thread at a time.
class AddressMap {
 public:
  explicit AddressMap(Kernel& kernel);

  Region region(uint64_t address);

  /// Where the direct map, vmalloc area and array of struct page start: the kernel's variables, or the fixed
  /// addresses of kernels without CONFIG_DYNAMIC_MEMORY_LAYOUT.
  const Reading<uint64_t>& direct_map();
  const Reading<uint64_t>& vmalloc();
  const Reading<uint64_t>& vmemmap();
  bool five_levels() const { return five_levels_; }

 private:
  struct Bases {
    Reading<uint64_t> direct_map, vmalloc, vmemmap;
  };
  const Bases& bases();

  Kernel* kernel_;
  bool five_levels_;
  std::optional<Bases> bases_;
};

/// Words for a value that the kernel or a compiler writes where no valid value may be ("LIST_POISON1", "freed
/// slab memory (0x6b, POISON_FREE)"); empty for others. Values near a poison count, being members of an
/// object that a poisoned pointer should lead to: at most a page above it. include/linux/poison.h.
std::string poison_name(uint64_t value);

/// "-ENOMEM" for ERR_PTR(-12); empty for values that are no error pointer.
std::string error_pointer_name(uint64_t value);

/// One thing that is true of an address.
struct AddressFact {
  /// "null-page", "error-pointer", "poison", "user", "non-canonical", "variable", "member", "symbol",
  /// "module", "per-cpu", "per-cpu-pointer", "task", "slab-object", "task-stack", "irq-stack",
  /// "exception-stack", "cpu-entry-area", "vmalloc-area", "struct-page", "page", "one-bit-off", "region",
  /// "unreadable".
  std::string kind;
  std::string words;  ///< a sentence without full stop
  using Value = std::variant<std::string, uint64_t, int64_t, bool>;
  /// By name; unsigned values are addresses or masks, signed ones numbers. What could not be read is missing.
  std::vector<std::pair<std::string, Value>> fields;

  AddressFact& with(std::string name, Value value) {
    fields.emplace_back(std::move(name), std::move(value));
    return *this;
  }
};

struct AddressReport {
  uint64_t address = 0;
  std::vector<AddressFact> facts;  ///< the most specific first
  std::vector<Unread> unread;      ///< what would have told more
};

/// Says what addresses are. Reads what a question needs and keeps lists (modules, tasks, chunks) for the next
/// one. One thread at a time; must not outlive the kernel.
class AddressBook {
 public:
  explicit AddressBook(Kernel& kernel);
  ~AddressBook();
  AddressBook(const AddressBook&) = delete;
  AddressBook& operator=(const AddressBook&) = delete;

  AddressMap& map();
  AddressReport describe(uint64_t address);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// The address that a user means by an expression: that of an lvalue (a variable, a member, a function), the
/// value of a pointer or of an rvalue; NAME+OFFSET as in a stack trace. Digits are hexadecimal with or
/// without 0x where they are eight or more. Throws std::invalid_argument for what is no expression.
Reading<uint64_t> address_of_expression(Kernel& kernel, std::string_view expression);

}  // namespace perfcore
