// SPDX-License-Identifier: LGPL-2.1-or-later
#include "symbols/elf_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <gelf.h>
#include <libelf.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include "perfcore/reading.h"
#include "perfcore/types.h"

namespace perfcore {
namespace {

/// A vmlinux has about 60 sections, 300 with -ffunction-sections leftovers.
constexpr size_t kMaxSections = 65535;
constexpr uint64_t kMaxNotesSize = uint64_t{1} << 20;  // bytes
/// GNU build IDs have 20 bytes (SHA-1), 16 (MD5, UUID), or what --build-id=0x... says.
constexpr size_t kMaxBuildIdSize = 64;

}  // namespace

struct ElfFile::Handle {
  ~Handle() {
    if (elf) elf_end(elf);
    if (descriptor >= 0) close(descriptor);
  }

  /// The bytes of a section as they are in the file; empty when they are not wholly within it.
  static std::span<const std::byte> bytes(Elf_Scn* section) {
    const Elf_Data* data = section ? elf_rawdata(section, nullptr) : nullptr;
    if (!data || !data->d_buf) return {};
    return {static_cast<const std::byte*>(data->d_buf), data->d_size};
  }

  int descriptor = -1;
  Elf* elf = nullptr;
  std::vector<char> section_letters;  // as nm(1) prints local symbols of each section
};

ElfFile::ElfFile(const std::string& path) : path_(path), handle_(std::make_unique<Handle>()) {
  const auto fail = [&](std::string_view what) {
    throw InputError(
        fmt::format("{}: {}; give the vmlinux that was built with the crashed kernel", path, what));
  };
  handle_->descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (handle_->descriptor < 0) fail(fmt::format("cannot be opened: {}", std::strerror(errno)));
  struct stat status;
  if (fstat(handle_->descriptor, &status) != 0 || !S_ISREG(status.st_mode)) fail("not a regular file");
  elf_version(EV_CURRENT);
  handle_->elf = elf_begin(handle_->descriptor, ELF_C_READ_MMAP, nullptr);
  GElf_Ehdr header;
  if (!handle_->elf || elf_kind(handle_->elf) != ELF_K_ELF || !gelf_getehdr(handle_->elf, &header))
    fail(fmt::format("not an ELF file ({} bytes)", status.st_size));
  if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_ident[EI_DATA] != ELFDATA2LSB ||
      header.e_machine != EM_X86_64)
    fail(fmt::format("an ELF file of another machine (class {}, machine {}), not of x86-64",
                     header.e_ident[EI_CLASS], header.e_machine));

  // Section 0 is reserved; elf_nextscn() starts behind it.
  handle_->section_letters.push_back('?');
  Elf_Scn* section = nullptr;
  while ((section = elf_nextscn(handle_->elf, section)) && handle_->section_letters.size() < kMaxSections) {
    GElf_Shdr shdr;
    if (!gelf_getshdr(section, &shdr)) {
      handle_->section_letters.push_back('?');
      continue;
    }
    char letter = shdr.sh_flags & SHF_WRITE ? 'd' : 'r';
    if (shdr.sh_flags & SHF_EXECINSTR)
      letter = 't';
    else if (shdr.sh_type == SHT_NOBITS)
      letter = 'b';
    handle_->section_letters.push_back(letter);
    if ((shdr.sh_flags & SHF_ALLOC) && shdr.sh_addr <= UINT64_MAX - shdr.sh_size)
      image_end_ = std::max(image_end_, shdr.sh_addr + shdr.sh_size);
    if (shdr.sh_type != SHT_SYMTAB || symbol_count_ != 0) continue;
    symbols_ = Handle::bytes(section);
    const auto names = Handle::bytes(elf_getscn(handle_->elf, shdr.sh_link));
    names_ = {reinterpret_cast<const char*>(names.data()), names.size()};
    // Every name ends within the table when its last byte is a NUL.
    names_.remove_suffix(names_.size() - (names_.rfind('\0') + 1));
    symbol_count_ = static_cast<uint32_t>(std::min<size_t>(symbols_.size() / sizeof(Elf64_Sym), UINT32_MAX));
  }
}

