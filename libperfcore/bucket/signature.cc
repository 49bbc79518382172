// SPDX-License-Identifier: LGPL-2.1-or-later
#include "perfcore/signature.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nettle/sha2.h>

#include <algorithm>
#include <array>
#include <set>

#include "crash/frame_roles.h"
#include "crash/report_title.h"

namespace perfcore {
namespace {

constexpr std::string_view kUnknown = "?";
/// Between the causes of which one it is.
constexpr std::string_view kOr = "|";
/// The fact that says that the class is not known.
constexpr std::string_view kOpenClass = "class=?";
constexpr size_t kChainFrames = 3;

/// RFC 4648, in lower case; of 80 bits, which makes 16 characters without padding.
std::string base32(std::span<const uint8_t, 10> bytes) {
  constexpr std::string_view kAlphabet = "abcdefghijklmnopqrstuvwxyz234567";
  std::string text;
  uint32_t bits = 0;
  int have = 0;
  for (const uint8_t byte : bytes) {
    bits = bits << 8 | byte;
    for (have += 8; have >= 5; have -= 5) text += kAlphabet[bits >> (have - 5) & 31];
  }
  return text;
}

std::string identifier(std::string_view crash_class, std::string_view cause,
                       const std::vector<std::string>& facts) {
  // What separates the levels cannot be in one of them.
  const std::string key =
      fmt::format("{}\n{}\n{}\n{}", kSignatureSchema, crash_class, cause, fmt::join(facts, "\n"));
  sha256_ctx context;
  sha256_init(&context);
  sha256_update(&context, key.size(), reinterpret_cast<const uint8_t*>(key.data()));
  std::array<uint8_t, SHA256_DIGEST_SIZE> digest;
  sha256_digest(&context, digest.size(), digest.data());
  return "pc1-" + base32(std::span(digest).first<10>());
}

void finish(Signature* signature) {
  std::sort(signature->facts.begin(), signature->facts.end());
  for (const std::string& fact : signature->facts) signature->partial |= fact.ends_with("=?");
  signature->id = identifier(signature->crash_class, signature->cause, signature->facts);
  if (signature->partial) signature->id += "~partial";
}

void relate(Signature* signature, std::string_view level, std::string_view crash_class, std::string cause) {
  std::string id = identifier(crash_class, cause, {});
  if (id == signature->id) return;
  for (const RelatedSignature& other : signature->related)
    if (other.id == id) return;
  signature->related.push_back({std::move(id), std::string(level), std::move(cause)});
}

std::string text_of(const Fact& fact) {
  struct Text {
    std::string operator()(bool value) const { return value ? "true" : "false"; }
    std::string operator()(int64_t value) const { return std::to_string(value); }
    std::string operator()(const std::string& value) const { return value; }
    std::string operator()(const std::vector<int>& value) const {
      return fmt::format("{}", fmt::join(value, "+"));
    }
    std::string operator()(const std::vector<std::string>& value) const {
      return fmt::format("{}", fmt::join(value, "+"));
    }
    std::string operator()(const std::map<std::string, std::vector<int>>& value) const {
      std::vector<std::string> names;
      for (const auto& entry : value) names.push_back(entry.first);
      return fmt::format("{}", fmt::join(names, "+"));
    }
  };
  return std::visit(Text(), fact);
}

/// The value of a fact; "?" when the finding has none, or one that says that it is not known.
std::string value_of(const Finding& finding, const std::string& name) {
  const auto found = finding.facts.find(name);
  if (found == finding.facts.end()) return std::string(kUnknown);
  std::string value = text_of(found->second);
  return value.empty() || value == "unknown" || value == "undecided" || value == "unreadable"
             ? std::string(kUnknown)
             : value;
}

const RuleInfo* rule_of(const Finding& finding, std::span<const RuleInfo> rules) {
  const auto found =
      std::find_if(rules.begin(), rules.end(), [&](const RuleInfo& rule) { return rule.id == finding.rule; });
  return found == rules.end() ? nullptr : &*found;
}

bool is_positive(const Finding& finding) {
  return finding.verdict == Verdict::kProven || finding.verdict == Verdict::kLikely;
}

/// The finding that is the cause: of the crash, or of the state of a kernel that did not crash.
const Finding* leading(const CrashState& crash, std::span<const Finding> findings) {
  for (const Finding& finding : findings)
    if (is_positive(finding) && (finding.cause_of_crash || crash.crash_class == "none")) return &finding;
  return nullptr;
}

/// Where not all of the crash could be read: what else may have been its cause. A defect that has struck in
/// this kernel, or may have, of which it cannot be told whether it struck here.
std::vector<const Finding*> open_causes(const CrashState& crash, std::span<const Finding> findings) {
  const bool crash_is_known = crash.crash_class == "none" || (crash.stack.complete() && crash.unread.empty());
  std::vector<const Finding*> open;
  for (const Finding& finding : findings) {
    const bool undetermined =
        finding.verdict == Verdict::kUndetermined ||
        (finding.verdict == Verdict::kPossible &&
         std::any_of(finding.evidence.begin(), finding.evidence.end(), [](const Evidence& evidence) {
           return evidence.result == EvidenceResult::kUndetermined;
         }));
    const Stage least = undetermined && crash.crash_class == "none" ? Stage::kLatent : Stage::kFired;
    if (finding.stage >= least && (undetermined || (is_positive(finding) && !crash_is_known)))
      open.push_back(&finding);
  }
  // What next to nothing speaks for is no alternative to what much does.
  int best = 0;
  for (const Finding* finding : open) best = std::max(best, finding->score);
  std::erase_if(open, [&](const Finding* finding) { return finding->score < best / 2; });
  return open;
}

std::vector<std::string> chain_of(const ConsoleReport& report) {
  std::vector<std::string> names;
  for (const ConsoleFrame& frame : report.frames) {
    if (names.size() == kChainFrames) break;
    names.push_back(normalised_function(frame.function));
  }
  return names;
}

/// From the frame that crashed outwards; what panic() and the exception entry put on top is no part of it.
std::vector<std::string> chain_of(const CrashState& crash) {
  std::vector<std::string> names;
  const std::string guilty = normalised_function(crash.function);
  const auto& frames = crash.stack.frames;
  size_t from = frames.size();
  for (size_t i = 0; i < frames.size() && from == frames.size(); i++)
    if (!guilty.empty() && frames[i].reliable && normalised_function(frames[i].function) == guilty) from = i;
  for (size_t i = from; i < frames.size() && names.size() < kChainFrames; i++)
    if (frames[i].reliable && !frames[i].function.empty())
      names.push_back(normalised_function(frames[i].function));
  return names;
}

/// Functions of the x86 PMU driver that are one as far as a wild pointer in them is concerned: which of them
/// has it is a matter of the vendor and of what the compiler inlined.
struct Family {
  std::string_view name;  ///< that stands for all: the one all vendors share
  std::vector<std::string_view> members;
};
const std::vector<Family>& families() {
  static const std::vector<Family> kFamilies = {
      // x86_pmu_enable_all() and its vendors' forms call x86_pmu.enable() or inline __x86_pmu_enable_event().
      {"x86_pmu_enable_event",
       {"x86_pmu_enable_event", "x86_pmu_enable_all", "amd_pmu_enable_event", "amd_pmu_enable_all",
        "amd_pmu_v2_enable_event", "amd_pmu_v2_enable_all", "core_pmu_enable_event", "core_pmu_enable_all",
        "intel_pmu_enable_event", "intel_pmu_enable_all", "__intel_pmu_enable_all", "p4_pmu_enable_event",
        "p4_pmu_enable_all", "knc_pmu_enable_event", "zhaoxin_pmu_enable_event"}},
  };
  return kFamilies;
}

bool is_bad_access(std::string_view crash_class) {
  return crash_class == "null-deref" || crash_class == "gpf" || crash_class == "page-fault";
}

/// The function that stands for the guilty one in the key.
std::string key_function(std::string_view crash_class, const std::string& function) {
  if (is_bad_access(crash_class))
    for (const Family& family : families())
      if (std::find(family.members.begin(), family.members.end(), function) != family.members.end())
        return std::string(family.name);
  return function;
}

/// A general protection fault of which KASAN says that it was a NULL pointer: without KASAN the same bug is a
/// page fault at the address itself.
std::string key_class(const ConsoleReport& report) {
  if (report.kind != "gpf") return report.kind;
  const bool null_pointer =
      std::any_of(report.lines.begin(), report.lines.end(), [](const std::string& line) {
        return line.find("KASAN: null-ptr-deref in range") != line.npos ||
               line.find("could be caused by NULL-ptr deref") != line.npos;
      });
  return null_pointer ? "null-deref" : report.kind;
}

/// A panic of which the log or what leads to it could not all be read: what it was is not known.
bool is_class_open(const CrashState& crash) {
  return crash.crash_class == "panic" &&
         (crash.basis.find("log") == crash.basis.npos || !crash.unread.empty());
}

/// The cause by a rule, with its variant.
std::string rule_cause(const RuleInfo& rule, const Finding& finding) {
  const std::string variant = rule.signature.variant.empty() ? "" : value_of(finding, rule.signature.variant);
  return variant.empty() ? rule.id : fmt::format("{}/{}", rule.id, variant);
}

/// As dumps name it: a title has "read" for ksys_read() and __do_sys_read().
std::string guilty_function(const ConsoleReport& report) {
  for (const ConsoleFrame& frame : report.frames)
    if (title_function(frame.function) == report.function) return normalised_function(frame.function);
  return report.function;
}

std::string stack_cause(std::string_view function, std::string_view title) {
  return function.empty() ? fmt::format("title:{}", title) : fmt::format("stack:{}", function);
}

/// The report that tells of the crash: the last one of its class, else the one that the kernel panicked with.
const ConsoleReport* report_of(const CrashState& crash, std::span<const ConsoleReport> reports) {
  for (size_t i = reports.size(); i-- > 0;)
    if (reports[i].kind == crash.crash_class) return &reports[i];
  for (size_t i = reports.size(); i-- > 0;)
    if (reports[i].panicked) return &reports[i];
  return nullptr;
}

void add_chain(Signature* signature, const std::vector<std::string>& chain) {
  if (chain.empty()) return;
  signature->facets["frames"] = fmt::format("{}", fmt::join(chain, " <- "));
  if (chain.size() == kChainFrames)
    relate(signature, "frames", signature->crash_class, fmt::format("frames:{}", fmt::join(chain, ",")));
}

}  // namespace

Signature sign(const ConsoleReport& report) {
  Signature signature;
  signature.crash_class = key_class(report);
  signature.title = report.title;
  const std::string guilty = guilty_function(report);
  const std::string function = key_function(signature.crash_class, guilty);
  signature.cause = stack_cause(function, report.title);
  signature.partial = !report.corrupted.empty();
  finish(&signature);
  const std::vector<std::string> chain = chain_of(report);
  add_chain(&signature, chain);
  if (!report.frames.empty() && !report.frames.front().module.empty())
    signature.facets["module"] = report.frames.front().module;
  signature.why.push_back(
      fmt::format("class {}: \"{}\"{}", signature.crash_class, report.headline,
                  signature.crash_class == report.kind ? "" : ", a NULL pointer by KASAN"));
  signature.why.push_back(report.function.empty()
                              ? "no function to blame: the title is the cause"
                              : fmt::format("cause {}: the function to blame by the trace{}", signature.cause,
                                            chain.empty() ? "" : " (" + signature.facets["frames"] + ")"));
  if (function != guilty)
    signature.why.push_back(
        fmt::format("{}() counts as {}(): which of them it hits depends on the vendor and on inlining",
                    guilty, function));
  if (signature.partial) signature.why.push_back("partial: " + report.corrupted);
  signature.why.push_back(
      "Another class or another guilty function makes another bucket; callers, offsets, CPU, task, "
      "module versions and addresses do not.");
  return signature;
}

Signature sign(const CrashState& crash, std::span<const Finding> findings, std::span<const RuleInfo> rules,
               std::span<const ConsoleReport> reports, std::string_view vendor) {
  Signature signature;
  signature.crash_class = crash.crash_class;
  const ConsoleReport* report = report_of(crash, reports);
  // The kernel's own report was made while everything could be read.
  const bool by_report = report && report->kind == crash.crash_class && !report->function.empty() &&
                         report->corrupted.empty() && is_messenger(crash.function);
  const std::string function =
      key_function(crash.crash_class, by_report ? report->function : normalised_function(crash.function));
  const Finding* finding = leading(crash, findings);
  const RuleInfo* rule = finding ? rule_of(*finding, rules) : nullptr;
  const auto open = rule ? std::vector<const Finding*>() : open_causes(crash, findings);
  signature.why.push_back(fmt::format("class {}{}", crash.crash_class,
                                      crash.basis.empty() ? "" : fmt::format(", by {}", crash.basis)));
  const std::string fallback_title = report ? report->title : crash.reason;
  if (rule) {
    const RuleSignature& key = rule->signature;
    signature.cause = rule_cause(*rule, *finding);
    signature.partial = signature.cause.ends_with(kUnknown);
    signature.title = rule->title;
    for (const std::string& name : key.facts)
      signature.facts.push_back(name + "=" + value_of(*finding, name));
    for (const std::string& name : key.facets) signature.facets[name] = value_of(*finding, name);
    signature.why.push_back(fmt::format("cause {}: the finding is {}{}", signature.cause,
                                        to_string(finding->verdict),
                                        finding->cause_of_crash ? " and explains the crash" : ""));
    if (!key.facts.empty())
      signature.why.push_back(
          fmt::format("facts of this rule in the key: {}", fmt::join(signature.facts, ", ")));
  } else if (crash.crash_class == "none" || !function.empty() || !fallback_title.empty()) {
    signature.cause = crash.crash_class == "none" ? "none" : stack_cause(function, fallback_title);
    signature.title = crash.crash_class == "none"                                   ? "no crash"
                      : !function.empty() && report && report->function == function ? report->title
                      : function.empty()                                            ? fallback_title
                                         : fmt::format("{} in {}", crash.crash_class, function);
    signature.why.push_back(
        crash.crash_class == "none" ? "nothing crashed, and no rule found a defect at work"
        : function.empty()          ? "no function to blame: the title is the cause"
                           : fmt::format("cause {}: no rule explains the crash; the function to blame is "
                                         "where it hit{}",
                                         signature.cause, by_report ? ", by the log" : ""));
    std::vector<std::string> causes;
    for (const Finding* other : open) {
      const RuleInfo* candidate = rule_of(*other, rules);
      if (!candidate) continue;
      causes.push_back(rule_cause(*candidate, *other));
      signature.why.push_back(
          fmt::format("partial: {} may be the cause, which could not all be read", causes.back()));
    }
    if (!causes.empty()) {
      signature.partial = true;
      causes.push_back(signature.cause);
      signature.cause = fmt::format("{}", fmt::join(causes, kOr));
    }
  } else {
    signature.cause = stack_cause(kUnknown, {});
    signature.title = fmt::format("{} at an unknown place", crash.crash_class);
    signature.partial = true;
    signature.why.push_back("partial: neither a rule nor the stack nor the log says who is to blame");
  }
  if (is_class_open(crash)) {
    signature.facts.push_back(std::string(kOpenClass));
    signature.why.push_back("partial: without the log the class of the crash is not known");
  }
  finish(&signature);
  if (rule && !signature.facts.empty()) relate(&signature, "rule", signature.crash_class, signature.cause);
  if (crash.crash_class != "none" && !function.empty())
    relate(&signature, "function", crash.crash_class, stack_cause(function, {}));
  // A defect that may have struck here: the bucket that it would be in.
  for (const Finding* other : open)
    if (const RuleInfo* candidate = rule_of(*other, rules))
      relate(&signature, "rule", signature.crash_class, candidate->id);
  add_chain(&signature, chain_of(crash));
  if (report) {
    const Signature by_text = sign(*report);
    relate(&signature, "log", by_text.crash_class, by_text.cause);
  }
  if (!vendor.empty()) signature.facets["vendor"] = vendor;
  for (const Finding& other : findings)
    if (&other != finding && is_positive(other) && other.stage >= Stage::kArmed) {
      std::string& also = signature.facets["also"];
      also += (also.empty() ? "" : ", ") + other.rule;
    }
  signature.why.push_back(
      rule ? "Another class, rule, variant or fact makes another bucket; the stack, CPU, counter, "
             "task, vendor and addresses do not."
           : "Another class or another guilty function makes another bucket; callers, offsets, CPU, "
             "task and addresses do not.");
  return signature;
}

void relate_to_rule(Signature* signature, const std::string& rule) {
  relate(signature, "rule", signature->crash_class, rule);
}

void identify(Signature* signature) {
  signature->schema = kSignatureSchema;
  finish(signature);
}

bool compatible(const Signature& partial, const Signature& complete) {
  std::vector<std::string> facts = partial.facts;
  const bool any_class = std::erase(facts, kOpenClass) > 0;
  if (partial.schema != complete.schema || (!any_class && partial.crash_class != complete.crash_class))
    return false;
  const auto same = [](std::string_view known, std::string_view other) {
    if (known == other) return true;
    return known.ends_with(kUnknown) && other.starts_with(known.substr(0, known.size() - 1));
  };
  const std::string_view causes = partial.cause;
  if (causes.find(kOr) == causes.npos)
    return same(causes, complete.cause) &&
           std::equal(facts.begin(), facts.end(), complete.facts.begin(), complete.facts.end(), same);
  // Of several causes the facts are not known.
  for (size_t begin = 0; begin <= causes.size();) {
    const size_t end = std::min(causes.find(kOr, begin), causes.size());
    if (same(causes.substr(begin, end - begin), complete.cause)) return true;
    begin = end + kOr.size();
  }
  return false;
}

}  // namespace perfcore
