// SPDX-License-Identifier: LGPL-2.1-or-later
#include "kernel/null_events_probe.h"

#include <algorithm>
#include <optional>
#include <vector>

namespace perfcore {
namespace {

using Kind = Value::Kind;
using Nodes = std::vector<bool>;

/// PERF_HES_ARCH of hw.state (include/linux/perf_event.h), as mask and as bit.
constexpr int64_t kArchMask = 4;
constexpr int64_t kArchBit = 2;
constexpr uint8_t kStaticCallSize = 5;

/// Calls that instrumented kernels add everywhere (KASAN, KCSAN, KMSAN, KCOV, UBSAN).
bool is_instrumentation(std::string_view function) {
  for (std::string_view prefix :
       {"__asan_", "__hwasan_", "__tsan_", "__msan_", "__sanitizer_cov_", "__ubsan_", "kasan_", "__kasan_"})
    if (function.starts_with(prefix)) return true;
  return false;
}

/// `if (hwc->state & PERF_HES_ARCH)` in machine code.
struct ArchTest {
  size_t test = 0;
  size_t arch = 0;   // first instruction when the bit is set
  size_t other = 0;  // and when it is not
};

/// One of the two functions, with what the probe looks for marked.
class Probed {
 public:
  Probed(const ProbedFunction& function, const FlowFacts& facts, const NullEventsLayout& layout,
         const std::function<std::string(uint64_t)>& name_of);

  const CodeGraph& graph() const { return graph_; }
  const Instruction& at(size_t i) const { return graph_.code()[i]; }
  size_t size() const { return graph_.code().size(); }

  Nodes stores;       // events[idx] = event
  Nodes event_loads;  // event = event_list[i]
  Nodes active_bits;  // __set_bit(idx, active_mask)
  Nodes set_period;   // calls of x86_pmu.set_period
  Nodes idle_calls;   // 5-byte NOPs with the event as first argument: static calls to nothing
  Nodes other_calls;
  std::vector<ArchTest> arch_tests;
  bool test_not_understood = false;

 private:
  void classify(size_t i, const FlowState& state);
  void find_arch_test(size_t i, const FlowState& state);
  bool is_hw_state(const Value& value) const {
    return value.kind == Kind::kScalar && value.type == layout_.perf_event &&
           value.offset == layout_.hw_state;
  }
  Value place(const Instruction& instruction, const FlowState& state) const;

