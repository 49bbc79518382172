// SPDX-License-Identifier: LGPL-2.1-or-later
#include "dump/recording_file.h"

#include <fmt/format.h>
#include <zstd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

#include "dump/byte_source.h"

namespace perfcore {
namespace {

static_assert(std::endian::native == std::endian::little, "the header is written as it lies in memory");

/// Unpacked; a recording of hundreds of CPUs takes a tenth of it. Bounds what a hostile file can claim.
constexpr uint64_t kMaxContent = 128 << 20;
/// Of all lists together; bounds the memory that items take beyond their bytes in the file.
constexpr uint64_t kMaxItems = 2 << 20;
/// Recordings are written once and kept: a high level, which still takes only a fraction of a second.
constexpr int kCompressionLevel = 19;
constexpr size_t kHeaderSize = kRecordingMagic.size() + sizeof(uint64_t);

struct CloseFile {
  void operator()(std::FILE* file) const { std::fclose(file); }
};
struct FreeContext {
  void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
};

}  // namespace

void RecordWriter::number(uint64_t value) {
  for (; value >= 0x80; value >>= 7) buffer_ += static_cast<char>(value | 0x80);
  buffer_ += static_cast<char>(value);
}

void RecordWriter::count(uint64_t items) {
  items_ += items;
  if (items_ > kMaxItems)
    throw InputError(
        fmt::format("what was read of this dump is more than {} items, which a recording can hold; keep "
                    "the dump, or make a small one by perfcore extract",
                    kMaxItems));
  number(items);
}

void RecordWriter::text(std::string_view value) {
  number(value.size());
  buffer_ += value;
}

void RecordWriter::bytes(std::span<const std::byte> value) {
  buffer_.append(reinterpret_cast<const char*>(value.data()), value.size());
}

void RecordWriter::unread(const Unread& value) {
  number(static_cast<uint64_t>(value.reason));
  number(value.address);
  text(value.path);
  text(value.detail);
}

uint64_t RecordReader::number() {
  uint64_t value = 0;
  for (int shift = 0; shift < 64; shift += 7) {
    if (rest_.empty()) damaged("it ends within a number");
    const auto byte = static_cast<unsigned char>(rest_.front());
    rest_.remove_prefix(1);
    value |= uint64_t{byte & 0x7fu} << shift;
    if (byte < 0x80) return value;
  }
  damaged("a number of more than 64 bits");
}

uint64_t RecordReader::number(uint64_t limit) {
  const uint64_t value = number();
  if (value > limit) damaged(fmt::format("{} where at most {} can be", value, limit));
  return value;
}

uint64_t RecordReader::count() {
  const uint64_t items = number(std::min<uint64_t>(rest_.size(), kMaxItems - items_));
  items_ += items;
  return items;
}

std::string_view RecordReader::bytes(uint64_t size) {
  if (size > rest_.size()) damaged(fmt::format("{} bytes are announced, {} are left", size, rest_.size()));
  const std::string_view value = rest_.substr(0, size);
  rest_.remove_prefix(size);
  return value;
}

Unread RecordReader::unread() {
  Unread value;
  value.reason = static_cast<UnreadReason>(number(static_cast<uint64_t>(UnreadReason::kUnsupported)));
  value.address = number();
  value.path = text();
  value.detail = text();
  return value;
}

void RecordReader::damaged(std::string_view what) const {
  throw InputError(fmt::format(
      "{}: this recording is corrupt: {}; record the dump again, or copy the file again", path_, what));
}

uint64_t write_recording_file(const std::string& path, std::string_view content) {
  if (content.size() > kMaxContent)
    throw InputError(
        fmt::format("cannot write {}: what was read of this dump is {} MiB, a recording holds at most "
                    "{} MiB; keep the dump, or make a small one by perfcore extract",
                    path, content.size() >> 20, kMaxContent >> 20));
  std::string packed(kRecordingMagic);
  const uint64_t size = content.size();
  packed.append(reinterpret_cast<const char*>(&size), sizeof size);
  packed.resize(kHeaderSize + ZSTD_compressBound(content.size()));
  const std::unique_ptr<ZSTD_CCtx, FreeContext> context(ZSTD_createCCtx());
  if (!context) throw std::bad_alloc();
  ZSTD_CCtx_setParameter(context.get(), ZSTD_c_compressionLevel, kCompressionLevel);
  ZSTD_CCtx_setParameter(context.get(), ZSTD_c_checksumFlag, 1);
  const size_t done = ZSTD_compress2(context.get(), packed.data() + kHeaderSize, packed.size() - kHeaderSize,
                                     content.data(), content.size());
  if (ZSTD_isError(done)) throw InputError(fmt::format("cannot write {}: {}", path, ZSTD_getErrorName(done)));
  packed.resize(kHeaderSize + done);

  const std::unique_ptr<std::FILE, CloseFile> file(std::fopen(path.c_str(), "wbe"));
  if (!file || std::fwrite(packed.data(), 1, packed.size(), file.get()) != packed.size() ||
      std::fflush(file.get()) != 0)
    throw InputError(fmt::format("cannot write {}: {}", path, std::strerror(errno)));
  return packed.size();
}

std::string read_recording_file(const std::string& path) {
  const auto source = open_plain_file(path);
  std::string header(kHeaderSize, '\0');
  header.resize(source->read_at(0, std::as_writable_bytes(std::span(header))));
  if (header.size() == kHeaderSize && !header.starts_with(kRecordingMagic))
    throw InputError(
        fmt::format("{} is a recording of format {}, this perfcore reads format {}; use the perfcore "
                    "that wrote it, or a newer one",
                    path, static_cast<unsigned char>(header[kRecordingSignature.size()]),
                    static_cast<unsigned char>(kRecordingMagic.back())));
  uint64_t size = 0;
  if (header.size() == kHeaderSize) std::memcpy(&size, header.data() + kRecordingMagic.size(), sizeof size);
  if (header.size() < kHeaderSize || source->size() > ZSTD_compressBound(kMaxContent) || size > kMaxContent)
    throw InputError(fmt::format(
        "{}: this recording is truncated or corrupt: {} bytes that claim to hold {}, which can be {} at most",
        path, source->size(), size, kMaxContent));
  std::string packed(source->size() - kHeaderSize, '\0');
  packed.resize(source->read_at(kHeaderSize, std::as_writable_bytes(std::span(packed))));
  // The frame tells its size as well: memory is taken only where both agree.
  if (ZSTD_getFrameContentSize(packed.data(), packed.size()) != size)
    throw InputError(
        fmt::format("{}: this recording is truncated or corrupt: its header and its content disagree "
                    "about the size; copy the file again",
                    path));
  std::string content(size, '\0');
  const size_t done = ZSTD_decompress(content.data(), content.size(), packed.data(), packed.size());
  if (ZSTD_isError(done) || done != size)
    throw InputError(fmt::format(
        "{}: this recording is truncated or corrupt: {} of {} bytes cannot be unpacked: {}; "
        "copy the file again",
        path, packed.size(), source->size(), ZSTD_isError(done) ? ZSTD_getErrorName(done) : "too short"));
  return content;
}

}  // namespace perfcore
