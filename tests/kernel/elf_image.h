// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// A small statically linked program, as a test's stand-in for kernel text.
#pragma once

#include <elf.h>

#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "kernel/code_decode.h"

namespace perfcore::test {

/// Trusts its input: the test suite built it.
class ElfImage {
 public:
  struct Function {
    uint64_t address = 0;
    uint64_t size = 0;
  };

  explicit ElfImage(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    file_.assign(std::istreambuf_iterator<char>(file), {});
    if (file_.size() < sizeof(Elf64_Ehdr)) throw std::runtime_error("cannot read " + path);
    const auto header = read<Elf64_Ehdr>(0);
    for (int i = 0; i < header.e_phnum; i++)
      segments_.push_back(read<Elf64_Phdr>(header.e_phoff + static_cast<size_t>(i) * sizeof(Elf64_Phdr)));
    for (int i = 0; i < header.e_shnum; i++) {
      const auto section = read<Elf64_Shdr>(header.e_shoff + static_cast<size_t>(i) * sizeof(Elf64_Shdr));
      if (section.sh_type != SHT_SYMTAB) continue;
      const auto strings = read<Elf64_Shdr>(header.e_shoff + section.sh_link * sizeof(Elf64_Shdr));
      for (size_t at = 0; at < section.sh_size; at += sizeof(Elf64_Sym)) {
        const auto symbol = read<Elf64_Sym>(section.sh_offset + at);
        const std::string name = file_.data() + strings.sh_offset + symbol.st_name;
        if (!name.empty()) symbols_[name] = {symbol.st_value, symbol.st_size};
      }
    }
  }

  bool has(const std::string& symbol) const { return symbols_.count(symbol) != 0; }
  const Function& symbol(const std::string& name) const { return symbols_.at(name); }
  std::string name_at(uint64_t address) const {
    for (const auto& [name, symbol] : symbols_)
      if (symbol.address == address) return name;
    return "";
  }
  std::span<const std::byte> bytes(uint64_t address, uint64_t size) const {
    for (const Elf64_Phdr& segment : segments_)
      if (segment.p_type == PT_LOAD && address >= segment.p_vaddr &&
          address + size <= segment.p_vaddr + segment.p_filesz)
        return std::as_bytes(std::span(file_)).subspan(segment.p_offset + (address - segment.p_vaddr), size);
    return {};
  }
  /// A function and its .cold part.
  std::vector<Instruction> code(const std::string& function) const {
    std::vector<Instruction> code;
    for (const std::string& name : {function, function + ".cold"}) {
      if (!has(name)) continue;
      const auto more =
          decode_bytes(bytes(symbol(name).address, symbol(name).size), symbol(name).address, true);
      const bool before = !code.empty() && !more.empty() && more.front().address < code.front().address;
      code.insert(before ? code.begin() : code.end(), more.begin(), more.end());
    }
    return code;
  }

 private:
  template <typename T>
  T read(size_t offset) const {
    T value;
    std::memcpy(&value, file_.data() + offset, sizeof value);
    return value;
  }

  std::vector<char> file_;
  std::vector<Elf64_Phdr> segments_;
  std::map<std::string, Function> symbols_;
};

}  // namespace perfcore::test
