// SPDX-License-Identifier: LGPL-2.1-or-later
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <map>
#include <unordered_map>

#include "perfcore/types.h"
#include "types/btf_blob.h"

namespace perfcore {
namespace {

constexpr uint64_t kMaxSize = uint64_t{64} << 20;  // bytes; 5 MB in Debian kernels
/// Typedefs, qualifiers and array dimensions on top of each other; corrupt BTF could loop.
constexpr int kMaxDepth = 32;
constexpr uint32_t kMaxDataSections = 256;
/// Stands for a name that could not be read; no C name is like it, so no look-up finds it.
constexpr std::string_view kUnreadName = "<not read>";

/// The linker section of per-CPU variables, whatever follows it ("..shared_aligned").
constexpr std::string_view kPerCpuSection = ".data..percpu";

TypeKind type_kind(BtfKind kind) {
  switch (kind) {
    case BtfKind::kVoid:
      return TypeKind::kVoid;
    case BtfKind::kInt:
      return TypeKind::kInt;
    case BtfKind::kFloat:
      return TypeKind::kFloat;
    case BtfKind::kPointer:
      return TypeKind::kPointer;
    case BtfKind::kArray:
      return TypeKind::kArray;
    case BtfKind::kStruct:
      return TypeKind::kStruct;
    case BtfKind::kUnion:
      return TypeKind::kUnion;
    case BtfKind::kEnum:
    case BtfKind::kEnum64:
      return TypeKind::kEnum;
    case BtfKind::kTypedef:
      return TypeKind::kTypedef;
    case BtfKind::kConst:
      return TypeKind::kConst;
    case BtfKind::kVolatile:
      return TypeKind::kVolatile;
    case BtfKind::kRestrict:
      return TypeKind::kRestrict;
    case BtfKind::kFunction:
    case BtfKind::kFunctionPrototype:
      return TypeKind::kFunction;
    case BtfKind::kForward:
      return TypeKind::kForward;
    case BtfKind::kVariable:
    case BtfKind::kDataSection:
    case BtfKind::kDeclarationTag:
    case BtfKind::kTypeTag:
      break;
  }
  return TypeKind::kUnknown;
}

class BtfSource : public TypeSource {
 public:
  explicit BtfSource(std::unique_ptr<BtfBlob> blob) : blob_(std::move(blob)) {
    for (uint32_t id = 1; id < blob_->type_count(); id++) {
      const BtfKind kind = blob_->kind(id);
      if (kind == BtfKind::kDataSection && sections_.size() < kMaxDataSections) sections_.push_back(id);
      has_enum64_ |= kind == BtfKind::kEnum64;
    }
  }

  std::string_view source() const override { return "btf"; }

  const Type* find(TypeKind kind, std::string_view name) override {
    if (name.empty()) return nullptr;
    const NameIndex& index = index_of(kind);
    if (index.slots.empty()) return nullptr;
    const uint32_t id = index.slots[slot_of(index, name)];
    return id ? resolve(id) : nullptr;
  }

  const Type* variable(std::string_view name) override {
    const auto variable = find_variable(name);
    return variable ? resolve(variable->type) : nullptr;
  }

  std::optional<uint64_t> percpu_offset(std::string_view name) override {
    const auto variable = find_variable(name);
    if (!variable || !variable->per_cpu) return std::nullopt;
    return variable->offset;
  }

  const Type* resolve(uint64_t id) override {
    // A type tag (__user, __rcu, __percpu) changes nothing that a dump shows: it stands for what it is
    // attached to.
    std::optional<BtfType> raw;
    for (int depth = 0;; depth++) {
      if (id >= blob_->type_count() || depth > kMaxDepth) return nullptr;
      if (const auto found = types_.find(static_cast<uint32_t>(id)); found != types_.end())
        return found->second.get();
      raw = blob_->type(static_cast<uint32_t>(id));
      if (!raw || raw->kind != BtfKind::kTypeTag) break;
      id = raw->size_or_type;
    }
    auto type = std::make_unique<Type>();
    type->source = this;
    type->id = id;
    if (raw) fill(*raw, type.get());
    return types_.emplace(static_cast<uint32_t>(id), std::move(type)).first->second.get();
  }

 protected:
  std::vector<Member> load_members(const Type& type) override {
    const auto raw = blob_->type(static_cast<uint32_t>(type.id));
    if (!raw) return {};
    std::vector<Member> members(raw->count);
    for (uint32_t i = 0; i < raw->count; i++) {
      Member& member = members[i];
      member.name = blob_->name(blob_->word(*raw, i, 3, 0)).value_or(kUnreadName);
      member.type_id = blob_->word(*raw, i, 3, 1);
      const uint32_t offset = blob_->word(*raw, i, 3, 2);
      if (raw->flag) {
        member.bit_offset = offset & 0xffffff;
        member.bit_size = offset >> 24;
        continue;
      }
      // Before kind_flag (4.20, 9d5f9f701b18) a bit-field had an integer type of as many bits.
      member.bit_offset = offset;
      const auto integer = integer_bits(static_cast<uint32_t>(member.type_id));
      if (!integer) continue;
      member.bit_offset += integer->offset;
      member.bit_size = integer->bits;
    }
    return members;
  }

