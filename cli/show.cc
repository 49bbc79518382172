// SPDX-License-Identifier: LGPL-2.1-or-later
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "commands.h"
#include "exit_codes.h"
#include "json.h"
#include "report.h"
#include "session.h"
#include "show_perf.h"
#include "text.h"

namespace perfcore::cli {
namespace {

constexpr std::array<std::string_view, 10> kParts = {"pmu",     "ibs",  "events", "event",   "contexts",
                                                     "buffers", "cpus", "tasks",  "modules", "bt"};

template <typename T>
std::optional<T> parse_number(std::string_view text, int base) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

uint64_t parse_address(std::string_view text) {
  std::string_view digits = text;
  if (digits.starts_with("0x") || digits.starts_with("0X")) digits.remove_prefix(2);
  const auto address = parse_number<uint64_t>(digits, 16);
  if (!address) throw UsageError(fmt::format("\"{}\" is not an address in hexadecimal", text));
  return *address;
}

/// A CPU by number; the dump's own CPUs are known only once it is open.
int parse_cpu(std::string_view text, Kernel& kernel) {
  const auto cpu = parse_number<int>(text, 10);
  if (!cpu || *cpu < 0) throw UsageError(fmt::format("\"{}\" is not the number of a CPU", text));
  const auto present = kernel.present_cpus();
  if (present.has_value() && std::find(present->begin(), present->end(), *cpu) == present->end())
    throw UsageError(fmt::format("CPU {} is not present; this machine has CPUs {} to {}", *cpu,
                                 present->front(), present->back()));
  return *cpu;
}

}  // namespace

int run_show(Session& session) {
  const auto& arguments = session.options().arguments;
  // DUMP... comes first and may be several files: the part to show is the first word after it that names one.
  const auto part = std::find_if(arguments.begin() + 1, arguments.end(), [](const std::string& word) {
    return std::find(kParts.begin(), kParts.end(), word) != kParts.end();
  });
  if (part == arguments.end())
    throw UsageError(fmt::format("show what? One of {} must follow the dump; \"{}\" is none of them",
                                 fmt::join(kParts, ", "), arguments.back()));
  const std::vector<std::string> dumps(arguments.begin(), part);
  const std::vector<std::string> rest(part + 1, arguments.end());
  const size_t most = *part == "bt" || *part == "event" ? 1 : 0;
  if (rest.size() > most)
    throw UsageError(fmt::format("too many arguments after {}: \"{}\"", *part, rest[most]));
  if (*part == "event" && rest.empty())
    throw UsageError("which event? Give the address of a struct perf_event");
  const uint64_t address = *part == "event" ? parse_address(rest.front()) : 0;

  const auto kernel = session.open(dumps);
  if (*part == "modules") {
    session.answer(make_module_report(*kernel));
    return kExitDone;
  }
  if (*part == "tasks") {
    session.answer(make_tasks_report(*kernel));
    return kExitDone;
  }
  Diagnosis diagnosis(*kernel);
  if (*part == "pmu")
    session.answer(make_pmu_report(diagnosis.pmu(), !session.options().json()));
  else if (*part == "ibs")
    session.answer(make_ibs_report(diagnosis));
  else if (*part == "events")
    session.answer(make_events_report(diagnosis));
  else if (*part == "contexts")
    session.answer(make_contexts_report(diagnosis));
  else if (*part == "buffers")
    session.answer(make_buffers_report(diagnosis));
  else if (*part == "event")
    session.answer(make_event_report(diagnosis.pmu(), address));
  else if (*part == "cpus")
    session.answer(make_cpu_report(diagnosis));
  else
    session.answer(make_stack_report(
        diagnosis, rest.empty() ? std::nullopt : std::optional<int>(parse_cpu(rest.front(), *kernel))));
  return kExitDone;
}

}  // namespace perfcore::cli
