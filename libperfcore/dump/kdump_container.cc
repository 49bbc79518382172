// SPDX-License-Identifier: LGPL-2.1-or-later
// kdump-compressed dumps: makedumpfile, QEMU's dump-guest-memory, write_minimal_dump().
//
// Where a page lies is found and checked here, by the bitmaps and the page's descriptor: version 0.5.1 of
// libkdumpfile takes the file at its word. Pages in zlib format are decoded by libdeflate, in other codecs by
// libkdumpfile, which is not opened before the first of them is met.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "dump/container.h"
#include "dump/kdump_format.h"
#include "dump/kdump_library.h"
#include "dump/page_bitmap.h"
#include "dump/zlib_page.h"
#include "perfcore/page_store.h"

namespace perfcore {
namespace {

/// libkdumpfile keeps 24 bytes for each run of dumped pages: 16 Mi runs are 400 MB, and more than a
/// fragmented machine of several terabytes has.
constexpr uint64_t kMaxRuns = 16 << 20;
/// No machine has more: x86-64 has 52 physical address bits.
constexpr uint64_t kMaxPfn = uint64_t{1} << 40;
/// Compressed pages are smaller than a page (larger ones are stored as they are); leave room for other
/// writers.
constexpr uint32_t kMaxCompressedSize = 2 * kPageSize;
constexpr size_t kDescriptorsPerRead = 170;  // 4 KB

uint64_t bitmap_blocks_for(uint64_t max_mapnr) {
  return 2 * ((max_mapnr + kPagesPerBitmapBlock - 1) / kPagesPerBitmapBlock);
}

std::string fixed_string(const char (&field)[65]) {
  return {field, strnlen(field, sizeof(field))};
}

/// One file of a dump; only split dumps have several.
struct Part {
  std::unique_ptr<ByteSource> source;
  DiskDumpHeader header{};
  KdumpSubHeader sub{};
  std::vector<std::string> repairs;  ///< header fields that contradict each other
  uint64_t max_mapnr = 0;
  uint64_t begin_pfn = 0;
  uint64_t end_pfn = 0;
  uint64_t bitmap_offset = 0;
  uint64_t descriptors_offset = 0;
  uint64_t dumped_count = 0;  ///< pages that have a descriptor
  std::unique_ptr<PageBitmap> existing;
  std::unique_ptr<PageBitmap> dumped;

