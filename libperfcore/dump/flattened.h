// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// Flattened files: a dump as a stream of (offset, size, bytes) records, for pipes. Written by makedumpfile
/// -F and by QEMU's dump-guest-memory -z (up to 8.1 always, later unless -R).
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "dump/byte_source.h"

namespace perfcore {

/// A flattened file, seen as if it had been rearranged.
struct Flattened {
  std::unique_ptr<ByteSource> source;
  /// What is wrong with the stream, empty when nothing is.
  std::string problem;
};

/// Indexes the records; nothing is copied. A stream that was cut is used as far as it goes.
/// Throws InputError when not even one record is there.
/// \param progress  called with (done, total) bytes; may be empty
Flattened open_flattened(std::unique_ptr<ByteSource> stream,
                         const std::function<void(uint64_t, uint64_t)>& progress);

}  // namespace perfcore
