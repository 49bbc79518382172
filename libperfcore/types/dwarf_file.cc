// SPDX-License-Identifier: LGPL-2.1-or-later
#include "types/dwarf_file.h"

#include <elf.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstring>

#include "perfcore/reading.h"

static_assert(std::endian::native == std::endian::little, "ELF structures are read in place");

namespace perfcore {
namespace {

/// All decompressed sections of one file together. Debian's 7.2 kernel has 270 MB of .debug_info.
constexpr uint64_t kMaxDecompressed = uint64_t{768} << 20;
/// Deflate cannot do better than 1032:1, whatever the header claims.
constexpr uint64_t kMaxZlibRatio = 1032;

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

bool within(uint64_t offset, uint64_t size, uint64_t total) {
  return offset <= total && size <= total - offset;
}

/// A copy of the structure at `offset`; the caller has checked that it is there.
template <typename T>
T copy_at(ByteSpan bytes, uint64_t offset) {
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

std::string_view view(ByteSpan bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

bool inflate_all(ByteSpan packed, std::span<std::byte> out) {
  z_stream stream{};
  if (inflateInit(&stream) != Z_OK) return false;
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(packed.data()));
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  uint64_t in_left = packed.size(), out_left = out.size();
  int result = Z_OK;
  // zlib counts in 32 bits.
  while (result == Z_OK) {
    const uInt in_part = static_cast<uInt>(std::min<uint64_t>(in_left, UINT32_MAX / 2));
    const uInt out_part = static_cast<uInt>(std::min<uint64_t>(out_left, UINT32_MAX / 2));
    stream.avail_in = in_part;
    stream.avail_out = out_part;
    result = inflate(&stream, Z_NO_FLUSH);
    in_left -= in_part - stream.avail_in;
    out_left -= out_part - stream.avail_out;
  }
  inflateEnd(&stream);
  return result == Z_STREAM_END && out_left == 0;
}

}  // namespace

uint64_t ByteCursor::long_uleb() {
  uint64_t value = 0;
  for (unsigned shift = 0; position_ < bytes_.size(); shift += 7) {
    const uint8_t byte = static_cast<uint8_t>(bytes_[position_++]);
    const uint64_t part = byte & 0x7f;
    if (shift >= 64 ? part != 0 : (part << shift) >> shift != part) break;
    if (shift < 64) value |= part << shift;
    if (!(byte & 0x80)) return value;
  }
  fail();
  return 0;
}

int64_t ByteCursor::sleb() {
  uint64_t value = 0;
  for (unsigned shift = 0; position_ < bytes_.size() && shift < 70; shift += 7) {
    const uint8_t byte = static_cast<uint8_t>(bytes_[position_++]);
    if (shift < 64) value |= uint64_t{byte & 0x7fu} << shift;
    if (byte & 0x80) continue;
    if ((byte & 0x40) && shift + 7 < 64) value |= ~uint64_t{0} << (shift + 7);
    return static_cast<int64_t>(value);
  }
  fail();
  return 0;
}

std::string_view ByteCursor::c_string(size_t max_size) {
  const auto* begin = reinterpret_cast<const char*>(bytes_.data()) + position_;
  const size_t limit = std::min<uint64_t>(left(), max_size + uint64_t{1});
  const void* end = limit ? std::memchr(begin, 0, limit) : nullptr;
  if (!end) {
    fail();
    return {};
  }
  const size_t length = static_cast<size_t>(static_cast<const char*>(end) - begin);
  position_ += length + 1;
  return {begin, length};
}

std::string_view string_at(ByteSpan strings, uint64_t offset, size_t max_size) {
  ByteCursor cursor(strings, offset);
  return cursor.c_string(max_size);
}

DwarfFile::DwarfFile(const std::string& path) : path_(path) {
  // O_NONBLOCK: opening a FIFO must not wait for a writer.
  const Descriptor fd(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  struct stat status {};
  if (fd.get() < 0 || fstat(fd.get(), &status) != 0)
    throw InputError(fmt::format("{}: cannot be opened: {}", path, std::strerror(errno)));
  if (!S_ISREG(status.st_mode)) throw InputError(fmt::format("{}: not a regular file", path));
  const auto size = static_cast<uint64_t>(status.st_size);
  if (size < sizeof(Elf64_Ehdr))
    throw InputError(fmt::format("{}: not an ELF file: it has only {} bytes", path, size));
  void* base = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd.get(), 0);
  if (base == MAP_FAILED)
    throw InputError(fmt::format("{}: cannot be mapped ({} bytes): {}", path, size, std::strerror(errno)));
  file_ = {static_cast<const std::byte*>(base), size};
  try {
    read_sections();
  } catch (...) {
    munmap(base, size);
    throw;
  }
}

DwarfFile::~DwarfFile() {
  munmap(const_cast<std::byte*>(file_.data()), file_.size());
}

void DwarfFile::read_sections() {
  const auto header = copy_at<Elf64_Ehdr>(file_, 0);
  if (std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0) {
    const bool boot_image = file_.size() > 0x206 && std::memcmp(file_.data() + 0x202, "HdrS", 4) == 0;
    throw InputError(fmt::format("{}: not an ELF file{}", path_,
                                 boot_image
                                     ? ": it is a compressed boot image (vmlinuz) without debug information; "
                                       "install the debug package of this kernel and give its vmlinux"
                                     : ""));
  }
  if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_ident[EI_DATA] != ELFDATA2LSB ||
      header.e_machine != EM_X86_64)
    throw InputError(
        fmt::format("{}: not an x86-64 ELF file: class {}, data {}, machine {} (expected {}, {}, {})", path_,
                    header.e_ident[EI_CLASS], header.e_ident[EI_DATA], header.e_machine, ELFCLASS64,
                    ELFDATA2LSB, EM_X86_64));
  if (header.e_type != ET_EXEC && header.e_type != ET_DYN)
    throw InputError(
        fmt::format("{}: an ELF file of type {}, not a linked kernel (type {} or {}): a module or an object "
                    "file cannot stand in for vmlinux",
                    path_, header.e_type, ET_EXEC, ET_DYN));
  // Counts that do not fit 16 bits are in section 0 (elf(5)).
  if (header.e_shentsize != sizeof(Elf64_Shdr) || !within(header.e_shoff, sizeof(Elf64_Shdr), file_.size()))
    throw InputError(
        fmt::format("{}: its section headers (at {:#x}, {} bytes each) are not within the {} bytes of the "
                    "file: truncated or damaged",
                    path_, header.e_shoff, header.e_shentsize, file_.size()));
  const auto first = copy_at<Elf64_Shdr>(file_, header.e_shoff);
  const uint64_t count = header.e_shnum ? header.e_shnum : first.sh_size;
  const uint64_t names_index = header.e_shstrndx == SHN_XINDEX ? first.sh_link : header.e_shstrndx;
  if (count > (file_.size() - header.e_shoff) / sizeof(Elf64_Shdr) || names_index >= count)
    throw InputError(fmt::format(
        "{}: {} section headers at {:#x} do not fit the {} bytes of the file: truncated or damaged", path_,
        count, header.e_shoff, file_.size()));
  const auto header_of = [&](uint64_t index) {
    return copy_at<Elf64_Shdr>(file_, header.e_shoff + index * sizeof(Elf64_Shdr));
  };
  const Elf64_Shdr names_header = header_of(names_index);
  ByteSpan names;
  if (names_header.sh_type == SHT_STRTAB &&
      within(names_header.sh_offset, names_header.sh_size, file_.size()))
    names = file_.subspan(names_header.sh_offset, names_header.sh_size);
  sections_.reserve(count);
  for (uint64_t i = 0; i < count; i++) {
    const Elf64_Shdr raw = header_of(i);
    Section section{string_at(names, raw.sh_name, 256),
                    raw.sh_type,
                    raw.sh_link,
                    raw.sh_flags,
                    raw.sh_addr,
                    raw.sh_size,
                    {}};
    if (raw.sh_type != SHT_NOBITS && within(raw.sh_offset, raw.sh_size, file_.size()))
      section.bytes = file_.subspan(raw.sh_offset, raw.sh_size);
    sections_.push_back(section);
  }
}

const DwarfFile::Section* DwarfFile::find(std::string_view name) const {
  // Relocations of an --emit-relocs vmlinux are named .rela.debug_info; a linked file's values are already
  // relocated.
  for (const Section& section : sections_)
    if (section.name == name && section.type != SHT_REL && section.type != SHT_RELA) return &section;
  return nullptr;
}

std::vector<std::string> DwarfFile::section_names() const {
  std::vector<std::string> names;
  for (const Section& section : sections_)
    if (!section.name.empty()) names.emplace_back(section.name);
  return names;
}

ByteSpan DwarfFile::section(std::string_view name) {
  if (auto found = decompressed_.find(name); found != decompressed_.end()) return found->second;
  if (const Section* plain = find(name)) {
    if (!(plain->flags & SHF_COMPRESSED)) return plain->bytes;
    if (plain->bytes.size() < sizeof(Elf64_Chdr)) return {};
    const auto header = copy_at<Elf64_Chdr>(plain->bytes, 0);
    constexpr uint32_t kElfCompressZstd = 2;  // ELFCOMPRESS_ZSTD, not in Debian 12's elf.h
    if (header.ch_type != ELFCOMPRESS_ZLIB && header.ch_type != kElfCompressZstd)
      throw InputError(
          fmt::format("{}: section {} is compressed by method {}, known are 1 (zlib) and 2 (zstd); "
                      "decompress it with objcopy --decompress-debug-sections",
                      path_, name, header.ch_type));
    return decompressed_[std::string(name)] = decompress(*plain, plain->bytes.subspan(sizeof header),
                                                         header.ch_size, header.ch_type == kElfCompressZstd);
  }
  if (!name.starts_with(".debug_")) return {};
  // The GNU form before SHF_COMPRESSED: "ZLIB", the size in 8 big-endian bytes, the stream.
  const Section* packed = find(".z" + std::string(name.substr(1)));
  if (!packed || packed->bytes.size() < 12 || std::memcmp(packed->bytes.data(), "ZLIB", 4) != 0) return {};
  const uint64_t size = __builtin_bswap64(copy_at<uint64_t>(packed->bytes, 4));
  return decompressed_[std::string(name)] = decompress(*packed, packed->bytes.subspan(12), size, false);
}

ByteSpan DwarfFile::decompress(const Section& section, ByteSpan packed, uint64_t size, bool zstd) {
  if (size > kMaxDecompressed - decompressed_size_ || (!zstd && size / kMaxZlibRatio > packed.size()))
    throw InputError(fmt::format(
        "{}: section {} claims {} bytes from {} compressed ones: more than is possible or than the "
        "limit of {} bytes for all sections; use objcopy --decompress-debug-sections",
        path_, section.name, size, packed.size(), kMaxDecompressed));
  auto buffer = std::make_unique_for_overwrite<std::byte[]>(size);
  const std::span<std::byte> out(buffer.get(), size);
  const bool good = zstd ? ZSTD_decompress(out.data(), out.size(), packed.data(), packed.size()) == out.size()
                         : inflate_all(packed, out);
  if (!good)
    throw InputError(
        fmt::format("{}: section {} cannot be decompressed to the {} bytes it claims: the file is damaged",
                    path_, section.name, size));
  buffers_.push_back(std::move(buffer));
  decompressed_size_ += size;
  return out;
}

DwarfFile::Symbols DwarfFile::symbols() const {
  for (const Section& section : sections_)
    if (section.type == SHT_SYMTAB && section.link < sections_.size())
      return {section.bytes, sections_[section.link].bytes};
  return {};
}

std::map<std::string, uint64_t, std::less<>> DwarfFile::function_addresses(
    std::span<const std::string_view> names) const {
  std::map<std::string, uint64_t, std::less<>> addresses;
  // Nearly all of some 200,000 symbols are told apart by their first bytes, without looking for the name's
  // end.
  constexpr size_t kStart = kMinFunctionName + 1;
  std::array<bool, 4096> starts{};
  const auto hash_of_start = [](const char* text) {
    uint64_t start;
    static_assert(sizeof start == kStart);
    std::memcpy(&start, text, sizeof start);
    return (start * 0x9e3779b97f4a7c15) >> 52;  // Fibonacci hashing to 12 bits
  };
  for (std::string_view name : names) {
    char start[kStart] = {};
    name.copy(start, kStart);
    starts[hash_of_start(start)] = true;
  }
  const auto [table, strings] = symbols();
  for (uint64_t offset = 0; within(offset, sizeof(Elf64_Sym), table.size()); offset += sizeof(Elf64_Sym)) {
    const auto symbol = copy_at<Elf64_Sym>(table, offset);
    if (ELF64_ST_TYPE(symbol.st_info) != STT_FUNC || symbol.st_shndx == SHN_UNDEF) continue;
    if (!within(symbol.st_name, kStart, strings.size()) ||
        !starts[hash_of_start(view(strings).data() + symbol.st_name)])
      continue;
    const std::string_view name = string_at(strings, symbol.st_name, 256);
    if (std::find(names.begin(), names.end(), name) != names.end()) addresses.emplace(name, symbol.st_value);
  }
  return addresses;
}

std::optional<uint64_t> DwarfFile::symbol_address(std::string_view name) const {
  const auto [table, strings] = symbols();
  for (uint64_t offset = 0; within(offset, sizeof(Elf64_Sym), table.size()); offset += sizeof(Elf64_Sym)) {
    const auto symbol = copy_at<Elf64_Sym>(table, offset);
    if (symbol.st_shndx == SHN_UNDEF || !within(symbol.st_name, name.size() + 1, strings.size())) continue;
    if (string_at(strings, symbol.st_name, name.size()) == name) return symbol.st_value;
  }
  return std::nullopt;
}

ByteSpan DwarfFile::image_at(uint64_t address, size_t size) const {
  for (const Section& section : sections_) {
    if (!(section.flags & SHF_ALLOC) || address < section.address) continue;
    const uint64_t offset = address - section.address;
    if (offset < section.bytes.size())
      return section.bytes.subspan(offset, std::min<uint64_t>(size, section.bytes.size() - offset));
  }
  return {};
}

void DwarfFile::forget(ByteSpan bytes) const {
  if (bytes.empty() || bytes.data() < file_.data() || bytes.data() >= file_.data() + file_.size()) return;
  const auto page = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  const uint64_t begin = static_cast<uint64_t>(bytes.data() - file_.data()) / page * page;
  const uint64_t end =
      std::min<uint64_t>(static_cast<uint64_t>(bytes.data() - file_.data()) + bytes.size(), file_.size());
  // Advice: when it is not taken, memory is used, nothing else.
  madvise(const_cast<std::byte*>(file_.data()) + begin, end - begin, MADV_DONTNEED);
}

}  // namespace perfcore
