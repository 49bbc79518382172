// SPDX-License-Identifier: LGPL-2.1-or-later
#include "analyzers/catalogue.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "analyzers/catalogue_files.h"

namespace perfcore {
namespace {

bool fits(std::string_view pattern, std::string_view function) {
  function = without_compiler_suffix(function);
  if (pattern.ends_with('*')) return function.starts_with(pattern.substr(0, pattern.size() - 1));
  return function == pattern;
}

bool fits_any(const std::vector<std::string>& patterns, std::string_view function) {
  return std::any_of(patterns.begin(), patterns.end(),
                     [&](const std::string& pattern) { return fits(pattern, function); });
}

/// A frame of the stack that is no guess and fits; nullptr without one.
const Frame* frame_of(const Stack& stack, const std::string& pattern) {
  for (const Frame& frame : stack.frames)
    if (frame.reliable && !frame.function.empty() && fits(pattern, frame.function)) return &frame;
  return nullptr;
}

const LogRecord* record_with(const KernelLog& log, const std::vector<std::string>& needles) {
  for (const LogRecord& record : log.records)
    for (const std::string& needle : needles)
      if (record.text.find(needle) != std::string::npos) return &record;
  return nullptr;
}

std::string first_line(std::string_view text) {
  constexpr size_t kMaxLine = 160;
  return std::string(text.substr(0, std::min(text.find('\n'), kMaxLine)));
}

void replace_all(std::string* text, std::string_view what, std::string_view with) {
  for (size_t at = text->find(what); at != std::string::npos; at = text->find(what, at + with.size()))
    text->replace(at, what.size(), with);
}

std::string with_cpu(Diagnosis& d, const std::string& expression, int cpu) {
  std::string text = expression;
  replace_all(&text, "{cpu}", std::to_string(cpu));
  if (text.find("{task}") != std::string::npos)
    replace_all(&text, "{task}", "(" + d.kernel().current_task(cpu).expression() + ")");
  return text;
}

/// Holds when one of the readings does; unread when none does and one is unread.
class AnyOf {
 public:
  void add(const Reading<bool>& one) {
    if (!one.has_value())
      unread_ = unread_ ? unread_ : std::optional(one.unread());
    else
      holds_ |= *one;
  }
  void add(const Unread& unread) { add(Reading<bool>(unread)); }
  bool holds() const { return holds_; }
  Reading<bool> result() const {
    if (!holds_ && unread_) return *unread_;
    return holds_;
  }

