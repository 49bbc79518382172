// SPDX-License-Identifier: LGPL-2.1-or-later
#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>

#include "perfcore/types.h"
#include "types/btf_blob.h"

namespace perfcore {
namespace {

constexpr uint64_t kMaxSize = uint64_t{64} << 20;  // bytes; 5 MB in Debian kernels
/// Typedefs, qualifiers and array dimensions on top of each other; corrupt BTF could loop.
constexpr int kMaxDepth = 32;
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
  explicit BtfSource(std::unique_ptr<BtfBlob> blob) : blob_(std::move(blob)) {}

  /// BtfBlob::move_to(): whatever was made of the types depends on nothing but the pages that were read.
  bool move_to(Memory& memory, uint64_t start, uint64_t size) { return blob_->move_to(memory, start, size); }

  std::string_view source() const override { return "btf"; }
  std::optional<Unread> incomplete() const override { return blob_->stopped(); }

  const Type* find(TypeKind kind, std::string_view name) override {
    switch (kind) {
      case TypeKind::kInt:
        return resolve_found(find_id(BtfKind::kInt, name));
      case TypeKind::kFloat:
        return resolve_found(find_id(BtfKind::kFloat, name));
      case TypeKind::kStruct:
        return resolve_found(find_id(BtfKind::kStruct, name));
      case TypeKind::kUnion:
        return resolve_found(find_id(BtfKind::kUnion, name));
      case TypeKind::kEnum:
        return resolve_found(find_id(BtfKind::kEnum, name));
      case TypeKind::kTypedef:
        return resolve_found(find_id(BtfKind::kTypedef, name));
      default:
        return nullptr;
    }
  }

  const Type* variable(std::string_view name) override {
    const uint32_t id = find_id(BtfKind::kVariable, name);
    const auto variable = id ? blob_->type(id) : std::nullopt;
    return variable ? resolve(variable->size_or_type) : nullptr;
  }

  std::optional<uint64_t> percpu_offset(std::string_view name) override {
    if (!per_cpu_offsets_) per_cpu_offsets_ = read_per_cpu_offsets();
    const auto found = per_cpu_offsets_->find(name);
    return found != per_cpu_offsets_->end() ? std::optional<uint64_t>(found->second) : std::nullopt;
  }

  /// By name alone; of static functions that share it, the first. BTF leaves out functions whose compiled
  /// form takes something else than the source says.
  std::optional<Prototype> prototype(std::string_view name, uint64_t) override {
    // Functions are not in the index: they are as many as all other names, and asked for once in a crash.
    std::optional<BtfType> function;
    for (uint32_t id = 1; !function && (id < blob_->located() || blob_->advance()); id++) {
      const auto type = blob_->type(id);
      if (type && type->kind == BtfKind::kFunction && blob_->name(type->name) == name) function = type;
    }
    return function ? prototype_of(function->size_or_type) : std::nullopt;
  }

  std::optional<Prototype> signature(const Type& function) override {
    return prototype_of(static_cast<uint32_t>(function.id));
  }

  void for_each_name(const std::function<void(TypeKind, std::string_view)>& visit) override {
    for (uint32_t id = 1; id < blob_->located() || blob_->advance(); id++) {
      const auto type = blob_->type(id);
      if (!type || type->name == 0 || !is_looked_up(lookup_kind(type->kind)) ||
          type->kind == BtfKind::kVariable)
        continue;
      if (const auto name = blob_->name(type->name)) visit(type_kind(type->kind), *name);
    }
  }

