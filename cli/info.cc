// SPDX-License-Identifier: LGPL-2.1-or-later
#include "commands.h"
#include "exit_codes.h"
#include "json.h"
#include "report.h"
#include "session.h"
#include "text.h"

namespace perfcore::cli {

int run_info(Session& session) {
  const auto kernel = session.open(session.options().arguments);
  Diagnosis diagnosis(*kernel);
  session.answer(make_info_report(diagnosis));
  return kExitDone;
}

}  // namespace perfcore::cli
