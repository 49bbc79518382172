// SPDX-License-Identifier: LGPL-2.1-or-later
#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "crash/kcsan_knowledge.h"
#include "crash/kcsan_text.h"
#include "crash/kcsan_traits.h"
#include "perfcore/kcsan.h"

namespace perfcore {
namespace {

/// Calls `visit` for each of the patterns of a table entry.
template <typename Visitor>
void for_each_pattern(std::string_view patterns, Visitor&& visit) {
  while (!patterns.empty()) {
    size_t end = std::min(patterns.find(' '), patterns.size());
    if (end > 0) visit(patterns.substr(0, end));
    patterns.remove_prefix(std::min(end + 1, patterns.size()));
  }
}

bool matches_any(std::string_view text, std::string_view patterns) {
  bool found = false;
  for_each_pattern(patterns, [&](std::string_view pattern) { found = found || matches(text, pattern); });
  return found;
}

/// The functions at the access: those inlined there and the one they are inlined into. Where the stack is
/// missing, the function that the title names.
std::vector<std::string_view> functions_at(const KcsanReport& report, size_t side) {
  std::vector<std::string_view> functions;
  if (side < report.accesses.size())
    for (const KcsanFrame& frame : report.accesses[side].stack) {
      if (!frame.function.empty()) functions.push_back(function_base(frame.function));
      if (!frame.inlined) break;
    }
  if (functions.empty() && side < report.functions.size())
    functions.push_back(function_base(report.functions[side]));
  return functions;
}

bool any_matches(const std::vector<std::string_view>& functions, std::string_view patterns) {
  return std::any_of(functions.begin(), functions.end(),
                     [&](std::string_view function) { return matches_any(function, patterns); });
}

bool cpus_fit(const KcsanReport& report, KcsanField::Cpus wanted) {
  if (wanted == KcsanField::Cpus::kAny) return true;
  if (report.accesses.size() < 2 || !report.accesses[0].cpu || !report.accesses[1].cpu) return false;
  bool same = *report.accesses[0].cpu == *report.accesses[1].cpu;
  return same == (wanted == KcsanField::Cpus::kSame);
}

const KcsanField* find_field(const KcsanReport& report, const KcsanFacts& facts) {
  if (!report.field.empty()) {
    for (const KcsanField& field : kcsan_fields())
      if (matches_any(report.field, field.fields) && cpus_fit(report, field.cpus)) return &field;
    return nullptr;
  }
  std::vector<std::string_view> first = functions_at(report, 0), second = functions_at(report, 1);
  for (const KcsanField& field : kcsan_fields()) {
    bool sizes_fit =
        field.size == 0 || std::all_of(report.accesses.begin(), report.accesses.end(),
                                       [&](const auto& access) { return access.size == field.size; });
    if (!sizes_fit || !cpus_fit(report, field.cpus) || facts.pair.has_any(field.never)) continue;
    if ((any_matches(first, field.one) && any_matches(second, field.other)) ||
        (any_matches(second, field.one) && any_matches(first, field.other)))
      return &field;
  }
  return nullptr;
}

const KcsanIdiom* find_idiom(const KcsanFacts& facts) {
  for (const KcsanIdiom& idiom : kcsan_idioms()) {
    if (facts.sides[0].has_any(idiom.never) || facts.sides[1].has_any(idiom.never)) continue;
    for (size_t side = 0; side < 2; ++side)
      if (facts.sides[side].has_all(idiom.one) && facts.sides[1 - side].has_all(idiom.other)) return &idiom;
  }
  return nullptr;
}

std::string describe(const KcsanAccess& access) {
  std::string text = fmt::format("{}{} of {} byte{}", access.marked ? "marked " : "plain ",
                                 to_string(access.operation), access.size, access.size == 1 ? "" : "s");
  if (std::string_view site = site_function(access); !site.empty()) text += fmt::format(" in {}()", site);
  if (access.interrupt)
    text += " by an interrupt";
  else if (access.pid)
    text += fmt::format(" by task {}", *access.pid);
  if (access.cpu) text += fmt::format(" on CPU {}", *access.cpu);
  return text;
}

/// The facts of this report, for every answer.
std::string describe(const KcsanReport& report) {
  std::string text;
  for (const KcsanAccess& access : report.accesses)
    text += (text.empty() ? " Here: " : "; ") + describe(access);
  if (report.unknown_origin)
    text += "; the other side is not known (device, or code that KCSAN does not see)";
  if (!text.empty()) text += ".";
  if (report.value) {
    int digits = 2;
    if (!report.accesses.empty())
      digits = static_cast<int>(2 * std::clamp<uint64_t>(report.accesses.back().size, 1, 8));
    text += fmt::format(" The value went from 0x{:0{}x} to 0x{:0{}x}.", report.value->before, digits,
                        report.value->after, digits);
  }
  if (report.accesses.size() == 2 && report.accesses[0].marked != report.accesses[1].marked)
    text += fmt::format(" Only the {} is marked.",
                        to_string(report.accesses[report.accesses[0].marked ? 0 : 1].operation));
  for (size_t side = 0; side < report.accesses.size(); ++side) {
    const KcsanAccess& access = report.accesses[side];
    if (!access.locks_listed) continue;
    text +=
        fmt::format(" Locks held by {}: ", access.pid ? fmt::format("task {}", *access.pid) : "that side");
    if (access.locks.empty()) text += "none";
    constexpr size_t kShown = 8;
    for (size_t i = 0; i < std::min(access.locks.size(), kShown); ++i)
      text += (i ? ", " : "") + access.locks[i].substr(0, access.locks[i].find(", at:"));
    if (access.locks.size() > kShown) text += fmt::format(" and {} more", access.locks.size() - kShown);
    text += ".";
  }
  if (!report.complete) text += " The report is not complete.";
  return text;
}

}  // namespace

std::string_view to_string(KcsanLabel label) {
  switch (label) {
    case KcsanLabel::kBenign:
      return "benign";
    case KcsanLabel::kHarmful:
      return "harmful";
    case KcsanLabel::kUnclear:
      return "unclear";
  }
  return "unclear";
}

KcsanVerdict classify(const KcsanReport& report) {
  KcsanFacts facts = gather_facts(report);
  KcsanVerdict verdict;
  auto take = [&](std::string_view rule, const KcsanAnswer& answer) {
    verdict = {answer.label,
               answer.confident,
               std::string(rule),
               std::string(answer.reason) + describe(report),
               std::string(answer.consequence),
               std::string(answer.suggestion)};
  };
  if (const KcsanField* field = facts.pair.has(Trait::kShared) ? nullptr : find_field(report, facts)) {
    take(field->name, field->answer);
    verdict.confident &= field->functions_suffice || !report.field.empty();
  } else if (const KcsanIdiom* idiom = find_idiom(facts)) {
    take(idiom->name, idiom->answer);
  } else {
    take("unknown",
         {KcsanLabel::kUnclear, false, "The text does not say what is accessed, or how.", "Not known.",
          "Get the whole report: both stacks, the value and, with CONFIG_KCSAN_VERBOSE, the locks held."});
  }
  return verdict;
}

std::string kcsan_bucket(const KcsanReport& report) {
  std::vector<std::string> functions;
  for (const std::string& function : report.functions) functions.emplace_back(function_base(function));
  for (size_t side = functions.size(); side < report.accesses.size(); ++side)
    functions.emplace_back(site_function(report.accesses[side]));
  for (std::string& function : functions)
    if (function.empty()) function = "?";
  functions.resize(2, "?");
  std::sort(functions.begin(), functions.end(), [](const std::string& a, const std::string& b) {
    return (a == "?") != (b == "?") ? b == "?" : a < b;
  });
  return fmt::format("stack:{}/{}/{}", functions[0], functions[1], report.field.empty() ? "?" : report.field);
}

}  // namespace perfcore