  const Type* resolve(uint64_t id) override {
    // A type tag (__user, __rcu, __percpu) changes nothing that a dump shows: it stands for what it is
    // attached to.
    std::optional<BtfType> raw;
    for (int depth = 0;; depth++) {
      if (id > UINT32_MAX || depth > kMaxDepth) return nullptr;
      if (const auto found = types_.find(static_cast<uint32_t>(id)); found != types_.end())
        return found->second.get();
      raw = blob_->type(static_cast<uint32_t>(id));
      if (id >= blob_->located()) return nullptr;
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
  struct Slot {
    uint32_t id = 0;  // 0: free
    uint32_t hash = 0;
  };
  struct IntegerBits {
    uint32_t offset = 0;
    uint32_t bits = 0;
  };

  const Type* resolve_found(uint32_t id) { return id ? resolve(id) : nullptr; }

  void fill(const BtfType& raw, Type* type) {
    type->kind = type_kind(raw.kind);
    type->name = type->kind == TypeKind::kVoid ? "void" : blob_->name(raw.name).value_or(kUnreadName);
    type->size = size_of(static_cast<uint32_t>(type->id));
    switch (raw.kind) {
      case BtfKind::kForward:
        type->declared_union = raw.flag;
        break;
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

  /// kind_flag says so since 6.0 (6089fb325cf7 "bpf: Add btf enum64 support"). Before, it was never set and
  /// every value was a signed one: BTF without any flagged enumeration is taken for such. Only where it
  /// matters, for values that would be negative, all types are looked at for one.
  bool is_signed_enum(const BtfType& raw) {
    if (raw.flag || raw.kind == BtfKind::kEnum64) return raw.flag;
    bool ambiguous = false;
    for (uint32_t i = 0; i < raw.count; i++) ambiguous |= (blob_->word(raw, i, 2, 1) >> 31) != 0;
    if (!ambiguous) return false;
    if (!knows_signs_) {
      knows_signs_ = false;
      while (blob_->advance()) {
      }
      for (uint32_t id = 1; id < blob_->located() && !*knows_signs_; id++) {
        const auto type = blob_->type(id);
        knows_signs_ =
            type && (type->kind == BtfKind::kEnum64 || (type->kind == BtfKind::kEnum && type->flag));
      }
    }
    return !*knows_signs_;
  }

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

  /// The section is the last type of unsorted BTF.
  uint32_t find_per_cpu_section() {
    while (blob_->advance()) {
    }
    for (uint32_t id = blob_->located(); id-- > 1;) {
      const auto type = blob_->type(id);
      if (type && type->kind == BtfKind::kDataSection &&
          blob_->name(type->name).value_or("").starts_with(kPerCpuSection))
        return id;
    }
    return 0;
  }

  /// Of the variables that share a name the first counts.
  std::unordered_map<std::string_view, uint32_t> read_per_cpu_offsets() {
    std::unordered_map<std::string_view, uint32_t> offsets;
    const uint32_t id = find_per_cpu_section();
    const auto section = id ? blob_->type(id) : std::nullopt;
    for (uint32_t i = 0; section && i < section->count; i++) {
      const auto variable = blob_->type(blob_->word(*section, i, 3, 0));
      if (!variable || variable->kind != BtfKind::kVariable) continue;
      if (const auto name = blob_->name(variable->name))
        offsets.emplace(*name, blob_->word(*section, i, 3, 1));
    }
    return offsets;
  }

  /// The number of the type of this kind and name, 0 when there is none. Different types may share a tag
  /// (private structs of two drivers): the first is taken, since types stand in the order in which the kernel
  /// is linked, core before drivers. Of sorted BTF, which has no such order any more, the largest is.
  uint32_t find_id(BtfKind kind, std::string_view name) {
    if (name.empty()) return 0;
    if (!sorted_) sorted_ = is_sorted();
    if (*sorted_) {
      if (const auto id = search_sorted(kind, name)) return *id;
      sorted_ = false;
    }
    const uint32_t hash = hash_of(kind, name);
    for (;;) {
      while (indexed_ < blob_->located()) add_to_index(indexed_++);
      if (const Slot* slot = slot_of(hash, kind, name); slot && slot->id) return slot->id;
      if (!blob_->advance()) return 0;
    }
  }

  std::optional<Prototype> prototype_of(uint32_t id) {
    const auto raw = blob_->type(id);
    if (!raw || raw->kind != BtfKind::kFunctionPrototype) return std::nullopt;
    Prototype prototype;
    prototype.result = resolve(raw->size_or_type);
    for (uint32_t i = 0; i < raw->count; i++)
      if (const uint32_t type = blob_->word(*raw, i, 2, 1)) prototype.parameters.push_back(resolve(type));
    return prototype;
  }

  static BtfKind lookup_kind(BtfKind kind) { return kind == BtfKind::kEnum64 ? BtfKind::kEnum : kind; }

  static bool is_looked_up(BtfKind kind) {
    switch (kind) {
      case BtfKind::kInt:
      case BtfKind::kFloat:
      case BtfKind::kStruct:
      case BtfKind::kUnion:
      case BtfKind::kEnum:
      case BtfKind::kTypedef:
      case BtfKind::kVariable:
        return true;
      default:
        return false;
    }
  }

  static uint32_t hash_of(BtfKind kind, std::string_view name) {
    return static_cast<uint32_t>(std::hash<std::string_view>()(name)) + static_cast<uint32_t>(kind);
  }

  /// The slot of a name, or the free one where it would go; nullptr when there are no slots at all.
  Slot* slot_of(uint32_t hash, BtfKind kind, std::string_view name) {
    if (slots_.empty()) return nullptr;
    const size_t mask = slots_.size() - 1;
    for (size_t i = hash & mask;; i = (i + 1) & mask) {
      Slot& slot = slots_[i];
      if (slot.id == 0) return &slot;
      if (slot.hash != hash) continue;
      const auto type = blob_->type(slot.id);
      if (type && lookup_kind(type->kind) == kind && blob_->name(type->name) == name) return &slot;
    }
  }

  void add_to_index(uint32_t id) {
    const auto type = blob_->type(id);
    if (!type || type->name == 0 || !is_looked_up(lookup_kind(type->kind))) return;
    const auto name = blob_->name(type->name);
    if (!name || name->empty()) return;
    if ((used_ + 1) * 2 > slots_.size()) {
      std::vector<Slot> old(std::max<size_t>(slots_.size() * 2, 1024));
      old.swap(slots_);
      for (const Slot& slot : old) {
        if (slot.id == 0) continue;
        size_t i = slot.hash & (slots_.size() - 1);
        while (slots_[i].id != 0) i = (i + 1) & (slots_.size() - 1);
        slots_[i] = slot;
      }
    }
    const BtfKind kind = lookup_kind(type->kind);
    const uint32_t hash = hash_of(kind, *name);
    Slot* slot = slot_of(hash, kind, *name);
    if (slot->id != 0) return;
    *slot = {id, hash};
    used_++;
  }

  std::optional<std::string_view> name_of(uint32_t id) {
    const auto type = blob_->type(id);
    return type ? blob_->name(type->name) : std::nullopt;
  }

  /// Kernels of series 7 (7.2 does, 6.19 does not) sort their BTF by name: anonymous types first, of which
  /// there are tens of thousands, then the others, as names taken at even distances show. In all others the
  /// first types are the basic integers.
  bool is_sorted() {
    constexpr uint32_t kAnonymous = 256;
    constexpr uint32_t kProbes = 16;
    for (uint32_t id = 1; id <= kAnonymous; id++) {
      const auto type = blob_->type(id);
      if (!type || type->name != 0) return false;
    }
    while (blob_->advance()) {
    }
    const uint64_t last = blob_->located() - 1;
    std::string_view before;
    for (uint64_t i = 1; i <= kProbes; i++) {
      const auto name = name_of(static_cast<uint32_t>(last * i / kProbes));
      if (!name || *name < before) return false;
      before = *name;
    }
    return true;
  }

  /// Binary search in sorted BTF: names are read where the search goes, and not all of them.
  /// \return 0 when there is no such type, nothing when the types turn out not to be sorted or cannot be read
  ///         where it matters
  std::optional<uint32_t> search_sorted(BtfKind kind, std::string_view wanted) {
    uint32_t low = 1, high = blob_->located();
    std::string_view below, above;  // the names next to [low, high)
    while (low < high) {
      const uint32_t middle = low + (high - low) / 2;
      const auto name = name_of(middle);
      if (!name || *name < below || (high < blob_->located() && *name > above)) return std::nullopt;
      if (*name < wanted) {
        low = middle + 1;
        below = *name;
      } else {
        high = middle;
        above = *name;
      }
    }
    uint32_t best = 0;
    for (uint32_t id = low; id < blob_->located(); id++) {
      const auto name = name_of(id);
      if (!name) return std::nullopt;
      if (*name != wanted) break;
      if (lookup_kind(blob_->type(id)->kind) == kind && (best == 0 || size_of(id) > size_of(best))) best = id;
    }
    return best;
  }

  std::unique_ptr<BtfBlob> blob_;
  std::optional<bool> sorted_;  // by name; then located as a whole
  std::optional<std::unordered_map<std::string_view, uint32_t>> per_cpu_offsets_;
  std::optional<bool> knows_signs_;  // whether enumerations say if they are signed
  uint32_t indexed_ = 1;             // the first type that is not in slots_ yet
  std::vector<Slot> slots_;          // by hash; a power of two of them, half of them free
  size_t used_ = 0;
  std::unordered_map<uint32_t, std::unique_ptr<Type>> types_;
};

std::unique_ptr<TypeSource> open_blob(PagedBytes bytes, Unread* why) {
  auto blob = BtfBlob::open(std::move(bytes), why);
  if (!blob) return nullptr;
  return std::make_unique<BtfSource>(std::move(blob));
}

}  // namespace

std::unique_ptr<TypeSource> open_btf(Memory& memory, uint64_t start, uint64_t stop, Unread* why,
                                     std::span<std::unique_ptr<TypeSource>* const> alike) {
  if (stop <= start || stop - start > kMaxSize) {
    *why = {UnreadReason::kCorrupt, start, "BTF", fmt::format("it ends at {:#x}", stop)};
    return nullptr;
  }
  for (std::unique_ptr<TypeSource>* types : alike)
    if (auto* btf = dynamic_cast<BtfSource*>(types->get()); btf && btf->move_to(memory, start, stop - start))
      return std::move(*types);
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
