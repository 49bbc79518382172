// SPDX-License-Identifier: LGPL-2.1-or-later
#include "analyzers/registry.h"
#include "commands.h"
#include "exit_codes.h"
#include "json.h"
#include "report.h"
#include "session.h"
#include "text.h"

namespace perfcore::cli {

namespace {

int run_compat(Session& session) {
  const std::vector<std::string>& dumps = session.options().arguments;
  CompatReport report;
  {
    const auto kernel = session.open(dumps);
    report = make_compat_report(*kernel);
  }
  report.rules = compatibility_of([&] { return session.open_kernel(session.open_dump(dumps), true, true); },
                                  all_rules());
  session.answer(report);
  return kExitDone;
}

}  // namespace

int run_info(Session& session) {
  if (session.options().compat) return run_compat(session);
  const auto kernel = session.open(session.options().arguments);
  Diagnosis diagnosis(*kernel);
  session.answer(make_info_report(diagnosis));
  return kExitDone;
}

}  // namespace perfcore::cli
