// SPDX-License-Identifier: LGPL-2.1-or-later
#include "perfcore/record.h"

#include "commands.h"
#include "everything.h"
#include "exit_codes.h"
#include "guard.h"
#include "json.h"
#include "report.h"
#include "session.h"
#include "text.h"

namespace perfcore::cli {

int run_record(Session& session) {
  const Options& options = session.options();
  if (options.output.empty()) throw UsageError("where to? Name the recording to write by -o REC");
  const auto kernel = session.open_kernel(session.open_dump(options.arguments), true, true);
  refuse_to_overwrite(*kernel, options.output);
  touch_everything(*kernel);

  set_activity("writing the recording");
  restart_time_limit();
  const RecordSummary summary = write_recording(*kernel, options.output, {options.redact});
  RecordReport report;
  report.path = options.output;
  report.bytes = summary.file_bytes;
  report.memory_bytes = summary.memory_bytes;
  report.symbols = summary.symbols;
  report.types = summary.types;
  report.redacted = options.redact;
  session.answer_to_stdout(report);
  return kExitDone;
}

}  // namespace perfcore::cli
