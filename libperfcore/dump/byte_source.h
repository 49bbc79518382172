// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// The bytes of a dump file, wherever they lie: a plain file, or a flattened one seen as if it had been
/// rearranged.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <type_traits>

namespace perfcore {

/// Bytes by offset. Never memory-mapped: a file that shrinks under a mapping kills the reader with SIGBUS.
/// One thread at a time.
class ByteSource {
 public:
  virtual ~ByteSource() = default;

  virtual const std::string& path() const = 0;
  /// One past the last byte.
  virtual uint64_t size() const = 0;
  /// Reads from `offset` on and returns how many bytes could be read: fewer than asked at the end, at a gap,
  /// or at an input/output error.
  virtual size_t read_at(uint64_t offset, std::span<std::byte> out) = 0;
  /// Whether bytes before size() can be missing.
  virtual bool has_gaps() const { return false; }
  /// After a read that ended short at `offset`: the next larger offset at which there are bytes again.
  virtual std::optional<uint64_t> next_present(uint64_t /*offset*/) { return std::nullopt; }
  /// A file descriptor whose offsets are those of read_at(), -1 where there is none.
  virtual int descriptor() const { return -1; }

  /// One trivially copyable record, or nothing when it does not lie in the file as a whole.
  template <typename T>
  std::optional<T> read_record(uint64_t offset) {
    static_assert(std::is_trivially_copyable_v<T>);
    T record;
    if (read_at(offset, std::as_writable_bytes(std::span(&record, 1))) != sizeof(T)) return std::nullopt;
    return record;
  }
};

/// Opens a regular file (or /proc/kcore, whose size is unlimited) for reading. Throws InputError.
std::unique_ptr<ByteSource> open_plain_file(const std::string& path);

/// True for a file of procfs, such as /proc/kcore: its values move while they are read.
bool is_live_file(const ByteSource& source);

}  // namespace perfcore