  const FlowFacts& facts_;
  const NullEventsLayout& layout_;
  const std::function<std::string(uint64_t)>& name_of_;
  CodeGraph graph_;
};

Probed::Probed(const ProbedFunction& function, const FlowFacts& facts, const NullEventsLayout& layout,
               const std::function<std::string(uint64_t)>& name_of)
    : stores(function.code.size()),
      event_loads(function.code.size()),
      active_bits(function.code.size()),
      set_period(function.code.size()),
      idle_calls(function.code.size()),
      other_calls(function.code.size()),
      facts_(facts),
      layout_(layout),
      name_of_(name_of),
      graph_(function.code, function.entry, facts) {
  const ValueFlow flow(graph_, facts);
  flow.for_each([&](size_t i, const FlowState& state) { classify(i, state); });
}

/// The memory operand's address as a pointer into an object, where that is known.
Value Probed::place(const Instruction& instruction, const FlowState& state) const {
  Value address = address_of(instruction, *instruction.memory, state);
  if (address.kind == Kind::kPerCpu) {
    const uint32_t stride = address.stride;
    address = facts_.per_cpu_variable(static_cast<uint64_t>(address.offset));
    address.stride = stride;
  }
  return address.kind == Kind::kPointer ? address : Value{};
}

void Probed::classify(size_t i, const FlowState& state) {
  const Instruction& instruction = at(i);
  if (instruction.memory) {
    const Value to = place(instruction, state);
    const bool in_cpuc = to.known() && to.type == layout_.cpu_hw_events;
    const bool moves_pointer = instruction.mnemonic == "mov" && instruction.memory->size == 8;
    const bool element = to.stride != 0 && to.stride % 8 == 0;
    if (in_cpuc && moves_pointer && instruction.memory->written && element &&
        layout_.events.contains(to.offset) && instruction.source != Reg::kNone) {
      const Value& stored = state[instruction.source];
      const bool event = stored == Value::pointer(layout_.perf_event);
      stores[i] = event || !stored.known();
    }
    if (in_cpuc && moves_pointer && instruction.memory->read && layout_.event_list.contains(to.offset))
      event_loads[i] = true;
    if (in_cpuc && instruction.mnemonic == "bts" && layout_.active_mask.contains(to.offset))
      active_bits[i] = true;
  }
  if (instruction.is_call) {
    const std::string name = instruction.target ? name_of_(*instruction.target) : "";
    if (name.find("set_period") != std::string::npos)
      set_period[i] = true;
    else if (!is_instrumentation(name))
      other_calls[i] = true;
  }
  if (instruction.mnemonic == "nop" && instruction.length == kStaticCallSize)
    idle_calls[i] = state[Reg::kRdi] == Value::pointer(layout_.perf_event);
  find_arch_test(i, state);
}

void Probed::find_arch_test(size_t i, const FlowState& state) {
  const Instruction& test = at(i);
  const bool by_mask = test.mnemonic == "test" || test.mnemonic == "and";
  const bool by_bit = test.mnemonic == "bt";
  if (!(by_mask && test.immediate == kArchMask) && !(by_bit && test.immediate == kArchBit)) return;
  if (test.memory) {
    const Value to = place(test, state);
    const bool same_offset = test.memory->displacement == layout_.hw_state && test.memory->base != Reg::kNone;
    const bool is_state =
        to.known() ? to.type == layout_.perf_event && to.offset == layout_.hw_state : same_offset;
    if (!is_state || test.memory->written) return;
  } else {
    const Reg tested = test.destination != Reg::kNone ? test.destination : test.source;
    if (tested == Reg::kNone || !is_hw_state(state[tested])) return;
  }
  // The branch may stand a few instructions behind, which keep the flags.
  for (size_t j = i + 1; j < size() && graph_.successors(j - 1) == std::vector<size_t>{j}; j++) {
    const Instruction& branch = at(j);
    const bool set = branch.mnemonic == (by_bit ? "jb" : "jne");
    const bool clear = branch.mnemonic == (by_bit ? "jae" : "je");
    if (branch.is_conditional && (set || clear) && graph_.successors(j).size() == 2) {
      const size_t target = graph_.successors(j)[0];
      const size_t next = graph_.successors(j)[1];
      arch_tests.push_back({i, set ? target : next, set ? next : target});
      return;
    }
    const std::string& name = branch.mnemonic;
    if (name != "mov" && name != "lea" && name != "push" && name != "pop" && name != "nop" &&
        name != "movsxd")
      break;
  }
  test_not_understood = true;
}

/// Questions about one pass of the loop around a test: it begins where the next event is loaded, at the test,
/// or outside of the loop.
class Pass {
 public:
  Pass(const Probed& code, const ArchTest& test) : code_(code), loop_(code.size()), tests_(code.size()) {
    std::vector<std::vector<size_t>> before(code.size());
    Nodes exits(code.size());
    for (size_t i = 0; i < code.size(); i++) {
      exits[i] = code.graph().leaves(i);
      for (size_t next : code.graph().successors(i)) before[next].push_back(i);
    }
    const auto leading_to = [&](Nodes nodes) {
      std::vector<size_t> work;
      for (size_t i = 0; i < nodes.size(); i++)
        if (nodes[i]) work.push_back(i);
      while (!work.empty()) {
        const size_t i = work.back();
        work.pop_back();
        for (size_t previous : before[i]) {
          if (nodes[previous]) continue;
          nodes[previous] = true;
          work.push_back(previous);
        }
      }
      return nodes;
    };
    Nodes target(code.size());
    target[test.test] = true;
    const Nodes leads = leading_to(target);
    const Nodes after = code.graph().reachable({test.test}, Nodes(code.size()));
    for (size_t i = 0; i < code.size(); i++) loop_[i] = after[i] && leads[i];
    traps_ = leading_to(exits);
    traps_.flip();
    for (const ArchTest& other : code.arch_tests) tests_[other.test] = true;
  }

