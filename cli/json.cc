// SPDX-License-Identifier: LGPL-2.1-or-later
#include "json.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <array>
#include <type_traits>

#include "json_value.h"

namespace perfcore::cli {
namespace {

using cli::to_json_value;  // of what json_value.h knows

Json to_json_value(const DumpFacts& dump) {
  return {{"path", dump.path}, {"format", dump.format}, {"quality", dump.quality}};
}

Json to_json_value(const KernelFacts& kernel) {
  return {{"release", text(kernel.release)},
          {"build_id", text(kernel.build_id)},
          {"kaslr_offset", hex(kernel.kaslr_offset)},
          {"cpus", plain(kernel.cpus)},
          {"types", kernel.types},
          {"symbols", kernel.symbols}};
}

Json time_of(const std::optional<int64_t>& time) {
  // The last second of the year 9999: more does not fit the format, and is no crash time.
  constexpr int64_t kLatest = 253402300799;
  if (!time || *time < 0 || *time > kLatest) return nullptr;
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(static_cast<std::time_t>(*time)));
}

Json to_json_value(const SystemFacts& system) {
  Json hypervisor = nullptr;
  if (system.hypervisor_known) hypervisor = system.hypervisor.empty() ? "none" : system.hypervisor;
  return {{"nodename", text(system.nodename)},
          {"time", time_of(system.time)},
          {"uptime", system.uptime_ns ? seconds(*system.uptime_ns) : Json(nullptr)},
          {"taint", hex(system.taint)},
          {"taint_text", system.taint_text},
          {"modules_out_of_tree", system.modules_out_of_tree},
          {"command_line", text(system.command_line)},
          {"cpu", text(system.cpu_model)},
          {"cpu_vendor", text(system.cpu_vendor)},
          {"microcode", hex(system.microcode)},
          {"hypervisor", hypervisor},
          {"machine", text(system.machine)},
          {"version", text(system.version)}};
}

Json to_json_value(const Stack& stack) {
  Json frames = Json::array();
  for (const Frame& frame : stack.frames)
    frames.push_back({{"function", text(frame.function)},
                      {"offset", frame.function.empty() ? Json(nullptr) : hex(frame.offset)},
                      {"module", frame.module},
                      {"context", std::string(to_string(frame.context))},
                      {"reliable", frame.reliable},
                      {"address", hex(frame.ip)},
                      {"inlined", frame.inlined},
                      {"interrupted", frame.interrupted}});
  return frames;
}

Json to_json_value(const CrashState& crash) {
  Json json = {{"class", crash.crash_class},
               {"reason", text(crash.reason)},
               {"oops", text(crash.oops)},
               {"cpu", plain(crash.cpu)},
               {"pid", plain(crash.pid)},
               {"comm", text(crash.comm)},
               {"context", std::string(to_string(crash.context))},
               {"function", text(crash.function)},
               {"offset", crash.function.empty() ? Json(nullptr) : hex(crash.offset)},
               {"fault_address", hex(crash.fault_address)},
               {"instruction", nullptr},
               {"explanation", nullptr},
               {"type", nullptr},
               {"member", nullptr},
               {"null_pointer", nullptr},
               {"basis", text(crash.basis)},
               {"first_anomaly", text(crash.first_anomaly)},
               {"stack", to_json_value(crash.stack)}};
  if (crash.fault) {
    json["instruction"] = crash.fault->instruction.text;
    json["explanation"] = crash.fault->sentence;
    json["type"] = text(crash.fault->type);
    json["member"] = text(crash.fault->member);
    json["null_pointer"] = crash.fault->null_pointer;
  }
  return json;
}

Json to_json_value(const Fact& fact) {
  return std::visit([](const auto& value) { return Json(value); }, fact);
}

Json to_json_value(const Reference& reference) {
  return {{"kind", reference.kind}, {"id", reference.id}, {"title", reference.title}};
}

Json to_json_value(const KnownCause& cause) {
  Json references = Json::array();
  for (const KnownCommit& item : cause.entry->references) references.push_back(to_json_value(item.reference));
  return {{"id", cause.entry->id},
          {"title", cause.entry->title},
          {"verdict", std::string(to_string(cause.verdict))},
          {"why", cause.why},
          {"references", references}};
}

Json to_json_value(const Finding& finding) {
  Json evidence = Json::array();
  for (const Evidence& item : finding.evidence)
    evidence.push_back({{"claim", item.claim},
                        {"expression", item.expression},
                        {"address", hex(item.address)},
                        {"observed", item.observed},
                        {"expected", item.expected},
                        {"result", std::string(to_string(item.result))},
                        {"weight", item.weight}});
  Json look_alikes = Json::array();
  for (const LookAlike& item : finding.look_alikes)
    look_alikes.push_back({{"title", item.title}, {"ruled_out", item.ruled_out}, {"why", item.why}});
  Json references = Json::array();
  for (const Reference& item : finding.references) references.push_back(to_json_value(item));
  Json facts = Json::object();
  for (const auto& [name, fact] : finding.facts) facts[name] = to_json_value(fact);
  return {{"rule", finding.rule},
          {"title", finding.title},
          {"verdict", std::string(to_string(finding.verdict))},
          {"stage", std::string(to_string(finding.stage))},
          {"cause_of_crash", finding.cause_of_crash},
          {"cpus", finding.cpus},
          {"score", finding.score},
          {"summary", finding.summary},
          {"evidence", evidence},
          {"look_alikes", look_alikes},
          {"explanation", finding.explanation},
          {"remedy", finding.remedy},
          {"references", references},
          {"facts", facts},
          {"not_visible", finding.not_visible}};
}

/// Members of "event_list" entries and of "event", after the address.
void put_event(Json& json, const EventView& event) {
  json["hw.idx"] = plain(event.hw_idx);
  json["hw.state"] = plain(event.hw_state);
  json["hw.last_cpu"] = plain(event.hw_last_cpu);
  json["hw.interrupts"] = hex(event.hw_interrupts);
  json["state"] = plain(event.state);
  json["oncpu"] = plain(event.oncpu);
  json["cpu"] = plain(event.cpu);
  json["group_leader"] = hex(event.group_leader);
  json["attr.type"] = plain(event.attr_type);
  json["attr.config"] = hex(event.attr_config);
  json["attr.pinned"] = flag(event.attr_pinned);
  json["attr.freq"] = flag(event.attr_freq);
}

Json to_json_value(const PmuView& view) {
  Json events = nullptr;
  if (view.events) {
    events = Json::object();
    for (const auto& [counter, pointer] : *view.events) events[std::to_string(counter)] = hex(pointer);
  }
  Json event_list = nullptr;
  if (view.event_list) {
    event_list = Json::array();
    for (const EventListEntry& entry : *view.event_list) {
      Json event = {{"address", hex(entry.address)}};
      put_event(event, entry.event);
      event_list.push_back(std::move(event));
    }
  }
  return {{"cpu", view.cpu},
          {"address", hex(view.address)},
          {"enabled", plain(view.enabled)},
          {"n_events", plain(view.n_events)},
          {"n_added", plain(view.n_added)},
          {"n_txn", plain(view.n_txn)},
          {"active_mask", hex(view.active_mask)},
          {"events", events},
          {"event_list", event_list}};
}

Json to_json_value(const JudgedRace& race) {
  return {{"title", race.report.title},
          {"field", text(race.report.field)},
          {"label", std::string(to_string(race.verdict.label))},
          {"confident", race.verdict.confident},
          {"reason", race.verdict.reason},
          {"consequence", race.verdict.consequence},
          {"suggestion", race.verdict.suggestion}};
}

Json to_json_value(const Signature& signature) {
  Json related = Json::array();
  for (const RelatedSignature& other : signature.related)
    related.push_back({{"id", other.id}, {"level", other.level}, {"cause", other.cause}});
  return {{"id", signature.id},       {"schema_version", signature.schema}, {"class", signature.crash_class},
          {"cause", signature.cause}, {"facts", signature.facts},           {"partial", signature.partial},
          {"title", signature.title}, {"related", std::move(related)},      {"facets", signature.facets},
          {"why", signature.why}};
}

Json to_json_value(const TextReport& text_report) {
  const ConsoleReport& report = text_report.report;
  Json frames = Json::array();
  for (const ConsoleFrame& frame : report.frames) frames.push_back(frame.function);
  Json known = Json::array();
  for (const KnownCause& cause : text_report.known) known.push_back(to_json_value(cause));
  Json findings = Json::array();
  for (const Finding& finding : text_report.findings) findings.push_back(to_json_value(finding));
  Json json = {{"title", report.title},
               {"alt_titles", report.alt_titles},
               {"kind", report.kind},
               {"type", report.type},
               {"function", text(report.function)},
               {"frames", std::move(frames)},
               {"corrupted", !report.corrupted.empty()},
               {"corrupted_reason", text(report.corrupted)},
               {"panicked", report.panicked},
               {"headline", report.headline},
               {"cpu", plain(report.cpu)},
               {"pid", plain(report.pid)},
               {"comm", text(report.comm)},
               {"kernel", text(report.kernel)},
               {"first_line", report.first_line},
               {"last_line", report.last_line},
               {"signature", text_report.signature.id},
               {"bucket", to_json_value(text_report.signature)},
               {"kcsan", text_report.race ? to_json_value(*text_report.race) : Json(nullptr)},
               {"findings", std::move(findings)},
               {"known", std::move(known)}};
  return json;
}

}  // namespace

