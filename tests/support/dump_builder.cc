// SPDX-License-Identifier: LGPL-2.1-or-later
#include "support/dump_builder.h"

#include <elf.h>
#include <endian.h>
#include <fmt/format.h>
#include <lzo/lzo1x.h>
#include <snappy-c.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <stdexcept>

#include "dump/kdump_format.h"

namespace perfcore::test {
namespace {

constexpr uint64_t kPresentWritable = 3;
constexpr uint64_t kLarge = 1 << 7;

void put(std::string& file, uint64_t offset, std::string_view bytes) {
  if (file.size() < offset + bytes.size()) file.resize(offset + bytes.size());
  bytes.copy(file.data() + offset, bytes.size());
}

template <typename T>
std::string_view bytes_of(const T& record) {
  return {reinterpret_cast<const char*>(&record), sizeof(T)};
}

void pad(std::string& text, size_t to) {
  text.resize((text.size() + to - 1) / to * to);
}

std::string note(std::string_view name, uint32_t type, std::string_view content) {
  const Elf64_Nhdr header{static_cast<Elf64_Word>(name.size() + 1), static_cast<Elf64_Word>(content.size()),
                          type};
  std::string text(bytes_of(header));
  text.append(name).push_back('\0');
  pad(text, 4);
  text.append(content);
  pad(text, 4);
  return text;
}

/// A compressed page, or the page itself where compressing does not help; `flags` says which.
std::string compress_page(std::string_view page, Codec codec, uint32_t& flags) {
  std::string out(2 * page.size(), '\0');
  size_t size = 0;
  flags = 0;
  switch (codec) {
    case Codec::kNone:
      return std::string(page);
    case Codec::kZlib: {
      uLongf length = out.size();
      compress(reinterpret_cast<Bytef*>(out.data()), &length, reinterpret_cast<const Bytef*>(page.data()),
               page.size());
      size = length;
      flags = kCompressedZlib;
      break;
    }
    case Codec::kLzo: {
      std::vector<unsigned char> work(LZO1X_1_MEM_COMPRESS);
      lzo_uint length = 0;
      lzo1x_1_compress(reinterpret_cast<const unsigned char*>(page.data()), page.size(),
                       reinterpret_cast<unsigned char*>(out.data()), &length, work.data());
      size = length;
      flags = kCompressedLzo;
      break;
    }
    case Codec::kSnappy:
      size = out.size();
      snappy_compress(page.data(), page.size(), out.data(), &size);
      flags = kCompressedSnappy;
      break;
    case Codec::kZstd:
      size = ZSTD_compress(out.data(), out.size(), page.data(), page.size(), 1);
      flags = kCompressedZstd;
      break;
  }
  if (size >= page.size()) {
    flags = 0;
    return std::string(page);
  }
  out.resize(size);
  return out;
}

}  // namespace

TempDir::TempDir() {
  std::string pattern = std::filesystem::temp_directory_path() / "perfcore-test-XXXXXX";
  if (mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("cannot make a temporary directory");
  path_ = pattern;
}

TempDir::~TempDir() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::string TempDir::write(const std::string& name, std::string_view content) const {
  const auto path = path_ / name;
  std::filesystem::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << content;
  return path;
}

DumpBuilder::DumpBuilder(int levels) : levels_(levels) {
  page(root_ / kPage);
  map(kImage, kImagePhysical, kImageSize);
  map(direct_map(), 0, 1 << 30);
  for (size_t i = 0; i < kVmallocPages.size(); i++)
    map(vmalloc() + i * kPage, kVmallocPages[i] * kPage, kPage);
  for (uint64_t pfn = kPatternBegin; pfn < kPatternEnd; pfn++)
    for (uint64_t i = 0; i < kPage; i++) page(pfn)[i] = pattern(pfn * kPage + i);
}

std::byte DumpBuilder::pattern(uint64_t physical) {
  // Odd pages are noise that does not compress.
  const uint64_t pfn = physical / kPage;
  if (pfn % 2 == 0) return static_cast<std::byte>(pfn + physical % 7);
  uint64_t x = physical * 0x9e3779b97f4a7c15;
  x ^= x >> 29;
  x *= 0xbf58476d1ce4e5b9;
  return static_cast<std::byte>(x >> 40);
}

void DumpBuilder::write(uint64_t physical, std::span<const std::byte> bytes) {
  for (const std::byte b : bytes) {
    page(physical / kPage)[physical % kPage] = b;
    physical++;
  }
}

uint64_t DumpBuilder::word(uint64_t physical) const {
  uint64_t value = 0;
  std::memcpy(&value, pages_.at(physical / kPage).data() + physical % kPage, sizeof(value));
  return value;
}

void DumpBuilder::map(uint64_t virtual_address, uint64_t physical, uint64_t size, uint64_t flags) {
  const int leaf = size == kPage ? 1 : size == (2 << 20) ? 2 : 3;
  uint64_t table = root_;
  for (int level = levels_; level > leaf; level--) {
    const uint64_t entry = table + (virtual_address >> (12 + 9 * (level - 1)) & 511) * 8;
    if (word(entry) == 0) {
      page(next_table_ / kPage);
      write_word(entry, next_table_ | kPresentWritable);
      next_table_ += kPage;
    }
    table = word(entry) & ~uint64_t{0xfff};
  }
  write_word(table + (virtual_address >> (12 + 9 * (leaf - 1)) & 511) * 8,
             physical | kPresentWritable | (leaf > 1 ? kLarge : 0) | flags);
}

uint64_t DumpBuilder::entry_address(uint64_t virtual_address, int level) const {
  uint64_t table = root_;
  for (int at = levels_; at > level; at--)
    table = word(table + (virtual_address >> (12 + 9 * (at - 1)) & 511) * 8) & ~uint64_t{0xfff};
  return table + (virtual_address >> (12 + 9 * (level - 1)) & 511) * 8;
}

std::string DumpBuilder::vmcoreinfo() const {
  return fmt::format(
      "OSRELEASE=6.12.0-test\nBUILD-ID=0123456789abcdef0123456789abcdef01234567\nPAGESIZE=4096\n"
      "SYMBOL(swapper_pg_dir)={:x}\nSYMBOL(_stext)={:x}\nNUMBER(phys_base)={}\nSYMBOL(init_top_pgt)={:x}\n"
      "NUMBER(pgtable_l5_enabled)={}\nKERNELOFFSET={:x}\nNUMBER(sme_mask)=0\n",
      swapper_pg_dir(), kImage, static_cast<int64_t>(phys_base()), swapper_pg_dir(), levels_ == 5 ? 1 : 0,
      kImage - 0xffffffff81000000);
}

void DumpBuilder::add_cpu(uint64_t ip, uint64_t sp, uint64_t cs, int32_t pid, uint64_t gs_base) {
  std::string status(336, '\0');
  put(status, 32, bytes_of(pid));
  // user_regs_struct: r15 r14 r13 r12 bp bx r11 r10 r9 r8 ax cx dx si di orig_ax ip cs flags sp ss fs_base
  // gs_base
  const auto put_register = [&](size_t index, uint64_t value) {
    put(status, 112 + index * 8, bytes_of(value));
  };
  put_register(16, ip);
  put_register(17, cs);
  put_register(19, sp);
  put_register(22, gs_base);
  cpu_notes_ += note("CORE", NT_PRSTATUS, status);
}

void DumpBuilder::add_cpu(const Registers& registers, int32_t pid) {
  // elf_prstatus: pr_reg begins with struct pt_regs, whose order struct Registers has.
  std::string status(336, '\0');
  put(status, 32, bytes_of(pid));
  put(status, 112, bytes_of(registers));
  cpu_notes_ += note("CORE", NT_PRSTATUS, status);
}

void DumpBuilder::add_qemu_cpu(uint64_t cs, uint64_t gs_base, uint64_t kernel_gs_base, uint64_t cr3,
                               uint64_t cr4) {
  std::string state(440, '\0');
  const uint32_t version = 1, size = 440;
  const auto selector = static_cast<uint32_t>(cs);
  put(state, 0, bytes_of(version));
  put(state, 4, bytes_of(size));
  put(state, 152, bytes_of(selector));
  put(state, 248 + 16, bytes_of(gs_base));
  put(state, 392 + 3 * 8, bytes_of(cr3));
  put(state, 392 + 4 * 8, bytes_of(cr4));
  put(state, 432, bytes_of(kernel_gs_base));
  qemu_notes_ += note("QEMU", 0, state);
}

std::string DumpBuilder::notes() const {
  return cpu_notes_ + qemu_notes_ + other_notes_ +
         (vmcoreinfo_note_ ? note("VMCOREINFO", 0, vmcoreinfo()) : "");
}

DumpBuilder::Page DumpBuilder::page_or_zero(uint64_t pfn) const {
  const auto found = pages_.find(pfn);
  return found == pages_.end() ? Page{} : found->second;
}

std::string DumpBuilder::elf(const ElfOptions& options) const {
  // Like makedumpfile -E: a segment ends where pages were left out, which p_memsz still covers.
  std::vector<Elf64_Phdr> segments(1);
  segments[0].p_type = PT_NOTE;
  const auto add_segments = [&](uint64_t begin, uint64_t end, uint64_t virtual_minus_physical) {
    for (uint64_t pfn = begin; pfn < end;) {
      Elf64_Phdr segment{};
      segment.p_type = PT_LOAD;
      segment.p_paddr = pfn * kPage;
      segment.p_vaddr = options.virtual_addresses ? segment.p_paddr + virtual_minus_physical : 0;
      for (; pfn < end && is_present(pfn); pfn++) segment.p_filesz += kPage;
      for (; pfn < end && !is_present(pfn); pfn++) segment.p_memsz += kPage;
      segment.p_memsz += segment.p_filesz;
      segments.push_back(segment);
    }
  };
  if (options.virtual_addresses)
    add_segments(kImagePhysical / kPage, (kImagePhysical + kImageSize) / kPage, kImage - kImagePhysical);
  add_segments(0, kMemorySize / kPage, direct_map());

  Elf64_Ehdr header{};
  std::memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_ident[EI_CLASS] = ELFCLASS64;
  header.e_ident[EI_DATA] = ELFDATA2LSB;
  header.e_ident[EI_VERSION] = EV_CURRENT;
  header.e_type = ET_CORE;
  header.e_machine = EM_X86_64;
  header.e_version = EV_CURRENT;
  header.e_ehsize = sizeof(header);
  header.e_phentsize = sizeof(Elf64_Phdr);
  header.e_phoff = sizeof(header);
  header.e_phnum = options.pn_xnum ? PN_XNUM : static_cast<Elf64_Half>(segments.size());
  if (options.headers_after_sections || options.pn_xnum) {
    header.e_shoff = sizeof(header);
    header.e_shentsize = sizeof(Elf64_Shdr);
    header.e_shnum = 2;
    header.e_shstrndx = 1;
    header.e_phoff += 2 * sizeof(Elf64_Shdr);
  }
  std::string file(bytes_of(header));
  file.resize(header.e_phoff);
  if (options.pn_xnum) {
    Elf64_Shdr section{};
    section.sh_info = static_cast<Elf64_Word>(segments.size());
    put(file, header.e_shoff, bytes_of(section));
  }
  file.resize(header.e_phoff + segments.size() * sizeof(Elf64_Phdr));
  segments[0].p_offset = file.size();
  file += notes();
  segments[0].p_filesz = segments[0].p_memsz = file.size() - segments[0].p_offset;
  pad(file, kPage);
  for (Elf64_Phdr& segment : segments) {
    if (segment.p_type != PT_LOAD) continue;
    segment.p_offset = file.size();
    for (uint64_t at = 0; at < segment.p_filesz; at += kPage)
      file += bytes_of(page_or_zero((segment.p_paddr + at) / kPage));
  }
  for (size_t i = 0; i < segments.size(); i++)
    put(file, header.e_phoff + i * sizeof(Elf64_Phdr), bytes_of(segments[i]));
  return file;
}

std::string DumpBuilder::kdump(const KdumpOptions& options) const {
  constexpr uint64_t kPages = kMemorySize / kPage;
  const std::string info = vmcoreinfo_note_ ? vmcoreinfo() : "";
  std::string blob = info;
  pad(blob, 8);
  const uint64_t info_offset = kPage + sizeof(KdumpSubHeader);
  const uint64_t notes_offset = info_offset + blob.size();
  const std::string all_notes =
      options.vmcoreinfo_in_notes ? notes() : cpu_notes_ + qemu_notes_ + other_notes_;
  if (options.version >= 4) blob += all_notes;

  DiskDumpHeader header{};
  std::memcpy(header.signature, kKdumpSignature, sizeof(header.signature));
  header.header_version = options.version;
  std::strncpy(header.sysname, "Linux", sizeof(header.sysname) - 1);
  std::strncpy(header.release, "6.12.0-test", sizeof(header.release) - 1);
  std::strncpy(header.machine, options.machine.c_str(), sizeof(header.machine) - 1);
  header.block_size = kPage;
  header.sub_hdr_size = static_cast<int32_t>((sizeof(KdumpSubHeader) + blob.size() + kPage - 1) / kPage);
  header.bitmap_blocks = 2;
  header.max_mapnr = kPages;
  header.nr_cpus = 1;
  KdumpSubHeader sub{};
  sub.phys_base = phys_base();
  sub.dump_level = 31;
  sub.split = options.split ? 1 : 0;
  sub.start_pfn = sub.start_pfn_64 = options.begin_pfn;
  sub.end_pfn = sub.end_pfn_64 = options.end_pfn;
  sub.offset_vmcoreinfo = info.empty() ? 0 : info_offset;
  sub.size_vmcoreinfo = info.size();
  sub.offset_note = notes_offset;
  sub.size_note = all_notes.size();
  sub.max_mapnr_64 = kPages;

  std::string file(bytes_of(header));
  put(file, kPage, bytes_of(sub));
  put(file, info_offset, blob);
  const uint64_t bitmaps = kPage * (1 + static_cast<uint64_t>(header.sub_hdr_size));
  std::string existing(kPage, '\0'), dumped(kPage, '\0');
  std::vector<PageDescriptor> descriptors;
  std::string data;
  for (uint64_t pfn = 0; pfn < kPages; pfn++) {
    const char bit = static_cast<char>(1 << (pfn % 8));
    existing[pfn / 8] = static_cast<char>(existing[pfn / 8] | bit);
    if (!is_present(pfn)) continue;
    dumped[pfn / 8] = static_cast<char>(dumped[pfn / 8] | bit);
    if (options.split && (pfn < options.begin_pfn || pfn >= options.end_pfn)) continue;
    PageDescriptor descriptor{};
    const Page content = page_or_zero(pfn);
    const std::string compressed = compress_page(bytes_of(content), options.codec, descriptor.flags);
    descriptor.offset = data.size();
    descriptor.size = static_cast<uint32_t>(compressed.size());
    data += compressed;
    descriptors.push_back(descriptor);
  }
  put(file, bitmaps, existing);
  put(file, bitmaps + kPage, dumped);
  const uint64_t data_offset = file.size() + descriptors.size() * sizeof(PageDescriptor);
  for (PageDescriptor& descriptor : descriptors) {
    descriptor.offset += data_offset;
    file += bytes_of(descriptor);
  }
  return file + data;
}

std::vector<std::string> DumpBuilder::split(size_t count, KdumpOptions options) const {
  std::vector<std::string> parts;
  options.split = true;
  for (size_t i = 0; i < count; i++) {
    options.begin_pfn = kMemorySize / kPage * i / count;
    options.end_pfn = kMemorySize / kPage * (i + 1) / count;
    parts.push_back(kdump(options));
  }
  return parts;
}

std::string DumpBuilder::flatten(std::string_view file, size_t record_size) {
  std::string out(4096, '\0');
  put(out, 0, "makedumpfile");
  const uint64_t type = htobe64(1), version = htobe64(1);
  put(out, 16, bytes_of(type));
  put(out, 24, bytes_of(version));
  const auto record = [&](uint64_t offset, std::string_view content) {
    const uint64_t header[] = {htobe64(offset), htobe64(content.size())};
    out.append(bytes_of(header)).append(content);
  };
  // The header goes out unfinished and is sent again at the end, when its contents are known.
  record(0, std::string(std::min(record_size, file.size()), '\0'));
  for (size_t at = record_size; at < file.size(); at += record_size) record(at, file.substr(at, record_size));
  record(0, file.substr(0, record_size));
  const uint64_t end[] = {UINT64_MAX, UINT64_MAX};
  out.append(bytes_of(end));
  return out;
}

}  // namespace perfcore::test