  std::vector<Enumerator> load_enumerators(const Type& type) override {
    const auto raw = blob_->type(static_cast<uint32_t>(type.id));
    if (!raw) return {};
    const bool wide = raw->kind == BtfKind::kEnum64;
    std::vector<Enumerator> enumerators(raw->count);
    for (uint32_t i = 0; i < raw->count; i++) {
      const uint32_t words = wide ? 3 : 2;
      const uint32_t low = blob_->word(*raw, i, words, 1);
      enumerators[i].name = blob_->name(blob_->word(*raw, i, words, 0)).value_or(kUnreadName);
      if (wide)
        enumerators[i].value = static_cast<int64_t>(uint64_t{blob_->word(*raw, i, words, 2)} << 32 | low);
      else if (type.encoding == IntEncoding::kSigned)
        enumerators[i].value = static_cast<int32_t>(low);
      else
        enumerators[i].value = low;
    }
    return enumerators;
  }

 private:
  /// Type numbers by the hash of their name; 0 is a free slot. As many slots as a power of two above twice
  /// the names.
  struct NameIndex {
    bool built = false;
    std::vector<uint32_t> slots;
  };
  struct Variable {
    uint32_t type = 0;
    uint32_t offset = 0;  // within its section
    bool per_cpu = false;
  };
  struct IntegerBits {
    uint32_t offset = 0;
    uint32_t bits = 0;
  };

  void fill(const BtfType& raw, Type* type) {
    type->kind = type_kind(raw.kind);
    type->name = type->kind == TypeKind::kVoid ? "void" : blob_->name(raw.name).value_or(kUnreadName);
    type->size = size_of(static_cast<uint32_t>(type->id));
    switch (raw.kind) {
      case BtfKind::kInt:
        type->encoding = int_encoding(raw, type->name);
        break;
      case BtfKind::kEnum:
      case BtfKind::kEnum64:
        type->encoding = is_signed_enum(raw) ? IntEncoding::kSigned : IntEncoding::kUnsigned;
        break;
      case BtfKind::kArray:
        type->target_id = blob_->word(raw, 0, 3, 0);
        type->count = blob_->word(raw, 0, 3, 2);
        break;
      case BtfKind::kPointer:
      case BtfKind::kTypedef:
      case BtfKind::kConst:
      case BtfKind::kVolatile:
      case BtfKind::kRestrict:
        type->target_id = raw.size_or_type;
        break;
      default:
        break;
    }
  }

  /// BTF_INT_SIGNED 1, BTF_INT_CHAR 2, BTF_INT_BOOL 4. pahole never says BTF_INT_CHAR: "char" is known by its
  /// name.
  IntEncoding int_encoding(const BtfType& raw, std::string_view name) {
    const uint32_t encoding = (blob_->word(raw, 0, 1, 0) >> 24) & 0xf;
    if (encoding & 4) return IntEncoding::kBool;
    if ((encoding & 2) || name == "char") return IntEncoding::kChar;
    return encoding & 1 ? IntEncoding::kSigned : IntEncoding::kUnsigned;
  }

  /// kind_flag says so since 6.0 (6089fb325cf7 "bpf: Add btf enum64 support"), which brought enum64 as well.
  /// BTF without any enum64 is from before: there every value was a signed one.
  bool is_signed_enum(const BtfType& raw) const { return raw.flag || !has_enum64_; }

  /// Bytes; 0 for what has no size and for what cannot be read.
  uint64_t size_of(uint32_t id) {
    uint64_t elements = 1;
    for (int depth = 0; depth < kMaxDepth; depth++) {
      const auto raw = blob_->type(id);
      if (!raw) return 0;
      uint64_t size = 0;
      switch (raw->kind) {
        case BtfKind::kInt:
        case BtfKind::kFloat:
        case BtfKind::kStruct:
        case BtfKind::kUnion:
        case BtfKind::kEnum:
        case BtfKind::kEnum64:
          size = raw->size_or_type;
          break;
        case BtfKind::kPointer:
          size = 8;
          break;
        case BtfKind::kArray:
          id = blob_->word(*raw, 0, 3, 0);
          if (__builtin_mul_overflow(elements, uint64_t{blob_->word(*raw, 0, 3, 2)}, &elements)) return 0;
          continue;
        case BtfKind::kTypedef:
        case BtfKind::kConst:
        case BtfKind::kVolatile:
        case BtfKind::kRestrict:
        case BtfKind::kTypeTag:
          id = raw->size_or_type;
          continue;
        default:
          return 0;
      }
      return __builtin_mul_overflow(elements, size, &size) ? 0 : size;
    }
    return 0;
  }

