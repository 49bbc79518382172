// SPDX-License-Identifier: LGPL-2.1-or-later
#include <span>
#include <stdexcept>

#include "commands.h"
#include "exit_codes.h"
#include "json.h"
#include "report.h"
#include "session.h"
#include "text.h"

namespace perfcore::cli {

int run_print(Session& session) {
  const auto& arguments = session.options().arguments;
  const auto kernel = session.open({arguments.front()});
  try {
    session.answer(make_print_report(*kernel, std::span(arguments).subspan(1)));
  } catch (const std::invalid_argument& error) {
    throw UsageError(error.what());
  }
  return kExitDone;
}

}  // namespace perfcore::cli
