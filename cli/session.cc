// SPDX-License-Identifier: LGPL-2.1-or-later
#include "session.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "guard.h"
#include "progress.h"

namespace perfcore::cli {
namespace {

constexpr size_t kDefaultWidth = 100;
constexpr size_t kNarrowest = 60;
constexpr size_t kWidest = 120;  // longer lines are hard to read

size_t terminal_width() {
  if (const char* columns = getenv("COLUMNS")) {
    const int width = atoi(columns);
    if (width > 0) return std::clamp(static_cast<size_t>(width), kNarrowest, kWidest);
  }
  winsize size = {};
  if (isatty(STDOUT_FILENO) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
    return std::clamp<size_t>(size.ws_col, kNarrowest, kWidest);
  return kDefaultWidth;
}

}  // namespace

Session::Session(Options options) : options_(std::move(options)) {}

std::unique_ptr<Dump> Session::open_dump(const std::vector<std::string>& dumps, PageStore* pages) {
  set_activity("opening the dump");
  Progress progress("unpacking");
  DumpOptions dump_options;
  dump_options.progress = [&](uint64_t done, uint64_t total) { progress.report(done, total); };
  dump_options.pages = pages;
  auto dump = Dump::open(dumps, dump_options);
  remark(fmt::format("{}: {}", dump->path(), dump->format()));
  for (const QualityNote& note : dump->quality()) remark(fmt::format("{}: {}", dump->path(), note.what));
  return dump;
}

std::unique_ptr<Kernel> Session::open_kernel(std::unique_ptr<Dump> dump, bool with_debuginfo, bool record,
                                             std::vector<Kernel*> alike) {
  set_activity("identifying the kernel and choosing debug info");
  KernelOptions kernel_options;
  if (with_debuginfo && !options_.no_debuginfo)
    kernel_options.debuginfo = options_.debuginfo;
  else
    kernel_options.search_debuginfo = false;
  kernel_options.record = record;
  kernel_options.alike = std::move(alike);
  auto kernel = Kernel::open(std::move(dump), kernel_options);
  for (const std::string& text : kernel->remarks()) remark(text);
  return kernel;
}

std::unique_ptr<Kernel> Session::open(const std::vector<std::string>& dumps, PageStore* pages,
                                      std::vector<Kernel*> alike) {
  return open_kernel(open_dump(dumps, pages), true, false, std::move(alike));
}

TextWriter Session::text_writer() const {
  const char* no_color = getenv("NO_COLOR");
  const bool terminal = options_.output.empty() && isatty(STDOUT_FILENO) != 0;
  const bool color = options_.color == "always" ||
                     (options_.color == "auto" && terminal && (no_color == nullptr || *no_color == '\0'));
  return TextWriter(color, terminal_width());
}

void Session::write(std::string_view answer, const std::string& path) {
  set_activity("writing the answer");
  std::FILE* out = path.empty() ? stdout : std::fopen(path.c_str(), "we");
  const bool written = out != nullptr && std::fwrite(answer.data(), 1, answer.size(), out) == answer.size();
  const bool finished = out != nullptr && (path.empty() ? std::fflush(out) : std::fclose(out)) == 0;
  if (!written || !finished)
    throw InputError(fmt::format("cannot write the answer to {}: {}", path.empty() ? "standard output" : path,
                                 std::strerror(errno)));
}

void Session::warn(std::string_view text) const {
  fmt::print(stderr, "perfcore: {}\n", printable(text));
}

void Session::remark(std::string_view text) const {
  if (options_.verbose) warn(text);
}

}  // namespace perfcore::cli
