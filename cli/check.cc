// SPDX-License-Identifier: LGPL-2.1-or-later
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "commands.h"
#include "exit_codes.h"
#include "guard.h"
#include "json.h"
#include "report.h"
#include "session.h"
#include "text.h"

namespace perfcore::cli {
namespace {

constexpr size_t kMaxLines = 40;  // of one part; JSON has all

bool is_serious(const InvariantResult& result) {
  return result.status == InvariantStatus::kViolated &&
         (result.severity == Severity::kFatal || result.severity == Severity::kError);
}

std::string_view words_of(Severity severity) {
  switch (severity) {
    case Severity::kFatal:
      return "fatal";
    case Severity::kError:
      return "error";
    case Severity::kWarning:
      return "wrong data";
    case Severity::kInfo:
      return "info";
  }
  return "";
}

std::string place_of(const InvariantResult& result) {
  return result.cpu ? fmt::format("CPU {}", *result.cpu) : std::string("all");
}

Style style_of(Severity severity) {
  return severity == Severity::kFatal || severity == Severity::kError ? Style::kBad : Style::kWarn;
}

using Results = std::vector<const InvariantResult*>;

Results select(const CheckReport& report, InvariantStatus status) {
  Results found;
  for (const InvariantResult& result : report.results)
    if (result.status == status) found.push_back(&result);
  return found;
}

void render_summary(TextWriter& out, const CheckReport& report, const Results& violated, size_t not_read) {
  const size_t cpus = report.kernel.cpus.value_or(0);
  const std::string scope =
      fmt::format("{} invariants on {} CPU{}: ", invariants().size(), cpus, cpus == 1 ? "" : "s");
  const bool serious =
      std::any_of(violated.begin(), violated.end(), [](const auto* r) { return is_serious(*r); });
  std::set<std::string> ids;
  for (const InvariantResult* result : violated) ids.insert(result->id);
  if (serious)
    out.paragraph(
        Text{{scope}, {fmt::format("{} violated ({})", ids.size(), fmt::join(ids, ", ")), Style::kBad}});
  else if (!violated.empty())
    out.paragraph(Text{{scope},
                       {fmt::format("only data are wrong ({})", fmt::join(ids, ", ")), Style::kWarn},
                       {not_read ? "; not all could be read" : ""}});
  else if (not_read)
    out.paragraph(Text{{scope}, {"nothing violated, but not all could be read", Style::kWarn}});
  else
    out.paragraph(Text{{scope}, {"clean", Style::kGood}});
}

void render_violated(TextWriter& out, const Results& violated) {
  std::string_view last;
  size_t lines = 0;
  for (const InvariantResult* result : violated) {
    const InvariantInfo* info = find_invariant(result->id);
    if (result->id != last && info != nullptr) {
      out.blank();
      out.paragraph(
          Text{{result->id, style_of(result->severity)},
               {fmt::format(" ({}) does not hold: {}", words_of(result->severity), info->predicate)}});
      if (!info->suggests.empty()) out.field("suggests", info->suggests, 10, 2);
    }
    last = result->id;
    if (++lines > kMaxLines) {
      out.paragraph(fmt::format("... and {} more (all of them: --format json)", violated.size() - kMaxLines),
                    2);
      return;
    }
    out.field(place_of(*result), result->why, 10, 2);
    if (result->expression.empty()) continue;
    // Not wrapped: to be copied as it stands.
    std::string value =
        fmt::format("{} = {}", result->expression, result->observed.empty() ? "?" : result->observed);
    if (result->address) value += fmt::format(" at {:#x}", *result->address);
    out.line(value, 12);
  }
}

void render_part(TextWriter& out, std::string_view title, std::string_view note, const Results& results) {
  if (results.empty()) return;
  out.heading(title, note);
  size_t lines = 0;
  for (size_t i = 0; i < results.size(); ++i) {
    if (++lines > kMaxLines) {
      out.paragraph(fmt::format("... and {} more (all of them: --format json)", results.size() - i), 2);
      return;
    }
    // Neighbouring CPUs often have the same to say.
    const InvariantResult& first = *results[i];
    size_t last = i;
    while (last + 1 < results.size() && results[last + 1]->id == first.id &&
           results[last + 1]->why == first.why)
      ++last;
    std::string place = place_of(first);
    if (last > i) place += fmt::format(" and {} more", last - i);
    out.field(first.id, fmt::format("{}: {}", place, first.why), 6, 2);
    i = last;
  }
}

}  // namespace

CheckReport make_check_report(Diagnosis& diagnosis) {
  set_activity("checking invariants");
  CheckReport report;
  UnreadList unread;
  Kernel& kernel = diagnosis.kernel();
  report.dump = dump_facts(kernel);
  report.kernel = kernel_facts(kernel, unread);
  report.results = check_invariants(diagnosis);
  return report;
}

int CheckReport::exit_code() const {
  if (std::any_of(results.begin(), results.end(), is_serious)) return kExitDefect;
  const bool unread = std::any_of(results.begin(), results.end(), [](const InvariantResult& result) {
    return result.status == InvariantStatus::kNotRead;
  });
  return unread ? kExitNotRead : kExitDone;
}

void render(TextWriter& out, const CheckReport& report) {
  // What is worst comes first; within one severity the order of the table.
  Results violated = select(report, InvariantStatus::kViolated);
  std::stable_sort(violated.begin(), violated.end(), [](const InvariantResult* a, const InvariantResult* b) {
    return a->severity < b->severity;
  });
  const Results not_read = select(report, InvariantStatus::kNotRead);
  render_summary(out, report, violated, not_read.size());
  render_violated(out, violated);
  render_part(out, "Legal for the moment", "the CPU was just changing it",
              select(report, InvariantStatus::kTransient));
  render_part(out, "Not read", "never taken for 0", not_read);
}

int run_check(Session& session) {
  const auto kernel = session.open(session.options().arguments);
  Diagnosis diagnosis(*kernel);
  const CheckReport report = make_check_report(diagnosis);
  session.answer(report);
  return report.exit_code();
}

}  // namespace perfcore::cli
