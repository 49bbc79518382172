// SPDX-License-Identifier: LGPL-2.1-or-later
#include <fmt/format.h>

#include "perfcore/diagnosis.h"

namespace perfcore {
namespace {

/// The member of a perf event at an address, "perf_event.tstamp", "hw_perf_event.interrupts"; of members that
/// are structs themselves (lists, counters) the member as a whole. Empty when no known event is there.
std::string field_of(Diagnosis& diagnosis, uint64_t address) {
  constexpr std::string_view kHardware = "hw.";
  for (const EventOrigin& origin : diagnosis.events().events) {
    const Object& event = diagnosis.pmu().event(origin.address).object();
    const Type* type = event.type();
    if (!type || address - origin.address >= type->size) continue;
    const auto members = TypeSource::members_at(type, address - origin.address);
    if (members.empty()) return {};
    std::string_view path = members.back();
    std::string_view owner = "perf_event";
    if (path.starts_with(kHardware)) {
      owner = "hw_perf_event";
      path.remove_prefix(kHardware.size());
    }
    return fmt::format("{}.{}", owner, path.substr(0, path.find_first_of(".[")));
  }
  return {};
}

}  // namespace

std::vector<JudgedRace> judge_races(Diagnosis& diagnosis, std::string_view log) {
  std::vector<JudgedRace> races;
  if (log.find("KCSAN:") == std::string_view::npos) return races;
  for (KcsanReport& report : parse_kcsan(log)) {
    for (const KcsanAccess& access : report.accesses)
      if (report.field.empty() && access.address != 0) report.field = field_of(diagnosis, access.address);
    KcsanVerdict verdict = classify(report);
    races.push_back({std::move(report), std::move(verdict)});
  }
  return races;
}

std::vector<JudgedRace> judge_races(Diagnosis& diagnosis) {
  std::string text;
  for (const LogRecord& record : diagnosis.log().records) {
    text += record.text;
    text += '\n';
  }
  return judge_races(diagnosis, text);
}

}  // namespace perfcore
