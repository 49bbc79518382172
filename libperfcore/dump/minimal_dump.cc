// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Writes a valid vmcore that holds only some pages of another: kdump-compressed (zlib) or ELF.
#include <elf.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "dump/kdump_format.h"
#include "dump/notes.h"
#include "perfcore/dump.h"

namespace perfcore {
namespace {

constexpr uint64_t kStartKernelMap = 0xffffffff80000000;  // __START_KERNEL_map, asm/page_64_types.h

/// A file written front to back, with places filled in later.
class OutputFile {
 public:
  explicit OutputFile(const std::string& path)
      : path_(path), fd_(open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)) {
    if (fd_ < 0) fail();
  }
  ~OutputFile() {
    if (fd_ >= 0) close(fd_);
  }
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  void write_at(uint64_t offset, const void* bytes, size_t size) {
    const auto* at = static_cast<const char*>(bytes);
    size_t done = 0;
    while (done < size) {
      const ssize_t n = pwrite(fd_, at + done, size - done, static_cast<off_t>(offset + done));
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) fail();
      done += static_cast<size_t>(n);
    }
    size_ = std::max(size_, offset + size);
  }
  uint64_t size() const { return size_; }
  void finish() {
    const int fd = std::exchange(fd_, -1);
    if (close(fd) != 0) fail();
  }

 private:
  [[noreturn]] void fail() const {
    throw InputError(
        fmt::format("cannot write {}: {}; name a place with room by -o", path_, std::strerror(errno)));
  }

  std::string path_;
  int fd_;
  uint64_t size_ = 0;
};

uint64_t round_up(uint64_t value, uint64_t to) {
  return (value + to - 1) / to * to;
}

struct Page {
  uint64_t pfn = 0;
  std::vector<std::byte> bytes;
};

/// Calls f(page) for each page of the set that can be read, in order.
template <typename F>
void for_each_page(Dump& dump, const PageSet& pages, F&& f) {
  Page page;
  page.bytes.resize(kPageSize);
  for (const uint64_t pfn : pages) {
    page.pfn = pfn;
    if (!dump.physical().read(pfn * kPageSize, page.bytes)) f(page);
  }
}

/// The notes of the dump; VMCOREINFO is added where it was not among them.
std::string notes_of(Dump& dump, size_t* vmcoreinfo_at) {
  std::string notes = dump.raw_notes();
  const std::string& text = dump.vmcoreinfo().text();
  if (!text.empty() && parse_notes(notes).vmcoreinfo.empty())
    notes += make_note(kVmcoreInfoNoteName, 0, text);
  const size_t found = text.empty() ? std::string::npos : notes.find(text);
  *vmcoreinfo_at = found == std::string::npos ? 0 : found;
  return notes;
}

class KdumpWriter {
 public:
  KdumpWriter(Dump& dump, const PageSet& pages, const std::string& path)
      : dump_(dump), pages_(pages), file_(path) {}

  uint64_t write() {
    const uint64_t end_pfn = end_of_memory();
    size_t vmcoreinfo_at = 0;
    const std::string notes = notes_of(dump_, &vmcoreinfo_at);
    const uint64_t notes_offset = kKdumpBlockSize + sizeof(KdumpSubHeader);
    const uint64_t sub_blocks =
        (sizeof(KdumpSubHeader) + notes.size() + kKdumpBlockSize - 1) / kKdumpBlockSize;
    const uint64_t bitmap_blocks =
        std::max<uint64_t>(1, round_up(end_pfn, kPagesPerBitmapBlock) / kPagesPerBitmapBlock);
    const uint64_t bitmaps = (1 + sub_blocks) * kKdumpBlockSize;
    const uint64_t descriptors = bitmaps + 2 * bitmap_blocks * kKdumpBlockSize;
    file_.write_at(notes_offset, notes.data(), notes.size());
    write_pages(bitmaps, bitmap_blocks * kKdumpBlockSize, descriptors, end_pfn);
    write_headers(static_cast<int32_t>(sub_blocks), static_cast<uint32_t>(2 * bitmap_blocks), end_pfn,
                  notes_offset, notes.size(), vmcoreinfo_at);
    file_.finish();
    return file_.size();
  }

