// SPDX-License-Identifier: LGPL-2.1-or-later
#include "dump/flattened.h"

#include <endian.h>
#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "dump/extents.h"
#include "perfcore/reading.h"

namespace perfcore {
namespace {

/// struct makedumpfile_header is padded to this size (MAX_SIZE_MDF_HEADER).
constexpr uint64_t kHeaderSize = 4096;
/// Big-endian; offset -1 ends the stream (END_FLAG_FLAT_HEADER).
struct RecordHeader {
  uint64_t offset;
  uint64_t size;
};
/// 8 Mi records are 256 MB of index; QEMU's records hold 16 KB and more, makedumpfile's up to 4 MB.
constexpr size_t kMaxRecords = 8 << 20;
/// No file system holds larger files than this without effort (ext4 with 4 KB blocks): a larger offset is
/// damage.
constexpr uint64_t kMaxOffset = uint64_t{1} << 44;
constexpr uint64_t kProgressStep = 256 << 20;

class FlattenedSource : public ByteSource {
 public:
  FlattenedSource(std::unique_ptr<ByteSource> stream, std::vector<Extent> extents, bool complete)
      : stream_(std::move(stream)), extents_(std::move(extents)), complete_(complete) {}

  const std::string& path() const override { return stream_->path(); }
  uint64_t size() const override { return extents_.empty() ? 0 : extents_.back().end; }

  bool has_gaps() const override { return !complete_; }

  size_t read_at(uint64_t offset, std::span<std::byte> out) override {
    size_t done = 0;
    for (size_t i = find_extent(extents_, offset); done < out.size() && i < extents_.size(); i++) {
      const Extent& extent = extents_[i];
      if (extent.begin > offset + done) {
        // What a whole stream does not mention is zero in the rearranged file.
        if (!complete_) break;
        const size_t zeros = std::min<uint64_t>(out.size() - done, extent.begin - (offset + done));
        std::fill_n(out.begin() + static_cast<ptrdiff_t>(done), zeros, std::byte{0});
        done += zeros;
        if (done == out.size()) break;
      }
      const uint64_t at = offset + done;
      const size_t wanted = std::min<uint64_t>(out.size() - done, extent.end - at);
      const size_t got = stream_->read_at(extent.offset + (at - extent.begin), out.subspan(done, wanted));
      done += got;
      if (got != wanted) break;
    }
    return done;
  }

  std::optional<uint64_t> next_present(uint64_t offset) override {
    size_t i = find_extent(extents_, offset);
    if (i < extents_.size() && extents_[i].begin <= offset) i++;
    if (i == extents_.size()) return std::nullopt;
    return extents_[i].begin;
  }

 private:
  std::unique_ptr<ByteSource> stream_;
  std::vector<Extent> extents_;
  bool complete_;  // the end mark was there
};

}  // namespace

Flattened open_flattened(std::unique_ptr<ByteSource> stream,
                         const std::function<void(uint64_t, uint64_t)>& progress) {
  std::vector<Extent> extents;
  std::string problem;
  uint64_t position = kHeaderSize;
  uint64_t reported = 0;
  for (;;) {
    const auto record = stream->read_record<RecordHeader>(position);
    if (!record) {
      problem = fmt::format("flattened file is cut off at {} bytes, before its end mark", stream->size());
      break;
    }
    const uint64_t offset = be64toh(record->offset);
    const uint64_t size = be64toh(record->size);
    if (offset == UINT64_MAX) break;
    const uint64_t data = position + sizeof(RecordHeader);
    if (offset > kMaxOffset || size == 0 || size > kMaxOffset) {
      problem = fmt::format(
          "flattened file: damaged record at {:#x} ({} bytes for offset {:#x}); what follows is lost",
          position, size, offset);
      break;
    }
    if (extents.size() == kMaxRecords) {
      problem =
          fmt::format("flattened file: more than {} records; rearrange it by makedumpfile -R", kMaxRecords);
      break;
    }
    const uint64_t present = std::min(size, stream->size() - std::min(data, stream->size()));
    // Writers go back to complete headers: of records for the same bytes the last one counts.
    extents.push_back({offset, offset + present, data, static_cast<uint32_t>(kMaxRecords - extents.size())});
    if (present != size) {
      problem = fmt::format("flattened file is cut off at {} bytes, within a record of {} bytes at {:#x}",
                            stream->size(), size, position);
      break;
    }
    position = data + size;
    if (progress && position - reported >= kProgressStep) {
      reported = position;
      progress(position, stream->size());
    }
  }
  extents = resolve_overlaps(std::move(extents));
  if (extents.empty())
    throw InputError(fmt::format("{} is a flattened dump without a single record ({}); copy it again",
                                 stream->path(), problem.empty() ? "it ends at once" : problem));
  return {std::make_unique<FlattenedSource>(std::move(stream), std::move(extents), problem.empty()), problem};
}

}  // namespace perfcore
