// SPDX-License-Identifier: LGPL-2.1-or-later
// write_minimal_dump(): a valid vmcore of the given pages only.
#include <elf.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>

#include "dump/kdump_format.h"
#include "dump/kernel_map.h"
#include "dump/minimal_note.h"
#include "dump/notes.h"
#include "dump/page_table.h"
#include "dump/zlib_page.h"
#include "perfcore/dump.h"

namespace perfcore {
namespace {

constexpr int32_t kHeaderVersion = 6;
/// Everything that can be left out was left out.
constexpr int32_t kDumpLevel = 31;
/// struct new_utsname: six strings of 65 bytes (include/uapi/linux/utsname.h).
constexpr size_t kUtsFieldSize = 65;

constexpr uint64_t round_up(uint64_t value, uint64_t unit) {
  return (value + unit - 1) / unit * unit;
}

/// Written beside the output and renamed at the end, so that there is never half a dump under its name.
class OutputFile {
 public:
  explicit OutputFile(std::string path) : path_(std::move(path)), temporary_(path_ + ".part") {
    fd_ = open(temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd_ < 0) fail();
  }
  ~OutputFile() {
    if (fd_ >= 0) {
      close(fd_);
      unlink(temporary_.c_str());
    }
  }
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  void write(uint64_t offset, std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      const ssize_t n = pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) fail();
      offset += static_cast<uint64_t>(n);
      bytes = bytes.subspan(static_cast<size_t>(n));
      size_ = std::max(size_, offset);
    }
  }
  template <typename T>
  void write_record(uint64_t offset, const T& record) {
    write(offset, std::as_bytes(std::span(&record, 1)));
  }
  void write(uint64_t offset, std::string_view text) { write(offset, std::as_bytes(std::span(text))); }

  /// \return bytes of the file.
  uint64_t commit(uint64_t min_size) {
    size_ = std::max(size_, min_size);
    if (ftruncate(fd_, static_cast<off_t>(size_)) != 0 || rename(temporary_.c_str(), path_.c_str()) != 0)
      fail();
    close(fd_);
    fd_ = -1;
    return size_;
  }

 private:
  [[noreturn]] void fail() const {
    throw InputError(fmt::format("cannot write {}: {}; choose a directory that is writable and has space",
                                 path_, std::strerror(errno)));
  }

  std::string path_;
  std::string temporary_;
  int fd_ = -1;
  uint64_t size_ = 0;
};

/// Collects pages that the original lacks as runs.
class UnreadCollector {
 public:
  void add(uint64_t pfn, UnreadReason reason) {
    if (!runs_.empty() && runs_.back().end_pfn == pfn && runs_.back().reason == reason)
      runs_.back().end_pfn++;
    else
      runs_.push_back({pfn, pfn + 1, reason});
  }
  std::vector<UnreadPages> take() { return std::move(runs_); }

 private:
  std::vector<UnreadPages> runs_;
};

void refuse_to_overwrite(const Dump& dump, const std::string& output) {
  struct stat a {
  }, b{};
  if (stat(dump.path().c_str(), &a) == 0 && stat(output.c_str(), &b) == 0 && a.st_dev == b.st_dev &&
      a.st_ino == b.st_ino)
    throw InputError(fmt::format("{} is the dump itself; choose another output", output));
}

/// The pages, ascending and once each, and with them the top-level page table, without which no tool gets
/// anywhere.
PageSet complete(Dump& dump, PageSet pages) {
  if (const auto root = dump.vmcoreinfo().symbol("swapper_pg_dir")) {
    const auto physical = dump.virtual_to_physical(*root);
    if (physical.has_value()) pages.push_back(*physical / kPageSize);
  }
  std::sort(pages.begin(), pages.end());
  pages.erase(std::unique(pages.begin(), pages.end()), pages.end());
  return pages;
}

/// Notes of the original as far as they are sound; VMCOREINFO is added where it was not a note.
std::string copy_notes(const Dump& dump) {
  std::string notes;
  bool has_vmcoreinfo = false;
  for_each_note(dump.raw_notes(), [&](const Note& note) {
    // A minimal dump made from a minimal dump gets a note of its own.
    if (note.name.empty() || note.name == kMinimalNoteName) return;
    has_vmcoreinfo = has_vmcoreinfo || note.name == kVmcoreInfoNoteName;
    notes += make_note(note.name, note.type, note.content);
  });
  if (!has_vmcoreinfo && !dump.vmcoreinfo().empty())
    notes += make_note(kVmcoreInfoNoteName, 0, dump.vmcoreinfo().text());
  return notes;
}