 private:
  uint64_t end_of_memory() const {
    uint64_t end = pages_.empty() ? 0 : pages_.back() + 1;
    for (const auto& range : dump_.physical().ranges()) end = std::max(end, range.end / kPageSize);
    return end;
  }

  void write_pages(uint64_t bitmaps, uint64_t bitmap_size, uint64_t descriptors, uint64_t end_pfn) {
    // First bitmap: memory that exists. Second: what is in this file. The rest reads as "excluded".
    std::vector<uint8_t> exists(bitmap_size), dumped(bitmap_size);
    for (const auto& range : dump_.physical().ranges())
      for (uint64_t pfn = range.begin / kPageSize; pfn < range.end / kPageSize && pfn < end_pfn; pfn++)
        exists[pfn / 8] |= static_cast<uint8_t>(1 << pfn % 8);
    uint64_t data = descriptors + pages_.size() * sizeof(PageDescriptor);
    uint64_t count = 0;
    std::vector<Bytef> compressed(compressBound(kPageSize));
    for_each_page(dump_, pages_, [&](const Page& page) {
      uLongf size = compressed.size();
      const bool smaller =
          compress2(compressed.data(), &size, reinterpret_cast<const Bytef*>(page.bytes.data()), kPageSize,
                    Z_BEST_COMPRESSION) == Z_OK &&
          size < kPageSize;
      PageDescriptor descriptor{data, static_cast<uint32_t>(smaller ? size : kPageSize),
                                smaller ? kCompressedZlib : 0, 0};
      file_.write_at(data, smaller ? static_cast<const void*>(compressed.data()) : page.bytes.data(),
                     descriptor.size);
      file_.write_at(descriptors + count * sizeof descriptor, &descriptor, sizeof descriptor);
      data += descriptor.size;
      count++;
      exists[page.pfn / 8] |= static_cast<uint8_t>(1 << page.pfn % 8);
      dumped[page.pfn / 8] |= static_cast<uint8_t>(1 << page.pfn % 8);
    });
    file_.write_at(bitmaps, exists.data(), exists.size());
    file_.write_at(bitmaps + bitmap_size, dumped.data(), dumped.size());
  }

  void write_headers(int32_t sub_blocks, uint32_t bitmap_blocks, uint64_t end_pfn, uint64_t notes_offset,
                     uint64_t notes_size, size_t vmcoreinfo_at) {
    const VmcoreInfo& info = dump_.vmcoreinfo();
    DiskDumpHeader header{};
    std::memcpy(header.signature, kKdumpSignature, sizeof header.signature);
    header.header_version = 6;
    const auto copy = [](char(&to)[65], std::string_view from) {
      std::memcpy(to, from.data(), std::min<size_t>(from.size(), 64));
    };
    copy(header.sysname, "Linux");
    copy(header.machine, "x86_64");
    copy(header.release, info.get("OSRELEASE").value_or(""));
    if (const auto time = info.get("CRASHTIME"))
      header.timestamp_seconds = std::atoll(std::string(*time).c_str());
    header.status = kCompressedZlib;
    header.block_size = kKdumpBlockSize;
    header.sub_hdr_size = sub_blocks;
    header.bitmap_blocks = bitmap_blocks;
    header.max_mapnr = static_cast<uint32_t>(std::min<uint64_t>(end_pfn, UINT32_MAX));
    header.nr_cpus = static_cast<int32_t>(std::max<size_t>(1, dump_.cpu_status().size()));
    KdumpSubHeader sub{};
    sub.phys_base = static_cast<uint64_t>(info.number("phys_base").value_or(0));
    sub.dump_level = 31;
    sub.offset_note = notes_size ? notes_offset : 0;
    sub.size_note = notes_size;
    if (vmcoreinfo_at) {
      sub.offset_vmcoreinfo = notes_offset + vmcoreinfo_at;
      sub.size_vmcoreinfo = info.text().size();
    }
    sub.max_mapnr_64 = end_pfn;
    file_.write_at(0, &header, sizeof header);
    file_.write_at(kKdumpBlockSize, &sub, sizeof sub);
  }

  Dump& dump_;
  const PageSet& pages_;
  OutputFile file_;
};

