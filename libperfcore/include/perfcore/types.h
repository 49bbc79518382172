// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// C types of the dumped kernel, from DWARF of a vmlinux or from BTF in the dump. Types are immutable once
/// handed out; what they refer to is resolved when it is asked for, so that a question about one struct does
/// not read the others.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "perfcore/memory.h"
#include "perfcore/reading.h"

namespace perfcore {

enum class TypeKind {
  kVoid,
  kInt,  ///< integers, characters, _Bool: see Type::encoding
  kFloat,
  kPointer,
  kArray,
  kStruct,
  kUnion,
  kEnum,
  kTypedef,
  kConst,
  kVolatile,
  kRestrict,
  kFunction,
  kForward,  ///< declared but not defined where it was found; TypeSource::complete() looks for the definition
  kUnknown,  ///< a kind this reader does not know: it has no size
};

enum class IntEncoding { kUnsigned, kSigned, kBool, kChar };

class Type;
class TypeSource;

struct Member {
  std::string name;  ///< empty for an anonymous struct or union (its members count as the outer type's)
  uint64_t bit_offset = 0;  ///< from the start of the containing type
  uint32_t bit_size = 0;    ///< 0 unless it is a bit-field
  uint64_t type_id = 0;     ///< resolve by Type::member_type()
};

struct Enumerator {
  std::string name;
  int64_t value = 0;
};

/// One type. Owned by its TypeSource, which must outlive it. Identity is the address within one source.
class Type {
 public:
  TypeKind kind = TypeKind::kUnknown;
  std::string name;   ///< "perf_event" for struct perf_event; empty when anonymous
  uint64_t size = 0;  ///< bytes; 0 for void, functions, unknown kinds. Arrays: element size times count
  IntEncoding encoding = IntEncoding::kUnsigned;  ///< kInt and kEnum (kEnum: kSigned or kUnsigned)
  uint64_t count = 0;                             ///< kArray: number of elements (0 for flexible arrays)
  bool declared_union = false;                    ///< kForward: what is declared is a union
  uint64_t target_id = 0;  ///< what it points to, aliases, qualifies, contains: resolve by target()

  /// Pointee, element, aliased or qualified type; nullptr for kinds without one. void is a type of kind
  /// kVoid.
  const Type* target() const;
  /// Members in declaration order, anonymous ones unnamed. Empty for other kinds.
  const std::vector<Member>& members() const;
  const Type* member_type(const Member& member) const;
  const std::vector<Enumerator>& enumerators() const;

  /// Without typedefs and qualifiers.
  const Type* strip() const;
  bool is_aggregate() const { return kind == TypeKind::kStruct || kind == TypeKind::kUnion; }

  /// As C writes it: "struct perf_event *", "u64", "struct perf_event *[64]".
  std::string to_string() const;

  TypeSource* source = nullptr;  ///< set by the source
  uint64_t id = 0;               ///< the source's own number of this type

 private:
  friend class TypeSource;
  mutable std::optional<std::vector<Member>> members_;
  mutable std::optional<std::vector<Enumerator>> enumerators_;
};

/// A member found by path, anonymous members crossed.
struct MemberLocation {
  const Type* type = nullptr;
  uint64_t bit_offset = 0;  ///< from the start of the outermost type
  uint32_t bit_size = 0;    ///< 0 unless a bit-field
  uint64_t byte_offset() const { return bit_offset / 8; }
};

/// What a function takes and returns.
struct Prototype {
  const Type* result = nullptr;         ///< void is a type of kind kVoid
  std::vector<const Type*> parameters;  ///< in order; without the dots of a variadic function
};

/// Where types come from. One thread at a time.
class TypeSource {
 public:
  virtual ~TypeSource() = default;

  /// "dwarf" or "btf".
  virtual std::string_view source() const = 0;
  /// Where the source had to stop reading types, so that a type that is not found may exist all the same: BTF
  /// of an unknown kind, or pages of it that cannot be read. Known as far as types were read so far.
  virtual std::optional<Unread> incomplete() const { return std::nullopt; }

  /// Why the source cannot tell whether there is such a type: a recording, in whose making nobody asked for
  /// it. find() has no answer then.
  virtual std::optional<Unread> unknown(TypeKind, std::string_view) { return std::nullopt; }
  /// Why the source does not know the members of an aggregate: a recording, in whose making nobody looked
  /// inside.
  virtual std::optional<Unread> unknown_members(const Type&) { return std::nullopt; }

  /// A complete definition by tag or typedef name: find(TypeKind::kStruct, "perf_event"). nullptr when there
  /// is none.
  virtual const Type* find(TypeKind kind, std::string_view name) = 0;
  /// The type of a global or per-CPU variable. BTF knows per-CPU variables only (kernel/bpf, pahole
  /// --btf_gen_all is not used by any distribution). nullptr when there is none.
  virtual const Type* variable(std::string_view name) = 0;
  /// Offset of a per-CPU variable within the per-CPU section, where the source knows it (BTF DATASEC).
  virtual std::optional<uint64_t> percpu_offset(std::string_view name) = 0;

