// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// The bytes of a BTF section as records (include/uapi/linux/btf.h, Documentation/bpf/btf.rst).
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "perfcore/reading.h"
#include "symbols/paged_bytes.h"

namespace perfcore {

enum class BtfKind : uint8_t {
  kVoid = 0,
  kInt = 1,
  kPointer = 2,
  kArray = 3,
  kStruct = 4,
  kUnion = 5,
  kEnum = 6,
  kForward = 7,
  kTypedef = 8,
  kVolatile = 9,
  kConst = 10,
  kRestrict = 11,
  kFunction = 12,
  kFunctionPrototype = 13,
  kVariable = 14,
  kDataSection = 15,
  kFloat = 16,           // since 5.13 (b1828f0b0482)
  kDeclarationTag = 17,  // since 5.16 (b5ea834dde6b, renamed by 223f903e9c83)
  kTypeTag = 18,         // since 5.17 (8c42d2fa4eeb)
  kEnum64 = 19,          // since 6.0 (6089fb325cf7)
};

/// struct btf_type with its info taken apart.
struct BtfType {
  BtfKind kind = BtfKind::kVoid;  ///< may be none of the names above
  bool flag = false;              ///< kind_flag
  uint32_t name = 0;              ///< offset of the name
  uint32_t count = 0;             ///< vlen
  uint32_t size_or_type = 0;
  uint32_t extra = 0;  ///< offset in the type section of what follows struct btf_type
};

/// A BTF section whose types were counted and located in one pass. Hostile bytes: every offset is checked.
/// What lies in pages that cannot be read is missing, the rest stays usable. One thread at a time.
class BtfBlob {
 public:
  /// nullptr when these bytes are no BTF of vmlinux.
  /// \param why  what is wrong with it: where the result is nullptr, and where only a part of the types is
  /// usable; its path
  ///             is empty when all is well
  static std::unique_ptr<BtfBlob> open(PagedBytes bytes, Unread* why);

  /// One more than the highest type number; type 0 is void.
  uint32_t type_count() const { return static_cast<uint32_t>(offsets_.size()); }
  /// Of a type below type_count().
  BtfKind kind(uint32_t id) const { return kinds_[id]; }
  /// Nothing for numbers out of range and for types that cannot be read as a whole.
  std::optional<BtfType> type(uint32_t id);
  /// The 32-bit words after struct btf_type: word `i` of element `element`, elements of `words` words each.
  uint32_t word(const BtfType& type, uint32_t element, uint32_t words, uint32_t i);
  /// Empty for anonymous types and members; nothing when the offset is bad or the name cannot be read.
  std::optional<std::string_view> name(uint32_t offset);

 private:
  /// Bytes that follow struct btf_type: a part of fixed size and one per element.
  struct Layout {
    uint8_t info = 0;
    uint8_t element = 0;
    bool known = false;
  };

  explicit BtfBlob(PagedBytes bytes) : bytes_(std::move(bytes)) {}
  bool read_header(Unread* why);
  void locate_types(Unread* why);
  std::optional<BtfType> header_at(uint64_t offset);
  uint64_t size_of(const BtfType& type) const;

  PagedBytes bytes_;
  uint64_t types_ = 0;         // offset of the type section
  uint64_t types_size_ = 0;    // bytes
  uint64_t strings_ = 0;       // offset of the string section
  uint64_t strings_size_ = 0;  // bytes
  std::array<Layout, 128> layouts_{};
  std::vector<BtfKind> kinds_;
  std::vector<uint32_t> offsets_;  // of each type in the type section
};

}  // namespace perfcore
