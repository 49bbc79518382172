// SPDX-License-Identifier: LGPL-2.1-or-later
// ELF dumps: /proc/vmcore as copied, makedumpfile -E, QEMU's dump-guest-memory, /proc/kcore.
//
// Segments are read with our own pread: libkdumpfile 0.5.1 gives zeros for what lies between p_filesz and
// p_memsz and for what a cut file lacks, and nobody can tell those from memory. libelf wants one contiguous
// image of the file, which flattened dumps do not have and which cut ones lack the end of.
#include <elf.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "dump/container.h"
#include "dump/extents.h"
#include "dump/kernel_map.h"

namespace perfcore {
namespace {

/// 2 Mi program headers: more than makedumpfile -E makes of a terabyte, and at most 200 MB of extents.
constexpr uint64_t kMaxSegments = 2 << 20;
constexpr uint64_t kMaxPhysicalAddress = uint64_t{1} << 52;

/// Ranks of extents: bytes in the file win over bytes that a cut file lacks, those over holes.
enum Rank : uint32_t { kInFile, kCutOff, kHole };

class ElfContainer : public Container {
 public:
  explicit ElfContainer(std::unique_ptr<ByteSource> source)
      : source_(std::move(source)), live_(is_live_file(*source_)) {
    const auto header = read_header();
    const uint64_t count = segment_count(header);
    read_segments(header, count);
    format_ = live_ ? "elf (live)" : "elf";
    if (live_) note("values move while they are read: this is a running kernel");
  }

  std::optional<Unread> read(uint64_t address, std::span<std::byte> out) override {
    while (!out.empty()) {
      if (!covers(last_, address)) last_ = find_extent(extents_, address);
      if (!covers(last_, address)) return unread(UnreadReason::kNotInDump, address);
      const Extent& extent = extents_[last_];
      if (extent.rank == kHole) return unread(UnreadReason::kNotSaved, address);
      if (extent.rank == kCutOff) return beyond_end(address);
      const size_t wanted = std::min<uint64_t>(out.size(), extent.end - address);
      const uint64_t offset = extent.offset + (address - extent.begin);
      const size_t got = source_->read_at(offset, out.first(wanted));
      if (got != wanted) {
        if (offset + got >= source_->size()) return beyond_end(address + got);
        return unread(UnreadReason::kCorrupt, address + got,
                      fmt::format("file offset {:#x} cannot be read", offset + got));
      }
      address += wanted;
      out = out.subspan(wanted);
    }
    return std::nullopt;
  }

  std::vector<Range> ranges() const override {
    std::vector<Range> result;
    for (const Extent& extent : extents_) {
      if (!result.empty() && result.back().end == extent.begin)
        result.back().end = extent.end;
      else
        result.push_back({extent.begin, extent.end});
    }
    return result;
  }

 private:
  bool covers(size_t index, uint64_t address) const {
    return index < extents_.size() && extents_[index].begin <= address && address < extents_[index].end;
  }

  static Unread unread(UnreadReason reason, uint64_t address, std::string detail = {}) {
    return Unread{reason, address, "physical memory", std::move(detail)};
  }

  Unread beyond_end(uint64_t address) const {
    return unread(UnreadReason::kBeyondEnd, address, fmt::format("the file has {} bytes", source_->size()));
  }

  Elf64_Ehdr read_header() {
    const auto header = source_->read_record<Elf64_Ehdr>(0);
    const std::string& path = source_->path();
    if (!header)
      throw InputError(
          fmt::format("{} ends within its ELF header ({} of {} bytes): nothing of the dump is left; copy "
                      "it again",
                      path, source_->size(), sizeof(Elf64_Ehdr)));
    if (header->e_ident[EI_CLASS] != ELFCLASS64 || header->e_ident[EI_DATA] != ELFDATA2LSB ||
        header->e_machine != EM_X86_64)
      throw InputError(
          fmt::format("{} is an ELF file for another architecture (class {}, data {}, machine {}); perfcore "
                      "reads dumps of 64-bit x86 kernels (class 2, data 1, machine 62)",
                      path, header->e_ident[EI_CLASS], header->e_ident[EI_DATA], header->e_machine));
    if (header->e_type != ET_CORE)
      throw InputError(
          fmt::format("{} is an ELF program, library or vmlinux (e_type {}), not a core dump (e_type 4); "
                      "give the vmcore, and a vmlinux by --debuginfo",
                      path, header->e_type));
    if (header->e_phentsize != sizeof(Elf64_Phdr) && header->e_phnum != 0)
      note(fmt::format("ELF header: program header size {} instead of {}", header->e_phentsize,
                       sizeof(Elf64_Phdr)));
    return *header;
  }

  /// With 0xffff or more segments the count is in the first section header (PN_XNUM).
  uint64_t segment_count(const Elf64_Ehdr& header) {
    uint64_t count = header.e_phnum;
    if (count == PN_XNUM) {
      const auto section = source_->read_record<Elf64_Shdr>(header.e_shoff);
      if (section)
        count = section->sh_info;
      else
        note(fmt::format(
            "ELF header: the number of segments is in a section header at {:#x}, which the file lacks",
            header.e_shoff));
    }
    const uint64_t room =
        header.e_phoff < source_->size() ? (source_->size() - header.e_phoff) / sizeof(Elf64_Phdr) : 0;
    const uint64_t usable = std::min({count, room, kMaxSegments});
    if (usable < count)
      note(fmt::format("only {} of {} program headers can be used", usable, count), count - usable);
    return usable;
  }

