// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// A sparse temporary file that is filled from a ByteSource as it is needed.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <unordered_set>

#include "dump/byte_source.h"

namespace perfcore {

/// libkdumpfile 0.5.1 wants a file descriptor and knows no flattened files; nor does it open a dump of which
/// one header field is damaged. It gets a shadow: a file that nobody else sees, into which what it is about
/// to read is copied first. Only what is read is ever copied. One thread at a time.
class ShadowFile {
 public:
  /// `source` must outlive the shadow.
  explicit ShadowFile(ByteSource& source);
  ~ShadowFile();
  ShadowFile(const ShadowFile&) = delete;
  ShadowFile& operator=(const ShadowFile&) = delete;

  /// False when no temporary file could be made.
  bool valid() const { return fd_ >= 0; }
  int descriptor() const { return fd_; }
  /// Copies what of [offset, offset + size) has not been copied yet. \return false when it cannot be written.
  bool ensure(uint64_t offset, uint64_t size);
  /// Overwrites bytes of the shadow. \return false when they cannot be written.
  bool patch(uint64_t offset, std::span<const std::byte> bytes);

 private:
  ByteSource& source_;
  int fd_ = -1;
  std::unordered_set<uint64_t> copied_;  // blocks
};

}  // namespace perfcore
