// SPDX-License-Identifier: LGPL-2.1-or-later
#include "perfcore/compat.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <utility>

#include "kernel/recorder.h"

namespace perfcore {
namespace {

using Kind = NameNeed::Kind;

/// Names that one thing has had, newest first.
struct Renamed {
  Kind kind;
  std::vector<std::string_view> names;
};

const std::vector<Renamed>& renamed() {
  static const std::vector<Renamed> kRenamed = {
      {Kind::kSymbol, {"current_task", "pcpu_hot"}},    // pcpu_hot: 6.2 - 6.14
      {Kind::kSymbol, {"timekeeper_data", "tk_core"}},  // 6.17
      {Kind::kSymbol, {"x86_user_regs", "ext_regs_buf"}},
      {Kind::kMember, {"struct x86_pmu.cntr_mask64", "struct x86_pmu.num_counters"}},  // 6.11
      {Kind::kMember, {"struct x86_pmu.fixed_cntr_mask64", "struct x86_pmu.num_counters_fixed"}},
      {Kind::kMember, {"struct module.mem", "struct module.core_layout"}},          // 6.4
      {Kind::kMember, {"struct task_struct.__state", "struct task_struct.state"}},  // 5.14
      {Kind::kMember, {"struct cpu_hw_events.pebs_vaddr", "struct cpu_hw_events.ds_pebs_vaddr"}},
  };
  return kRenamed;
}

std::string type_name(TypeKind kind, const std::string& name) {
  switch (kind) {
    case TypeKind::kStruct:
      return "struct " + name;
    case TypeKind::kUnion:
      return "union " + name;
    case TypeKind::kEnum:
      return "enum " + name;
    default:
      return name;
  }
}

/// What was asked, and whether the kernel has it.
std::map<std::pair<Kind, std::string>, bool> asked(const Recorder& recorder) {
  std::map<std::pair<Kind, std::string>, bool> names;
  for (const auto& [type, found] : recorder.types->asked_types())
    names[{Kind::kType, type_name(type.first, type.second)}] |= found;
  for (const auto& [member, found] : recorder.types->asked_members())
    names[{Kind::kMember, member.first + "." + member.second}] |= found;
  for (const auto& [name, symbol] : recorder.symbols->answers().by_name)
    names[{Kind::kSymbol, name}] |= symbol.has_value();
  for (const auto& [name, symbols] : recorder.symbols->answers().all_by_name)
    names[{Kind::kSymbol, name}] |= !symbols.empty();
  return names;
}

std::vector<NameNeed> needs_of(const Recorder& recorder) {
  auto names = asked(recorder);
  std::vector<NameNeed> needs;
  for (const Renamed& thing : renamed()) {
    NameNeed need{thing.kind, "", ""};
    for (const std::string_view name : thing.names) {
      const auto it = names.find({thing.kind, std::string(name)});
      if (it == names.end()) continue;
      if (need.name.empty()) need.name = thing.names.front();
      if (it->second && need.found_as.empty()) need.found_as = name;
      names.erase(it);
    }
    if (!need.name.empty()) needs.push_back(std::move(need));
  }
  for (const auto& [name, found] : names)
    needs.push_back({name.first, name.second, found ? name.second : ""});
  std::sort(needs.begin(), needs.end(), [](const NameNeed& a, const NameNeed& b) {
    return std::pair(a.kind, a.name) < std::pair(b.kind, b.name);
  });
  return needs;
}

}  // namespace

std::string_view to_string(NameNeed::Kind kind) {
  switch (kind) {
    case Kind::kType:
      return "type";
    case Kind::kMember:
      return "member";
    case Kind::kSymbol:
      return "symbol";
  }
  return "";
}

std::vector<RuleCompatibility> compatibility_of(const std::function<std::unique_ptr<Kernel>()>& open,
                                                std::span<const RuleInfo> rules) {
  std::vector<RuleCompatibility> answers;
  for (const RuleInfo& rule : rules) {
    const std::unique_ptr<Kernel> kernel = open();
    Diagnosis diagnosis(*kernel);
    const std::vector<Finding> findings = run_rules(diagnosis, {&rule, 1});
    RuleCompatibility& answer = answers.emplace_back();
    answer.rule = rule.id;
    if (findings.front().summary.starts_with("not run: "))
      answer.not_run = findings.front().summary.substr(9);
    if (const Recorder* recorder = kernel->recorder()) answer.needs = needs_of(*recorder);
  }
  return answers;
}

}  // namespace perfcore