 private:
  bool holds_ = false;
  std::optional<Unread> unread_;
};

/// \param expression  set to the one that holds, with its numbers filled in
Reading<bool> holds(Diagnosis& d, const StateCheck& check, std::string* expression) {
  AnyOf any;
  const auto test = [&](std::string text) {
    const Reading<bool> one = evaluate(d.kernel(), text).truth();
    any.add(one);
    if (one.is(true)) *expression = std::move(text);
    return any.holds();
  };
  switch (check.over) {
    case StateCheck::Over::kKernel:
      test(check.expression);
      break;
    case StateCheck::Over::kCrashedCpu:
      if (!d.crash().cpu)
        return Unread{UnreadReason::kNotInDump, 0, check.expression, "the CPU that crashed is not known"};
      test(with_cpu(d, check.expression, *d.crash().cpu));
      break;
    case StateCheck::Over::kAnyCpu: {
      const Reading<std::vector<int>>& cpus = d.pmu().cpus();
      if (!cpus.has_value()) return cpus.unread();
      for (const int cpu : *cpus)
        if (test(with_cpu(d, check.expression, cpu))) break;
      break;
    }
    case StateCheck::Over::kAnyEvent:
      for (const EventOrigin& origin : d.events().events) {
        std::string text = check.expression;
        replace_all(&text, "{event}", fmt::format("((struct perf_event *){:#x})", origin.address));
        if (test(std::move(text))) break;
      }
      for (const Unread& unread : d.events().incomplete) any.add(unread);
      break;
  }
  return any.result();
}

/// Does this look like the crash? nullopt: no. Prepared with what matched.
std::optional<KnownCause> match(Diagnosis& d, const CatalogueEntry& entry) {
  KnownCause cause;
  cause.entry = &entry;
  std::optional<Unread> open;
  bool symptom = false, by_state = false;
  for (const CrashSignature& signature : entry.match) {
    std::string why;
    const Reading<bool> matched = matches(signature, d.crash(), d.log(), &why);
    if (matched.is(false)) continue;
    symptom = true;
    by_state = !signature.names_code();
    cause.why = why;
    open = matched.has_value() ? std::nullopt : std::optional(matched.unread());
    if (matched.has_value()) break;
  }
  if (!symptom) return std::nullopt;
  std::string unchecked = open ? open->message() : "";
  const auto not_checked = [&](const std::string& what) {
    unchecked += (unchecked.empty() ? "" : "; ") + what;
  };

  // Reading facts about the machine and walking memory cost time: only now that the symptom fits.
  if (!entry.vendor.empty()) {
    const std::string& vendor = d.system().cpu_vendor;
    if (!vendor.empty() && vendor != entry.vendor) return std::nullopt;
    if (vendor.empty()) not_checked(fmt::format("that the CPU is {}: its vendor is not known", entry.vendor));
  }
  if (!entry.affected.empty()) {
    const auto release = upstream_release(d.kernel().release(), d.system().version);
    if (release && !in_any(*release, entry.affected)) return std::nullopt;
    cause.why += release
                     ? fmt::format("; {} may have the defect (from the version only)", release->to_string())
                     : "; the kernel's number is a vendor's, so that affected releases say nothing";
  }
  bool undetermined = open.has_value();
  for (const StateCheck& check : entry.checks) {
    std::string expression;
    const Reading<bool> result = holds(d, check, &expression);
    if (result.is(true)) {
      cause.supported = true;
      cause.why += fmt::format("; memory supports it: {} ({})", check.claim, expression);
    } else if (!result.has_value()) {
      undetermined |= check.required;
      not_checked(fmt::format("that {} ({})", check.claim, result.unread().message()));
    } else if (check.required) {
      return std::nullopt;
    }
  }
  if (undetermined && by_state) return std::nullopt;
  if (!unchecked.empty()) cause.why += ". Not checked: " + unchecked;
  cause.verdict = undetermined ? Verdict::kUndetermined : Verdict::kPossible;
  return cause;
}

}  // namespace

Reading<bool> matches(const CrashSignature& signature, const CrashState& crash, const KernelLog& log,
                      std::string* why) {
  const auto& classes = signature.classes;
  if (std::find(classes.begin(), classes.end(), crash.crash_class) == classes.end()) return false;
  // The class alone says nothing: what is not known of the rest makes this undetermined only when a part of
  // the code that crashed is the entry's.
  bool code = !signature.names_code();
  std::optional<Unread> open;
  std::vector<std::string> said = {fmt::format("the crash is of class {}", crash.crash_class)};
  if (!signature.functions.empty()) {
    if (crash.function.empty())
      open = Unread{UnreadReason::kNotInDump, 0, "the function that crashed", "not known"};
    else if (!fits_any(signature.functions, crash.function))
      return false;
    else
      code = true;
    if (code) said.push_back(fmt::format("in {}()", crash.function));
  }
  std::vector<std::string> seen;
  const auto on_stack = [&](const std::vector<std::string>& patterns, bool all) {
    size_t found = 0;
    for (const std::string& pattern : patterns) {
      const Frame* frame = frame_of(crash.stack, pattern);
      if (frame == nullptr) continue;
      found++;
      seen.push_back(fmt::format("{}()", frame->function));
      if (!all) break;
    }
    if (found == patterns.size() || (!all && found > 0)) {
      code |= !patterns.empty();
      return true;
    }
    if (crash.stack.complete()) return false;
    open =
        Unread{UnreadReason::kNotInDump, 0, fmt::format("{}() on the stack", fmt::join(patterns, "() or ")),
               "the stack could not be followed to its end"};
    return true;
  };
  if (!on_stack(signature.stack_all, true) || !on_stack(signature.stack_any, false)) return false;
  if (!seen.empty()) said.push_back(fmt::format("with {} on its stack", fmt::join(seen, ", ")));
  if (!signature.log_any.empty()) {
    if (const LogRecord* record = record_with(log, signature.log_any))
      said.push_back(fmt::format("and the log says \"{}\"", first_line(record->text)));
    else if (log.incomplete)
      open = *log.incomplete;
    else
      return false;
  }
  if (!code) return false;
  *why = fmt::format("{}", fmt::join(said, " "));
  if (open) return *open;
  return true;
}

std::vector<KnownCause> known_causes(Diagnosis& diagnosis, std::span<const CatalogueEntry> entries,
                                     std::span<const Finding> findings) {
  const bool explained = std::any_of(findings.begin(), findings.end(), [](const Finding& finding) {
    return finding.cause_of_crash &&
           (finding.verdict == Verdict::kProven || finding.verdict == Verdict::kLikely);
  });
  std::vector<KnownCause> causes;
  for (const CatalogueEntry& entry : entries) {
    auto cause = match(diagnosis, entry);
    if (cause && (cause->supported || !explained)) causes.push_back(std::move(*cause));
  }
  std::stable_sort(causes.begin(), causes.end(), [](const KnownCause& a, const KnownCause& b) {
    const auto key = [](const KnownCause& c) {
      return std::pair(!c.supported, c.verdict != Verdict::kPossible);
    };
    return key(a) < key(b);
  });
  return causes;
}

namespace {

/// What a report says, as signatures ask for it.
struct CrashInText {
  explicit CrashInText(const ConsoleReport& report) {
    crash.crash_class = report.kind;
    crash.function = report.function;
    for (const ConsoleFrame& frame : report.frames) {
      Frame& to = crash.stack.frames.emplace_back();
      to.function = frame.function;
      to.module = frame.module;
    }
    // The kernel prints its stacks to the end.
    crash.stack.method = "orc";
    crash.stack.reached_end = true;
    for (const std::string& line : report.lines) log.records.emplace_back().text = line;
  }

