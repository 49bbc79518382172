// SPDX-License-Identifier: LGPL-2.1-or-later
#include "batch_inputs.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <optional>
#include <set>

#include "perfcore/reading.h"

namespace perfcore::cli {
namespace {

namespace fs = std::filesystem;

/// Does the file begin as a dump or recording does? A core of a program begins like a vmcore; that it is none
/// turns out when it is opened.
bool looks_like_dump(const std::string& path) {
  std::array<char, 18> head = {};
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (file < 0) return false;
  const ssize_t got = ::read(file, head.data(), head.size());
  ::close(file);
  if (got <= 0) return false;
  return begins_like_dump({head.data(), static_cast<size_t>(got)});
}

/// Is this what makedumpfile and kdump-tools call a dump? One that the disk had no room for may be empty or
/// begin with zeros.
bool named_like_dump(std::string_view name) {
  return name == "vmcore" || name == "vmcore-incomplete" || name == "dump-incomplete" ||
         name.ends_with(".vmcore");
}

std::optional<BatchInput::Kind> kind_of(const std::string& path, bool named) {
  const std::string name = fs::path(path).filename().string();
  if (name.ends_with(".jsonl")) return BatchInput::Kind::kJsonl;
  if (looks_like_dump(path)) return BatchInput::Kind::kDump;
  const bool text = name.ends_with(".log") || name.ends_with(".txt") || name.find("dmesg") != name.npos;
  if (text) return BatchInput::Kind::kText;
  // What cannot be read may be a dump: the worker says why it cannot.
  if (named_like_dump(name) || ::access(path.c_str(), R_OK) != 0) return BatchInput::Kind::kDump;
  // A file that the user named is a dump by intention: why it is none is what the user wants to know.
  return named ? std::optional(BatchInput::Kind::kDump) : std::nullopt;
}

BatchInput input_of(BatchInput::Kind kind, const std::string& path, const struct stat& status) {
  constexpr int64_t kNanoseconds = 1'000'000'000;
  // A store outlives the directory in which somebody stood.
  std::error_code error;
  fs::path whole = fs::absolute(path, error);
  if (error) whole = path;
  return {kind,
          {whole.lexically_normal().string(), static_cast<int64_t>(status.st_size),
           status.st_mtim.tv_sec * kNanoseconds + status.st_mtim.tv_nsec, static_cast<int64_t>(status.st_ino),
           "", ""}};
}

void add(const std::string& path, bool named, std::vector<BatchInput>* inputs) {
  struct stat status = {};
  if (::stat(path.c_str(), &status) != 0) {
    if (named) throw InputError(fmt::format("{}: {}", path, std::strerror(errno)));
    return;
  }
  if (!S_ISREG(status.st_mode)) {
    if (named) throw InputError(fmt::format("{}: neither a file nor a directory", path));
    return;
  }
  if (const auto kind = kind_of(path, named)) inputs->push_back(input_of(*kind, path, status));
}

/// A directory that cannot be listed becomes an input: its worker says why.
void add_directory(const std::string& top, std::vector<BatchInput>* inputs) {
  std::vector<std::string> directories = {top};
  while (!directories.empty()) {
    const std::string directory = std::move(directories.back());
    directories.pop_back();
    std::error_code error;
    fs::directory_iterator entries(directory, error);
    for (const fs::directory_iterator end; !error && entries != end; entries.increment(error)) {
      std::error_code ignored;
      if (entries->is_directory(ignored) && !entries->is_symlink(ignored))
        directories.push_back(entries->path().string());
      else
        add(entries->path().string(), false, inputs);
    }
    if (!error) continue;
    struct stat status = {};
    if (::stat(directory.c_str(), &status) == 0)
      inputs->push_back(input_of(BatchInput::Kind::kDump, directory, status));
  }
}

}  // namespace

bool begins_like_dump(std::string_view head) {
  constexpr char kCore = 4;  // ET_CORE
  if (head.starts_with("\x7f"
                       "ELF"))
    return head.size() >= 18 && head[16] == kCore && head[17] == 0;
  return head.starts_with("KDUMP   ") || head.starts_with("DISKDUMP") || head.starts_with("makedumpfile") ||
         head.starts_with("PERFREC");
}

std::vector<BatchInput> find_inputs(const std::vector<std::string>& paths) {
  std::vector<BatchInput> inputs;
  for (const std::string& path : paths) {
    std::error_code error;
    if (!fs::is_directory(path, error)) {
      add(path, true, &inputs);
      continue;
    }
    add_directory(path, &inputs);
  }
  std::sort(inputs.begin(), inputs.end(),
            [](const BatchInput& a, const BatchInput& b) { return a.file.path < b.file.path; });
  const auto same = [](const BatchInput& a, const BatchInput& b) { return a.file.path == b.file.path; };
  inputs.erase(std::unique(inputs.begin(), inputs.end(), same), inputs.end());
  // kdump puts vmcore-dmesg.txt (kexec-tools) or dmesg.DATE (Debian) beside the dump.
  std::set<fs::path> with_dump;
  for (const BatchInput& input : inputs)
    if (input.kind == BatchInput::Kind::kDump) with_dump.insert(fs::path(input.file.path).parent_path());
  std::erase_if(inputs, [&](const BatchInput& input) {
    const fs::path path = input.file.path;
    const std::string name = path.filename().string();
    return input.kind == BatchInput::Kind::kText && with_dump.contains(path.parent_path()) &&
           (name.starts_with("vmcore-dmesg") || name.starts_with("dmesg."));
  });
  return inputs;
}

}  // namespace perfcore::cli
