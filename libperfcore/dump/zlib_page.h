// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// Pages in zlib format, by libdeflate: twice as fast as zlib and libkdumpfile, which reading BTF and
/// kallsyms out of a dump is mostly waiting for.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>

#include "perfcore/memory.h"

namespace perfcore {

/// One thread at a time.
class ZlibDecoder {
 public:
  ZlibDecoder();
  ~ZlibDecoder();

  /// Why the page cannot be decoded, or nothing when `out` was filled. The checksum is verified.
  std::optional<std::string> decode(std::span<const std::byte> compressed,
                                    std::span<std::byte, kPageSize> out);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// One thread at a time.
class ZlibEncoder {
 public:
  ZlibEncoder();
  ~ZlibEncoder();

  /// The compressed page, or nothing when it would not be smaller than a page. Valid until the next call.
  std::optional<std::span<const std::byte>> encode(std::span<const std::byte, kPageSize> page);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace perfcore