std::optional<uint64_t> phys_base_of(Dump& dump) {
  if (const auto base = dump.vmcoreinfo().number("phys_base")) return static_cast<uint64_t>(*base);
  const auto text = dump.vmcoreinfo().symbol("_stext");
  if (!text || *text < kKernelImageMap) return std::nullopt;
  const auto physical = dump.virtual_to_physical(*text);
  if (!physical.has_value()) return std::nullopt;
  return *physical - (*text - kKernelImageMap);
}

/// The names of the system as the kernel has them; without them at least the release.
void fill_utsname(Dump& dump, DiskDumpHeader& header) {
  char(*const fields[])[kUtsFieldSize] = {&header.sysname, &header.nodename, &header.release,
                                          &header.version, &header.machine,  &header.domainname};
  const auto symbol = dump.vmcoreinfo().symbol("init_uts_ns");
  const auto offset = dump.vmcoreinfo().get("OFFSET(uts_namespace.name)");
  std::array<char, 6 * kUtsFieldSize> names{};
  // struct uts_namespace began with a reference count until 5.11.
  if (symbol && offset && (*offset == "0" || *offset == "4") &&
      !dump.memory().read(*symbol + static_cast<uint64_t>(offset->front() - '0'),
                          std::as_writable_bytes(std::span(names))))
    for (size_t i = 0; i < std::size(fields); i++)
      std::memcpy(*fields[i], names.data() + i * kUtsFieldSize, kUtsFieldSize - 1);
  const auto set = [](char(&field)[kUtsFieldSize], std::string_view value) {
    if (field[0] == '\0') value.copy(field, sizeof(field) - 1);
  };
  set(header.sysname, "Linux");
  set(header.release, dump.vmcoreinfo().get("OSRELEASE").value_or(""));
  // Readers tell the architecture by this field; a damaged one would keep them out.
  std::fill(std::begin(header.machine), std::end(header.machine), '\0');
  set(header.machine, "x86_64");
}

void set_bits(std::vector<std::byte>& block, uint64_t block_begin, uint64_t begin, uint64_t end) {
  begin = std::max(begin, block_begin);
  end = std::min(end, block_begin + kPagesPerBitmapBlock);
  for (uint64_t pfn = begin; pfn < end; pfn++)
    block[(pfn - block_begin) / 8] |= std::byte{1} << ((pfn - block_begin) % 8);
}