ElfFile::~ElfFile() = default;

void ElfFile::forget_pages() const {
  size_t size = 0;
  char* image = elf_rawfile(handle_->elf, &size);
  // Only a mapped file: where mapping failed, libelf has read the file into memory of its own, which no
  // advice may drop. Mappings begin on a page, allocations behind their header.
  if (image && reinterpret_cast<uintptr_t>(image) % static_cast<uintptr_t>(sysconf(_SC_PAGESIZE)) == 0)
    madvise(image, size, MADV_DONTNEED);
}

uint64_t ElfFile::symbol_address(uint32_t index) const {
  const Elf64_Sym symbol = entry(index);
  return is_kernel_symbol(symbol) ? symbol.st_value : 0;
}

std::optional<ElfSymbol> ElfFile::symbol(uint32_t index) const {
  const Elf64_Sym entry = this->entry(index);
  if (!is_kernel_symbol(entry) || entry.st_name >= names_.size()) return std::nullopt;
  ElfSymbol symbol;
  symbol.name = names_.data() + entry.st_name;
  symbol.address = entry.st_value;
  symbol.size = entry.st_size;
  const unsigned type = ELF64_ST_TYPE(entry.st_info);
  symbol.typed = type == STT_FUNC || type == STT_OBJECT || type == STT_GNU_IFUNC;
  symbol.kind =
      entry.st_shndx < handle_->section_letters.size() ? handle_->section_letters[entry.st_shndx] : '?';
  const unsigned binding = ELF64_ST_BIND(entry.st_info);
  if (binding == STB_WEAK)
    symbol.kind = type == STT_OBJECT ? 'V' : 'W';
  else if (binding != STB_LOCAL && symbol.kind != '?')
    symbol.kind = static_cast<char>(symbol.kind - 'a' + 'A');
  return symbol;
}

std::string ElfFile::build_id() const {
  const auto search = [&](uint64_t offset, uint64_t size) -> std::string {
    if (size > kMaxNotesSize) return {};
    Elf_Data* data = elf_getdata_rawchunk(handle_->elf, static_cast<int64_t>(offset), size, ELF_T_NHDR);
    if (!data) return {};
    GElf_Nhdr note;
    size_t name = 0, description = 0;
    for (size_t at = 0; (at = gelf_getnote(data, at, &note, &name, &description)) > 0;) {
      const auto* bytes = static_cast<const uint8_t*>(data->d_buf);
      if (note.n_type != NT_GNU_BUILD_ID || note.n_namesz != sizeof("GNU") ||
          std::memcmp(bytes + name, "GNU", sizeof("GNU")) != 0 || note.n_descsz > kMaxBuildIdSize)
        continue;
      std::string hex;
      for (size_t i = 0; i < note.n_descsz; i++) hex += fmt::format("{:02x}", bytes[description + i]);
      return hex;
    }
    return {};
  };
  Elf_Scn* section = nullptr;
  for (size_t i = 0; i < kMaxSections && (section = elf_nextscn(handle_->elf, section)); i++) {
    GElf_Shdr shdr;
    if (!gelf_getshdr(section, &shdr) || shdr.sh_type != SHT_NOTE) continue;
    if (std::string id = search(shdr.sh_offset, shdr.sh_size); !id.empty()) return id;
  }
  size_t segments = 0;
  if (elf_getphdrnum(handle_->elf, &segments) != 0) return {};
  for (size_t i = 0; i < std::min(segments, kMaxSections); i++) {
    GElf_Phdr phdr;
    if (!gelf_getphdr(handle_->elf, static_cast<int>(i), &phdr) || phdr.p_type != PT_NOTE) continue;
    if (std::string id = search(phdr.p_offset, phdr.p_filesz); !id.empty()) return id;
  }
  return {};
}

std::string elf_build_id(const std::string& path) {
  return ElfFile(path).build_id();
}

}  // namespace perfcore
