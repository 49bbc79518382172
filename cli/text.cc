// SPDX-License-Identifier: LGPL-2.1-or-later
#include "text.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <map>
#include <set>

#include "class_words.h"
#include "glossary.h"

namespace perfcore::cli {
namespace {

constexpr size_t kLabel = 14;         // width of the column of labels
constexpr size_t kTriageFrames = 40;  // of the stack in a triage; show bt has all
constexpr size_t kTriageUnread = 12;  // JSON has all

std::string hex(uint64_t value) {
  return fmt::format("{:#x}", value);
}
template <typename T>
std::string or_unread(const std::optional<T>& value) {
  return value ? fmt::format("{}", *value) : "not read";
}
std::string hex_or_unread(const std::optional<uint64_t>& value) {
  return value ? hex(*value) : "not read";
}

std::string plural(uint64_t count, std::string_view noun) {
  return fmt::format("{} {}{}", count, noun, count == 1 ? "" : "s");
}

std::string duration(uint64_t nanoseconds) {
  const uint64_t total = nanoseconds / 1'000'000'000;
  if (total < 60) return fmt::format("{:.1f} s", static_cast<double>(nanoseconds) / 1e9);
  const uint64_t days = total / 86400, hours = total / 3600 % 24, minutes = total / 60 % 60;
  if (days > 0) return fmt::format("{} {} h", plural(days, "day"), hours);
  if (hours > 0) return fmt::format("{} h {} min", hours, minutes);
  return fmt::format("{} min {} s", minutes, total % 60);
}

std::string cpu_list(const std::vector<int>& cpus) {
  std::string text;
  for (size_t i = 0; i < cpus.size();) {
    size_t last = i;
    while (last + 1 < cpus.size() && cpus[last + 1] == cpus[last] + 1) ++last;
    text += text.empty() ? "" : ",";
    text += last > i ? fmt::format("{}-{}", cpus[i], cpus[last]) : fmt::format("{}", cpus[i]);
    i = last + 1;
  }
  return text;
}

std::string place_of(const std::string& function, uint64_t offset, const std::string& module) {
  if (function.empty()) return "";
  return fmt::format("{}+{:#x}{}", function, offset, module.empty() ? "" : " [" + module + "]");
}

std::string_view words_of(Context context) {
  switch (context) {
    case Context::kTask:
      return "on behalf of a task";
    case Context::kSoftirq:
      return "in deferred interrupt work (softirq)";
    case Context::kIrq:
      return "in an interrupt handler";
    case Context::kException:
      return "in an exception handler";
    case Context::kNmi:
      return "in an NMI (an interrupt that cannot be masked)";
    case Context::kUser:
      return "in user mode";
    case Context::kUnknown:
      break;
  }
  return "";
}

std::string_view words_of(Verdict verdict) {
  switch (verdict) {
    case Verdict::kProven:
      return "only this defect leaves this state behind, and this kernel's code has it";
    case Verdict::kLikely:
      return "all that could be read fits; one link of the proof is missing";
    case Verdict::kPossible:
      return "it fits, and so do other causes";
    case Verdict::kLatent:
      return "this kernel's code has the defect; it has not struck";
    case Verdict::kContradicted:
      return "the state looks like it, and something rules it out";
    case Verdict::kNotApplicable:
      return "not in this kernel, or no such state";
    case Verdict::kUndetermined:
      return "what it needs could not be read";
  }
  return "";
}

Style style_of(Verdict verdict) {
  if (verdict == Verdict::kProven || verdict == Verdict::kLikely) return Style::kBad;
  return verdict == Verdict::kPossible || verdict == Verdict::kUndetermined ? Style::kWarn : Style::kPlain;
}

// ---- counters ----

struct CellWords {
  CounterCell cell;
  std::string_view mark;
  Style style;
  std::string_view meaning;
};
constexpr std::array<CellWords, 8> kCells = {{
    {CounterCell::kMissing, "NULL", Style::kBad,
     "active, but events[] holds no event for it: the next counter interrupt follows a NULL pointer"},
    {CounterCell::kMismatch, "DIFF", Style::kBad,
     "events[] holds something that is not this counter's event"},
    {CounterCell::kNoCounter, "GONE", Style::kBad, "in use, but the CPU has no such counter"},
    {CounterCell::kClaimed, "lost", Style::kWarn,
     "an event is assigned here, but the counter is off and events[] is empty"},
    {CounterCell::kRunning, "run", Style::kGood, "active, with its event"},
    {CounterCell::kHeld, "stop", Style::kWarn, "has an event, not active: stopped or throttled"},
    {CounterCell::kUnread, "?", Style::kWarn, "could not be read"},
    {CounterCell::kUnused, "-", Style::kFaint, "not in use"},
}};

const CellWords& words_of(CounterCell cell) {
  return *std::find_if(kCells.begin(), kCells.end(),
                       [&](const CellWords& words) { return words.cell == cell; });
}

/// General-purpose counters by number, fixed ones as f0.. (they start at bit 32, INTEL_PMC_IDX_FIXED).
std::string counter_name(int64_t index) {
  return index >= 32 && index < 47 ? fmt::format("f{}", index - 32) : fmt::format("{}", index);
}

void render_legend(TextWriter& out, const std::set<CounterCell>& shown) {
  for (const CellWords& words : kCells)
    if (shown.count(words.cell) != 0)
      out.field(words.mark, Text{{std::string(words.meaning), Style::kFaint}}, 6, 4);
}

std::set<CounterCell> cells_of(const CounterMap& map) {
  std::set<CounterCell> cells;
  for (const auto& [counter, cell] : map.cells) cells.insert(cell);
  return cells;
}

void render_map(TextWriter& out, const CounterMap& map, bool with_legend) {
  constexpr size_t kCellWidth = 6;
  if (map.cells.empty()) {
    out.paragraph("no counters are known", 2);
  } else {
    const size_t usable = out.width() == 0 ? 120 : out.width();
    const size_t per_row = std::max<size_t>((usable - 12) / kCellWidth, 1);
    for (auto row = map.cells.begin(); row != map.cells.end();) {
      Text names = {{"counter ", Style::kFaint}}, marks = {{"        "}};
      for (size_t i = 0; i < per_row && row != map.cells.end(); ++i, ++row) {
        const CellWords& words = words_of(row->second);
        names.push_back({fmt::format("{:>{}}", counter_name(row->first), kCellWidth), Style::kFaint});
        marks.push_back({std::string(kCellWidth - words.mark.size(), ' ')});
        marks.push_back({std::string(words.mark), words.style});
      }
      out.line(names, 2);
      out.line(marks, 2);
    }
    if (with_legend) render_legend(out, cells_of(map));
  }
  if (map.events.empty()) return;
  out.paragraph("events scheduled on it, by counter:", 2);
  for (const CounterMap::EventLine& event : map.events) {
    std::string text = fmt::format("{:#x}  {}; {}", event.address, event.counts, event.state);
    if (event.throttled) text += ", throttled (it overflowed too often and waits for the next tick)";
    if (!event.owner.empty()) text += fmt::format("; opened by {}", event.owner);
    out.field(event.counter ? counter_name(*event.counter) : "?", text, 6, 4);
  }
}

// ---- stacks ----

void render_stack(TextWriter& out, const Stack& stack, std::optional<size_t> fault_frame, size_t max_frames) {
  Context context = Context::kUnknown;
  bool first = true;
  for (size_t i = 0; i < stack.frames.size(); ++i) {
    if (i == max_frames) {
      out.paragraph(fmt::format("... {} more (perfcore show DUMP bt)", stack.frames.size() - i), 2);
      break;
    }
    const Frame& frame = stack.frames[i];
    const bool changed = first || frame.context != context;
    first = false;
    context = frame.context;
    Text line = {{fmt::format("{:<10}", changed ? to_string(context) : ""), Style::kFaint}};
    const bool fault = fault_frame == i;
    std::string place = place_of(frame.function, frame.offset, frame.module);
    if (place.empty()) place = hex(frame.ip);
    line.push_back({(frame.reliable ? "" : "? ") + place, fault ? Style::kBad : Style::kPlain});
    if (frame.inlined) line.push_back({" (inlined)", Style::kFaint});
    if (fault)
      line.push_back({"   <- here it failed", Style::kBad});
    else if (frame.interrupted && i > 0)  // the first one is where the CPU was when the dump was taken
      line.push_back({"   <- interrupted here", Style::kFaint});
    out.line(line, 2);
  }
  if (stack.reached_user && stack.frames.size() <= max_frames)
    out.line(Text{{"user      ", Style::kFaint}, {"(user mode)", Style::kFaint}}, 2);
  if (stack.frames.empty())
    out.paragraph("no CPU is known to have crashed; perfcore show DUMP bt has the stacks of all CPUs", 2);
  if (stack.stopped) out.paragraph("the walk stopped: " + stack.stopped->message(), 2, 2, Style::kWarn);
  if (stack.method == "scan")
    out.paragraph("found by scanning the stack for code addresses: frames may be stale or missing", 2, 2,
                  Style::kWarn);
}

// ---- parts of the triage ----

std::string hypervisor_name(const SystemFacts& system) {
  return system.hypervisor == "unknown" ? "a hypervisor that did not say its name" : system.hypervisor;
}

std::string task_of(const CrashState& crash) {
  if (crash.comm.empty() && !crash.pid) return "";
  if (!crash.pid) return crash.comm;
  return fmt::format("{} (PID {})", crash.comm.empty() ? "?" : crash.comm, *crash.pid);
}

std::string capitalised(std::string text) {
  if (!text.empty() && text.front() >= 'a' && text.front() <= 'z') text.front() -= 'a' - 'A';
  return text;
}

Text what_died(const TriageReport& report) {
  const CrashState& crash = report.crash;
  const ClassWords& words = words_for(crash.crash_class);
  if (crash.crash_class == "none")
    return {{std::string("The kernel was not seen to die: ")}, {std::string(words.what)}};
  if (crash.not_known())
    return {{"Whether the kernel died cannot be told: ", Style::kStrong},
            {"neither its log nor the record of a panic could be read from this dump."}};
  // Of a hung task the function is where it sleeps; who panics is the thread that looks for such tasks.
  const bool hung = crash.crash_class == "hung-task";
  const std::string place =
      crash.function.empty() ? "" : fmt::format(" in {}", place_of(crash.function, crash.offset, ""));
  Text text = {{"The kernel died"}};
  if (crash.cpu) text.push_back({fmt::format(" on CPU {}", *crash.cpu), Style::kStrong});
  if (!hung) text.push_back({place, Style::kStrong});
  text.push_back({fmt::format(": {}{}", words.what, hung ? place : ""), Style::kStrong});
  std::string rest;
  const bool said = crash.context == Context::kNmi && crash.crash_class == "unknown-nmi";
  if (const auto where = words_of(crash.context); !where.empty() && !said && !hung)
    rest += fmt::format(", {}", where);
  if (const std::string task = task_of(crash); !task.empty())
    rest += fmt::format("; {} {}", task, hung ? "found it" : "was running");
  text.push_back({rest + "."});
  return text;
}

Text why(const TriageReport& report) {
  if (const Finding* cause = report.root_cause()) {
    return {{fmt::format("{}: ", to_string(cause->verdict)), style_of(cause->verdict)},
            {cause->title, Style::kStrong},
            {cause->summary.empty() ? "." : ". " + cause->summary + "."}};
  }
  const auto undetermined =
      std::count_if(report.findings.begin(), report.findings.end(),
                    [](const Finding& finding) { return finding.verdict == Verdict::kUndetermined; });
  Text text;
  if (report.crash.crash_class != "none") {
    // Of BUG() the text says what was wrong; its instruction is always the same.
    const bool bug =
        report.crash.crash_class == "kernel-bug" || report.crash.crash_class == "list-corruption";
    if (bug && !report.crash.oops.empty())
      text.push_back({fmt::format("The kernel said: \"{}\". ", report.crash.oops)});
    else if (report.crash.fault && !report.crash.fault->sentence.empty())
      text.push_back({capitalised(report.crash.fault->sentence) + ". "});
    else if (!report.crash.reason.empty())
      text.push_back({fmt::format("The kernel said: \"{}\". ", report.crash.reason)});
    const bool led_to_it = report.defect() != nullptr && report.defect()->stage == Stage::kCrashed;
    if (undetermined != 0)
      text.push_back(
          {fmt::format("No known root cause was found; {} of {} rules could not judge, as what they "
                       "need could not be read from this dump. ",
                       undetermined, report.findings.size())});
    else if (!led_to_it)
      text.push_back({"No known root cause. "});
  }
  if (const Finding* defect = report.defect()) {
    const bool led_to_it = defect->stage == Stage::kCrashed;
    text.push_back({report.crash.crash_class == "none" ? ""
                    : led_to_it ? "A known defect led to this crash, but does not explain all of it: "
                                : "Not the cause of this crash, but present: "});
    text.push_back({led_to_it ? fmt::format("{}: ", to_string(defect->verdict))
                              : fmt::format("{}, {}: ", to_string(defect->verdict), to_string(defect->stage)),
                    style_of(defect->verdict)});
    text.push_back({defect->title, Style::kStrong});
    text.push_back({defect->summary.empty() ? "." : ". " + defect->summary + "."});
  }
  if (text.empty())
    text.push_back({"There is no crash to explain, and no rule found a defect that has struck."});
  return text;
}

Text what_to_do(const TriageReport& report) {
  const CrashState& crash = report.crash;
  if (crash.not_known())
    return {
        {"Copy the dump again and compare the sizes; if it is all there is, look for the console's log or "
         "the vmcore-dmesg.txt beside it."}};
  const Finding* finding = report.root_cause() != nullptr ? report.root_cause() : report.defect();
  const std::string next(words_for(crash.crash_class).next);
  if (finding == nullptr || finding->remedy.empty()) return {{next}};
  // What did not kill the kernel comes after what did.
  const bool explains = finding->stage == Stage::kCrashed || crash.crash_class == "none";
  return {{explains ? finding->remedy.front() : next + " For the defect: " + finding->remedy.front()}};
}

void render_list(TextWriter& out, const std::vector<std::string>& items, bool numbered) {
  for (size_t i = 0; i < items.size(); ++i)
    out.field(numbered ? fmt::format("{}.", i + 1) : "-", items[i], numbered ? 4 : 2, 2);
}

void render_evidence(TextWriter& out, const Finding& finding) {
  out.heading("Evidence",
              "+ supports, - contradicts, ? could not be read; perfcore print takes the expressions");
  for (const Evidence& evidence : finding.evidence) {
    const bool supports = evidence.result == EvidenceResult::kSupports;
    const bool contradicts = evidence.result == EvidenceResult::kContradicts;
    Text claim = {{supports      ? "+ "
                   : contradicts ? "- "
                                 : "? ",
                   supports      ? Style::kGood
                   : contradicts ? Style::kBad
                                 : Style::kWarn},
                  {evidence.claim}};
    out.paragraph(claim, 2, 2);
    std::string detail = evidence.expression;
    if (!evidence.observed.empty())
      detail += fmt::format("{}{}", detail.empty() ? "" : " = ", evidence.observed);
    if (!evidence.expected.empty() && evidence.expected != evidence.observed)
      detail += fmt::format("   (expected: {})", evidence.expected);
    if (!detail.empty()) out.paragraph(detail, 6, 2, Style::kFaint);
  }
}

void render_finding(TextWriter& out, const Finding& finding, const TriageReport& report) {
  const bool is_cause = report.root_cause() == &finding;
  out.heading(fmt::format("{}: {}", finding.rule, finding.title));
  out.field("verdict",
            Text{{std::string(to_string(finding.verdict)), style_of(finding.verdict)},
                 {fmt::format(" ({})", words_of(finding.verdict))}},
            kLabel, 2);
  out.field(
      "stage",
      fmt::format("{}{}", to_string(finding.stage),
                  is_cause                             ? ", and the cause of this crash"
                  : report.crash.crash_class == "none" ? "; there is no crash in this dump"
                  : finding.stage == Stage::kCrashed
                      ? ": the kernel died in what this defect did; what it does not explain is said below"
                      : ", not the cause of this crash"),
      kLabel, 2);
  if (!finding.cpus.empty()) out.field("CPUs", cpu_list(finding.cpus), kLabel, 2);
  if (report.counters) {
    out.heading(fmt::format("Performance counters of CPU {}", report.counters->cpu),
                fmt::format("active_mask {}", hex_or_unread(report.counters->active_mask)));
    render_map(out, *report.counters, true);
  }
  if (!finding.evidence.empty()) render_evidence(out, finding);
  if (!finding.look_alikes.empty()) {
    out.heading("Look-alikes", "x ruled out, ? not ruled out");
    for (const LookAlike& item : finding.look_alikes)
      out.paragraph(Text{{item.ruled_out ? "x " : "? ", item.ruled_out ? Style::kGood : Style::kWarn},
                         {item.title + ": "},
                         {item.why, Style::kFaint}},
                    2, 2);
  }
  if (!finding.explanation.empty()) {
    out.heading("What happened");
    render_list(out, finding.explanation, true);
  }
  if (!finding.remedy.empty()) {
    out.heading("What to do");
    render_list(out, finding.remedy, false);
  }
  if (!finding.references.empty()) {
    out.heading("References");
    for (const Reference& reference : finding.references)
      out.field(fmt::format("{} {}", reference.kind, reference.id), reference.title, 22, 2);
  }
  if (!finding.not_visible.empty()) {
    out.heading("What could not be seen");
    render_list(out, finding.not_visible, false);
  }
}

void render_crash(TextWriter& out, const TriageReport& report) {
  const CrashState& crash = report.crash;
  const SystemFacts& system = report.system;
  out.heading("The crash");
  const auto put = [&](std::string_view label, const std::string& value) {
    if (!value.empty()) out.field(label, value, kLabel, 2);
  };
  put("class", crash.crash_class);
  put("panic", crash.reason);
  put("oops", crash.oops);
  if (crash.fault) {
    put("instruction", crash.fault->sentence.empty() ? crash.fault->instruction.text : crash.fault->sentence);
    if (!crash.fault->operand.empty()) put("", crash.fault->operand);
  }
  if (crash.fault_address) put("fault address", hex(*crash.fault_address));
  put("task", task_of(crash));
  if (!crash.first_anomaly.empty()) {
    std::string when;
    if (crash.first_anomaly_timestamp_ns)
      when = fmt::format("[{:12.6f}] ", static_cast<double>(*crash.first_anomaly_timestamp_ns) / 1e9);
    put("first sign", when + crash.first_anomaly);
  }
  std::string kernel = report.kernel.release.empty() ? "unknown release" : report.kernel.release;
  if (!system.version.empty()) kernel += " " + system.version;
  put("kernel", kernel);
  std::string machine = system.nodename;
  if (!system.cpu_model.empty())
    machine += fmt::format("{}{}", machine.empty() ? "" : ", ", system.cpu_model);
  if (report.kernel.cpus) machine += fmt::format(", {}", plural(*report.kernel.cpus, "CPU"));
  if (system.hypervisor_known)
    machine += system.hypervisor.empty() ? ", no hypervisor" : ", guest of " + hypervisor_name(system);
  put("machine", machine);
  std::string when;
  if (system.time && *system.time >= 0 && *system.time < 253402300800)
    when = fmt::format("{:%Y-%m-%d %H:%M:%S} UTC", fmt::gmtime(static_cast<std::time_t>(*system.time)));
  if (system.uptime_ns)
    when += fmt::format("{}{} after boot", when.empty() ? "" : ", ", duration(*system.uptime_ns));
  put("when", when);
  if (system.taint) put("taint", system.taint_text.empty() ? "none" : system.taint_text);
  if (!system.modules_out_of_tree.empty())
    put("not in-tree", fmt::format("{}", fmt::join(system.modules_out_of_tree, ", ")));
}

void render_other_rules(TextWriter& out, const TriageReport& report, const Finding* shown) {
  size_t widest = 0;
  for (const Finding& finding : report.findings)
    if (&finding != shown) widest = std::max(widest, finding.rule.size());
  if (widest == 0) return;
  out.heading(shown == nullptr ? "Rules that were tried" : "Other rules that were tried");
  for (const Finding& finding : report.findings) {
    if (&finding == shown) continue;
    std::string verdict(to_string(finding.verdict));
    if (finding.stage > Stage::kLatent) verdict += fmt::format(" ({})", to_string(finding.stage));
    const std::string& words = finding.summary.empty() ? finding.title : finding.summary;
    out.field(finding.rule, Text{{verdict, style_of(finding.verdict)}, {": " + words}}, widest + 2, 2);
  }
}

void render_known(TextWriter& out, const std::vector<KnownCause>& known) {
  if (known.empty()) return;
  out.heading("Known causes with the same symptom", "never more than possible; perfcore rules ID tells more");
  for (const KnownCause& cause : known) {
    out.field(cause.entry->id,
              Text{{fmt::format("{}: ", to_string(cause.verdict)), style_of(cause.verdict)},
                   {cause.entry->title + ". "},
                   {cause.why + ".", Style::kFaint}},
              6, 2);
  }
}

void render_race(TextWriter& out, const JudgedRace& race) {
  const bool harmful = race.verdict.label == KcsanLabel::kHarmful;
  out.paragraph(Text{{std::string(to_string(race.verdict.label)), harmful ? Style::kBad
                                                                  : race.verdict.label == KcsanLabel::kBenign
                                                                      ? Style::kGood
                                                                      : Style::kWarn},
                     {race.verdict.confident ? "" : " (not certain)"},
                     {": " + race.report.title, Style::kStrong}},
                2, 2);
  if (!race.report.field.empty()) out.field("data", race.report.field, kLabel, 4);
  out.field("why", race.verdict.reason, kLabel, 4);
  out.field("can lead to", race.verdict.consequence, kLabel, 4);
  out.field("what to do", race.verdict.suggestion, kLabel, 4);
}

void render_races(TextWriter& out, const std::vector<JudgedRace>& races) {
  if (races.empty()) return;
  out.heading("Data races in the log", "KCSAN reports, and whether they do harm");
  for (const JudgedRace& race : races) render_race(out, race);
}

/// The bucket that a crash belongs to; why, and where else to look, when asked.
void render_bucket(TextWriter& out, const Signature& signature, bool explain, int indent) {
  out.field("bucket", fmt::format("{} ({})", signature.id, signature.cause), kLabel, indent);
  if (!explain) return;
  for (const std::string& why : signature.why) out.field("", why, kLabel, indent);
  for (const auto& [name, value] : signature.facets)
    out.field("", fmt::format("not in the key: {} {}", name, value), kLabel, indent);
  for (const RelatedSignature& related : signature.related)
    out.field("", fmt::format("related: {} ({})", related.id, related.cause), kLabel, indent);
}

void render_dump(TextWriter& out, const TriageReport& report) {
  out.heading("The dump");
  out.field("file", fmt::format("{} ({})", report.dump.path, report.dump.format), kLabel, 2);
  for (const std::string& note : report.dump.quality)
    out.field("quality", Text{{note, Style::kWarn}}, kLabel, 2);
  const std::string from =
      report.kernel.vmlinux.empty() ? "from the dump itself" : "from " + report.kernel.vmlinux;
  out.field("debug info",
            fmt::format("types by {}, symbols by {}, {}", report.kernel.types, report.kernel.symbols, from),
            kLabel, 2);
  if (!report.crash.basis.empty()) out.field("crash facts", "from " + report.crash.basis, kLabel, 2);
  render_bucket(out, report.signature, report.explain, 2);
}

}  // namespace

void render_unread(TextWriter& out, const std::vector<Unread>& unread, size_t max) {
  if (unread.empty()) return;
  out.heading("Not read", "never taken for 0");
  for (size_t i = 0; i < unread.size(); ++i) {
    if (i == max) {
      out.paragraph(fmt::format("... and {} more (all of them: --format json)", unread.size() - i), 2);
      break;
    }
    out.paragraph(unread[i].message(), 2, 4);
  }
}

void render(TextWriter& out, const TriageReport& report) {
  constexpr size_t kAnswer = 7;
  out.field("What", what_died(report), kAnswer);
  out.field("Why", why(report), kAnswer);
  out.field("Now", what_to_do(report), kAnswer);

  const Finding* shown = report.root_cause() != nullptr ? report.root_cause() : report.defect();
  if (shown != nullptr && shown->cause_of_crash) render_finding(out, *shown, report);
  render_crash(out, report);
  out.heading(report.crash.cpu ? fmt::format("Stack of CPU {}", *report.crash.cpu) : "Stack",
              "most recent call first; the left column is the context it ran in");
  render_stack(out, report.crash.stack, report.crash.fault_frame, kTriageFrames);
  if (shown != nullptr && !shown->cause_of_crash) render_finding(out, *shown, report);
  if (report.root_cause() == nullptr && shown != nullptr) {
    out.heading("What to look at next");
    out.paragraph(words_for(report.crash.crash_class).next, 2);
  }
  render_known(out, report.known);
  render_other_rules(out, report, shown);
  render_races(out, report.races);
  render_dump(out, report);
  render_unread(out, report.unread, kTriageUnread);
  const std::vector<Term> terms = terms_in(out.text());
  if (terms.empty()) return;
  out.heading("Words");
  for (const Term& term : terms) out.field(term.term, term.meaning, kLabel, 2);
}

void render(TextWriter& out, const PmuReport& report) {
  for (size_t i = 0; i < report.cpus.size(); ++i) {
    const PmuView& view = report.cpus[i];
    out.heading(fmt::format("CPU {}", view.cpu),
                fmt::format("struct cpu_hw_events at {}", hex_or_unread(view.address)));
    out.paragraph(fmt::format("active_mask {}, enabled {}, n_events {}, n_added {}, n_txn {}",
                              hex_or_unread(view.active_mask), or_unread(view.enabled),
                              or_unread(view.n_events), or_unread(view.n_added), or_unread(view.n_txn)),
                  2, 2);
    if (i < report.maps.size()) render_map(out, report.maps[i], false);
  }
  std::set<CounterCell> shown;
  for (const CounterMap& map : report.maps) shown.merge(cells_of(map));
  if (!shown.empty()) {
    out.heading("Counters");
    render_legend(out, shown);
  }
  if (!report.cpus_known) out.paragraph("The CPUs of this machine could not be read.");
  render_unread(out, report.unread, kTriageUnread);
}

void render(TextWriter& out, const StackReport& report) {
  for (const StackView& view : report.cpus) {
    std::string title = fmt::format("CPU {}", view.cpu);
    if (view.crashed) title += " (crashed)";
    out.heading(title, fmt::format("task {}, PID {}", view.comm.value_or("not read"), or_unread(view.pid)));
    render_stack(out, view.stack, view.fault_frame, view.stack.frames.size());
  }
  render_unread(out, report.unread, kTriageUnread);
}

void render(TextWriter& out, const CpuReport& report) {
  out.line(Text{{fmt::format("{:>4}  {:<7} {:>8}  {:<16} {}", "CPU", "online", "PID", "task", "running"),
                 Style::kStrong}});
  for (const CpuView& view : report.cpus) {
    std::string where = "registers not saved in the dump";
    if (view.user)
      where = "user mode";
    else if (view.ip)
      where = view.function.empty() ? hex(*view.ip) : place_of(view.function, view.offset, view.module);
    out.line(fmt::format("{:>4}  {:<7} {:>8}  {:<16} {}", view.cpu,
                         view.online ? (*view.online ? "yes" : "no") : "?", or_unread(view.pid),
                         view.comm.value_or("not read"), where));
  }
  out.heading("Non-maskable interrupts", "so far, and the handlers in the order they are asked");
  for (const CpuView& view : report.cpus) {
    std::string line = fmt::format("CPU {:<3} {} normal, {} unknown, {} external, {} swallowed", view.cpu,
                                   or_unread(view.nmi_normal), or_unread(view.nmi_unknown),
                                   or_unread(view.nmi_external), or_unread(view.nmi_swallowed));
    if (view.watchdog_event && *view.watchdog_event != 0)
      line += fmt::format("; watchdog event {:#x}", *view.watchdog_event);
    if (view.throttled_count && *view.throttled_count != 0)
      line += fmt::format("; {} throttled in this tick", plural(*view.throttled_count, "event"));
    out.line(line, 2);
  }
  for (const NmiHandler& handler : report.nmi_handlers)
    out.line(fmt::format("{:<8} {} ({})", handler.type, handler.name, handler.function), 2);
  render_unread(out, report.unread, kTriageUnread);
}

void render(TextWriter& out, const ModuleReport& report) {
  size_t widest = 6;
  for (const ModuleInfo& module : report.modules) widest = std::max(widest, module.name.size());
  out.line(Text{{fmt::format("{:<{}}  {:<18} {:<18} {}", "module", widest, "struct module", "text", "taint"),
                 Style::kStrong}});
  for (const ModuleInfo& module : report.modules)
    out.line(fmt::format("{:<{}}  {:<18} {:<18} {}", module.name, widest, hex(module.address),
                         hex(module.text_begin), module.taints));
  if (report.modules.empty()) out.line("(none)");
  render_unread(out, report.unread, kTriageUnread);
}

void render(TextWriter& out, const EventReport& report) {
  out.paragraph(Text{{fmt::format("struct perf_event at {:#x}: ", report.event.address), Style::kStrong},
                     {report.counts}});
  if (report.owner) out.field("opened by", *report.owner, kLabel, 2);
  if (report.event.hw_idx) out.field("counter", counter_name(*report.event.hw_idx), kLabel, 2);
  if (report.event.hw_state) out.field("hw.state", hw_state_name(*report.event.hw_state), kLabel, 2);
  if (report.event.hw_interrupts == kMaxInterrupts)
    out.field("throttled", "yes: it overflowed too often and waits for the next tick", kLabel, 2);
  out.blank();
  std::string_view rest = report.text;
  while (!rest.empty()) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    out.line(rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  render_unread(out, report.unread, kTriageUnread);
}

void render(TextWriter& out, const CompatReport& report) {
  constexpr size_t kNames = 10;
  out.paragraph(Text{
      {fmt::format("{}: ", report.kernel.release.empty() ? "kernel" : report.kernel.release), Style::kStrong},
      {fmt::format("what each rule asked for, with types from {} and symbols from {}", report.kernel.types,
                   report.kernel.symbols)}});
  for (const RuleCompatibility& rule : report.rules) {
    const auto found = std::count_if(rule.needs.begin(), rule.needs.end(),
                                     [](const NameNeed& need) { return !need.found_as.empty(); });
    out.heading(rule.rule, fmt::format("{} of {} names found", found, rule.needs.size()));
    if (!rule.not_run.empty()) out.field("not run", Text{{rule.not_run, Style::kWarn}}, kNames, 2);
    // Members under their type; the rest by kind.
    std::map<std::string, std::vector<std::string>> members;
    std::vector<std::string> types, symbols, absent;
    for (const NameNeed& need : rule.needs) {
      if (need.found_as.empty()) {
        absent.push_back(need.name);
        continue;
      }
      const std::string name =
          need.found_as == need.name ? need.name : fmt::format("{} (as {})", need.name, need.found_as);
      if (need.kind == NameNeed::Kind::kType) types.push_back(name);
      if (need.kind == NameNeed::Kind::kSymbol) symbols.push_back(name);
      if (need.kind == NameNeed::Kind::kMember) {
        const size_t dot = name.find('.');
        members[name.substr(0, dot)].push_back(name.substr(dot + 1));
      }
    }
    const auto list = [&](std::string_view label, const std::vector<std::string>& names, size_t width) {
      if (!names.empty()) out.field(label, fmt::format("{}", fmt::join(names, ", ")), width, 2);
    };
    list("types", types, kNames);
    for (const auto& [type, names] : members)
      out.paragraph(fmt::format("{}: {}", type, fmt::join(names, ", ")), 2, 4);
    list("symbols", symbols, kNames);
    list("absent", absent, kNames);
  }
  render_unread(out, report.unread, kTriageUnread);
}

void render(TextWriter& out, const InfoReport& report) {
  const auto put = [&](std::string_view label, const std::string& value) {
    out.field(label, value.empty() ? "not known" : value, 16, 2);
  };
  const auto cpus = [](const std::optional<std::vector<int>>& list) {
    return list ? fmt::format("{} ({})", cpu_list(*list), list->size()) : std::string();
  };
  out.heading("Dump");
  put("file", report.dump.path);
  put("format", report.dump.format);
  put("memory", fmt::format("{:.1f} MiB of physical memory described",
                            static_cast<double>(report.memory_bytes) / 1048576.0));
  put("vmcoreinfo", report.vmcoreinfo);
  put("registers", fmt::format("of {}", plural(report.cpu_notes, "CPU")));
  if (report.dump.quality.empty()) put("quality", "nothing wrong was found with the file");
  for (const std::string& note : report.dump.quality) out.field("quality", Text{{note, Style::kWarn}}, 16, 2);
  out.heading("Kernel");
  put("release", report.kernel.release);
  put("version", report.system.version);
  put("build ID", report.kernel.build_id);
  put("KASLR offset",
      fmt::format("{:#x} (how far the kernel was moved at boot)", report.kernel.kaslr_offset));
  put("types", report.kernel.types);
  put("symbols", report.kernel.symbols);
  put("vmlinux", report.kernel.vmlinux.empty() ? "none in use" : report.kernel.vmlinux);
  put("stack tables", report.orc_format);
  for (const std::string& remark : report.remarks) put("remark", remark);
  out.heading("Machine");
  const SystemFacts& system = report.system;
  put("node name", system.nodename);
  put("CPU", system.cpu_model);
  put("microcode", system.microcode ? hex(*system.microcode) : "");
  put("hypervisor", !system.hypervisor_known    ? ""
                    : system.hypervisor.empty() ? "none"
                                                : hypervisor_name(system));
  put("possible CPUs", cpus(report.possible_cpus));
  put("present CPUs", cpus(report.present_cpus));
  put("online CPUs",
      report.online_cpus ? cpus(report.online_cpus) + ", as marked; panic() clears this for others" : "");
  std::string when;
  if (system.time && *system.time >= 0 && *system.time < 253402300800)
    when = fmt::format("{:%Y-%m-%d %H:%M:%S} UTC", fmt::gmtime(static_cast<std::time_t>(*system.time)));
  put("time", when);
  put("uptime", system.uptime_ns ? duration(*system.uptime_ns) : "");
  put("taint", system.taint ? (system.taint_text.empty() ? "none" : system.taint_text) : "");
  if (!system.modules_out_of_tree.empty())
    put("not in-tree", fmt::format("{}", fmt::join(system.modules_out_of_tree, ", ")));
  put("command line", system.command_line);
  put("kernel log", fmt::format("{} from {}", plural(report.log_records, "record"),
                                report.log_source.empty() ? "nowhere" : report.log_source));
  render_unread(out, report.unread, kTriageUnread);
}

void render(TextWriter& out, const PrintReport& report) {
  for (const PrintedExpression& printed : report.results) {
    std::string_view rest = printed.text;
    std::string prefix = report.results.size() > 1 ? printed.expression + " = " : "";
    do {
      const size_t end = std::min(rest.find('\n'), rest.size());
      out.line(prefix + std::string(rest.substr(0, end)));
      prefix.clear();
      rest.remove_prefix(std::min(end + 1, rest.size()));
    } while (!rest.empty());
  }
}

void render(TextWriter& out, const KernelLog& log) {
  for (const LogRecord& record : log.records) {
    const std::string text = format_log_record(record);
    std::string_view rest = text;
    do {
      const size_t end = std::min(rest.find('\n'), rest.size());
      out.line(rest.substr(0, end));
      rest.remove_prefix(std::min(end + 1, rest.size()));
    } while (!rest.empty());
  }
}

void render(TextWriter& out, const TextReport& text_report) {
  const ConsoleReport& report = text_report.report;
  if (!out.text().empty()) out.blank();
  if (text_report.race)
    render_race(out, *text_report.race);
  else
    out.paragraph(Text{{report.title, Style::kStrong}, {fmt::format(" (line {})", report.first_line)}}, 2, 2);
  out.field("kind", report.kind, kLabel, 4);
  if (!report.function.empty()) out.field("to blame", report.function + "()", kLabel, 4);
  if (!report.corrupted.empty())
    out.field("corrupted", Text{{report.corrupted + ": do not group by it", Style::kWarn}}, kLabel, 4);
  out.field("said", report.headline, kLabel, 4);
  if (!report.comm.empty()) {
    std::string task = report.comm;
    if (report.pid) task += fmt::format(", PID {}", *report.pid);
    if (report.cpu) task += fmt::format(", CPU {}", *report.cpu);
    out.field("task", task, kLabel, 4);
  }
  if (!report.kernel.empty()) out.field("kernel", report.kernel, kLabel, 4);
  if (report.panicked) out.field("then", "the kernel panicked", kLabel, 4);
  render_bucket(out, text_report.signature, text_report.explain, 4);
  std::string section;
  constexpr size_t kShown = 32;
  for (size_t i = 0; i < report.frames.size() && i < kShown; ++i) {
    const ConsoleFrame& frame = report.frames[i];
    std::string where = frame.function;
    if (frame.offset) where += fmt::format("+{:#x}", *frame.offset);
    if (!frame.module.empty()) where += fmt::format(" [{}]", frame.module);
    if (!frame.file.empty()) where += fmt::format(" {}:{}", frame.file, frame.line);
    if (frame.inlined) where += " (inlined)";
    if (frame.interrupted) where += " (interrupted here)";
    if (!frame.section.empty() && frame.section != section) where += fmt::format(" <{}>", frame.section);
    section = frame.section;
    out.field(i == 0 ? "stack" : "", where, kLabel, 4);
  }
  if (report.frames.size() > kShown)
    out.field("", fmt::format("... and {} more (--format json)", report.frames.size() - kShown), kLabel, 4);
  for (const Finding& finding : text_report.findings) {
    out.field("suspect",
              Text{{finding.rule, Style::kStrong},
                   {": "},
                   {fmt::format("{}: ", to_string(finding.verdict)), style_of(finding.verdict)},
                   {finding.summary + ".", Style::kPlain}},
              kLabel, 4);
    for (const std::string& remedy : finding.remedy) out.field("", remedy, kLabel, 4);
  }
  for (const KnownCause& cause : text_report.known)
    out.field("known",
              Text{{fmt::format("{} ", cause.entry->id), Style::kStrong},
                   {fmt::format("{}: ", to_string(cause.verdict)), style_of(cause.verdict)},
                   {cause.entry->title + ". "},
                   {cause.why + ".", Style::kFaint}},
              kLabel, 4);
}

void render(TextWriter& out, const ExtractReport& report) {
  out.paragraph(
      fmt::format("{}: {}, {:.1f} MiB. It holds kernel memory (log, task names, data on those pages): treat "
                  "it as confidentially as the dump.",
                  report.path, plural(report.pages, "page"), static_cast<double>(report.bytes) / 1048576.0));
}

void render(TextWriter& out, const RecordReport& report) {
  out.paragraph(
      fmt::format("{}: {:.0f} KiB with {:.0f} KiB of kernel memory, {} and {}. {}", report.path,
                  static_cast<double>(report.bytes) / 1024, static_cast<double>(report.memory_bytes) / 1024,
                  plural(report.symbols, "symbol"), plural(report.types, "type"),
                  report.redacted ? "Task names, command lines, log text and registers of user space were "
                                    "left out; it still holds kernel memory: addresses, counters, code."
                                  : "It holds kernel memory (log, task names, stacks): treat it as "
                                    "confidentially as the dump, or record again with --redact."));
}

void render(TextWriter& out, const VersionInfo& info) {
  out.line(fmt::format("perfcore {}", info.version));
  for (const Component& component : info.components)
    out.line(fmt::format("{} {}", component.name, component.version), 2);
  out.field("page codecs:", fmt::format("{}", fmt::join(info.codecs, " ")), 13, 2);
  out.field("JSON:", fmt::format("{}", fmt::join(info.schemas, " ")), 13, 2);
}

}  // namespace perfcore::cli
