// SPDX-License-Identifier: LGPL-2.1-or-later
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>

#include "analyzers/registry.h"
#include "commands.h"
#include "exit_codes.h"
#include "guard.h"
#include "json.h"
#include "report.h"
#include "session.h"
#include "show_perf.h"
#include "text.h"

namespace perfcore::cli {
namespace {

bool same_file(const std::string& a, const std::string& b) {
  struct stat of_a = {}, of_b = {};
  return stat(a.c_str(), &of_a) == 0 && stat(b.c_str(), &of_b) == 0 && of_a.st_dev == of_b.st_dev &&
         of_a.st_ino == of_b.st_ino;
}

/// Does all that the small dump must be able to answer again.
void touch_everything(Kernel& kernel) {
  Diagnosis diagnosis(kernel);
  make_info_report(diagnosis);
  make_triage_report(diagnosis, all_rules(), true);
  make_pmu_report(diagnosis.pmu(), true);
  make_check_report(diagnosis);
  make_stack_report(diagnosis, std::nullopt);
  make_cpu_report(diagnosis);
  make_module_report(kernel);
  make_ibs_report(diagnosis);
  make_events_report(diagnosis);
  make_contexts_report(diagnosis);
  make_buffers_report(diagnosis);
  make_tasks_report(kernel);
}

std::unique_ptr<Kernel> open_recording(Session& session, bool with_debuginfo) {
  auto dump = session.open_dump(session.options().arguments);
  dump->start_recording_touched_pages();
  return session.open_kernel(std::move(dump), with_debuginfo);
}

}  // namespace

int run_extract(Session& session) {
  const Options& options = session.options();
  if (options.output.empty()) throw UsageError("where to? Name the vmcore to write by -o MINI");

  // The dump alone must be enough for whoever gets it: its own symbols and types are read in any case.
  const auto kernel = open_recording(session, false);
  if (same_file(kernel->dump()->path(), options.output))
    throw UsageError(fmt::format("{} is the dump itself: name another file by -o", options.output));
  touch_everything(*kernel);
  PageSet pages = kernel->dump()->touched_pages();

  // With a vmlinux other places are looked at: what it leads to is wanted as well.
  if (!options.no_debuginfo) {
    const auto other = open_recording(session, true);
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