uint64_t write_kdump(Dump& dump, const PageSet& pages, const std::string& output) {
  const auto ranges = dump.physical().ranges();
  uint64_t max_mapnr = pages.empty() ? 0 : pages.back() + 1;
  for (const auto& range : ranges) max_mapnr = std::max(max_mapnr, (range.end + kPageSize - 1) / kPageSize);

  std::string notes = copy_notes(dump);
  const uint64_t bitmap_blocks = (max_mapnr + kPagesPerBitmapBlock - 1) / kPagesPerBitmapBlock;
  const uint64_t notes_offset = kKdumpBlockSize + sizeof(KdumpSubHeader);

  // The note about unread pages is complete only when all pages were read, and it lies before them: leave
  // room for the worst case, in which every other page is unread.
  const uint64_t own_note_room = 256 + pages.size() * 48;
  const uint64_t sub_blocks =
      round_up(sizeof(KdumpSubHeader) + notes.size() + own_note_room, kKdumpBlockSize) / kKdumpBlockSize;
  const uint64_t bitmap_offset = kKdumpBlockSize * (1 + sub_blocks);
  const uint64_t descriptors_offset = bitmap_offset + 2 * bitmap_blocks * kKdumpBlockSize;

  OutputFile file(output);
  std::vector<PageDescriptor> descriptors;
  PageSet dumped;
  UnreadCollector unread;
  ZlibEncoder encoder;
  std::array<std::byte, kPageSize> page;
  std::optional<PageDescriptor> zero_page;
  uint64_t position = descriptors_offset + pages.size() * sizeof(PageDescriptor);
  for (const uint64_t pfn : pages) {
    if (const auto failure = dump.physical().read(pfn * kPageSize, page)) {
      unread.add(pfn, failure->reason);
      continue;
    }
    dumped.push_back(pfn);
    const bool is_zero = std::all_of(page.begin(), page.end(), [](std::byte b) { return b == std::byte{0}; });
    if (is_zero && zero_page) {
      descriptors.push_back(*zero_page);
      continue;
    }
    const auto compressed = encoder.encode(page);
    const std::span<const std::byte> data = compressed ? *compressed : std::span<const std::byte>(page);
    descriptors.push_back(
        {position, static_cast<uint32_t>(data.size()), compressed ? kCompressedZlib : uint32_t{0}, 0});
    if (is_zero) zero_page = descriptors.back();
    file.write(position, data);
    position += data.size();
  }

  notes += make_note(kMinimalNoteName, kMinimalNoteType, format_minimal_info({dump.format(), unread.take()}));
  DiskDumpHeader header{};
  std::memcpy(header.signature, kKdumpSignature, sizeof(header.signature));
  header.header_version = kHeaderVersion;
  fill_utsname(dump, header);
  if (const auto time = dump.vmcoreinfo().get("CRASHTIME"))
    std::from_chars(time->data(), time->data() + time->size(), header.timestamp_seconds);
  header.status = kCompressedZlib;
  header.block_size = static_cast<int32_t>(kKdumpBlockSize);
  header.sub_hdr_size = static_cast<int32_t>(sub_blocks);
  header.bitmap_blocks = static_cast<uint32_t>(2 * bitmap_blocks);
  header.max_mapnr = static_cast<uint32_t>(std::min<uint64_t>(max_mapnr, UINT32_MAX));
  header.nr_cpus = std::max(1, static_cast<int32_t>(dump.cpu_status().size()));
  KdumpSubHeader sub{};
  sub.phys_base = phys_base_of(dump).value_or(0);
  sub.dump_level = kDumpLevel;
  sub.offset_note = notes_offset;
  sub.size_note = notes.size();
  if (const Notes parsed = parse_notes(notes); !parsed.vmcoreinfo.empty()) {
    sub.offset_vmcoreinfo = notes_offset + notes.find(parsed.vmcoreinfo);
    sub.size_vmcoreinfo = parsed.vmcoreinfo.size();
  }
  sub.max_mapnr_64 = max_mapnr;
  file.write_record(0, header);
  file.write_record(kKdumpBlockSize, sub);
  file.write(notes_offset, notes);

  // Blocks of bitmaps without a bit stay holes of the file.
  for (uint64_t block = 0; block < bitmap_blocks; block++) {
    const uint64_t begin = block * kPagesPerBitmapBlock;
    std::vector<std::byte> existing(kKdumpBlockSize), present(kKdumpBlockSize);
    for (const auto& range : ranges)
      set_bits(existing, begin, range.begin / kPageSize, (range.end + kPageSize - 1) / kPageSize);
    const auto first = std::lower_bound(dumped.begin(), dumped.end(), begin);
    for (auto pfn = first; pfn != dumped.end() && *pfn < begin + kPagesPerBitmapBlock; ++pfn) {
      set_bits(existing, begin, *pfn, *pfn + 1);
      set_bits(present, begin, *pfn, *pfn + 1);
    }
    const uint64_t offset = bitmap_offset + block * kKdumpBlockSize;
    file.write(offset, existing);
    if (first != dumped.end() && *first < begin + kPagesPerBitmapBlock)
      file.write(offset + bitmap_blocks * kKdumpBlockSize, present);
  }
  file.write(descriptors_offset, std::as_bytes(std::span(descriptors)));
  return file.commit(descriptors_offset);
}

/// Whether the kernel's image mapping leads to this page, so that it may be listed under that address.
bool is_in_image(Dump& dump, uint64_t pfn, uint64_t phys_base) {
  const uint64_t offset = pfn * kPageSize - phys_base;
  if (offset >= kMaxKernelImageSize) return false;
  return dump.virtual_to_physical(kKernelImageMap + offset).is(pfn * kPageSize);
}

/// page_offset_base, which the kernel exports nowhere, from the page tables.
std::optional<uint64_t> direct_map_base_of(Dump& dump) {
  const auto root = dump.vmcoreinfo().symbol("swapper_pg_dir");
  if (!root) return std::nullopt;
  const auto physical = dump.virtual_to_physical(*root);
  if (!physical.has_value()) return std::nullopt;
  PageTableSetup setup;
  setup.root = *physical;
  setup.levels = dump.vmcoreinfo().number("pgtable_l5_enabled").value_or(0) != 0 ? 5 : 4;
  setup.sme_mask = static_cast<uint64_t>(dump.vmcoreinfo().number("sme_mask").value_or(0));
  return PageTable(dump.physical(), setup).direct_map_base();
}

