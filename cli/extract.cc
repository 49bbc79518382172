// SPDX-License-Identifier: LGPL-2.1-or-later
#include <fmt/format.h>

#include <algorithm>

#include "commands.h"
#include "everything.h"
#include "exit_codes.h"
#include "guard.h"
#include "json.h"
#include "report.h"
#include "session.h"
#include "text.h"

namespace perfcore::cli {
namespace {

std::unique_ptr<Kernel> open_noting_pages(Session& session, bool with_debuginfo) {
  auto dump = session.open_dump(session.options().arguments);
  dump->start_recording_touched_pages();
  return session.open_kernel(std::move(dump), with_debuginfo);
}

}  // namespace

int run_extract(Session& session) {
  const Options& options = session.options();
  if (options.output.empty()) throw UsageError("where to? Name the vmcore to write by -o MINI");

  // The dump alone must be enough for whoever gets it: its own symbols and types are read in any case.
  const auto kernel = open_noting_pages(session, false);
  refuse_to_overwrite(*kernel, options.output);
  touch_everything(*kernel);
  PageSet pages = kernel->dump()->touched_pages();

  // With a vmlinux other places are looked at: what it leads to is wanted as well.
  if (!options.no_debuginfo) {
    const auto other = open_noting_pages(session, true);
    if (!other->vmlinux().empty()) {
      touch_everything(*other);
      const PageSet more = other->dump()->touched_pages();
      pages.insert(pages.end(), more.begin(), more.end());
    }
  }
  std::sort(pages.begin(), pages.end());
  pages.erase(std::unique(pages.begin(), pages.end()), pages.end());

  set_activity("writing the small dump");
  restart_time_limit();
  ExtractReport report;
  report.path = options.output;
  report.pages = pages.size();
  report.bytes = write_minimal_dump(*kernel->dump(), pages, options.output, {options.elf});
  session.answer_to_stdout(report);
  return kExitDone;
}

}  // namespace perfcore::cli
