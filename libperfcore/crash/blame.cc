// SPDX-License-Identifier: LGPL-2.1-or-later
#include "crash/blame.h"

#include <algorithm>
#include <array>

#include "crash/kcsan_text.h"
#include "perfcore/report.h"

namespace perfcore {
namespace {

bool listed(std::string_view words, std::string_view word) {
  while (!words.empty()) {
    const size_t end = std::min(words.find(' '), words.size());
    if (words.substr(0, end) == word) return true;
    words.remove_prefix(std::min(end + 1, words.size()));
  }
  return false;
}

bool is_anchor(const FrameRule& rule) {
  return rule.kind == "anchor";
}
bool is_entry(const FrameRule& rule) {
  return rule.kind == "entry";
}

/// The rules by the first character of their pattern: few are looked at for a function.
class RuleIndex {
 public:
  RuleIndex() {
    for (const FrameRule& rule : frame_rules()) {
      if (rule.pattern.front() == '*')
        for (auto& list : by_first_) list.push_back(&rule);
      else
        by_first_[static_cast<unsigned char>(rule.pattern.front())].push_back(&rule);
    }
  }
  template <typename Accept>
  const FrameRule* find(std::string_view function, std::string_view kind, Accept&& accept) const {
    if (function.empty()) return nullptr;
    for (const FrameRule* rule : by_first_[static_cast<unsigned char>(function.front())])
      if (accept(*rule) && applies(*rule, function, kind)) return rule;
    return nullptr;
  }

 private:
  std::array<std::vector<const FrameRule*>, 256> by_first_;
};

const RuleIndex& rules() {
  static const RuleIndex index;
  return index;
}

const FrameRule* anchor(std::string_view function, std::string_view kind) {
  return rules().find(function, kind, is_anchor);
}

/// What the nearest anchor dispatched; empty without an anchor.
std::string dispatched(std::span<const std::string> functions, std::string_view kind) {
  std::string_view callee;
  for (const std::string& function : functions) {
    if (const FrameRule* rule = anchor(function, kind)) {
      if (rule->take == "self") return function;
      if (rule->take != "callee") return std::string(rule->take);
      return callee.empty() ? function : std::string(callee);
    }
    if (!is_passed_over(function, kind)) callee = function;
  }
  return {};
}

}  // namespace

bool applies(const FrameRule& rule, std::string_view function, std::string_view kind) {
  return (rule.only_in.empty() || listed(rule.only_in, kind)) && matches(function, rule.pattern);
}

bool is_passed_over(std::string_view function, std::string_view kind) {
  return rules().find(function, kind, [](const FrameRule& rule) { return !is_anchor(rule); }) != nullptr;
}

std::string blamed_function(std::span<const std::string> functions, std::string_view kind) {
  for (const std::string& function : functions)
    if (const FrameRule* rule = anchor(function, kind); rule && rule->take != "callee")
      return rule->take == "self" ? function : std::string(rule->take);
  for (const std::string& function : functions)
    if (!is_passed_over(function, kind)) return function;
  return {};
}

std::string blamed_for_stall(std::span<const std::string> functions, std::string_view kind) {
  // What the watchdog itself does lies above the entry of its interrupt.
  size_t begin = 0;
  bool detector = false;
  for (size_t i = 0; i < functions.size(); ++i) {
    const FrameRule* rule = rules().find(
        functions[i], kind, [](const FrameRule& r) { return r.kind == "detector" || is_entry(r); });
    if (!rule) continue;
    if (!is_entry(*rule)) {
      detector = true;
    } else if (detector) {
      begin = i + 1;
      break;
    }
  }
  const std::string behind = dispatched(functions.subspan(begin), kind);
  return behind.empty() && begin > 0 ? dispatched(functions, kind) : behind;
}

}  // namespace perfcore
