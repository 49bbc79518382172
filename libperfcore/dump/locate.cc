// SPDX-License-Identifier: LGPL-2.1-or-later
#include "dump/locate.h"

#include <elf.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>
#include <set>
#include <string_view>

#include "dump/flattened.h"
#include "dump/kdump_format.h"
#include "dump/recording_file.h"

namespace perfcore {
namespace {

namespace fs = std::filesystem;

enum class Kind { kElf, kKdump, kFlattened, kOther };

/// Directories with more entries are not searched for the parts of a split dump.
constexpr size_t kMaxDirectoryEntries = 10000;

struct Magic {
  std::string_view bytes;
  std::string_view what;
  std::string_view advice;
};
using namespace std::string_view_literals;
constexpr std::array kOtherFormats = {
    Magic{"\x1f\x8b"sv, "gzip-compressed", "unpack it first: gunzip"},
    Magic{"\x28\xb5\x2f\xfd"sv, "zstd-compressed", "unpack it first: unzstd"},
    Magic{"\xfd"
          "7zXZ\0"sv,
          "xz-compressed", "unpack it first: unxz"},
    Magic{"BZh"sv, "bzip2-compressed", "unpack it first: bunzip2"},
    Magic{"\x04\x22\x4d\x18"sv, "lz4-compressed", "unpack it first: unlz4"},
    Magic{"PK\x03\x04"sv, "a zip archive", "unpack it first"},
    Magic{"\xed\xab\xee\xdb"sv, "an RPM package", "give the vmcore"},
    Magic{"!<arch>\n"sv, "an archive (perhaps a Debian package)", "give the vmcore"},
    Magic{"QEVM"sv, "a saved state of a virtual machine (virsh save, migrate)",
          "make a dump by virsh dump --memory-only or dump-guest-memory"},
    Magic{kRecordingSignature, "a recording made by perfcore record", "give it alone, not with other files"},
    Magic{"QFI\xfb"sv, "a qcow2 disk image", "give a memory dump"},
};

std::string head_of(ByteSource& source) {
  std::string head(16, '\0');
  head.resize(source.read_at(0, std::as_writable_bytes(std::span(head))));
  return head;
}

Kind kind_of(std::string_view head) {
  if (head.starts_with(std::string_view(ELFMAG, SELFMAG))) return Kind::kElf;
  if (head.starts_with(kKdumpSignature) || head.starts_with(kDiskdumpSignature)) return Kind::kKdump;
  if (head.starts_with(kFlattenedSignature)) return Kind::kFlattened;
  return Kind::kOther;
}

[[noreturn]] void throw_not_a_dump(const std::string& path, std::string_view head, uint64_t size) {
  for (const Magic& magic : kOtherFormats)
    if (head.starts_with(magic.bytes))
      throw InputError(fmt::format("{} is {}, not a vmcore; {}", path, magic.what, magic.advice));
  std::string bytes;
  for (const char c : head.substr(0, 8)) bytes += fmt::format("{:02x} ", static_cast<unsigned char>(c));
  const bool is_text = std::all_of(head.begin(), head.end(), [](char c) {
    return c == '\n' || c == '\r' || c == '\t' || (c >= ' ' && c < 127);
  });
  throw InputError(fmt::format(
      "{} is not a vmcore: {} bytes that begin with {}{}; expected an ELF core, a kdump-compressed "
      "dump (\"KDUMP\") or a flattened one (\"makedumpfile\")",
      path, size, bytes, is_text ? "(text: a console log is read by perfcore report)" : "(unknown format)"));
}

bool is_dump_file(const fs::path& path) {
  try {
    return kind_of(head_of(*open_plain_file(path))) != Kind::kOther;
  } catch (const InputError&) {
    return false;
  }
}

/// Regular files of a directory by name.
std::vector<fs::path> files_in(const fs::path& directory) {
  std::vector<fs::path> files;
  std::error_code error;
  for (fs::directory_iterator it(directory, error), end; !error && it != end; it.increment(error)) {
    if (files.size() == kMaxDirectoryEntries) break;
    std::error_code ignored;
    if (it->is_regular_file(ignored)) files.push_back(it->path());
  }
  if (error)
    throw InputError(fmt::format("cannot read directory {}: {}; run as a user who may", directory.string(),
                                 error.message()));
  std::sort(files.begin(), files.end());
  return files;
}

/// The kernel log that kdump writes beside a dump: vmcore-dmesg.txt (kexec-tools), dmesg.DATE (Debian's
/// kdump-tools).
std::string dmesg_in(const fs::path& directory) {
  std::error_code error;
  for (const char* name : {"vmcore-dmesg.txt", "vmcore-dmesg-incomplete.txt"})
    if (fs::is_regular_file(directory / name, error)) return directory / name;
  for (fs::directory_iterator it(directory, error), end; !error && it != end; it.increment(error))
    if (it->path().filename().string().starts_with("dmesg.")) return it->path();
  return {};
}

/// Whether two headers can be of parts of one split dump; the container compares VMCOREINFO as well.
bool same_dump(const DiskDumpHeader& a, const DiskDumpHeader& b) {
  return std::memcmp(&a, &b, offsetof(DiskDumpHeader, status)) == 0 && a.max_mapnr == b.max_mapnr &&
         a.bitmap_blocks == b.bitmap_blocks && a.sub_hdr_size == b.sub_hdr_size;
}

struct KdumpHeaders {
  DiskDumpHeader header;
  KdumpSubHeader sub;

