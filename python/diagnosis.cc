// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// Diagnosis for Python. Answers go over as the JSON that the command line prints: one writer, one truth;
/// perfcore.answers makes dataclasses of it.
#include <fmt/format.h>
#include <pybind11/stl.h>

#include <algorithm>

#include "analyzers/registry.h"
#include "bindings.h"
#include "commands.h"
#include "exit_codes.h"
#include "guard.h"
#include "json.h"
#include "perfcore/report.h"
#include "report.h"
#include "session.h"
#include "show_perf.h"
#include "text.h"

namespace perfcore::python {
namespace {

constexpr size_t kTextWidth = 100;  // columns, as the command line has without a terminal

// --- rules in Python --------------------------------------------------------------------------------------

template <typename Enum, size_t size>
Enum named(const std::string& name, const Enum (&values)[size], const char* what) {
  for (const Enum value : values)
    if (to_string(value) == name) return value;
  throw std::runtime_error(fmt::format("\"{}\" is no {}", name, what));
}

Verdict verdict_of(const std::string& name) {
  constexpr Verdict kAll[] = {Verdict::kProven,      Verdict::kLikely,       Verdict::kPossible,
                              Verdict::kLatent,      Verdict::kContradicted, Verdict::kNotApplicable,
                              Verdict::kUndetermined};
  return named(name, kAll, "verdict");
}

Stage stage_of(const std::string& name) {
  constexpr Stage kAll[] = {Stage::kNone,  Stage::kLatent, Stage::kPrimed,
                            Stage::kArmed, Stage::kFired,  Stage::kCrashed};
  return named(name, kAll, "stage");
}

EvidenceResult result_of(const std::string& name) {
  constexpr EvidenceResult kAll[] = {EvidenceResult::kSupports, EvidenceResult::kContradicts,
                                     EvidenceResult::kUndetermined};
  return named(name, kAll, "result of evidence");
}

Fact fact_of(const py::handle& value) {
  if (py::isinstance<py::bool_>(value)) return value.cast<bool>();
  if (py::isinstance<py::int_>(value)) return value.cast<int64_t>();
  if (py::isinstance<py::str>(value)) return value.cast<std::string>();
  if (py::isinstance<py::dict>(value)) return value.cast<std::map<std::string, std::vector<int>>>();
  if (py::isinstance<py::sequence>(value)) {
    const auto items = value.cast<py::sequence>();
    if (items.size() > 0 && py::isinstance<py::str>(items[0])) return value.cast<std::vector<std::string>>();
    return value.cast<std::vector<int>>();
  }
  throw std::runtime_error(
      "a fact is a bool, an int, a str, a list of one of these, or a dict of lists of int");
}

/// What perfcore.Finding.to_dict() gives; its values were checked there.
Finding finding_of(const py::dict& from) {
  const auto words = [](const py::handle& list) { return list.cast<std::vector<std::string>>(); };
  Finding finding;
  finding.verdict = verdict_of(from["verdict"].cast<std::string>());
  finding.stage = stage_of(from["stage"].cast<std::string>());
  finding.cause_of_crash = from["cause_of_crash"].cast<bool>();
  finding.cpus = from["cpus"].cast<std::vector<int>>();
  std::sort(finding.cpus.begin(), finding.cpus.end());
  finding.summary = from["summary"].cast<std::string>();
  for (const py::handle item : from["evidence"]) {
    Evidence evidence;
    evidence.claim = item["claim"].cast<std::string>();
    evidence.expression = item["expression"].cast<std::string>();
    if (!item["address"].is_none())
      evidence.address = std::stoull(item["address"].cast<std::string>(), nullptr, 16);
    evidence.observed = item["observed"].cast<std::string>();
    evidence.expected = item["expected"].cast<std::string>();
    evidence.result = result_of(item["result"].cast<std::string>());
    evidence.weight = item["weight"].cast<int>();
    finding.evidence.push_back(std::move(evidence));
  }
  for (const py::handle item : from["look_alikes"])
    finding.look_alikes.push_back(
        {item["title"].cast<std::string>(), item["ruled_out"].cast<bool>(), item["why"].cast<std::string>()});
  for (const py::handle item : from["references"])
    finding.references.push_back({item["kind"].cast<std::string>(), item["id"].cast<std::string>(),
                                  item["title"].cast<std::string>()});
  finding.explanation = words(from["explanation"]);
  finding.remedy = words(from["remedy"]);
  finding.not_visible = words(from["not_visible"]);
  for (const auto& [name, value] : from["facts"].cast<py::dict>())
    finding.facts[name.cast<std::string>()] = fact_of(value);
  return finding;
}

/// A perfcore.Rule for the engine. `rule._run(kernel)` returns the finding as a dict, or the words of what
/// went wrong as a str.
RuleInfo rule_info(const py::handle& rule, const SessionPtr& session) {
  RuleInfo info;
  info.id = rule.attr("id").cast<std::string>();
  info.title = rule.attr("title").cast<std::string>();
  info.needs = {rule.attr("_types").cast<std::vector<std::string>>(),
                rule.attr("_symbols").cast<std::vector<std::string>>()};
  // The caller holds a reference for as long as the rules run; it may not be dropped without the GIL.
  info.run = [rule, session](Diagnosis&) {
    const py::gil_scoped_acquire gil;
    try {
      const py::object result = rule.attr("_run")(session);
      if (py::isinstance<py::str>(result)) throw std::runtime_error(result.cast<std::string>());
      return finding_of(result.cast<py::dict>());
    } catch (py::error_already_set& error) {
      // Nothing that a rule may raise gets here, but KeyboardInterrupt.
      const std::string words = py::str(error.value());
      session->pending = error;
      throw std::runtime_error("interrupted: " + words);
    }
  };
  return info;
}

std::vector<RuleInfo> rules_with(const py::iterable& rules, const SessionPtr& session) {
  const auto built_in = all_rules();
  std::vector<RuleInfo> all(built_in.begin(), built_in.end());
  for (const py::handle rule : rules) {
    RuleInfo info = rule_info(rule, session);
    const auto known =
        std::find_if(all.begin(), all.end(), [&](const RuleInfo& other) { return other.id == info.id; });
    if (known != all.end()) throw py::value_error(fmt::format("there are two rules \"{}\"", info.id));
    all.push_back(std::move(info));
  }
  return all;
}

// --- answers ----------------------------------------------------------------------------------------------

/// The triage as JSON and as text, as the command line prints it.
std::pair<std::string, std::string> triage(const SessionPtr& session, const py::list& rules) {
  const std::vector<RuleInfo> all = rules_with(rules, session);
  return with_diagnosis(session, [&](Diagnosis& diagnosis) {
    cli::TriageReport report = cli::make_triage_report(diagnosis, all, false);
    std::string json = cli::to_json(report);
    cli::UnreadList unread;
    report.counters = cli::leading_counters(diagnosis, report, unread);
    cli::TextWriter writer(false, kTextWidth);
    cli::render(writer, report);
    return std::pair(std::move(json), writer.text());
  });
}

template <typename Make>
std::string answer(const SessionPtr& session, Make make) {
  return with_diagnosis(session, [&](Diagnosis& diagnosis) { return cli::to_json(make(diagnosis)); });
}

void require_cpu(Kernel& kernel, int cpu) {
  const auto possible = kernel.possible_cpus();
  if (possible.has_value() && std::find(possible->begin(), possible->end(), cpu) == possible->end())
    throw py::value_error(fmt::format("there is no CPU {}; there are {} of them", cpu, possible->size()));
}

std::string pmu(const SessionPtr& session, int cpu) {
  return answer(session, [&](Diagnosis& diagnosis) {
    require_cpu(diagnosis.kernel(), cpu);
    cli::UnreadList unread;
    cli::PmuReport report;
    report.cpus.push_back(cli::pmu_view(diagnosis.pmu(), cpu, unread));
    report.unread = unread.items();
    return report;
  });
}

const char* name_of(cli::CounterCell cell) {
  switch (cell) {
    case cli::CounterCell::kUnused:
      return "unused";
    case cli::CounterCell::kRunning:
      return "running";
    case cli::CounterCell::kHeld:
      return "held";
    case cli::CounterCell::kMissing:
      return "missing";
    case cli::CounterCell::kClaimed:
      return "claimed";
    case cli::CounterCell::kMismatch:
      return "mismatch";
    case cli::CounterCell::kNoCounter:
      return "no-counter";
    case cli::CounterCell::kUnread:
      return "unread";
  }
  return "unread";
}

/// ({counter: what is the case there}, [(counter, address, what it counts, state, throttled, owner)])
py::tuple counter_map(const SessionPtr& session, int cpu) {
  const cli::CounterMap map = with_diagnosis(session, [&](Diagnosis& diagnosis) {
    require_cpu(diagnosis.kernel(), cpu);
    cli::UnreadList unread;
    return cli::make_counter_map(diagnosis.pmu(), cpu, unread);
  });
  py::dict cells;
  for (const auto& [counter, cell] : map.cells) cells[py::int_(counter)] = name_of(cell);
  py::list events;
  for (const auto& line : map.events)
    events.append(
        py::make_tuple(line.counter, line.address, line.counts, line.state, line.throttled, line.owner));
  return py::make_tuple(cells, events);
}

std::string report_text(const std::string& text) {
  std::string array = "[";
  for (ConsoleReport& report : parse_console(text))
    array += (array.size() > 1 ? "," : "") + cli::to_json(cli::make_text_report(std::move(report)));
  return array + "]";
}

// --- the command line's triage with rules in Python -------------------------------------------------------

/// What `perfcore triage --rules DIR` runs: the same answer in the same words, with more rules. Returns the
/// exit code; InputError and others come out as exceptions.
int triage_command(const py::list& rules, const std::vector<std::string>& dumps,
                   const std::vector<std::string>& debuginfo, bool no_debuginfo, const std::string& format,
                   const std::string& color, const std::string& output, bool explain, bool verbose,
                   double time_limit) {
  cli::Options options;
  options.arguments = dumps;
  options.debuginfo = debuginfo;
  options.no_debuginfo = no_debuginfo;
  options.format = format;
  options.color = color;
  options.output = output;
  options.explain = explain;
  options.verbose = verbose;
  options.time_limit = time_limit;
  cli::install_guard({options.time_limit});
  cli::Session run(options);
  auto session = std::make_shared<Session>();
  {
    const py::gil_scoped_release released;
    session->kernel = run.open(dumps);
  }
  const std::vector<RuleInfo> all = rules_with(rules, session);
  return with_diagnosis(session, [&](Diagnosis& diagnosis) {
    cli::TriageReport report = cli::make_triage_report(diagnosis, all, !options.json());
    report.explain = options.explain;
    run.answer(report);
    return report.exit_code();
  });
}

}  // namespace

void bind_diagnosis(py::module_& module) {
  module.def("_triage", &triage, py::arg("prog"), py::arg("rules"));
  module.def("_check", [](const SessionPtr& session) { return answer(session, cli::make_check_report); });
  module.def("_pmu", &pmu, py::arg("prog"), py::arg("cpu"));
  module.def("_counter_map", &counter_map, py::arg("prog"), py::arg("cpu"));
  module.def("_ibs", [](const SessionPtr& session) { return answer(session, cli::make_ibs_report); });
  module.def("_events", [](const SessionPtr& session) { return answer(session, cli::make_events_report); });
  module.def("_crash", [](const SessionPtr& session) {
    return answer(session, [](Diagnosis& diagnosis) {
      cli::TriageReport report;
      report.crash = diagnosis.crash();
      return report;
    });
  });
  module.def("_report", &report_text, py::arg("text"), py::call_guard<py::gil_scoped_release>());
  module.def("_triage_command", &triage_command, py::arg("rules"), py::arg("dumps"), py::arg("debuginfo"),
             py::arg("no_debuginfo"), py::arg("format"), py::arg("color"), py::arg("output"),
             py::arg("explain"), py::arg("verbose"), py::arg("time_limit"));
}

}  // namespace perfcore::python
