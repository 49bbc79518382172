// SPDX-License-Identifier: LGPL-2.1-or-later
#include <fmt/format.h>

#include <cstdio>

#include "commands.h"
#include "exit_codes.h"
#include "guard.h"
#include "json.h"
#include "session.h"
#include "text.h"

namespace perfcore::cli {

int run_log(Session& session) {
  const auto kernel = session.open(session.options().arguments);
  set_activity("reading the kernel log");
  const KernelLog log = read_log(*kernel);
  if (!session.options().json()) {
    if (log.incomplete) session.warn(fmt::format("the log is not complete: {}", log.incomplete->message()));
    if (log.records.empty()) session.warn("the dump has no kernel log that can be read");
    session.remark(fmt::format("the log comes from {}", log.source));
  }
  session.answer(log);
  return kExitDone;
}

}  // namespace perfcore::cli
