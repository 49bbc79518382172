// SPDX-License-Identifier: LGPL-2.1-or-later
#include <fmt/format.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

#include "commands.h"
#include "exit_codes.h"
#include "guard.h"
#include "json.h"
#include "perfcore/kcsan.h"
#include "perfcore/reading.h"
#include "session.h"
#include "text.h"

namespace perfcore::cli {
namespace {

/// Half of what the process may allocate: the text is in memory once.
constexpr size_t kMaxText = 256u << 20;

struct Close {
  void operator()(std::FILE* file) const {
    if (file != stdin) std::fclose(file);
  }
};

std::string read_text(const std::string& path) {
  const bool standard_input = path == "-";
  const std::unique_ptr<std::FILE, Close> file(standard_input ? stdin : std::fopen(path.c_str(), "re"));
  if (!file)
    throw InputError(
        fmt::format("{}: cannot be opened: {}; give console text such as dmesg or a serial log, "
                    "or - for standard input",
                    path, std::strerror(errno)));
  std::string text;
  size_t got = 0;
  do {
    const size_t size = text.size();
    text.resize(size + (size_t{1} << 16));
    got = std::fread(text.data() + size, 1, text.size() - size, file.get());
    text.resize(size + got);
    if (text.size() > kMaxText)
      throw InputError(
          fmt::format("{}: more than {} MiB of text; cut out the part with the crash", path, kMaxText >> 20));
  } while (got > 0);
  if (std::ferror(file.get()))
    throw InputError(fmt::format("{}: cannot be read: {}", path, std::strerror(errno)));
  return text;
}

}  // namespace

int run_report(Session& session) {
  if (session.options().arguments.size() != 1)
    throw UsageError("report takes one text: a file, or - for standard input");
  set_activity("reading the text");
  const std::string text = read_text(session.options().arguments.front());
  restart_time_limit();
  set_activity("judging KCSAN reports");
  ConsoleReport report;
  for (KcsanReport& race : parse_kcsan(text)) {
    KcsanVerdict verdict = classify(race);
    report.races.push_back({std::move(race), std::move(verdict)});
  }
  session.answer(report);
  return kExitDone;
}

}  // namespace perfcore::cli