  bool in_loop(size_t i) const { return loop_[i]; }
  bool ends_at(size_t i) const { return !loop_[i] || code_.event_loads[i] || tests_[i]; }

  /// The first of `wanted` that can run from `from` on (included) in this pass.
  std::optional<size_t> meets(size_t from, const Nodes& wanted) const {
    const Nodes reached = walk({from}, Nodes(code_.size()));
    for (size_t i = 0; i < code_.size(); i++)
      if (reached[i] && !ends_at(i) && wanted[i]) return i;
    return std::nullopt;
  }
  /// True if this pass can end without any of `wanted` from `from` on. A trap is no end: it never comes back.
  bool avoids(size_t from, const Nodes& wanted) const {
    const Nodes reached = walk({from}, wanted);
    for (size_t i = 0; i < code_.size(); i++)
      if (reached[i] && !traps_[i] && (ends_at(i) || (code_.graph().leaves(i) && !wanted[i]))) return true;
    return false;
  }
  /// True if the test can be reached from where an event is loaded without passing any of `wanted`.
  bool test_reached_without(size_t test, const Nodes& wanted) const {
    for (size_t i = 0; i < code_.size(); i++) {
      if (!loop_[i] || !code_.event_loads[i]) continue;
      for (size_t next : code_.graph().successors(i))
        if (walk({next}, wanted)[test]) return true;
    }
    return false;
  }

 private:
  /// What can run from `from` on (included) until the pass ends or one of `stop` is met.
  Nodes walk(std::vector<size_t> from, const Nodes& stop) const {
    Nodes reached(code_.size());
    for (size_t i : from) reached[i] = true;
    while (!from.empty()) {
      const size_t i = from.back();
      from.pop_back();
      if (ends_at(i) || stop[i]) continue;
      for (size_t next : code_.graph().successors(i)) {
        if (reached[next]) continue;
        reached[next] = true;
        from.push_back(next);
      }
    }
    return reached;
  }

