// SPDX-License-Identifier: LGPL-2.1-or-later
#include "dump/zlib_page.h"

#include <fmt/format.h>
#include <libdeflate.h>

#include <array>
#include <new>

namespace perfcore {
namespace {

/// Level of zlib that makedumpfile's users are used to; a triage reads a page more often than extract writes
/// it.
constexpr int kLevel = 6;

struct DecompressorDeleter {
  void operator()(libdeflate_decompressor* d) const { libdeflate_free_decompressor(d); }
};
struct CompressorDeleter {
  void operator()(libdeflate_compressor* c) const { libdeflate_free_compressor(c); }
};

}  // namespace

struct ZlibDecoder::State {
  std::unique_ptr<libdeflate_decompressor, DecompressorDeleter> decompressor;
};

ZlibDecoder::ZlibDecoder() : state_(std::make_unique<State>()) {
  state_->decompressor.reset(libdeflate_alloc_decompressor());
  if (!state_->decompressor) throw std::bad_alloc();
}
ZlibDecoder::~ZlibDecoder() = default;

std::optional<std::string> ZlibDecoder::decode(std::span<const std::byte> compressed,
                                               std::span<std::byte, kPageSize> out) {
  size_t size = 0;
  switch (libdeflate_zlib_decompress(state_->decompressor.get(), compressed.data(), compressed.size(),
                                     out.data(), out.size(), &size)) {
    case LIBDEFLATE_SUCCESS:
      if (size == out.size()) return std::nullopt;
      return fmt::format("zlib: {} bytes instead of a page of {}", size, out.size());
    case LIBDEFLATE_INSUFFICIENT_SPACE:
      return fmt::format("zlib: more than a page of {} bytes", out.size());
    default:
      return "zlib: the data or its checksum is damaged";
  }
}

struct ZlibEncoder::State {
  std::unique_ptr<libdeflate_compressor, CompressorDeleter> compressor;
  std::array<std::byte, kPageSize> buffer;
};

ZlibEncoder::ZlibEncoder() : state_(std::make_unique<State>()) {
  state_->compressor.reset(libdeflate_alloc_compressor(kLevel));
  if (!state_->compressor) throw std::bad_alloc();
}
ZlibEncoder::~ZlibEncoder() = default;

std::optional<std::span<const std::byte>> ZlibEncoder::encode(std::span<const std::byte, kPageSize> page) {
  const size_t size = libdeflate_zlib_compress(state_->compressor.get(), page.data(), page.size(),
                                               state_->buffer.data(), state_->buffer.size() - 1);
  if (size == 0) return std::nullopt;
  return std::span<const std::byte>(state_->buffer).first(size);
}

}  // namespace perfcore
