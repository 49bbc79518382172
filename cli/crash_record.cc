// SPDX-License-Identifier: LGPL-2.1-or-later
#include "crash_record.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "json.h"
#include "json_value.h"

namespace perfcore::cli {
namespace {

std::string text_of(const Fact& fact) {
  return std::visit(
      [](const auto& value) -> std::string {
        if constexpr (std::is_same_v<std::decay_t<decltype(value)>, std::string>)
          return value;
        else
          return Json(value).dump(-1, ' ', false, Json::error_handler_t::replace);
      },
      fact);
}

std::string source_of(const std::string& format) {
  if (format.find("recording") != format.npos) return "recording";
  return format.find("minimal") != format.npos ? "minimal" : "vmcore";
}

std::string identity_of(const TriageReport& report, Kernel& kernel, const KernelLog& log) {
  const SystemFacts& system = report.system;
  std::vector<std::string> parts = {"dump",
                                    report.kernel.build_id,
                                    report.kernel.release,
                                    fmt::format("{:x}", report.kernel.kaslr_offset),
                                    system.nodename,
                                    system.time ? std::to_string(*system.time) : "?",
                                    system.uptime_ns ? std::to_string(*system.uptime_ns) : "?"};
  if (system.time && system.uptime_ns) return crash_identity(parts);
  for (const CpuStatus& status : kernel.cpu_status())
    parts.push_back(
        fmt::format("{:x} {:x} {:x}", status.registers.ip, status.registers.sp, status.registers.bx));
  for (const LogRecord& record : log.records) parts.push_back(record.text);
  return crash_identity(parts);
}

/// The finding that the bucket is named after, else the one that explains the crash.
const Finding* leading(const TriageReport& report) {
  for (const Finding& finding : report.findings)
    if (report.signature.cause == finding.rule || report.signature.cause.starts_with(finding.rule + "/"))
      return &finding;
  return report.root_cause();
}

void store_findings(std::span<const Finding> findings, CrashRecord* crash) {
  for (const Finding& finding : findings) {
    StoredFinding stored{finding.rule,
                         finding.title,
                         std::string(to_string(finding.verdict)),
                         std::string(to_string(finding.stage)),
                         finding.cause_of_crash,
                         finding.score,
                         {}};
    for (const auto& [name, value] : finding.facts) stored.facts[name] = text_of(value);
    crash->findings.push_back(std::move(stored));
  }
}

}  // namespace

CrashRecord make_crash_record(const TriageReport& report, Kernel& kernel, const KernelLog& log) {
  CrashRecord crash;
  crash.identity = identity_of(report, kernel, log);
  crash.signature = report.signature;
  crash.kernel = report.kernel.release;
  crash.kernel_version = report.system.version;
  crash.build_id = report.kernel.build_id;
  crash.host = report.system.nodename == "(none)" ? "" : report.system.nodename;
  crash.time = report.system.time;
  crash.source = source_of(report.dump.format);
  crash.path = report.dump.path;
  crash.taint = report.system.taint;
  const std::string died = report.crash.reason.empty() ? report.signature.title : report.crash.reason;
  if (const Finding* finding = leading(report)) {
    crash.rule = finding->rule;
    crash.verdict = to_string(finding->verdict);
    crash.summary = finding->summary.empty() ? finding->title : finding->summary;
    crash.story = finding->explanation;
  } else {
    crash.summary =
        report.crash.function.empty() ? died : fmt::format("{}, in {}", died, report.crash.function);
    crash.story = {crash.summary};
    if (report.crash.fault) crash.story.push_back(report.crash.fault->sentence);
  }
  store_findings(report.findings, &crash);
  for (const Frame& frame : report.crash.stack.frames)
    if (frame.reliable && !frame.function.empty()) crash.frames.push_back({frame.function, frame.module});
  if (report.counters) crash.pmu_map = to_json(*report.counters);
  crash.answer = to_json(report, true);
  return crash;
}

std::string text_identity(const ConsoleReport& report) {
  std::vector<std::string> parts = {"text"};
  parts.insert(parts.end(), report.lines.begin(), report.lines.end());
  return crash_identity(parts);
}

CrashRecord make_crash_record(std::span<const TextReport> reports, size_t which, std::string path,
                              std::string identity) {
  const TextReport& died = reports[which];
  CrashRecord crash;
  crash.identity = std::move(identity);
  crash.signature = died.signature;
  crash.kernel = died.report.kernel;
  crash.source = "text";
  crash.path = std::move(path);
  crash.summary = died.report.title;
  crash.story = {died.report.headline};
  store_findings(died.findings, &crash);
  for (const ConsoleFrame& frame : died.report.frames) crash.frames.push_back({frame.function, frame.module});
  crash.answer = to_json_line(Json(crash.path).dump(-1, ' ', false, Json::error_handler_t::replace), reports);
  while (crash.answer.ends_with('\n')) crash.answer.pop_back();
  return crash;
}

std::optional<Signature> signature_in(const std::string& answer) {
  const Json json = Json::parse(answer, nullptr, false);
  if (!json.is_object() || !json.contains("bucket")) return std::nullopt;
  try {
    // The first report of a text is the answer itself, the others are in it.
    const auto panicked = [](const Json& report) { return report.value("panicked", false); };
    const Json* died = &json;
    if (json.contains("more") && !panicked(json)) {
      const Json& more = json.at("more");
      const auto found = std::find_if(more.begin(), more.end(), panicked);
      if (found != more.end()) died = &*found;
    }
    const Json& bucket = died->at("bucket");
    Signature signature;
    bucket.at("class").get_to(signature.crash_class);
    bucket.at("cause").get_to(signature.cause);
    bucket.at("facts").get_to(signature.facts);
    bucket.at("partial").get_to(signature.partial);
    bucket.at("title").get_to(signature.title);
    identify(&signature);
    return signature;
  } catch (const Json::exception&) {
    return std::nullopt;
  }
}

std::vector<uint8_t> packed(const CrashRecord& crash) {
  using nlohmann::json;
  const Signature& signature = crash.signature;
  json related = json::array(), findings = json::array(), frames = json::array();
  for (const RelatedSignature& other : signature.related)
    related.push_back({other.id, other.level, other.cause});
  for (const StoredFinding& finding : crash.findings)
    findings.push_back(json::array({finding.rule, finding.title, finding.verdict, finding.stage,
                                    finding.cause_of_crash, finding.score, finding.facts}));
  for (const StoredFrame& frame : crash.frames) frames.push_back({frame.function, frame.module});
  return json::to_cbor({{"identity", crash.identity},
                        {"schema", signature.schema},
                        {"id", signature.id},
                        {"class", signature.crash_class},
                        {"cause", signature.cause},
                        {"facts", signature.facts},
                        {"partial", signature.partial},
                        {"title", signature.title},
                        {"related", std::move(related)},
                        {"facets", signature.facets},
                        {"kernel", crash.kernel},
                        {"kernel_version", crash.kernel_version},
                        {"build_id", crash.build_id},
                        {"host", crash.host},
                        {"time", crash.time ? json(*crash.time) : json(nullptr)},
                        {"source", crash.source},
                        {"path", crash.path},
                        {"rule", crash.rule},
                        {"verdict", crash.verdict},
                        {"taint", crash.taint ? json(*crash.taint) : json(nullptr)},
                        {"summary", crash.summary},
                        {"story", crash.story},
                        {"findings", std::move(findings)},
                        {"frames", std::move(frames)},
                        {"pmu_map", crash.pmu_map},
                        {"answer", crash.answer}});
}

CrashRecord unpacked_crash(std::span<const uint8_t> bytes) {
  const auto json = nlohmann::json::from_cbor(bytes.begin(), bytes.end());
  CrashRecord crash;
  Signature& signature = crash.signature;
  json.at("identity").get_to(crash.identity);
  json.at("schema").get_to(signature.schema);
  json.at("id").get_to(signature.id);
  json.at("class").get_to(signature.crash_class);
  json.at("cause").get_to(signature.cause);
  json.at("facts").get_to(signature.facts);
  json.at("partial").get_to(signature.partial);
  json.at("title").get_to(signature.title);
  for (const auto& other : json.at("related"))
    signature.related.push_back({other.at(0), other.at(1), other.at(2)});
  json.at("facets").get_to(signature.facets);
  json.at("kernel").get_to(crash.kernel);
  json.at("kernel_version").get_to(crash.kernel_version);
  json.at("build_id").get_to(crash.build_id);
  json.at("host").get_to(crash.host);
  if (!json.at("time").is_null()) crash.time = json.at("time").get<int64_t>();
  json.at("source").get_to(crash.source);
  json.at("path").get_to(crash.path);
  json.at("rule").get_to(crash.rule);
  json.at("verdict").get_to(crash.verdict);
  if (!json.at("taint").is_null()) crash.taint = json.at("taint").get<uint64_t>();
  json.at("summary").get_to(crash.summary);
  json.at("story").get_to(crash.story);
  for (const auto& item : json.at("findings"))
    crash.findings.push_back({item.at(0), item.at(1), item.at(2), item.at(3), item.at(4), item.at(5),
                              item.at(6).get<std::map<std::string, std::string>>()});
  for (const auto& frame : json.at("frames")) crash.frames.push_back({frame.at(0), frame.at(1)});
  json.at("pmu_map").get_to(crash.pmu_map);
  json.at("answer").get_to(crash.answer);
  return crash;
}

}  // namespace perfcore::cli