  const Probed& code_;
  Nodes loop_, tests_;
  Nodes traps_;  // where control can only die
};

NullEventsVerdict undecided(std::string reason) {
  return {NullEventsCode::kUndecided, 0, std::move(reason)};
}

bool any(const Nodes& nodes) {
  return std::find(nodes.begin(), nodes.end(), true) != nodes.end();
}

NullEventsVerdict decide(const Probed& code, const ArchTest& test) {
  const Pass pass(code, test);
  if (!pass.in_loop(test.test))
    return undecided("the test of PERF_HES_ARCH in x86_pmu_enable() is in no loop");
  bool loads = false;
  for (size_t i = 0; i < code.size(); i++) loads = loads || (pass.in_loop(i) && code.event_loads[i]);
  if (!loads)
    return undecided("no load of event_list[] in the loop of x86_pmu_enable() that tests PERF_HES_ARCH");

  const auto on_arch = pass.meets(test.arch, code.stores);
  const auto on_other = pass.meets(test.other, code.stores);
  const bool before_test = !pass.test_reached_without(test.test, code.stores);
  if (on_arch) return undecided("events[] is stored where PERF_HES_ARCH is set, which no known release does");
  if (on_other) {
    if (before_test || pass.avoids(test.other, code.stores))
      return undecided("events[] is stored on some of the paths behind the test of PERF_HES_ARCH only");
    return {
        NullEventsCode::kG1, code.at(test.test).address,
        "x86_pmu_enable() stores events[idx] only after this test found PERF_HES_ARCH clear, and "
        "x86_pmu_start() does not store it: a stopped event that moves leaves its slot NULL (7e772a93eb61)"};
  }
  if (!before_test)
    return undecided(
        "the test of PERF_HES_ARCH in x86_pmu_enable() can be reached without a store to events[]");

  // Stored before the test. Is a stopped event that moved programmed?
  Nodes programs = code.set_period;
  for (size_t i = 0; i < code.size(); i++) {
    if (!code.idle_calls[i]) continue;
    Nodes one(code.size());
    one[i] = true;
    programs[i] = pass.meets(test.arch, one).has_value() && !pass.meets(test.other, one).has_value();
  }
  const auto call = pass.meets(test.arch, programs);
  if (pass.meets(test.arch, code.other_calls))
    return undecided(
        "where PERF_HES_ARCH is set x86_pmu_enable() calls a function that no known release calls");
  if (!call) {
    const auto store = std::find(code.stores.begin(), code.stores.end(), true) - code.stores.begin();
    return {
        NullEventsCode::kG2, code.at(static_cast<size_t>(store)).address,
        "x86_pmu_enable() stores events[idx] before it tests PERF_HES_ARCH (8d5fae601126); a stopped event "
        "that moves is not programmed"};
  }
  if (pass.avoids(test.arch, programs))
    return undecided("where PERF_HES_ARCH is set x86_pmu_enable() programs the counter on some paths only");
  return {NullEventsCode::kG3, code.at(*call).address,
          "x86_pmu_enable() stores events[idx] before it tests PERF_HES_ARCH (8d5fae601126) and programs a "
          "stopped event that moves (f1cac6ac62d2)"};
}

}  // namespace

NullEventsVerdict probe_null_events_code(const ProbedFunction& start, const ProbedFunction& enable,
                                         const FlowFacts& facts, const NullEventsLayout& layout,
                                         const std::function<std::string(uint64_t)>& name_of) {
  const Probed starter(start, facts, layout, name_of);
  if (!starter.graph().complete()) return undecided("x86_pmu_start() has jumps whose targets are not known");
  if (!any(starter.active_bits)) return undecided("x86_pmu_start() sets no bit of active_mask");
  if (any(starter.stores)) {
    Nodes reached = starter.graph().reachable({starter.graph().entry()}, starter.stores);
    for (size_t i = 0; i < starter.size(); i++)
      if (starter.active_bits[i] && reached[i])
        return undecided("x86_pmu_start() can set a bit of active_mask without a store to events[]");
    const auto store = std::find(starter.stores.begin(), starter.stores.end(), true) - starter.stores.begin();
    return {
        NullEventsCode::kG0, starter.at(static_cast<size_t>(store)).address,
        "x86_pmu_start() itself stores events[idx] before it sets the counter active (before 7e772a93eb61)"};
  }

  const Probed code(enable, facts, layout, name_of);
  if (!code.graph().complete()) return undecided("x86_pmu_enable() has jumps whose targets are not known");
  if (code.test_not_understood)
    return undecided("x86_pmu_enable() tests PERF_HES_ARCH in a way that is not understood");
  if (code.arch_tests.empty()) return undecided("no test of PERF_HES_ARCH was found in x86_pmu_enable()");
  if (!any(code.stores))
    return undecided("neither x86_pmu_start() nor x86_pmu_enable() was found to store to events[]");
  // Compilers may copy the test; all copies must tell the same.
  NullEventsVerdict verdict = decide(code, code.arch_tests.front());
  for (const ArchTest& test : code.arch_tests) {
    const NullEventsVerdict other = decide(code, test);
    if (other.code != verdict.code)
      return undecided("two tests of PERF_HES_ARCH in x86_pmu_enable() contradict");
  }
  return verdict;
}

std::string_view to_string(NullEventsCode code) {
  switch (code) {
    case NullEventsCode::kG0:
      return "G0";
    case NullEventsCode::kG1:
      return "G1";
    case NullEventsCode::kG2:
      return "G2";
    case NullEventsCode::kG3:
      return "G3";
    case NullEventsCode::kUndecided:
      return "undecided";
    case NullEventsCode::kUnreadable:
      return "unreadable";
  }
  return "undecided";
}

}  // namespace perfcore