  CrashState crash;
  KernelLog log;
};

}  // namespace

bool matches(const CrashSignature& signature, const ConsoleReport& report, std::string* why) {
  // Most reports are of another class, which is to cost nothing.
  if (std::find(signature.classes.begin(), signature.classes.end(), report.kind) == signature.classes.end())
    return false;
  const CrashInText text(report);
  return matches(signature, text.crash, text.log, why).is(true);
}

std::vector<KnownCause> known_causes(const ConsoleReport& report) {
  const CrashInText text(report);
  std::vector<KnownCause> causes;
  for (const CatalogueEntry& entry : catalogue()) {
    for (const CrashSignature& signature : entry.match) {
      KnownCause cause;
      if (!signature.names_code() || !matches(signature, text.crash, text.log, &cause.why).is(true)) continue;
      cause.entry = &entry;
      const bool by_memory = std::any_of(entry.checks.begin(), entry.checks.end(),
                                         [](const StateCheck& check) { return check.required; });
      cause.verdict = by_memory ? Verdict::kUndetermined : Verdict::kPossible;
      if (by_memory) cause.why += ". Not checked: memory, which text does not hold";
      causes.push_back(std::move(cause));
      break;
    }
  }
  std::stable_sort(causes.begin(), causes.end(), [](const KnownCause& a, const KnownCause& b) {
    return a.verdict == Verdict::kPossible && b.verdict != Verdict::kPossible;
  });
  return causes;
}

std::vector<CatalogueEntry> catalogue_about(std::string_view crash_class) {
  const std::string quoted = fmt::format("\"{}\"", crash_class);
  std::vector<CatalogueEntry> entries;
  for (const CatalogueFile& file : catalogue_files())
    if (file.text.find(quoted) != std::string_view::npos)
      entries.push_back(parse_catalogue_entry(file.name, file.text));
  return entries;
}

std::span<const CatalogueEntry> catalogue() {
  static const std::vector<CatalogueEntry> kEntries = [] {
    std::vector<CatalogueEntry> entries;
    for (const CatalogueFile& file : catalogue_files())
      entries.push_back(parse_catalogue_entry(file.name, file.text));
    std::sort(entries.begin(), entries.end(),
              [](const CatalogueEntry& a, const CatalogueEntry& b) { return a.id < b.id; });
    return entries;
  }();
  return kEntries;
}

RuleKnowledge knowledge_of(const CatalogueEntry& entry) {
  RuleKnowledge knowledge;
  knowledge.summary = entry.summary;
  for (const CrashSignature& signature : entry.match) {
    std::string text = fmt::format("a crash of class {}", fmt::join(signature.classes, " or "));
    const auto add = [&](std::string_view words, const std::vector<std::string>& list,
                         std::string_view between) {
      if (!list.empty()) text += fmt::format("{}{}", words, fmt::join(list, between));
    };
    add(" in ", signature.functions, " or ");
    add(", on the stack ", signature.stack_all, " and ");
    add(signature.stack_all.empty() ? ", on the stack " : " and one of ", signature.stack_any, " or ");
    add(", in the log \"", signature.log_any, "\" or \"");
    if (!signature.log_any.empty()) text += "\"";
    knowledge.symptoms.push_back({std::move(text), entry.certainty, entry.source});
  }
  knowledge.mechanism.push_back({entry.why, entry.certainty, entry.source});
  for (const StateCheck& check : entry.checks)
    knowledge.evidence.push_back({check.description,
                                  check.required ? EvidenceRole::kRequired : EvidenceRole::kSupports, 0,
                                  entry.certainty, entry.source});
  knowledge.kernels = entry.kernels;
  knowledge.commits = entry.references;
  knowledge.remedy = entry.remedy;
  knowledge.limits = {
      "An entry of the catalogue is recognised by its symptom: its verdict is never above possible, and it "
      "does not change the exit code."};
  if (!entry.affected.empty())
    knowledge.limits.push_back(
        "Upstream releases outside of the affected ranges are left out; a vendor's "
        "kernel number says nothing, as fixes are backported.");
  return knowledge;
}

}  // namespace perfcore