  bool is_split() const { return header.header_version >= 2 && sub.split != 0; }
  bool holds(uint64_t pfn) const { return begin_pfn <= pfn && pfn < end_pfn; }
};

Part read_part(std::unique_ptr<ByteSource> source) {
  Part part;
  const std::string& path = source->path();
  const auto header = source->read_record<DiskDumpHeader>(0);
  if (!header)
    throw InputError(
        fmt::format("{} ends within its header ({} of {} bytes): nothing of the dump is left; copy it again",
                    path, source->size(), sizeof(DiskDumpHeader)));
  part.header = *header;
  if (std::memcmp(header->signature, kKdumpSignature, sizeof(header->signature)) != 0)
    throw InputError(
        fmt::format("{} is a dump of the old diskdump format, which perfcore does not read; it reads ELF and "
                    "kdump-compressed dumps",
                    path));
  const std::string machine = fixed_string(header->machine);
  if (std::any_of(machine.begin(), machine.end(), [](char c) { return c < ' ' || c > '~'; }))
    throw InputError(fmt::format(
        "{}: damaged header: what should be the type of the machine is no text; copy the dump again", path));
  if (!machine.empty() && machine != "x86_64")
    throw InputError(fmt::format(
        "{} is a dump of a machine of type {:?}; perfcore reads dumps of x86_64 kernels", path, machine));
  if (header->block_size != static_cast<int32_t>(kKdumpBlockSize) || header->sub_hdr_size < 1 ||
      header->sub_hdr_size > (1 << 20) || header->header_version < 1 || header->header_version > 64)
    throw InputError(
        fmt::format("{}: damaged header: block size {} (expected {}), sub-header of {} blocks, version {}; "
                    "copy the dump again",
                    path, header->block_size, kKdumpBlockSize, header->sub_hdr_size, header->header_version));
  const auto sub = source->read_record<KdumpSubHeader>(kKdumpBlockSize);
  if (!sub)
    throw InputError(
        fmt::format("{} ends within its sub-header ({} bytes): nothing of the dump is left; copy it again",
                    path, source->size()));
  part.sub = *sub;
  const int32_t version = header->header_version;

  // How many pages there are is said three times: by max_mapnr in both headers and by the size of the
  // bitmaps. Where one of them is damaged the other two agree.
  uint64_t blocks = header->bitmap_blocks;
  const uint64_t mapnr_32 = header->max_mapnr;
  const uint64_t mapnr_64 = version >= 6 ? sub->max_mapnr_64 : mapnr_32;
  if (mapnr_64 != 0 && bitmap_blocks_for(std::min(mapnr_64, kMaxPfn)) == blocks) {
    part.max_mapnr = mapnr_64;
  } else if (mapnr_32 != 0 && bitmap_blocks_for(mapnr_32) == blocks) {
    part.max_mapnr = mapnr_32;
    part.repairs.push_back(
        fmt::format("max_mapnr is {:#x} in the sub-header and {:#x} in the header", mapnr_64, mapnr_32));
  } else if (version >= 6 && mapnr_32 == mapnr_64 && mapnr_32 != 0) {
    part.max_mapnr = mapnr_32;
    part.repairs.push_back(fmt::format("bitmaps of {} blocks instead of {} for {:#x} pages", blocks,
                                       bitmap_blocks_for(mapnr_32), mapnr_32));
    blocks = bitmap_blocks_for(mapnr_32);
  } else {
    part.max_mapnr = std::min(mapnr_64, blocks / 2 * kPagesPerBitmapBlock);
    part.repairs.push_back(fmt::format("bitmaps of {} blocks for {:#x} pages", blocks, mapnr_64));
  }

  part.bitmap_offset = uint64_t{kKdumpBlockSize} * (1 + static_cast<uint64_t>(header->sub_hdr_size));
  part.descriptors_offset = part.bitmap_offset + blocks * kKdumpBlockSize;
  if (part.descriptors_offset > source->size())
    throw InputError(
        fmt::format("{} is cut off within its page bitmaps ({} of at least {} bytes): no page of memory is "
                    "left in it; copy it again",
                    path, source->size(), part.descriptors_offset));
  const uint64_t half = blocks / 2;
  part.max_mapnr = std::min(part.max_mapnr, half * kPagesPerBitmapBlock);
  part.existing = std::make_unique<PageBitmap>(*source, part.bitmap_offset, part.max_mapnr);
  part.dumped =
      std::make_unique<PageBitmap>(*source, part.bitmap_offset + half * kKdumpBlockSize, part.max_mapnr);

  part.end_pfn = part.max_mapnr;
  if (part.is_split()) {
    part.begin_pfn = std::min(version >= 6 ? sub->start_pfn_64 : sub->start_pfn, part.max_mapnr);
    part.end_pfn = std::clamp(version >= 6 ? sub->end_pfn_64 : sub->end_pfn, part.begin_pfn, part.max_mapnr);
  }
  part.dumped_count = part.dumped->rank(part.end_pfn) - part.dumped->rank(part.begin_pfn);
  if (part.dumped->count_runs(part.begin_pfn, part.end_pfn) > kMaxRuns)
    throw InputError(fmt::format("{}: damaged page bitmap: more than {} runs of pages; copy the dump again",
                                 path, kMaxRuns));
  part.source = std::move(source);
  return part;
}

/// Part of the file that the sub-header points at, or what is left of it.
std::string read_blob(ByteSource& source, uint64_t offset, uint64_t size, uint64_t limit) {
  if (offset >= source.size()) return {};
  std::string text(std::min({size, limit, source.size() - offset}), '\0');
  text.resize(source.read_at(offset, std::as_writable_bytes(std::span(text))));
  return text;
}

class KdumpContainer : public Container {
 public:
  KdumpContainer(std::vector<std::unique_ptr<ByteSource>> sources, PageStore* pages) : pages_(pages) {
    for (auto& source : sources) parts_.push_back(read_part(std::move(source)));
    std::sort(parts_.begin(), parts_.end(), [](const Part& a, const Part& b) {
      return a.begin_pfn != b.begin_pfn ? a.begin_pfn < b.begin_pfn : a.end_pfn < b.end_pfn;
    });
    format_ = "kdump-compressed";
    check_set();
    read_headers();
    for (Part& part : parts_) check_end(part);
  }

