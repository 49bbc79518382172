// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// The ELF parts of a vmlinux that symbols need. libelf is used in elf_file.cc and nowhere else.
#pragma once

#include <elf.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace perfcore {

/// One symbol of .symtab that has an address in a section of the file.
struct ElfSymbol {
  std::string_view name;
  uint64_t address = 0;  ///< link-time
  uint64_t size = 0;     ///< bytes; 0 where the assembler gave none
  char kind = '?';       ///< as nm(1) prints it
  bool typed = false;    ///< a function or an object, not a mere label
};

/// A linked little-endian x86-64 ELF file. The file is mapped: the views that this hands out live as long as
/// it does. Immutable. The file is hostile: what lies outside it does not exist for this class.
class ElfFile {
 public:
  /// Throws InputError when the file cannot be opened or is not such a file.
  explicit ElfFile(const std::string& path);
  ~ElfFile();
  ElfFile(const ElfFile&) = delete;
  ElfFile& operator=(const ElfFile&) = delete;

  const std::string& path() const { return path_; }

  /// One past the highest link-time address of any section that is loaded.
  uint64_t image_end() const { return image_end_; }
  /// Entries of .symtab; 0 when the file has none.
  uint32_t symbol_count() const { return symbol_count_; }
  /// Calls visit(index, name, address) for what symbol() hands out, in file order: the cheap part of a
  /// look-up. `name` is a string_view of the name's first bytes up to the end of .strtab, at least one of
  /// them: its end has not been looked for. `address` is the link-time address.
  template <typename F>
  void for_each_symbol(F&& visit) const {
    for (uint32_t i = 0; i < symbol_count_; i++) {
      const Elf64_Sym symbol = entry(i);
      if (is_kernel_symbol(symbol) && symbol.st_name < names_.size())
        visit(i, names_.substr(symbol.st_name), symbol.st_value);
    }
  }
  /// Link-time address, 0 for what symbol() does not hand out: the cheap part of a look-up by address.
  uint64_t symbol_address(uint32_t index) const;
  /// Nothing for entries that are no symbols of the kernel (files, sections, absolute values, undefined).
  std::optional<ElfSymbol> symbol(uint32_t index) const;

  /// Lets go of the pages that a pass over all symbols has touched; they are read again when asked for.
  void forget_pages() const;

  /// GNU build ID in lower-case hex, empty when there is none.
  std::string build_id() const;

 private:
  struct Handle;

  Elf64_Sym entry(uint32_t index) const {
    Elf64_Sym symbol;
    std::memcpy(&symbol, symbols_.data() + size_t{index} * sizeof(symbol), sizeof(symbol));
    return symbol;
  }
  static bool is_kernel_symbol(const Elf64_Sym& symbol) {
    const unsigned type = ELF64_ST_TYPE(symbol.st_info);
    return type != STT_FILE && type != STT_SECTION && symbol.st_shndx != SHN_UNDEF &&
           symbol.st_shndx < SHN_LORESERVE;
  }

  std::string path_;
  std::unique_ptr<Handle> handle_;
  std::span<const std::byte> symbols_;
  std::string_view names_;
  uint32_t symbol_count_ = 0;
  uint64_t image_end_ = 0;
};

}  // namespace perfcore
