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

/// A BTF section. Its types have no index and are of different sizes: they are located from the first on, as
/// far as somebody asked, which costs the pages up to there. Hostile bytes: every offset is checked. What
/// lies in pages that cannot be read is missing, the rest stays usable. One thread at a time.
class BtfBlob {
 public:
  /// Reads the header and locates the first types. nullptr and a reason in `why` when these bytes are no BTF
  /// of vmlinux.
  static std::unique_ptr<BtfBlob> open(PagedBytes bytes, Unread* why);

  /// PagedBytes::move_to(); false also when types are missing here, for reasons of this dump.
  bool move_to(Memory& memory, uint64_t start, uint64_t size) {
    return !stopped_ && bytes_.size() == size && bytes_.move_to(memory, start);
  }

  /// Types located so far, void (type 0) among them.
  uint32_t located() const { return static_cast<uint32_t>(offsets_.size()); }
  /// Locates some more types; false when there are no more, or none that can be told from one another: see
  /// stopped().
  bool advance();
  /// Why not all types could be located; nothing as long as none is known to be missing.
  const std::optional<Unread>& stopped() const { return stopped_; }

  /// A type, located first if it has to be. Nothing for numbers out of range and for types that cannot be
  /// read as a whole.
  std::optional<BtfType> type(uint32_t id);
  /// The 32-bit words after struct btf_type: word `i` of element `element`, elements of `words` words each.
  /// The type must be one that type() gave; words beyond its end are zero.
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
  void stop(std::string_view what);
  std::optional<BtfType> header_at(uint64_t offset);
  uint64_t size_of(const BtfType& type) const;

  PagedBytes bytes_;
  uint64_t types_ = 0;         // offset of the type section
  uint64_t types_size_ = 0;    // bytes
  uint64_t strings_ = 0;       // offset of the string section
  uint64_t strings_size_ = 0;  // bytes
  std::array<Layout, 128> layouts_{};
  std::vector<uint32_t> offsets_{0};  // of each type in the type section
  uint64_t next_ = 0;                 // offset of the first type that was not located yet
  std::optional<Unread> stopped_;
};

}  // namespace perfcore