  std::optional<Unread> read(uint64_t address, std::span<std::byte> out) override {
    while (!out.empty()) {
      const uint64_t offset = address % kPageSize;
      const size_t wanted = std::min<uint64_t>(out.size(), kPageSize - offset);
      if (wanted == kPageSize) {
        if (auto failure = read_page(address, out.first<kPageSize>())) return failure;
      } else {
        if (page_address_ != address - offset) {
          page_address_ = UINT64_MAX;
          if (auto failure = read_page(address, page_)) return failure;
          page_address_ = address - offset;
        }
        std::memcpy(out.data(), page_.data() + offset, wanted);
      }
      address += wanted;
      out = out.subspan(wanted);
    }
    return std::nullopt;
  }

  const std::byte* stored_page(uint64_t address) override {
    if (!pages_) return nullptr;
    const auto location = locate(address);
    if (!location.has_value() || location->descriptor.flags != kCompressedZlib) return nullptr;
    const auto stream = std::span(compressed_).first(location->descriptor.size);
    return read_stored(*parts_[location->part].source, location->descriptor.offset, stream)
               ? pages_->find(stream)
               : nullptr;
  }

  std::vector<Range> ranges() const override {
    std::vector<Range> result;
    PageBitmap& existing = *parts_.front().existing;
    const uint64_t end = parts_.front().max_mapnr;
    for (uint64_t pfn = existing.find(0, true); pfn < end && result.size() < kMaxRuns;) {
      const uint64_t clear = existing.find(pfn, false);
      result.push_back({pfn * kPageSize, clear * kPageSize});
      pfn = existing.find(clear, true);
    }
    return result;
  }

 private:
  static Unread unread(UnreadReason reason, uint64_t address, std::string detail = {}) {
    return Unread{reason, address, "physical memory", std::move(detail)};
  }

  /// The parts must be of one dump and, together, all of it.
  void check_set() {
    const Part& first = parts_.front();
    if (parts_.size() == 1 && !first.is_split()) return;
    for (const Part& part : parts_) {
      if (!part.is_split())
        throw InputError(
            fmt::format("{} is a whole dump and not a part of a split one; give either one dump or the parts "
                        "of one",
                        part.source->path()));
      if (part.max_mapnr != first.max_mapnr || vmcoreinfo_of(part) != vmcoreinfo_of(first))
        throw InputError(fmt::format("{} and {} are parts of different dumps; give the parts of one dump",
                                     first.source->path(), part.source->path()));
    }
    format_ += fmt::format(" (split, {} part{})", parts_.size(), parts_.size() == 1 ? "" : "s");
    uint64_t next = 0;
    for (const Part& part : parts_) {
      if (part.begin_pfn > next) missing_part(next, part.begin_pfn);
      next = std::max(next, part.end_pfn);
    }
    if (next < first.max_mapnr) missing_part(next, first.max_mapnr);
  }

  void missing_part(uint64_t begin, uint64_t end) {
    missing_.push_back({begin, end});
    note(fmt::format(
             "split dump: the part with page frames {:#x} to {:#x} is missing; put it beside the others",
             begin, end - 1),
         end - begin, begin * kPageSize);
  }