  /// Where the bits of an integer type are that has fewer than its bytes have, qualifiers and typedefs
  /// crossed.
  std::optional<IntegerBits> integer_bits(uint32_t id) {
    for (int depth = 0; depth < kMaxDepth; depth++) {
      const auto raw = blob_->type(id);
      if (!raw) return std::nullopt;
      switch (raw->kind) {
        case BtfKind::kInt: {
          const uint32_t word = blob_->word(*raw, 0, 1, 0);
          const IntegerBits bits{(word >> 16) & 0xff, word & 0xff};
          if (bits.bits == 0 || (bits.offset == 0 && bits.bits == uint64_t{raw->size_or_type} * 8))
            return std::nullopt;
          return bits;
        }
        case BtfKind::kTypedef:
        case BtfKind::kConst:
        case BtfKind::kVolatile:
        case BtfKind::kRestrict:
        case BtfKind::kTypeTag:
          id = raw->size_or_type;
          break;
        default:
          return std::nullopt;
      }
    }
    return std::nullopt;
  }

  std::optional<Variable> find_variable(std::string_view name) {
    for (uint32_t section : sections_) {
      const auto raw = blob_->type(section);
      if (!raw) continue;
      for (uint32_t i = 0; i < raw->count; i++) {
        const auto variable = blob_->type(blob_->word(*raw, i, 3, 0));
        if (!variable || variable->kind != BtfKind::kVariable || blob_->name(variable->name) != name)
          continue;
        const bool per_cpu = blob_->name(raw->name).value_or("").starts_with(kPerCpuSection);
        return Variable{variable->size_or_type, blob_->word(*raw, i, 3, 1), per_cpu};
      }
    }
    return std::nullopt;
  }

  /// The slot of a name, or the free one where it would go.
  size_t slot_of(const NameIndex& index, std::string_view name) {
    const size_t mask = index.slots.size() - 1;
    size_t slot = std::hash<std::string_view>()(name) & mask;
    while (const uint32_t id = index.slots[slot]) {
      const auto raw = blob_->type(id);
      if (raw && blob_->name(raw->name) == name) break;
      slot = (slot + 1) & mask;
    }
    return slot;
  }

  /// Different types may share a tag (private structs of two drivers). The largest is taken, of equal ones
  /// that with more members, then the first: what is asked about are the large structs of the core kernel,
  /// whose tags drivers reuse for small ones of their own.
  bool is_better(uint32_t id, uint32_t than) {
    const auto a = blob_->type(id);
    const auto b = blob_->type(than);
    return a && b && std::pair(size_of(id), a->count) > std::pair(size_of(than), b->count);
  }

  const NameIndex& index_of(TypeKind kind) {
    NameIndex& index = indices_[kind];
    if (index.built) return index;
    index.built = true;
    size_t names = 0;
    for (uint32_t id = 1; id < blob_->type_count(); id++) names += type_kind(blob_->kind(id)) == kind;
    if (names == 0) return index;
    index.slots.resize(std::bit_ceil(names * 2));
    for (uint32_t id = 1; id < blob_->type_count(); id++) {
      if (type_kind(blob_->kind(id)) != kind) continue;
      const auto raw = blob_->type(id);
      const auto name = raw ? blob_->name(raw->name) : std::nullopt;
      if (!name || name->empty()) continue;
      uint32_t& slot = index.slots[slot_of(index, *name)];
      if (slot == 0 || is_better(id, slot)) slot = id;
    }
    return index;
  }

  std::unique_ptr<BtfBlob> blob_;
  std::vector<uint32_t> sections_;  // numbers of data sections
  bool has_enum64_ = false;
  std::map<TypeKind, NameIndex> indices_;
  std::unordered_map<uint32_t, std::unique_ptr<Type>> types_;
};

std::unique_ptr<TypeSource> open_blob(PagedBytes bytes, Unread* why) {
  auto blob = BtfBlob::open(std::move(bytes), why);
  if (!blob) return nullptr;
  return std::make_unique<BtfSource>(std::move(blob));
}

}  // namespace

std::unique_ptr<TypeSource> open_btf(Memory& memory, uint64_t start, uint64_t stop, Unread* why) {
  if (stop <= start || stop - start > kMaxSize) {
    *why = {UnreadReason::kCorrupt, start, "BTF", fmt::format("it ends at {:#x}", stop)};
    return nullptr;
  }
  return open_blob(PagedBytes(memory, start, stop - start), why);
}

std::unique_ptr<TypeSource> open_btf(std::vector<std::byte> bytes, Unread* why) {
  if (bytes.size() > kMaxSize) {
    *why = {UnreadReason::kCorrupt, 0, "BTF", fmt::format("{} bytes", bytes.size())};
    return nullptr;
  }
  return open_blob(PagedBytes(std::move(bytes)), why);
}

}  // namespace perfcore