uint64_t write_elf(Dump& dump, const PageSet& pages, const std::string& output) {
  // Pages that no segment lists are known to be missing; a hole within a segment would be zeros to other
  // tools.
  UnreadCollector unread;
  PageSet present;
  std::array<std::byte, kPageSize> page;
  for (const uint64_t pfn : pages) {
    if (const auto failure = dump.physical().read(pfn * kPageSize, page))
      unread.add(pfn, failure->reason);
    else
      present.push_back(pfn);
  }
  std::string notes = copy_notes(dump);
  notes += make_note(kMinimalNoteName, kMinimalNoteType, format_minimal_info({dump.format(), unread.take()}));

  // Tools translate by p_vaddr: the direct map for every page, and the kernel image once more for its pages.
  const auto direct_map = direct_map_base_of(dump);
  const auto phys_base = phys_base_of(dump);
  std::vector<Elf64_Phdr> segments(1);
  std::vector<Elf64_Phdr> image;
  const auto extend = [](std::vector<Elf64_Phdr>& list, uint64_t physical, uint64_t virtual_address,
                         uint64_t index) {
    if (!list.empty() && list.back().p_type == PT_LOAD &&
        list.back().p_paddr + list.back().p_memsz == physical) {
      list.back().p_filesz += kPageSize;
      list.back().p_memsz += kPageSize;
      return;
    }
    Elf64_Phdr segment{};
    segment.p_type = PT_LOAD;
    segment.p_flags = PF_R | PF_W | PF_X;
    segment.p_offset = index * kPageSize;  // of the page data; moved when the headers are complete
    segment.p_vaddr = virtual_address;
    segment.p_paddr = physical;
    segment.p_filesz = segment.p_memsz = kPageSize;
    segment.p_align = kPageSize;
    list.push_back(segment);
  };
  for (size_t i = 0; i < present.size(); i++) {
    const uint64_t physical = present[i] * kPageSize;
    extend(segments, physical, direct_map ? *direct_map + physical : 0, i);
    if (phys_base && is_in_image(dump, present[i], *phys_base))
      extend(image, physical, kKernelImageMap + physical - *phys_base, i);
  }
  segments.insert(segments.end(), image.begin(), image.end());

  Elf64_Ehdr header{};
  std::memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_ident[EI_CLASS] = ELFCLASS64;
  header.e_ident[EI_DATA] = ELFDATA2LSB;
  header.e_ident[EI_VERSION] = EV_CURRENT;
  header.e_type = ET_CORE;
  header.e_machine = EM_X86_64;
  header.e_version = EV_CURRENT;
  header.e_ehsize = sizeof(Elf64_Ehdr);
  header.e_phentsize = sizeof(Elf64_Phdr);
  header.e_phoff = sizeof(Elf64_Ehdr);
  header.e_phnum = static_cast<Elf64_Half>(std::min<size_t>(segments.size(), PN_XNUM));
  uint64_t notes_offset = header.e_phoff + segments.size() * sizeof(Elf64_Phdr);
  Elf64_Shdr section{};
  if (segments.size() >= PN_XNUM) {
    section.sh_info = static_cast<Elf64_Word>(segments.size());
    header.e_shoff = notes_offset;
    header.e_shentsize = sizeof(Elf64_Shdr);
    header.e_shnum = 1;
    notes_offset += sizeof(Elf64_Shdr);
  }
  segments[0].p_type = PT_NOTE;
  segments[0].p_offset = notes_offset;
  segments[0].p_filesz = segments[0].p_memsz = notes.size();
  const uint64_t data_offset = round_up(notes_offset + notes.size(), kPageSize);
  for (Elf64_Phdr& segment : std::span(segments).subspan(1)) segment.p_offset += data_offset;

  OutputFile file(output);
  file.write_record(0, header);
  file.write(header.e_phoff, std::as_bytes(std::span(segments)));
  if (header.e_shnum != 0) file.write_record(header.e_shoff, section);
  file.write(notes_offset, notes);
  for (size_t i = 0; i < present.size(); i++) {
    if (dump.physical().read(present[i] * kPageSize, page))
      throw InputError(fmt::format("{}: page {:#x} cannot be read any more; is the file being changed?",
                                   dump.path(), present[i] * kPageSize));
    file.write(data_offset + i * kPageSize, page);
  }
  return file.commit(data_offset);
}

}  // namespace

uint64_t write_minimal_dump(Dump& dump, const PageSet& pages, const std::string& output,
                            const ExtractOptions& options) {
  refuse_to_overwrite(dump, output);
  const PageSet all = complete(dump, pages);
  return options.elf ? write_elf(dump, all, output) : write_kdump(dump, all, output);
}

}  // namespace perfcore