  static std::string vmcoreinfo_of(const Part& part) {
    return part.header.header_version >= 3
               ? read_blob(*part.source, part.sub.offset_vmcoreinfo, part.sub.size_vmcoreinfo, 1 << 16)
               : std::string();
  }

  void read_headers() {
    const Part& part = parts_.front();
    const int32_t version = part.header.header_version;
    phys_base_ = part.sub.phys_base;
    vmcoreinfo_text_ = vmcoreinfo_of(part);
    if (version >= 4) {
      raw_notes_ = read_blob(*part.source, part.sub.offset_note, part.sub.size_note, kMaxNotesSize);
      if (raw_notes_.size() != part.sub.size_note)
        note(fmt::format("only {} of {} bytes of notes can be used", raw_notes_.size(), part.sub.size_note));
    }
    for (const Part& p : parts_) {
      for (const std::string& repair : p.repairs) note("damaged header: " + repair);
      if (p.header.status & kStatusIncomplete)
        note("makedumpfile could not write the whole dump (marked incomplete): pages are missing");
    }
  }

  /// A cut file lacks its last pages. makedumpfile and QEMU write pages in ascending order, so that a look at
  /// the last descriptors tells a whole file from a cut one; only for a cut one all descriptors are counted.
  void check_end(Part& part) {
    constexpr uint64_t kLook = 4 * kDescriptorsPerRead;
    const uint64_t first = part.dumped_count > kLook ? part.dumped_count - kLook : 0;
    if (count_cut(part, first).count == 0) return;
    const Cut cut = count_cut(part, 0);
    note(fmt::format("file is truncated or incomplete: {} of {} pages lie beyond its end at {} bytes",
                     cut.count, part.dumped_count, part.source->size()),
         cut.count, nth_page(part, cut.first) * kPageSize);
  }

  struct Cut {
    uint64_t count = 0;
    uint64_t first = 0;
  };
  Cut count_cut(Part& part, uint64_t from) {
    Cut cut;
    for (uint64_t i = from; i < part.dumped_count; i++) {
      const auto descriptor = read_descriptor(part, i);
      if (!descriptor) {
        if (cut.count == 0) cut.first = i;
        cut.count += part.dumped_count - i;
        break;
      }
      if (!lies_beyond_end(part, *descriptor)) continue;
      if (cut.count++ == 0) cut.first = i;
    }
    return cut;
  }

  static bool lies_beyond_end(const Part& part, const PageDescriptor& descriptor) {
    // A descriptor that was never written is all zero.
    if (descriptor.offset == 0 && descriptor.size == 0) return true;
    return descriptor.offset > part.source->size() ||
           descriptor.size > part.source->size() - descriptor.offset;
  }

  /// The page frame that has descriptor number `index`.
  static uint64_t nth_page(const Part& part, uint64_t index) {
    uint64_t low = part.begin_pfn, high = part.end_pfn;
    const uint64_t wanted = part.dumped->rank(part.begin_pfn) + index;
    while (low < high) {
      const uint64_t middle = low + (high - low) / 2;
      if (part.dumped->rank(middle + 1) > wanted)
        high = middle;
      else
        low = middle + 1;
    }
    return low;
  }

  std::optional<PageDescriptor> read_descriptor(Part& part, uint64_t index) {
    const uint64_t first = index - index % kDescriptorsPerRead;
    Descriptors& cached = descriptors_[index / kDescriptorsPerRead % descriptors_.size()];
    if (&part != cached.part || first != cached.first) {
      cached.list.resize(kDescriptorsPerRead);
      const uint64_t offset = part.descriptors_offset + first * sizeof(PageDescriptor);
      const size_t got = part.source->read_at(offset, std::as_writable_bytes(std::span(cached.list)));
      cached.list.resize(got / sizeof(PageDescriptor));
      cached.part = &part;
      cached.first = first;
    }
    if (index - first >= cached.list.size()) return std::nullopt;
    return cached.list[index - first];
  }

