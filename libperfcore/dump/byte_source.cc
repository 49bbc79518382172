// SPDX-License-Identifier: LGPL-2.1-or-later
#include "dump/byte_source.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <limits>

#include "perfcore/reading.h"

namespace perfcore {
namespace {

class PlainFile : public ByteSource {
 public:
  PlainFile(std::string path, int fd, uint64_t size) : path_(std::move(path)), fd_(fd), size_(size) {}
  ~PlainFile() override { close(fd_); }
  PlainFile(const PlainFile&) = delete;
  PlainFile& operator=(const PlainFile&) = delete;

  const std::string& path() const override { return path_; }
  uint64_t size() const override { return size_; }
  int descriptor() const override { return fd_; }

  size_t read_at(uint64_t offset, std::span<std::byte> out) override {
    size_t done = 0;
    while (done < out.size() && offset + done < size_) {
      const ssize_t n = pread(fd_, out.data() + done, out.size() - done, static_cast<off_t>(offset + done));
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) break;
      done += static_cast<size_t>(n);
    }
    return done;
  }

 private:
  std::string path_;
  int fd_;
  uint64_t size_;
};

std::string what_to_do(int error) {
  switch (error) {
    case ENOENT:
      return "check the path";
    case EACCES:
    case EPERM:
      return "dumps are usually readable by root only: run as root, or copy the file and change its owner";
    default:
      return "check the file system and the disk it lies on";
  }
}

}  // namespace

std::unique_ptr<ByteSource> open_plain_file(const std::string& path) {
  // O_NONBLOCK: opening a FIFO must not wait for a writer.
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) {
    const int error = errno;
    throw InputError(fmt::format("cannot open {}: {}; {}", path, std::strerror(error), what_to_do(error)));
  }
  struct stat status {};
  if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
    close(fd);
    throw InputError(
        fmt::format("{} is not a regular file; name the vmcore itself or the directory that holds it", path));
  }
  auto file = std::make_unique<PlainFile>(path, fd, static_cast<uint64_t>(status.st_size));
  if (is_live_file(*file)) {
    const int live = dup(fd);
    if (live < 0) throw InputError(fmt::format("cannot open {}: {}", path, std::strerror(errno)));
    return std::make_unique<PlainFile>(path, live, static_cast<uint64_t>(std::numeric_limits<off_t>::max()));
  }
  if (status.st_size == 0)
    throw InputError(
        fmt::format("{} is empty (0 bytes): the dump was never written; look at the console log of the "
                    "crash kernel and at the free space of the file system",
                    path));
  return file;
}

bool is_live_file(const ByteSource& source) {
  struct statfs status {};
  return source.descriptor() >= 0 && fstatfs(source.descriptor(), &status) == 0 &&
         status.f_type == PROC_SUPER_MAGIC;
}

}  // namespace perfcore