  bool is_split() const { return header.header_version >= 2 && sub.split != 0; }
  std::pair<uint64_t, uint64_t> pages() const {
    return header.header_version >= 6 ? std::pair(sub.start_pfn_64, sub.end_pfn_64)
                                      : std::pair(sub.start_pfn, sub.end_pfn);
  }
};

std::optional<KdumpHeaders> kdump_headers(ByteSource& source) {
  const auto header = source.read_record<DiskDumpHeader>(0);
  const auto sub = source.read_record<KdumpSubHeader>(kKdumpBlockSize);
  if (!header || !sub || kind_of({header->signature, sizeof(header->signature)}) != Kind::kKdump)
    return std::nullopt;
  return KdumpHeaders{*header, *sub};
}

std::string vmcoreinfo_of(ByteSource& source, const KdumpHeaders& headers) {
  if (headers.header.header_version < 3) return {};
  std::string text(std::min<uint64_t>(headers.sub.size_vmcoreinfo, 1 << 16), '\0');
  text.resize(source.read_at(headers.sub.offset_vmcoreinfo, std::as_writable_bytes(std::span(text))));
  return text;
}

/// The other parts of a split dump in the directory of one of them. Copies of a part are left out.
std::vector<std::unique_ptr<ByteSource>> siblings_of(ByteSource& part, const KdumpHeaders& own) {
  std::vector<std::unique_ptr<ByteSource>> siblings;
  const fs::path path = part.path();
  const std::string vmcoreinfo = vmcoreinfo_of(part, own);
  std::set<std::pair<uint64_t, uint64_t>> seen = {own.pages()};
  for (const fs::path& file : files_in(path.has_parent_path() ? path.parent_path() : fs::path("."))) {
    std::error_code error;
    if (fs::equivalent(file, path, error) || !is_dump_file(file)) continue;
    auto source = open_plain_file(file);
    const auto headers = kdump_headers(*source);
    if (!headers || !headers->is_split() || !same_dump(own.header, headers->header)) continue;
    if (vmcoreinfo_of(*source, *headers) != vmcoreinfo || !seen.insert(headers->pages()).second) continue;
    siblings.push_back(std::move(source));
  }
  return siblings;
}

/// What to open in a directory.
std::vector<std::string> search_directory(const std::string& directory) {
  const auto files = files_in(directory);
  const auto name = [](const fs::path& path) { return path.filename().string(); };
  // kexec-tools and kdump-utils: vmcore, vmcore-incomplete; Debian's kdump-tools: dump.DATE, dump-incomplete.
  const auto first = [&](auto&& wanted) -> std::vector<std::string> {
    for (const fs::path& file : files)
      if (wanted(name(file)) && is_dump_file(file)) return {file};
    return {};
  };
  for (auto found :
       {first([](const std::string& n) { return n == "vmcore"; }),
        first([](const std::string& n) { return n.starts_with("dump") && !n.ends_with("incomplete"); }),
        first([](const std::string& n) { return n == "vmcore.flat"; }),
        first([](const std::string& n) { return n.starts_with("vmcore-incomplete"); }),
        first([](const std::string& n) { return n.starts_with("dump"); })})
    if (!found.empty()) return found;

  std::vector<std::string> dumps;
  for (const fs::path& file : files)
    if (is_dump_file(file)) dumps.push_back(file);
  if (dumps.size() > 1) {
    // The parts of one split dump, perhaps.
    auto source = open_plain_file(dumps.front());
    const auto own = kdump_headers(*source);
    const auto is_part = [&](const std::string& file) {
      auto other = open_plain_file(file);
      const auto headers = kdump_headers(*other);
      return headers && headers->is_split() && same_dump(own->header, headers->header);
    };
    if (own && std::all_of(dumps.begin(), dumps.end(), is_part)) return {dumps.front()};
    throw InputError(
        fmt::format("{} holds {} dumps: {}{}; name one of them", directory, dumps.size(),
                    fmt::join(dumps.begin(), dumps.begin() + std::min<ptrdiff_t>(4, std::ssize(dumps)), ", "),
                    dumps.size() > 4 ? ", ..." : ""));
  }
  if (dumps.empty()) {
    const std::string dmesg = dmesg_in(directory);
    throw InputError(fmt::format(
        "{} holds no vmcore among its {} files{}", directory, files.size(),
        dmesg.empty() ? "; name the file or directory that kdump wrote (/var/crash/...)"
                      : fmt::format("; its kernel log {} can be read by perfcore report", dmesg)));
  }
  return dumps;
}

struct OpenedFile {
  std::unique_ptr<ByteSource> source;
  Kind kind = Kind::kOther;
  bool flattened = false;
  std::string problem;
};

OpenedFile open_file(const std::string& path, const DumpOptions& options) {
  OpenedFile file;
  file.source = open_plain_file(path);
  std::string head = head_of(*file.source);
  file.kind = kind_of(head);
  if (file.kind == Kind::kFlattened) {
    Flattened flattened = open_flattened(std::move(file.source), options.progress);
    file.source = std::move(flattened.source);
    file.problem = std::move(flattened.problem);
    file.flattened = true;
    head = head_of(*file.source);
    file.kind = kind_of(head);
    if (head.empty() && !file.problem.empty())
      throw InputError(
          fmt::format("{}: {}; the header of the dump is lost, copy it again", path, file.problem));
  }
  if (file.kind == Kind::kOther || file.kind == Kind::kFlattened)
    throw_not_a_dump(path, head, file.source->size());
  return file;
}

}  // namespace

LocatedDump locate_dump(const std::vector<std::string>& paths, const DumpOptions& options) {
  if (paths.empty()) throw InputError("no dump given; name a vmcore, or the directory that holds it");
  std::vector<std::string> names = paths;
  std::error_code error;
  if (names.size() == 1 && fs::is_directory(names.front(), error)) names = search_directory(names.front());

  std::vector<OpenedFile> files;
  for (const std::string& name : names) files.push_back(open_file(name, options));
  LocatedDump located;
  located.path = names.front();

  const bool all_kdump = std::all_of(files.begin(), files.end(),
                                     [](const OpenedFile& file) { return file.kind == Kind::kKdump; });
  if (all_kdump) {
    std::vector<std::unique_ptr<ByteSource>> parts;
    for (OpenedFile& file : files) parts.push_back(std::move(file.source));
    if (parts.size() == 1) {
      const auto own = kdump_headers(*parts.front());
      if (own && own->is_split())
        for (auto& sibling : siblings_of(*parts.front(), *own)) parts.push_back(std::move(sibling));
    }
    located.container = open_kdump(std::move(parts), options.pages);
  } else if (files.size() == 1) {
    located.container = open_elf(std::move(files.front().source));
  } else {
    throw InputError(fmt::format(
        "{} files were given as one dump, but not all are parts of a split kdump-compressed dump; "
        "give one dump, or the parts of one",
        files.size()));
  }
  if (files.front().flattened) located.container->add_to_format(" (flattened)");
  for (OpenedFile& file : files)
    if (!file.problem.empty()) located.container->note(file.problem);
  return located;
}

std::string find_dmesg_beside(const std::string& dump) {
  const fs::path path = dump;
  return dmesg_in(path.has_parent_path() ? path.parent_path() : fs::path("."));
}

}  // namespace perfcore