  /// A page that lies in the file as a whole.
  struct Location {
    size_t part = 0;
    uint64_t descriptor_offset = 0;
    PageDescriptor descriptor{};
  };

  Reading<Location> locate(uint64_t address) {
    const uint64_t pfn = address / kPageSize;
    const uint64_t end = parts_.front().max_mapnr;
    if (pfn >= end)
      return unread(UnreadReason::kNotInDump, address, fmt::format("memory ends at {:#x}", end * kPageSize));
    Location location;
    while (location.part < parts_.size() && !parts_[location.part].holds(pfn)) location.part++;
    if (location.part == parts_.size()) {
      for (const auto& [missing_begin, missing_end] : missing_)
        if (missing_begin <= pfn && pfn < missing_end)
          return unread(UnreadReason::kNotInDump, address,
                        fmt::format("the part with page frames {:#x} to {:#x} is missing", missing_begin,
                                    missing_end - 1));
      return unread(UnreadReason::kNotInDump, address);
    }
    Part& part = parts_[location.part];
    if (!part.dumped->test(pfn))
      return unread(part.existing->test(pfn) ? UnreadReason::kExcluded : UnreadReason::kNotInDump, address);
    const uint64_t index = part.dumped->rank(pfn) - part.dumped->rank(part.begin_pfn);
    const auto found = read_descriptor(part, index);
    if (!found)
      return unread(
          UnreadReason::kBeyondEnd, address,
          fmt::format("page descriptor {} is not in the {} bytes of the file", index, part.source->size()));
    const PageDescriptor& descriptor = *found;
    const auto corrupt = [&] {
      return unread(UnreadReason::kCorrupt, address,
                    fmt::format("page descriptor {}: {} bytes at {:#x}, flags {:#x}", index, descriptor.size,
                                descriptor.offset, descriptor.flags));
    };
    if (descriptor.offset == 0 && descriptor.size == 0)
      return unread(UnreadReason::kBeyondEnd, address,
                    fmt::format("page descriptor {} was never written", index));
    if (descriptor.size == 0 || descriptor.size > kMaxCompressedSize) return corrupt();
    if (descriptor.flags == 0 && descriptor.size != kPageSize) return corrupt();
    if (lies_beyond_end(part, descriptor))
      return unread(
          UnreadReason::kBeyondEnd, address,
          fmt::format("at {:#x}, but the file has {} bytes", descriptor.offset, part.source->size()));
    if (descriptor.offset < part.descriptors_offset + part.dumped_count * sizeof(PageDescriptor))
      return corrupt();
    location.descriptor_offset = part.descriptors_offset + index * sizeof(PageDescriptor);
    location.descriptor = descriptor;
    return location;
  }

  std::optional<Unread> read_page(uint64_t address, std::span<std::byte, kPageSize> out) {
    const auto location = locate(address);
    if (!location.has_value()) return location.unread();
    const PageDescriptor& descriptor = location->descriptor;
    const bool stored = descriptor.flags == 0;
    const auto raw = stored ? std::span<std::byte>(out) : std::span(compressed_).first(descriptor.size);
    if (stored || descriptor.flags == kCompressedZlib || parts_[location->part].source->has_gaps()) {
      if (!read_stored(*parts_[location->part].source, descriptor.offset, raw))
        return unread(UnreadReason::kBeyondEnd, address,
                      fmt::format("file offset {:#x} is missing", descriptor.offset));
    }
    if (stored) return std::nullopt;
    if (descriptor.flags == kCompressedZlib) {
      if (const std::byte* page = pages_ ? pages_->find(raw) : nullptr) {
        std::memcpy(out.data(), page, out.size());
        return std::nullopt;
      }
      if (auto error = zlib_.decode(raw, out))
        return unread(UnreadReason::kCorrupt, address, std::move(*error));
      if (pages_) pages_->add(raw, out);
      return std::nullopt;
    }
    if (!library_ && library_error_.empty()) library_ = open_kdump_library(library_parts(), library_error_);
    if (!library_) return unread(UnreadReason::kUnsupported, address, library_error_);
    return library_->read_page(address, location->part, location->descriptor_offset, descriptor, out);
  }

