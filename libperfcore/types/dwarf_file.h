// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// A mapped ELF file with debug sections: what DWARF reading needs of ELF and nothing more. The file is
/// hostile: every offset and size is checked against the file's size before it is used.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace perfcore {

using ByteSpan = std::span<const std::byte>;

/// Reads little-endian values from bytes. A read past the end yields zero and makes failed() true for good,
/// so that a run of reads is checked once.
class ByteCursor {
 public:
  explicit ByteCursor(ByteSpan bytes, uint64_t position = 0) : bytes_(bytes), position_(position) {
    if (position > bytes.size()) fail();
  }

  bool failed() const { return failed_; }
  bool at_end() const { return position_ >= bytes_.size(); }
  uint64_t position() const { return position_; }
  uint64_t left() const { return bytes_.size() - position_; }

  /// 1, 2, 3, 4 or 8 bytes; other sizes fail.
  uint64_t unsigned_value(unsigned size) {
    switch (size) {
      case 1:
        return fixed<uint8_t>();
      case 2:
        return fixed<uint16_t>();
      case 3: {
        const uint64_t low = fixed<uint16_t>();
        return low | static_cast<uint64_t>(fixed<uint8_t>()) << 16;
      }
      case 4:
        return fixed<uint32_t>();
      case 8:
        return fixed<uint64_t>();
      default:
        fail();
        return 0;
    }
  }
  uint8_t u8() { return fixed<uint8_t>(); }
  uint16_t u16() { return fixed<uint16_t>(); }
  uint32_t u32() { return fixed<uint32_t>(); }
  uint64_t u64() { return fixed<uint64_t>(); }
  /// LEB128; more than 64 bits fail.
  uint64_t uleb() {
    // Nearly all have one byte.
    if (position_ < bytes_.size() && (bytes_[position_] & std::byte{0x80}) == std::byte{0})
      return static_cast<uint8_t>(bytes_[position_++]);
    return long_uleb();
  }
  int64_t sleb();
  void skip(uint64_t size) {
    if (size > left())
      fail();
    else
      position_ += size;
  }
  /// A NUL-terminated string of at most `max_size` bytes; the cursor moves behind the NUL. Longer ones fail.
  std::string_view c_string(size_t max_size);

 private:
  uint64_t long_uleb();
  template <typename T>
  T fixed() {
    if (left() < sizeof(T)) {
      fail();
      return 0;
    }
    T value;
    std::memcpy(&value, bytes_.data() + position_, sizeof value);
    position_ += sizeof value;
    return value;
  }
  void fail() {
    failed_ = true;
    position_ = bytes_.size();
  }

  ByteSpan bytes_;
  uint64_t position_;
  bool failed_ = false;
};

/// The string at `offset` of a string section: empty when the offset is bad or the string is not terminated
/// within `max_size` bytes.
std::string_view string_at(ByteSpan strings, uint64_t offset, size_t max_size);

/// A little-endian 64-bit ELF file in memory. Immutable but for sections decompressed on first use; one
/// thread at a time.
class DwarfFile {
 public:
  /// Throws InputError when the file cannot be opened or is not an x86-64 ELF file that was linked.
  explicit DwarfFile(const std::string& path);
  ~DwarfFile();
  DwarfFile(const DwarfFile&) = delete;
  DwarfFile& operator=(const DwarfFile&) = delete;

  const std::string& path() const { return path_; }

  /// The contents of ".debug_info" and the like, decompressed when the file has it compressed (SHF_COMPRESSED
  /// with zlib or zstd, or ".zdebug_info"). Empty when there is none. Throws InputError when it cannot be
  /// decompressed.
  ByteSpan section(std::string_view name);
  /// Names of all sections, for messages.
  std::vector<std::string> section_names() const;

  static constexpr size_t kMinFunctionName = 7;
  /// Link-time addresses of functions, found in one pass over .symtab; names without a function symbol are
  /// missing. Names have at least kMinFunctionName characters.
  std::map<std::string, uint64_t, std::less<>> function_addresses(
      std::span<const std::string_view> names) const;
  /// Link-time address of one symbol of any type.
  std::optional<uint64_t> symbol_address(std::string_view name) const;
  /// At most `size` bytes of the file's image at a link-time address; empty when no section holds the
  /// address.
  ByteSpan image_at(uint64_t address, size_t size) const;

  /// Tells the kernel that these bytes, if they are of the mapped file, need not stay in memory; they can
  /// still be read.
  void forget(ByteSpan bytes) const;

 private:
  struct Section {
    std::string_view name;
    uint32_t type = 0;
    uint32_t link = 0;
    uint64_t flags = 0;
    uint64_t address = 0;
    uint64_t size = 0;  ///< as the header says; bytes is shorter for SHT_NOBITS
    ByteSpan bytes;
  };
  struct Symbols {
    ByteSpan table;
    ByteSpan names;
  };

  void read_sections();
  const Section* find(std::string_view name) const;
  ByteSpan decompress(const Section& section, ByteSpan packed, uint64_t size, bool zstd);
  Symbols symbols() const;

  std::string path_;
  ByteSpan file_;
  std::vector<Section> sections_;
  std::map<std::string, ByteSpan, std::less<>> decompressed_;
  std::vector<std::unique_ptr<std::byte[]>> buffers_;
  uint64_t decompressed_size_ = 0;
};

}  // namespace perfcore
