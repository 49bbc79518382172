// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// The file of a recording: a magic number, the size of what follows when unpacked, and one zstd frame with a
/// checksum. Unpacked it is a flat row of numbers (LEB128) and strings (their size, then their bytes),
/// without any nesting, so that reading one needs no recursion and every count is bounded by the bytes that
/// are left.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "perfcore/memory.h"
#include "perfcore/reading.h"

namespace perfcore {

/// What a recording's file begins with; the last byte is the version of the format.
inline constexpr std::string_view kRecordingMagic{"PERFREC\1", 8};
/// The part of it that all versions have.
inline constexpr std::string_view kRecordingSignature = kRecordingMagic.substr(0, 7);

/// Writes numbers and strings one after the other.
class RecordWriter {
 public:
  void number(uint64_t value);
  /// How many items follow. Throws InputError when it becomes more than a recording may hold.
  void count(uint64_t items);
  void text(std::string_view value);
  void bytes(std::span<const std::byte> value);  ///< without their size
  void unread(const Unread& value);
  const std::string& buffer() const { return buffer_; }

 private:
  std::string buffer_;
  uint64_t items_ = 0;
};

/// Reads them back. Each call throws InputError when the bytes are used up or make no sense.
class RecordReader {
 public:
  /// \param bytes  must outlive what text() and bytes() return
  /// \param path   for messages
  RecordReader(std::string_view bytes, std::string path) : rest_(bytes), path_(std::move(path)) {}

  uint64_t number();
  /// A number that is at most `limit`.
  uint64_t number(uint64_t limit);
  /// How many items follow: no more than bytes are left, and all lists together than a recording may hold.
  uint64_t count();
  bool flag() { return number(1) != 0; }
  std::string_view text() { return bytes(number()); }
  std::string_view bytes(uint64_t size);
  Unread unread();
  std::string_view rest() const { return rest_; }
  [[noreturn]] void damaged(std::string_view what) const;

 private:
  std::string_view rest_;
  std::string path_;
  uint64_t items_ = 0;
};

/// Throws InputError when the file cannot be written. \return its size in bytes
uint64_t write_recording_file(const std::string& path, std::string_view content);
/// The unpacked content. Throws InputError when it is not a recording of this version, truncated or corrupt.
std::string read_recording_file(const std::string& path);

}  // namespace perfcore
