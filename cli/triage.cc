// SPDX-License-Identifier: LGPL-2.1-or-later
#include "analyzers/registry.h"
#include "commands.h"
#include "json.h"
#include "python_rules.h"
#include "report.h"
#include "session.h"
#include "text.h"

namespace perfcore::cli {

int run_triage(Session& session) {
  if (!session.options().rules.empty()) run_triage_in_python(session.options());
  const bool json = session.options().json();
  const auto kernel = session.open(session.options().arguments);
  Diagnosis diagnosis(*kernel);
  TriageReport report = make_triage_report(diagnosis, all_rules(), !json);
  report.explain = session.options().explain;
  session.answer(report);
  return report.exit_code();
}

}  // namespace perfcore::cli