  void read_segments(const Elf64_Ehdr& header, uint64_t count) {
    std::vector<Extent> extents;
    std::vector<Elf64_Phdr> chunk(std::min<uint64_t>(count, 1024));
    uint64_t loads = 0;
    for (uint64_t first = 0; first < count; first += chunk.size()) {
      chunk.resize(std::min<uint64_t>(chunk.size(), count - first));
      const auto bytes = std::as_writable_bytes(std::span(chunk));
      const size_t got =
          source_->read_at(header.e_phoff + first * sizeof(Elf64_Phdr), bytes) / sizeof(Elf64_Phdr);
      for (const Elf64_Phdr& segment : std::span(chunk).first(got)) {
        if (segment.p_type == PT_NOTE) add_notes(segment);
        if (segment.p_type != PT_LOAD) continue;
        loads++;
        add_load(segment, extents);
      }
      if (got != chunk.size()) {
        note(fmt::format("program headers {} to {} cannot be read", first + got, count - 1),
             count - first - got);
        break;
      }
    }
    if (loads == 0)
      throw InputError(
          fmt::format("{} holds no memory: none of its {} program headers is a PT_LOAD segment; the dump "
                      "was cut within its headers or written by a tool that failed",
                      source_->path(), count));
    extents_ = resolve_overlaps(std::move(extents));
    if (extents_.empty())
      throw InputError(
          fmt::format("{}: none of its {} segments tells a physical address; is it the core of a process?",
                      source_->path(), loads));
    uint64_t cut = 0, kept = 0, first_cut = 0;
    for (const Extent& extent : extents_) {
      if (extent.rank == kInFile) kept += extent.end - extent.begin;
      if (extent.rank != kCutOff) continue;
      if (cut == 0) first_cut = extent.begin;
      cut += extent.end - extent.begin;
    }
    const auto pages = [](uint64_t bytes) { return (bytes + kPageSize - 1) / kPageSize; };
    if (cut != 0)
      note(fmt::format("file is truncated: {} of {} pages lie beyond its end at {} bytes", pages(cut),
                       pages(cut + kept), source_->size()),
           pages(cut), first_cut);
  }

  void add_notes(const Elf64_Phdr& segment) {
    // A note segment of /proc/kcore or of the kernel's own headers has p_memsz 0 or p_filesz.
    const uint64_t size = std::min<uint64_t>(segment.p_filesz, kMaxNotesSize - raw_notes_.size());
    if (size < segment.p_filesz)
      note(fmt::format("only {} of {} bytes of notes are used", size, segment.p_filesz));
    const uint64_t room = segment.p_offset < source_->size() ? source_->size() - segment.p_offset : 0;
    std::string text(std::min(size, room), '\0');
    text.resize(source_->read_at(segment.p_offset, std::as_writable_bytes(std::span(text))));
    if (text.size() < size)
      note(fmt::format("notes are truncated: {} of {} bytes are in the file", text.size(), size));
    text.resize((text.size() + 3) & ~size_t{3});
    raw_notes_ += text;
  }

  void add_load(const Elf64_Phdr& segment, std::vector<Extent>& extents) {
    learn_mapping(segment);
    const uint64_t begin = segment.p_paddr;
    // /proc/kcore marks what is not in the direct map (vmalloc) by the physical address -1.
    if (begin >= kMaxPhysicalAddress) return;
    const uint64_t size = std::min(std::max(segment.p_memsz, segment.p_filesz), kMaxPhysicalAddress - begin);
    const uint64_t in_file = std::min(segment.p_filesz, size);
    const uint64_t room = segment.p_offset < source_->size() ? source_->size() - segment.p_offset : 0;
    const uint64_t present = std::min(in_file, room);
    if (present > 0) extents.push_back({begin, begin + present, segment.p_offset, kInFile});
    if (in_file > present) extents.push_back({begin + present, begin + in_file, 0, kCutOff});
    if (size > in_file) extents.push_back({begin + in_file, begin + size, 0, kHole});
  }

  /// The kernel writes p_vaddr for the direct map and for its image; QEMU writes 0 or the physical address.
  void learn_mapping(const Elf64_Phdr& segment) {
    if (segment.p_paddr >= kMaxPhysicalAddress) return;
    if (segment.p_vaddr >= kKernelImageMap) {
      // Modules and fixed mappings lie above the image.
      if (!phys_base_ && segment.p_vaddr < kKernelImageMap + kMaxKernelImageSize)
        phys_base_ = segment.p_paddr - (segment.p_vaddr - kKernelImageMap);
    } else if (!direct_map_base_ && segment.p_vaddr >= kLowestDirectMap) {
      direct_map_base_ = segment.p_vaddr - segment.p_paddr;
    }
  }

  std::unique_ptr<ByteSource> source_;
  bool live_;
  std::vector<Extent> extents_;
  size_t last_ = 0;  // extent of the last read: reads come in runs
};

}  // namespace

std::unique_ptr<Container> open_elf(std::unique_ptr<ByteSource> source) {
  return std::make_unique<ElfContainer>(std::move(source));
}

}  // namespace perfcore