/// Joins pages that follow each other into segments, with the virtual addresses that other tools translate
/// by.
uint64_t write_elf(Dump& dump, const PageSet& pages, const std::string& path) {
  struct Segment {
    uint64_t begin, end;  // pfn
  };
  std::vector<Segment> segments;
  // A page that the original lacks must be missing here too, not zero.
  PageSet readable;
  for_each_page(dump, pages, [&](const Page& page) { readable.push_back(page.pfn); });
  for (const uint64_t pfn : readable) {
    if (!segments.empty() && segments.back().end == pfn)
      segments.back().end++;
    else
      segments.push_back({pfn, pfn + 1});
  }
  if (segments.size() + 1 >= PN_XNUM)
    throw InputError(fmt::format("{} separate pieces of memory do not fit into an ELF dump; leave --elf away",
                                 segments.size()));
  size_t vmcoreinfo_at = 0;
  const std::string notes = notes_of(dump, &vmcoreinfo_at);
  const auto direct_map = dump.vmcoreinfo().number("PAGE_OFFSET");
  OutputFile file(path);
  const uint64_t notes_offset = sizeof(Elf64_Ehdr) + (segments.size() + 1) * sizeof(Elf64_Phdr);
  uint64_t data = round_up(notes_offset + notes.size(), kPageSize);
  Elf64_Ehdr header{};
  std::memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_ident[EI_CLASS] = ELFCLASS64;
  header.e_ident[EI_DATA] = ELFDATA2LSB;
  header.e_ident[EI_VERSION] = EV_CURRENT;
  header.e_type = ET_CORE;
  header.e_machine = EM_X86_64;
  header.e_version = EV_CURRENT;
  header.e_phoff = sizeof header;
  header.e_ehsize = sizeof header;
  header.e_phentsize = sizeof(Elf64_Phdr);
  header.e_phnum = static_cast<Elf64_Half>(segments.size() + 1);
  file.write_at(0, &header, sizeof header);
  Elf64_Phdr note{};
  note.p_type = PT_NOTE;
  note.p_offset = notes_offset;
  note.p_filesz = note.p_memsz = notes.size();
  file.write_at(sizeof header, &note, sizeof note);
  file.write_at(notes_offset, notes.data(), notes.size());
  // Where the kernel image lies in physical memory, and how it is mapped.
  const auto text = dump.vmcoreinfo().symbol("_stext");
  const auto phys_base = dump.vmcoreinfo().number("phys_base");
  for (size_t i = 0; i < segments.size(); i++) {
    Elf64_Phdr load{};
    load.p_type = PT_LOAD;
    load.p_flags = PF_R | PF_W | PF_X;
    load.p_offset = data;
    load.p_paddr = segments[i].begin * kPageSize;
    load.p_filesz = load.p_memsz = (segments[i].end - segments[i].begin) * kPageSize;
    load.p_align = kPageSize;
    if (direct_map) load.p_vaddr = static_cast<uint64_t>(*direct_map) + load.p_paddr;
    if (text && phys_base) {
      const uint64_t image = *text - kStartKernelMap + static_cast<uint64_t>(*phys_base);
      if (load.p_paddr <= image && image < load.p_paddr + load.p_memsz)
        load.p_vaddr = load.p_paddr - static_cast<uint64_t>(*phys_base) + kStartKernelMap;
    }
    file.write_at(sizeof header + (i + 1) * sizeof load, &load, sizeof load);
    std::vector<std::byte> bytes(kPageSize);
    for (uint64_t pfn = segments[i].begin; pfn < segments[i].end; pfn++, data += kPageSize)
      if (!dump.physical().read(pfn * kPageSize, bytes)) file.write_at(data, bytes.data(), bytes.size());
  }
  file.finish();
  return file.size();
}

}  // namespace

uint64_t write_minimal_dump(Dump& dump, const PageSet& pages, const std::string& output,
                            const ExtractOptions& options) {
  PageSet sorted = pages;
  std::sort(sorted.begin(), sorted.end());
  sorted.erase(std::unique(sorted.begin(), sorted.end()), sorted.end());
  return options.elf ? write_elf(dump, sorted, output) : KdumpWriter(dump, sorted, output).write();
}

}  // namespace perfcore
