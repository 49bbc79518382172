// SPDX-License-Identifier: LGPL-2.1-or-later
#include "perfcore/debuginfo.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <optional>
#include <system_error>

#include "perfcore/reading.h"
#include "perfcore/types.h"
#include "types/dwarf_file.h"

namespace perfcore {
namespace {

namespace fs = std::filesystem;

/// Files called vmlinux* in one directory; a directory with more is not one of debug files.
constexpr size_t kMaxDirectoryHits = 64;
/// linux_banner is "Linux version RELEASE (builder) (compiler) build\n" and shorter.
constexpr size_t kMaxBanner = 512;

/// The dump's words become parts of paths: nothing but what the kernel's own build allows in a release may
/// pass.
bool is_safe_release(std::string_view release) {
  return !release.empty() && release.size() < 128 && release.front() != '.' &&
         std::all_of(release.begin(), release.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                  std::string_view("._+~-").find(c) != std::string_view::npos;
         });
}

bool is_hex(std::string_view text) {
  return text.size() > 2 && text.size() <= 128 &&
         text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

class Search {
 public:
  Search(std::string_view release, std::string_view build_id) : release_(release), build_id_(build_id) {}

  VmlinuxSearch run(const std::vector<std::string>& given, bool usual_places) {
    for (const std::string& path : given) {
      std::error_code error;
      const fs::file_status status = fs::status(path, error);
      if (!fs::exists(status))
        throw InputError(
            fmt::format("{}: no such file or directory; give a vmlinux with debug information or a directory "
                        "that holds one",
                        path));
      if (fs::is_directory(status))
        try_directory(path);
      else
        try_given_file(path);
    }
    if (usual_places && result_.path.empty()) try_all(usual_candidates());
    if (result_.path.empty()) {
      // A match without DWARF still has symbols.
      result_.path = without_dwarf_;
      if (!without_dwarf_.empty()) remark("{}: it is the dump's kernel but has no DWARF", without_dwarf_);
    }
    if (result_.path.empty() && usual_places)
      remark(
          "no vmlinux of {} was found ({}); install its debug package (Debian: linux-image-{}-dbg, Ubuntu: "
          "linux-image-{}-dbgsym, Fedora and RHEL: kernel-debuginfo-{}) or give --debuginfo",
          kernel(),
          tried_.empty() ? "the dump names no release to look for"
                         : fmt::format("{} places looked at", tried_.size()),
          release_or_placeholder(), release_or_placeholder(), release_or_placeholder());
    return std::move(result_);
  }

 private:
  template <typename... Args>
  void remark(fmt::format_string<Args...> format, Args&&... args) {
    result_.remarks.push_back(fmt::format(format, std::forward<Args>(args)...));
  }

  std::string release_or_placeholder() const {
    return is_safe_release(release_) ? std::string(release_) : "RELEASE";
  }
  /// The dump's kernel, for messages.
  std::string kernel() const {
    if (build_id_.empty() && release_.empty()) return "a kernel without release and build ID in the dump";
    return fmt::format("{} (build ID {})", release_.empty() ? "a kernel without release" : release_,
                       build_id_.empty() ? "not in the dump" : build_id_);
  }

  /// Why the file is not the vmlinux of the dump's kernel; nullopt when it is.
  std::optional<std::string> refusal(const std::string& path) {
    std::string id;
    try {
      id = elf_build_id(path);
    } catch (const InputError& error) {
      return error.what();
    }
    if (!build_id_.empty()) {
      if (id == build_id_) return std::nullopt;
      return fmt::format(
          "{}: {}, the dump's kernel {} has {}; install linux-image-{}-dbg (Debian) or the debug package of "
          "exactly this build",
          path, id.empty() ? "it has no build ID" : "it has build ID " + id, release_, build_id_,
          release_or_placeholder());
    }
    // VMCOREINFO has the build ID since 5.9 (0935288c6e00, "kdump: append kernel build-id string to
    // VMCOREINFO").
    if (release_.empty()) {
      remark(
          "{}: taken on trust, since the dump has neither a build ID nor a release to compare (build ID of "
          "the file: {})",
          path, id.empty() ? "none" : id);
      return std::nullopt;
    }
    const std::string banner = banner_of(path);
    if (banner.empty())
      return fmt::format(
          "{}: it does not say of which release it is (no linux_banner), and the dump has no build ID to "
          "compare; the dump's kernel is {}",
          path, release_);
    if (!banner.starts_with(fmt::format("Linux version {} ", release_)))
      return fmt::format("{}: it is \"{}\", the dump's kernel is {}", path, banner, release_);
    remark("{}: chosen by its release {}, since the dump has no build ID (kernels before 5.9)", path,
           release_);
    return std::nullopt;
  }

  static std::string banner_of(const std::string& path) {
    const DwarfFile file(path);
    const auto address = file.symbol_address("linux_banner");
    const std::string_view text =
        address ? string_at(file.image_at(*address, kMaxBanner), 0, kMaxBanner) : "";
    return std::string(text.substr(0, text.find('\n')));
  }

  static bool has_dwarf(const std::string& path) {
    const auto names = DwarfFile(path).section_names();
    return std::any_of(names.begin(), names.end(), [](const std::string& name) {
      return name == ".debug_info" || name == ".zdebug_info";
    });
  }

  void try_given_file(const std::string& path) {
    if (!result_.path.empty()) return;
    std::error_code error;
    if (!fs::is_regular_file(path, error))
      throw InputError(fmt::format("{}: neither a regular file nor a directory", path));
    if (auto why = refusal(path)) throw InputError(*why);
    result_.path = path;
    if (!has_dwarf(path)) remark("{}: it is the dump's kernel but has no DWARF", path);
  }

  void try_directory(const std::string& directory) {
    const size_t remarks = result_.remarks.size();
    try_all(candidates_in(directory));
    if (result_.path.empty() && without_dwarf_.empty() && result_.remarks.size() == remarks)
      remark("{}: no vmlinux of {} in this directory", directory, kernel());
  }

  void try_all(const std::vector<std::string>& paths) {
    for (const std::string& path : paths) {
      if (!result_.path.empty()) return;
      if (std::find(tried_.begin(), tried_.end(), path) != tried_.end()) continue;
      tried_.push_back(path);
      std::error_code error;
      if (!fs::is_regular_file(path, error)) continue;
      if (auto why = refusal(path))
        result_.remarks.push_back(*why);
      else if (has_dwarf(path))
        result_.path = path;
      else if (without_dwarf_.empty())
        without_dwarf_ = path;
    }
  }

  std::vector<std::string> usual_candidates() const {
    std::vector<std::string> paths;
    if (is_safe_release(release_)) {
      for (const char* pattern : {"/usr/lib/debug/boot/vmlinux-{}", "/usr/lib/debug/lib/modules/{}/vmlinux",
                                  "/usr/lib/debug/usr/lib/modules/{}/vmlinux", "/lib/modules/{}/vmlinux",
                                  "/lib/modules/{}/build/vmlinux", "/boot/vmlinux-{}"})
        paths.push_back(fmt::format(fmt::runtime(pattern), release_));
    }
    add_by_build_id("/usr/lib/debug", &paths);
    return paths;
  }

  std::vector<std::string> candidates_in(const std::string& directory) const {
    std::vector<std::string> paths = {directory + "/vmlinux"};
    if (is_safe_release(release_)) {
      for (const char* pattern : {"vmlinux-{}", "{}/vmlinux", "boot/vmlinux-{}", "lib/modules/{}/vmlinux",
                                  "lib/debug/boot/vmlinux-{}", "lib/debug/lib/modules/{}/vmlinux",
                                  "usr/lib/debug/boot/vmlinux-{}", "usr/lib/debug/lib/modules/{}/vmlinux"})
        paths.push_back(directory + "/" + fmt::format(fmt::runtime(pattern), release_));
    }
    for (const char* root : {"", "/debug", "/lib/debug", "/usr/lib/debug"})
      add_by_build_id(directory + root, &paths);
    // Names that people give such files: vmlinux.debug, vmlinux-6.12-test.
    std::error_code error;
    std::vector<std::string> others;
    for (fs::directory_iterator entry(directory, error), end;
         !error && entry != end && others.size() < kMaxDirectoryHits; entry.increment(error))
      if (entry->path().filename().string().starts_with("vmlinux")) others.push_back(entry->path().string());
    std::sort(others.begin(), others.end());
    paths.insert(paths.end(), others.begin(), others.end());
    return paths;
  }

  void add_by_build_id(const std::string& root, std::vector<std::string>* paths) const {
    if (is_hex(build_id_))
      paths->push_back(
          fmt::format("{}/.build-id/{}/{}.debug", root, build_id_.substr(0, 2), build_id_.substr(2)));
  }

  std::string_view release_;
  std::string_view build_id_;
  VmlinuxSearch result_;
  std::vector<std::string> tried_;
  std::string without_dwarf_;
};

}  // namespace

VmlinuxSearch find_vmlinux(const std::vector<std::string>& given, std::string_view release,
                           std::string_view build_id, bool usual_places) {
  return Search(release, build_id).run(given, usual_places);
}

}  // namespace perfcore