std::string to_json(const TriageReport& report, bool compact) {
  Json findings = Json::array();
  for (const Finding& finding : report.findings) findings.push_back(to_json_value(finding));
  Json known = Json::array();
  for (const KnownCause& cause : report.known) known.push_back(to_json_value(cause));
  Json kcsan = Json::array();
  for (const JudgedRace& race : report.races) kcsan.push_back(to_json_value(race));
  const Json json = {{"schema", "perfcore.triage/1"},
                     {"dump", to_json_value(report.dump)},
                     {"kernel", to_json_value(report.kernel)},
                     {"system", to_json_value(report.system)},
                     {"crash", to_json_value(report.crash)},
                     {"findings", findings},
                     {"known", known},
                     {"kcsan", kcsan},
                     {"signature", report.signature.id},
                     {"bucket", to_json_value(report.signature)},
                     {"unread", to_json_value(report.unread)}};
  return compact ? json.dump(-1, ' ', false, Json::error_handler_t::replace) : dump(json);
}

std::string to_json(const CounterMap& map) {
  constexpr std::array kNames = {"unused",  "running",  "held",       "missing",
                                 "claimed", "mismatch", "no-counter", "unread"};
  Json cells = Json::object(), events = Json::array();
  for (const auto& [counter, cell] : map.cells)
    cells[std::to_string(counter)] = kNames.at(static_cast<size_t>(cell));
  for (const CounterMap::EventLine& event : map.events)
    events.push_back({{"counter", plain(event.counter)},
                      {"address", hex(event.address)},
                      {"counts", event.counts},
                      {"state", event.state},
                      {"throttled", event.throttled},
                      {"owner", text(event.owner)}});
  return Json({{"cpu", map.cpu},
               {"active_mask", hex(map.active_mask)},
               {"cells", std::move(cells)},
               {"events", std::move(events)}})
      .dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string to_json(const TextReport& report, bool compact) {
  return to_json_value(report).dump(compact ? -1 : 2, ' ', false, Json::error_handler_t::replace);
}

std::string to_json_line(const std::string& id_json, std::span<const TextReport> reports) {
  // Without a crash the title is empty: there is no such report.
  Json rest = {{"title", ""}, {"kind", "none"}};
  if (!reports.empty()) rest = to_json_value(reports.front());
  rest["more"] = Json::array();
  for (size_t i = 1; i < reports.size(); ++i) rest["more"].push_back(to_json_value(reports[i]));
  const std::string fields = rest.dump(-1, ' ', false, Json::error_handler_t::replace);
  return "{\"id\":" + id_json + "," + fields.substr(1) + "\n";
}

std::string to_json(const PmuReport& report) {
  Json cpus = nullptr;
  if (report.cpus_known) {
    cpus = Json::array();
    for (const PmuView& view : report.cpus) cpus.push_back(to_json_value(view));
  }
  return dump({{"schema", "perfcore.show-pmu/1"}, {"cpus", cpus}, {"unread", to_json_value(report.unread)}});
}

std::string to_json(const StackReport& report) {
  Json cpus = Json::array();
  for (const StackView& view : report.cpus)
    cpus.push_back({{"cpu", view.cpu},
                    {"crashed", view.crashed},
                    {"pid", plain(view.pid)},
                    {"comm", plain(view.comm)},
                    {"method", view.stack.method},
                    {"complete", !view.stack.stopped.has_value()},
                    {"stack", to_json_value(view.stack)}});
  return dump({{"schema", "perfcore.show-bt/1"}, {"cpus", cpus}, {"unread", to_json_value(report.unread)}});
}

std::string to_json(const CpuReport& report) {
  Json cpus = Json::array();
  for (const CpuView& view : report.cpus)
    cpus.push_back({{"cpu", view.cpu},
                    {"online", plain(view.online)},
                    {"pid", plain(view.pid)},
                    {"comm", plain(view.comm)},
                    {"ip", hex(view.ip)},
                    {"function", text(view.function)},
                    {"offset", view.function.empty() ? Json(nullptr) : hex(view.offset)},
                    {"module", view.module},
                    {"user", view.ip ? Json(view.user) : Json(nullptr)},
                    {"nmi",
                     {{"normal", plain(view.nmi_normal)},
                      {"unknown", plain(view.nmi_unknown)},
                      {"external", plain(view.nmi_external)},
                      {"swallowed", plain(view.nmi_swallowed)}}},
                    {"watchdog_ev", hex(view.watchdog_event)},
                    {"throttled_count", plain(view.throttled_count)},
                    {"throttled_seq", plain(view.throttled_seq)}});
  Json handlers = Json::array();
  for (const NmiHandler& handler : report.nmi_handlers)
    handlers.push_back(
        {{"type", handler.type},
         {"name", text(handler.name)},
         {"function", text(handler.function)},
         {"address", hex(handler.address)},
         {"max_duration", handler.max_duration.has_value() ? Json(*handler.max_duration) : Json(nullptr)}});
  return dump({{"schema", "perfcore.show-cpus/1"},
               {"cpus", cpus},
               {"nmi_handlers", handlers},
               {"unread", to_json_value(report.unread)}});
}

std::string to_json(const ModuleReport& report) {
  Json modules = Json::array();
  for (const ModuleInfo& module : report.modules)
    modules.push_back({{"name", module.name},
                       {"address", hex(module.address)},
                       {"text_begin", hex(module.text_begin)},
                       {"text_end", hex(module.text_end)},
                       {"taints", module.taints}});
  return dump({{"schema", "perfcore.show-modules/1"},
               {"modules", modules},
               {"unread", to_json_value(report.unread)}});
}

std::string to_json(const EventReport& report) {
  Json event = {{"address", hex(report.event.address)}};
  put_event(event, report.event);
  event["counts"] = report.counts;
  event["owner"] = plain(report.owner);
  event["text"] = report.text;
  return dump(
      {{"schema", "perfcore.show-event/1"}, {"event", event}, {"unread", to_json_value(report.unread)}});
}

std::string to_json(const InfoReport& report) {
  Json dump_json = to_json_value(report.dump);
  dump_json["vmcoreinfo"] = report.vmcoreinfo;
  dump_json["memory_bytes"] = hex(report.memory_bytes);
  dump_json["cpu_notes"] = report.cpu_notes;
  Json kernel = to_json_value(report.kernel);
  kernel["vmlinux"] = text(report.kernel.vmlinux);
  kernel["orc"] = text(report.orc_format);
  kernel["possible_cpus"] = plain(report.possible_cpus);
  kernel["present_cpus"] = plain(report.present_cpus);
  kernel["online_cpus"] = plain(report.online_cpus);
  return dump({{"schema", "perfcore.info/1"},
               {"dump", dump_json},
               {"kernel", kernel},
               {"system", to_json_value(report.system)},
               {"log", {{"source", text(report.log_source)}, {"records", report.log_records}}},
               {"remarks", report.remarks},
               {"unread", to_json_value(report.unread)}});
}

std::string to_json(const CompatReport& report) {
  Json rules = Json::array();
  for (const RuleCompatibility& rule : report.rules) {
    Json needs = Json::array();
    for (const NameNeed& need : rule.needs)
      needs.push_back(
          {{"kind", to_string(need.kind)}, {"name", need.name}, {"found_as", text(need.found_as)}});
    rules.push_back({{"rule", rule.rule}, {"not_run", text(rule.not_run)}, {"needs", needs}});
  }
  return dump({{"schema", "perfcore.info-compat/1"},
               {"dump", to_json_value(report.dump)},
               {"kernel", to_json_value(report.kernel)},
               {"rules", rules},
               {"unread", to_json_value(report.unread)}});
}

std::string to_json(const PrintReport& report) {
  Json results = Json::array();
  for (const PrintedExpression& printed : report.results)
    results.push_back({{"expression", printed.expression},
                       {"type", text(printed.type)},
                       {"address", hex(printed.address)},
                       {"value", hex(printed.value)},
                       {"text", printed.text}});
  return dump(
      {{"schema", "perfcore.print/1"}, {"results", results}, {"unread", to_json_value(report.unread)}});
}

std::string to_json(const KernelLog& log) {
  Json records = Json::array();
  for (const LogRecord& record : log.records)
    records.push_back({{"sequence", record.sequence},
                       {"time", seconds(record.timestamp_ns)},
                       {"level", record.level < 0 ? Json(nullptr) : Json(record.level)},
                       {"text", record.text}});
  Json unread = Json::array();
  if (log.incomplete) unread = to_json_value(std::vector<Unread>{*log.incomplete});
  return dump(
      {{"schema", "perfcore.log/1"}, {"source", text(log.source)}, {"records", records}, {"unread", unread}});
}

std::string to_json(const CheckReport& report) {
  Json results = Json::array();
  for (const InvariantResult& result : report.results)
    results.push_back({{"id", result.id},
                       {"cpu", plain(result.cpu)},
                       {"status", std::string(to_string(result.status))},
                       {"severity", std::string(to_string(result.severity))},
                       {"expression", result.expression},
                       {"address", hex(result.address)},
                       {"observed", result.observed},
                       {"why", result.why}});
  return dump({{"schema", "perfcore.check/1"},
               {"dump", to_json_value(report.dump)},
               {"kernel", to_json_value(report.kernel)},
               {"results", results}});
}

std::string to_json(const ExtractReport& report) {
  return dump({{"schema", "perfcore.extract/1"},
               {"path", report.path},
               {"pages", report.pages},
               {"bytes", report.bytes}});
}

std::string to_json(const RecordReport& report) {
  return dump({{"schema", "perfcore.record/1"},
               {"path", report.path},
               {"bytes", report.bytes},
               {"memory_bytes", report.memory_bytes},
               {"symbols", report.symbols},
               {"types", report.types},
               {"redacted", report.redacted}});
}

std::string to_json(const VersionInfo& info) {
  Json libraries = Json::object();
  for (const Component& component : info.components) libraries[component.name] = component.version;
  return dump({{"schema", "perfcore.version/1"},
               {"version", info.version},
               {"libraries", libraries},
               {"codecs", info.codecs},
               {"schemas", info.schemas}});
}

}  // namespace perfcore::cli
