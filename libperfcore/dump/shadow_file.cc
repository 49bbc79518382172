// SPDX-License-Identifier: LGPL-2.1-or-later
#include "dump/shadow_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <vector>

namespace perfcore {
namespace {

/// A multiple of the blocks in which libkdumpfile caches a file (a page of the machine without mmap):
/// whatever it reads along with wanted bytes has been copied as well.
constexpr uint64_t kBlockSize = 64 << 10;

/// Up to this size of the whole file the copy may live in memory.
constexpr uint64_t kMaxInMemory = 256 << 20;

int make_temporary_file(uint64_t size) {
  if (size > kMaxInMemory) {
    const char* from_environment = std::getenv("TMPDIR");
    for (const char* directory : {from_environment ? from_environment : "/var/tmp", "/var/tmp", "/tmp"}) {
      const int fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
      if (fd >= 0) return fd;
    }
  }
  return memfd_create("perfcore", MFD_CLOEXEC);
}

bool write_all(int fd, uint64_t offset, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t n = pwrite(fd, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    offset += static_cast<uint64_t>(n);
    bytes = bytes.subspan(static_cast<size_t>(n));
  }
  return true;
}

}  // namespace

ShadowFile::ShadowFile(ByteSource& source) : source_(source), fd_(make_temporary_file(source.size())) {
  if (fd_ < 0 || ftruncate(fd_, static_cast<off_t>(source.size())) == 0) return;
  close(fd_);
  fd_ = -1;
}

ShadowFile::~ShadowFile() {
  if (fd_ >= 0) close(fd_);
}

bool ShadowFile::ensure(uint64_t offset, uint64_t size) {
  if (size == 0) return true;
  std::vector<std::byte> buffer;
  for (uint64_t block = offset / kBlockSize; block <= (offset + size - 1) / kBlockSize; block++) {
    if (copied_.contains(block)) continue;
    buffer.resize(kBlockSize);
    // Bytes that the source lacks stay zero; whoever asks has checked that it wants none of them.
    for (uint64_t at = 0; at < kBlockSize;) {
      const size_t got = source_.read_at(block * kBlockSize + at, std::span(buffer).subspan(at));
      if (!write_all(fd_, block * kBlockSize + at, std::span(buffer).subspan(at, got))) return false;
      at += got;
      if (at == kBlockSize) break;
      const auto next = source_.next_present(block * kBlockSize + at);
      if (!next || *next >= (block + 1) * kBlockSize) break;
      at = *next - block * kBlockSize;
    }
    copied_.insert(block);
  }
  return true;
}

bool ShadowFile::patch(uint64_t offset, std::span<const std::byte> bytes) {
  return ensure(offset, bytes.size()) && write_all(fd_, offset, bytes);
}

}  // namespace perfcore
