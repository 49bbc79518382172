// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// libkdumpfile, for the pages of kdump-compressed dumps in the codecs that only it knows: lzo, snappy, zstd.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "dump/byte_source.h"
#include "dump/kdump_format.h"
#include "perfcore/memory.h"
#include "perfcore/reading.h"

namespace perfcore {

/// What of a part of the dump libkdumpfile may see.
struct KdumpLibraryPart {
  ByteSource* source = nullptr;  ///< not owned
  DiskDumpHeader header{};       ///< repaired
  KdumpSubHeader sub{};          ///< repaired: nothing in it points out of the file
  bool repaired = false;         ///< the headers differ from those in the file
  uint64_t headers_end = 0;      ///< file offset behind headers and bitmaps
};

/// One thread at a time. libkdumpfile 0.5.1 takes a file at its word: a cut file gives zeros, "Excluded page"
/// or "unknown compression method", a damaged size is allocated. Hence only pages whose descriptor was found
/// to be sound may be asked for.
class KdumpLibrary {
 public:
  virtual ~KdumpLibrary() = default;

  /// Reads the page that holds `address`. `descriptor_offset` and `descriptor` are those of the page in part
  /// `part`.
  virtual std::optional<Unread> read_page(uint64_t address, size_t part, uint64_t descriptor_offset,
                                          const PageDescriptor& descriptor,
                                          std::span<std::byte, kPageSize> out) = 0;
};

/// \param parts  must outlive the result
/// \param error  why there is no result
std::unique_ptr<KdumpLibrary> open_kdump_library(std::vector<KdumpLibraryPart> parts, std::string& error);

}  // namespace perfcore
