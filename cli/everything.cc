// SPDX-License-Identifier: LGPL-2.1-or-later
#include "everything.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include "analyzers/registry.h"
#include "report.h"
#include "session.h"
#include "show_perf.h"

namespace perfcore::cli {
namespace {

bool same_file(const std::string& a, const std::string& b) {
  struct stat of_a = {}, of_b = {};
  return stat(a.c_str(), &of_a) == 0 && stat(b.c_str(), &of_b) == 0 && of_a.st_dev == of_b.st_dev &&
         of_a.st_ino == of_b.st_ino;
}

}  // namespace

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

void refuse_to_overwrite(Kernel& kernel, const std::string& output) {
  if (same_file(kernel.dump()->path(), output))
    throw UsageError(fmt::format("{} is the dump itself: name another file by -o", output));
}

}  // namespace perfcore::cli