  /// The bytes of a page as the file has them. Pages that lie one after the other, as those of the kernel's
  /// tables do, are read many at a time.
  bool read_stored(ByteSource& source, uint64_t offset, std::span<std::byte> raw) {
    const bool follows = &source == ahead_of_ && offset == ahead_next_;
    ahead_next_ = offset + raw.size();
    if (&source != ahead_of_ || offset < ahead_begin_ || ahead_next_ > ahead_begin_ + ahead_size_) {
      if (&source != ahead_of_) ahead_size_ = 0;
      ahead_of_ = &source;
      if (!follows) return source.read_at(offset, raw) == raw.size();
      ahead_begin_ = offset;
      ahead_size_ = source.read_at(offset, ahead_);
      if (ahead_size_ < raw.size()) return source.read_at(offset, raw) == raw.size();
    }
    std::memcpy(raw.data(), ahead_.data() + (offset - ahead_begin_), raw.size());
    return true;
  }

  /// Headers without anything that points out of the file.
  std::vector<KdumpLibraryPart> library_parts() {
    std::vector<KdumpLibraryPart> result;
    for (const Part& part : parts_) {
      KdumpLibraryPart item{part.source.get(), part.header, part.sub, !part.repairs.empty(),
                            part.descriptors_offset};
      const auto drop_unless_sound = [&](uint64_t& offset, uint64_t& size, uint64_t limit) {
        const uint64_t file_size = part.source->size();
        if (size <= limit && offset <= file_size && size <= file_size - offset) return;
        offset = size = 0;
        item.repaired = true;
      };
      if (part.header.header_version >= 3)
        drop_unless_sound(item.sub.offset_vmcoreinfo, item.sub.size_vmcoreinfo, 1 << 16);
      if (part.header.header_version >= 4)
        drop_unless_sound(item.sub.offset_note, item.sub.size_note, kMaxNotesSize);
      if (part.header.header_version >= 5)
        drop_unless_sound(item.sub.offset_eraseinfo, item.sub.size_eraseinfo, 1 << 20);
      if (part.header.header_version >= 6) item.sub.max_mapnr_64 = part.max_mapnr;
      item.header.max_mapnr = static_cast<uint32_t>(std::min<uint64_t>(part.max_mapnr, UINT32_MAX));
      item.header.bitmap_blocks =
          static_cast<uint32_t>((part.descriptors_offset - part.bitmap_offset) / kKdumpBlockSize);
      result.push_back(item);
    }
    return result;
  }

  PageStore* const pages_;
  std::vector<Part> parts_;  // ascending by page frame
  std::vector<std::pair<uint64_t, uint64_t>> missing_;
  struct Descriptors {
    const Part* part = nullptr;
    uint64_t first = 0;
    std::vector<PageDescriptor> list;
  };
  std::array<Descriptors, 32> descriptors_;  // by number; those of 5440 pages that lie together
  std::array<std::byte, kMaxCompressedSize> compressed_;
  const ByteSource* ahead_of_ = nullptr;  // whose bytes are in ahead_
  uint64_t ahead_begin_ = 0, ahead_next_ = 0;
  size_t ahead_size_ = 0;
  std::array<std::byte, size_t{32} << 10> ahead_;
  uint64_t page_address_ = UINT64_MAX;     // of page_
  std::array<std::byte, kPageSize> page_;  // the last one of which a part was read
  ZlibDecoder zlib_;
  std::unique_ptr<KdumpLibrary> library_;
  std::string library_error_;
};

}  // namespace

std::unique_ptr<Container> open_kdump(std::vector<std::unique_ptr<ByteSource>> parts, PageStore* pages) {
  return std::make_unique<KdumpContainer>(std::move(parts), pages);
}

}  // namespace perfcore