  /// The prototype of a function of the kernel, static ones included. \param name as in the source, without
  /// compiler suffixes (what a clone such as foo.isra.0 takes is not known); \param link_address where it
  /// starts, without KASLR slide. nullopt when the source does not know it.
  virtual std::optional<Prototype> prototype(std::string_view name, uint64_t link_address);

  /// What a function type (kFunction) takes and returns; nullopt for other types and where the source does
  /// not know it.
  virtual std::optional<Prototype> signature(const Type& function);

  /// Calls `visit` with the name of every type that find() could find, some of them more than once. Reads all
  /// types there are: for the message about a name that does not exist.
  virtual void for_each_name(const std::function<void(TypeKind, std::string_view)>& visit);

  /// The type of this number; nullptr when the number is bad.
  virtual const Type* resolve(uint64_t id) = 0;
  /// The definition of a kForward type (or the type itself); nullptr when it is defined nowhere.
  const Type* complete(const Type* type);

  /// Path such as "hw.state" or "attr.config"; array elements as "events[2]". nullopt when there is no such
  /// member.
  static std::optional<MemberLocation> find_member(const Type* type, std::string_view path);
  /// All members (anonymous ones crossed) that cover the byte at `offset`, innermost last: "hw.last_period".
  static std::vector<std::string> members_at(const Type* type, uint64_t offset);

 protected:
  friend class Type;
  virtual std::vector<Member> load_members(const Type& type) = 0;
  virtual std::vector<Enumerator> load_enumerators(const Type& type) = 0;
};

/// BTF of vmlinux, read from the dump's memory between __start_BTF and __stop_BTF, page by page as far as
/// questions need it: a type that does not exist costs all of it, 5 MB in Debian kernels. Of several types of
/// one tag the first is found, which is the one of the core kernel; kernels of series 7 sort their types by
/// name, there it is the largest. Where an unknown kind or a page that cannot be read ends the types, those
/// before it are found and TypeSource::incomplete() says so. pahole, which makes the kernel's BTF, writes
/// arrays of several dimensions as one: int[2][3] is int[6].
/// \param memory  not owned, must outlive the result
/// \param why     set when the result is nullptr, because these bytes are no BTF
/// \param alike   types of other dumps, perhaps of the same kernel. The first of them of which everything that it
///                has read is the same in this dump is taken and becomes the result; a page that it has not
///                read yet is read from this dump. The others are as they were.
std::unique_ptr<TypeSource> open_btf(Memory& memory, uint64_t start, uint64_t stop, Unread* why,
                                     std::span<std::unique_ptr<TypeSource>* const> alike = {});
/// BTF from bytes (a .BTF section); the same reader. Takes the bytes over.
std::unique_ptr<TypeSource> open_btf(std::vector<std::byte> bytes, Unread* why);

/// An inlined call at an address.
struct InlinedCall {
  std::string function;  ///< what was inlined
};

/// DWARF of a vmlinux; adds what only DWARF knows. Type::id is the offset of the type in .debug_info (of
/// inner dimensions of arrays with more in the upper bits). A struct that several units define equally is a
/// Type for each of them.
class DwarfSource : public TypeSource {
 public:
  /// Functions inlined at a link-time address (without KASLR slide), innermost first; empty when none or
  /// unknown. For the address of a call pass the byte before the return address.
  virtual std::vector<InlinedCall> inlined_at(uint64_t link_address) = 0;
};

/// Link-time address (without KASLR slide) of the kernel function of this name.
using FunctionAddress = std::function<std::optional<uint64_t>(std::string_view)>;
/// Opens the DWARF (versions 2 to 5) of a linked x86-64 kernel. Nothing is read beyond the section headers: a
/// question about a type reads the few units that are known to define it, found by the addresses of the
/// functions dwarf_anchors() names, and only a name that none of them has is looked for in all units (some
/// 0.1 s). `function_address` serves to share a symbol table that is open anyway; without it .symtab is read.
/// Throws InputError when the file has no usable DWARF, saying which sections it has and what to install.
/// Damaged units are passed over.
std::unique_ptr<DwarfSource> open_dwarf(const std::string& vmlinux, FunctionAddress function_address = {});
/// The functions that open_dwarf()'s `function_address` is asked for.
std::span<const std::string_view> dwarf_anchors();

/// The GNU build ID of an ELF file as lower-case hex, empty when it has none. Throws InputError when it is
/// not ELF.
std::string elf_build_id(const std::string& path);

}  // namespace perfcore
