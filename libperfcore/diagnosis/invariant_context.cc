// SPDX-License-Identifier: LGPL-2.1-or-later
#include "diagnosis/invariant_context.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <stdexcept>

#include "perfcore/perf_events.h"
#include "perfcore/tasks.h"

namespace perfcore::invariant {
namespace {

constexpr size_t kMaxReasons = 3;   ///< failed reads that one answer names
constexpr size_t kMaxBroken = 100;  ///< values that one answer names: corrupt lists can break it very often
constexpr size_t kMaxContexts = 100000;
constexpr size_t kMaxEvents = 100000;
constexpr uint64_t kAttachContext = 1;  // PERF_ATTACH_CONTEXT, include/linux/perf_event.h
constexpr uint64_t kAttachTask = 4;     // PERF_ATTACH_TASK

struct Place {
  std::string_view function;
  uint32_t where;
};

// arch/x86/events/core.c, kernel/events/core.c, kernel/events/ring_buffer.c. Functions that may be inlined
// are named together with those that they are inlined into.
constexpr Place kPlaces[] = {
    {"x86_pmu_enable", kEnable},
    {"perf_pmu_enable", kEnable},
    {"x86_pmu_disable", kDisable},
    {"perf_pmu_disable", kDisable},
    {"x86_pmu_start_txn", kTransaction},
    {"x86_pmu_commit_txn", kTransaction},
    {"x86_pmu_cancel_txn", kTransaction},
    {"__perf_event_read", kTransaction},
    {"group_sched_in", kTransaction | kSched},
    {"x86_pmu_add", kAdd},
    {"x86_pmu_del", kDel},
    {"x86_pmu_start", kStart},
    {"x86_pmu_stop", kStop},
    {"perf_ibs_add", kAdd},
    {"perf_ibs_del", kDel},
    {"perf_ibs_start", kStart},
    {"perf_ibs_stop", kStop},
    {"pt_event_add", kAdd},
    {"pt_event_del", kDel},
    {"pt_event_start", kStart},
    {"pt_event_stop", kStop},
    {"bts_event_add", kAdd},
    {"bts_event_del", kDel},
    {"bts_event_start", kStart},
    {"bts_event_stop", kStop},
    {"event_sched_in", kSched},
    {"event_sched_out", kSched},
    {"group_sched_out", kSched},
    {"merge_sched_in", kSched},
    {"visit_groups_merge", kSched},
    {"__pmu_ctx_sched_in", kSched},
    {"__pmu_ctx_sched_out", kSched},
    {"pmu_groups_sched_in", kSched},
    {"ctx_groups_sched_in", kSched},
    {"ctx_flexible_sched_in", kSched},
    {"ctx_sched_in", kSched},
    {"ctx_sched_out", kSched},
    {"perf_event_sched_in", kSched},
    {"ctx_resched", kSched},
    {"__perf_event_task_sched_in", kSched | kSwitch},
    {"__perf_event_task_sched_out", kSched | kSwitch},
    {"perf_event_context_sched_in", kSched | kSwitch},
    {"perf_event_context_sched_out", kSched | kSwitch},
    {"perf_cgroup_switch", kSched | kSwitch},
    {"perf_rotate_context", kSched},
    {"perf_mux_hrtimer_handler", kSched},
    {"perf_event_set_state", kSched},
    {"__perf_event_enable", kSched},
    {"__perf_event_disable", kSched},
    {"__perf_event_stop", kStart | kStop},
    {"__perf_event_period", kStart | kStop},
    {"event_function", kSched | kLists},
    {"__perf_install_in_context", kSched | kLists},
    {"__perf_remove_from_context", kSched | kLists},
    {"perf_install_in_context", kLists},
    {"perf_remove_from_context", kLists},
    {"perf_event_exit_task", kLists},
    {"perf_event_exit_event", kLists},
    {"perf_event_release_kernel", kLists},
    {"perf_event_init_task", kLists},
    {"inherit_event", kLists},
    {"inherit_group", kLists},
    {"perf_pmu_migrate_context", kLists},
    {"__do_sys_perf_event_open", kLists},
    {"__se_sys_perf_event_open", kLists},
    {"perf_event_create_kernel_counter", kLists},
    {"__schedule", kSwitch},
    {"finish_task_switch", kSwitch},
    {"perf_event_nmi_handler", kNmi},
    {"perf_ibs_nmi_handler", kNmi},
    {"intel_pt_interrupt", kNmi},
    {"perf_output_begin", kOutput},
    {"perf_output_begin_forward", kOutput},
    {"perf_output_begin_backward", kOutput},
    {"perf_output_end", kOutput},
    {"perf_event_output", kOutput},
    {"perf_event_output_forward", kOutput},
    {"perf_event_output_backward", kOutput},
    {"__perf_event_output", kOutput},
    {"perf_aux_output_begin", kOutput},
    {"perf_aux_output_end", kOutput},
    {"perf_event_aux_event", kOutput},
    {"perf_iterate_sb", kOutput},
    {"perf_log_throttle", kOutput},
    {"perf_event_task_output", kOutput},
    {"perf_event_comm_output", kOutput},
    {"perf_event_mmap_output", kOutput},
    {"perf_event_switch_output", kOutput},
    {"perf_event_read_event", kOutput},
    {"perf_event_task_tick", kTick | kStart | kStop},
    {"perf_adjust_freq_unthr_context", kTick | kStart | kStop},
    {"___perf_sw_event", kSoftware},
    {"__perf_sw_event", kSoftware},
    {"perf_swevent_event", kSoftware},
    {"perf_tp_event", kSoftware},
    {"perf_swevent_add", kSoftware | kAdd},
    {"perf_swevent_del", kSoftware | kDel},
    {"perf_mmap", kMap},
    {"perf_mmap_open", kMap},
    {"perf_mmap_close", kMap},
    {"ring_buffer_attach", kMap},
    {"_free_event", kMap | kLists},
    {"perf_event_set_output", kMap},
    {"x86_pmu_starting_cpu", kHotplug},
    {"x86_pmu_dead_cpu", kHotplug},
    {"x86_pmu_prepare_cpu", kHotplug},
    {"perf_event_exit_cpu", kHotplug | kLists},
    {"perf_event_init_cpu", kHotplug},
    {"cpuhp_invoke_callback", kHotplug},
};

uint32_t where_of(std::string_view function) {
  const auto* found = std::ranges::find(kPlaces, function, &Place::function);
  return found == std::end(kPlaces) ? 0 : found->where;
}

std::string show(const Object& object) {
  const Reading<uint64_t> value = object.u64();
  if (!value.has_value()) return std::string();
  const Type* type = object.type() ? object.type()->strip() : nullptr;
  if (type && type->encoding == IntEncoding::kSigned) {
    const Reading<int64_t> number = object.s64();
    if (number.has_value()) return fmt::format("{}", *number);
  }
  return *value < 10 ? fmt::format("{}", *value) : fmt::format("{:#x}", *value);
}

}  // namespace

Object count_in(const Object& object) {
  for (const char* path : {"counter", "a.counter", "refs.counter"})
    if (object.has_member(path)) return object.member(path);
  return object;
}

void Check::add(InvariantStatus status, const Object* object, std::string why) {
  InvariantResult result;
  result.id = id_;
  result.cpu = cpu_;
  result.status = status;
  if (const InvariantInfo* info = find_invariant(id_)) result.severity = info->severity;
  result.why = std::move(why);
  if (object) {
    result.expression = object->expression();
    if (const auto address = object->address(); address.has_value()) result.address = *address;
    result.observed = show(*object);
  }
  results_.push_back(std::move(result));
}

void Check::broken(const Object& object, std::string why) {
  broken(object, std::move(why), legal_in_);
}

void Check::broken(const Object& object, std::string why, uint32_t legal_in, bool everywhere) {
  if (results_.size() >= kMaxBroken) return;
  if (legal_in) {
    const Reading<std::string> function =
        everywhere || !cpu_ ? state_.inside_any(legal_in) : state_.inside(*cpu_, legal_in);
    if (!function.has_value()) {
      add(InvariantStatus::kNotRead, &object,
          fmt::format("{}; whether a CPU was just changing it is not known: {}", why,
                      function.unread().message()));
      return;
    }
    if (!function->empty()) {
      add(InvariantStatus::kTransient, &object, fmt::format("{}; legal: {}", why, *function));
      return;
    }
  }
  add(InvariantStatus::kViolated, &object, std::move(why));
}

void Check::unread(const Unread& unread) {
  unread_count_++;
  if (unread_.size() >= kMaxReasons) return;
  state_.diagnosis().note_unread(unread);
  unread_.push_back(unread.message());
}

void Check::unknown(std::string why) {
  unread_count_++;
  if (unread_.size() < kMaxReasons) unread_.push_back(std::move(why));
}

State::State(Diagnosis& diagnosis) : d_(diagnosis), kernel_(diagnosis.kernel()), pmu_(diagnosis.pmu()) {
  if (!pmu_.cpus().has_value()) return;
  for (const int cpu : *pmu_.cpus()) {
    const Reading<uint64_t> offset = kernel_.per_cpu_offset(cpu);
    if (offset.has_value() && *offset != 0) cpus_.push_back(cpu);
  }
}

bool State::lacks_symbol(std::string_view name) {
  return !kernel_.symbols().find(name) && kernel_.symbols().find("init_task");
}

Reading<bool> State::offline(int cpu) {
  const auto known = offline_.find(cpu);
  if (known != offline_.end()) return known->second;
  const Reading<bool> answer = [&]() -> Reading<bool> {
    const Object state = kernel_.per_cpu("cpuhp_state", cpu).member("state");
    const auto online_state = kernel_.enumerator("cpuhp_state", "CPUHP_ONLINE");
    const Reading<int64_t> at = state.s64();
    const bool has_online = kernel_.type("struct perf_event_pmu_context") != nullptr;
    const Reading<bool> online = has_online
                                     ? kernel_.per_cpu("perf_cpu_context", cpu).member("online").truth()
                                     : Reading<bool>(Unread{UnreadReason::kNoMember, 0, "", ""});
    if (online.is(false)) return true;
    if (at.has_value() && online_state) return *at < *online_state;
    if (online.has_value()) return false;
    if (!at.has_value()) return at.unread();
    return Unread{UnreadReason::kNoType, 0, "enum cpuhp_state", ""};
  }();
  return offline_.emplace(cpu, answer).first->second;
}

const Counters& State::counters(int cpu) {
  const auto known = counters_.find(cpu);
  if (known != counters_.end()) return known->second;
  const CpuPmu& state = pmu_.cpu(cpu);
  Counters counters{
      state.object(), state.active_mask(), {}, state.n_events(), state.n_added(), 0, false, {}, {}};
  for (int i = 0; i < kMaxCounters; i++) counters.events.push_back(state.events(i).u64());
  const Reading<uint64_t> valid = pmu_.valid_counters(cpu);
  counters.valid = valid.has_value() ? *valid : ~uint64_t{0};
  counters.list_known = counters.n_events.has_value() && *counters.n_events >= 0 &&
                        *counters.n_events <= std::popcount(counters.valid);
  for (int i = 0; counters.list_known && i < *counters.n_events; i++) {
    const Reading<uint64_t> pointer = state.event_list(i).u64();
    const bool repeated = pointer.has_value() &&
                          std::any_of(counters.list.begin(), counters.list.end(),
                                      [&](const Reading<uint64_t>& other) { return other.is(*pointer); });
    std::string why;
    counters.list_sound.push_back(pointer.has_value() && *pointer != 0 && !repeated &&
                                  looks_live(*pointer, &why).is(true));
    counters.list.push_back(pointer);
  }
  return counters_.emplace(cpu, std::move(counters)).first->second;
}

void State::find_events() {
  events_.emplace();
  std::set<uint64_t> seen;
  const auto add = [&](uint64_t address, const std::string& path) {
    std::string why;
    if (!seen.insert(address).second || looks_live(address, &why).is(false)) return;
    const PerfEvent& event = pmu_.event(address);
    EventRef reference{&event, path, std::nullopt};
    const auto present = [&](const Reading<int64_t>& cpu) {
      return cpu.has_value() && *cpu >= 0 && std::ranges::binary_search(cpus_, static_cast<int>(*cpu));
    };
    const Reading<int64_t> on = event.oncpu();
    const Reading<int64_t> bound = event.cpu();
    const Reading<uint64_t> attached = event.object().member("attach_state").u64();
    if (present(on))
      reference.home = static_cast<int>(*on);
    else if (present(bound) && attached.has_value() && (*attached & kAttachContext) &&
             !(*attached & kAttachTask))
      reference.home = static_cast<int>(*bound);
    events_->push_back(std::move(reference));
  };
  for (const EventOrigin& origin : d_.events().events) add(origin.address, origin.path);
  for (const CpuContextRef& context : cpu_contexts()) {
    const Object task_context = context.object.member("task_ctx");
    const Reading<uint64_t> task_address = task_context.u64();
    std::vector<Unread>& incomplete = cpu_events_incomplete_[context.cpu];
    if (!task_address.has_value()) incomplete.push_back(task_address.unread());
    for (const bool of_task : {false, true}) {
      if (of_task && !is_context_of_current(context)) continue;
      const Object owner = of_task ? task_context : context.object.member("ctx");
      const ListWalk walk =
          list_entries(owner.member("event_list"), "struct perf_event", "event_entry", kMaxEvents);
      for (const Object& entry : walk.entries)
        add(*entry.address(), fmt::format("{} of CPU {}", of_task ? "task context" : "context", context.cpu));
      if (walk.incomplete) incomplete.push_back(*walk.incomplete);
    }
  }
}

const std::vector<EventRef>& State::events() {
  if (!events_) find_events();
  return *events_;
}

const std::vector<const EventRef*>& State::events_of(std::optional<int> home) {
  if (!events_by_home_) {
    events_by_home_.emplace();
    for (const EventRef& reference : events())
      (*events_by_home_)[reference.home.value_or(-1)].push_back(&reference);
  }
  return (*events_by_home_)[home.value_or(-1)];
}

const ContextRef* State::find_context(uint64_t address) {
  contexts();
  const auto found = context_index_.find(address);
  return found == context_index_.end() ? nullptr : &(*contexts_)[found->second];
}

const std::vector<Unread>& State::events_incomplete(std::optional<int> cpu) {
  events();
  return cpu ? cpu_events_incomplete_[*cpu] : d_.events().incomplete;
}

std::optional<int> State::listed_on(uint64_t event) {
  if (!listed_) {
    listed_.emplace();
    for (const int cpu : cpus_) {
      const Counters& of_cpu = counters(cpu);
      for (size_t i = 0; i < of_cpu.list.size(); i++)
        if (of_cpu.list_sound[i]) listed_->emplace(*of_cpu.list[i], cpu);
    }
  }
  const auto found = listed_->find(event);
  return found == listed_->end() ? std::nullopt : std::optional(found->second);
}

void State::find_contexts() {
  cpu_contexts_.emplace();
  contexts_.emplace();
  std::set<uint64_t> seen;
  const auto add = [&](const Object& ctx, std::optional<int> cpu, const std::string& name) {
    const Reading<uint64_t> address = ctx.address();
    if (!address.has_value()) {
      contexts_incomplete_.push_back(address.unread());
      return;
    }
    if (contexts_->size() >= kMaxContexts || !seen.insert(*address).second) return;
    context_index_.emplace(*address, contexts_->size());
    contexts_->push_back({ctx.load(), *address, cpu, name});
  };
  std::vector<Object> pmus;
  const bool one_per_cpu = kernel_.type("struct perf_event_pmu_context") != nullptr;
  if (!one_per_cpu) {
    for (const Symbol& symbol : kernel_.symbols().find_all("pmus")) {
      const ListWalk walk =
          list_entries(kernel_.object("struct list_head", symbol.address), "struct pmu", "entry", 10000);
      if (!walk.incomplete && !walk.entries.empty()) pmus = walk.entries;
    }
    if (pmus.empty())
      contexts_incomplete_.push_back(
          Unread{UnreadReason::kNoSymbol, 0, "pmus", "the list of PMUs was not found"});
  }
  for (const int cpu : cpus_) {
    const auto add_cpu = [&](const Object& cpuctx) {
      const Object ctx = cpuctx.member("ctx");
      if (ctx.address().has_value() && seen.count(*ctx.address())) return;  // PMUs of one kind share it
      add(ctx, cpu, fmt::format("context of CPU {}", cpu));
      if (ctx.address().has_value()) cpu_contexts_->push_back({cpuctx.load(), *ctx.address(), cpu});
    };
    if (one_per_cpu)
      add_cpu(kernel_.per_cpu("perf_cpu_context", cpu));
    else
      for (const Object& pmu : pmus) add_cpu(pmu.member("pmu_cpu_context").per_cpu_ptr(cpu));
  }
  const auto add_task_context = [&](const Object& pointer, const Object& task) {
    const Reading<uint64_t> ctx = pointer.u64();
    if (!ctx.has_value()) {
      contexts_incomplete_.push_back(ctx.unread());
    } else if (*ctx != 0) {
      const Reading<std::string> comm = task.member("comm").string();
      const Reading<int64_t> pid = task.member("pid").s64();
      add(pointer.deref(), std::nullopt,
          fmt::format("context of {} (PID {})", comm.has_value() ? *comm : "?", pid.has_value() ? *pid : -1));
    }
  };
  auto incomplete = for_each_task(kernel_, [&](const Object& task) {
    // An array of two contexts (hardware, software) before 6.2, one pointer after.
    const Object ctxp = task.member("perf_event_ctxp");
    if (ctxp.unread()) return;
    if (ctxp.type()->strip() && ctxp.type()->strip()->kind == TypeKind::kArray) {
      for (int i = 0; i < 2; i++) add_task_context(ctxp.index(i), task);
    } else {
      add_task_context(ctxp, task);
    }
  });
  if (incomplete) contexts_incomplete_.push_back(std::move(*incomplete));
  // Those of running tasks, where the walk over all tasks did not come by.
  for (const CpuContextRef& cpu_context : *cpu_contexts_) {
    const Object pointer = cpu_context.object.member("task_ctx");
    const Reading<uint64_t> ctx = pointer.u64();
    if (ctx.has_value() && is_context_of_current(cpu_context))
      add(pointer.deref(), std::nullopt, fmt::format("task context of CPU {}", cpu_context.cpu));
  }
}

bool State::is_context_of_current(const CpuContextRef& context) {
  const Object pointer = context.object.member("task_ctx");
  const Reading<uint64_t> address = pointer.u64();
  if (!address.has_value() || !is_object_pointer(*address)) return false;
  const Reading<uint64_t> task = pointer.member("task").u64();
  const Reading<uint64_t> current = kernel_.current_task(context.cpu).address();
  return task.has_value() && current.has_value() && *task == *current;
}

const std::vector<CpuContextRef>& State::cpu_contexts() {
  if (!cpu_contexts_) find_contexts();
  return *cpu_contexts_;
}

const std::vector<ContextRef>& State::contexts() {
  if (!contexts_) find_contexts();
  return *contexts_;
}

const std::vector<Unread>& State::contexts_incomplete() {
  contexts();
  return contexts_incomplete_;
}

Reading<bool> State::looks_live(uint64_t address, std::string* why_not) {
  const auto known = live_.find(address);
  if (known != live_.end()) {
    *why_not = known->second.second;
    return known->second.first;
  }
  std::string why;
  const Reading<bool> live = judge_live(address, &why);
  *why_not = why;
  live_.emplace(address, std::pair(live, std::move(why)));
  return live;
}

Reading<bool> State::judge_live(uint64_t address, std::string* why_not) {
  if (!is_object_pointer(address) || pmu_.classify(address) == PointerClass::kKernelImage) {
    *why_not = address % 8 == 0
                   ? fmt::format("{:#x} is no slab address ({})", address, to_string(pmu_.classify(address)))
                   : fmt::format("{:#x} is not aligned", address);
    return false;
  }
  const PerfEvent& event = pmu_.event(address);
  const Reading<int64_t> state = event.state();
  // An address that the kernel itself cannot read is no object, however it came there.
  if (!state.has_value() && state.unread().reason == UnreadReason::kNotMapped) {
    *why_not = fmt::format("{:#x} is not mapped", address);
    return false;
  }
  if (!state.has_value()) return state.unread();
  // PERF_EVENT_STATE_DEAD is -4 up to 6.13 and -5 since PERF_EVENT_STATE_REVOKED was added.
  if (*state < -5 || *state > 1) {
    *why_not = fmt::format("its state is {}", *state);
    return false;
  }
  // One bad pointer breaks the invariant that is about it; the memory of something else has more of them.
  int bad = 0;
  for (const char* name : {"pmu", "ctx", "group_leader"}) {
    const Reading<uint64_t> pointer = event.object().member(name).u64();
    if (!pointer.has_value()) return pointer.unread();
    if (is_object_pointer(*pointer)) continue;
    *why_not += fmt::format("{}its {} is {:#x}", bad ? ", " : "", name, *pointer);
    bad++;
  }
  return bad < 2;
}

bool State::is_object_pointer(uint64_t pointer) {
  const PointerClass c = pmu_.classify(pointer);
  return (c == PointerClass::kDirectMap || c == PointerClass::kVmalloc || c == PointerClass::kKernelImage ||
          c == PointerClass::kOther) &&
         pointer % 8 == 0;
}

Reading<std::string> State::code_at(uint64_t address) {
  const auto begin = kernel_.symbols().find("_stext");
  const auto end = kernel_.symbols().find("_etext");
  if (!begin || !end)
    return Unread{UnreadReason::kNoSymbol, address, "_stext, _etext", "where text lies is not known"};
  if (address >= begin->address && address < end->address) {
    if (const auto symbol = kernel_.symbols().at(address)) return symbol->name;
    return Unread{UnreadReason::kNoSymbol, address, "function", "its symbol could not be read"};
  }
  if (!modules_) modules_ = read_modules(kernel_);
  for (const ModuleInfo& module : modules_->modules)
    if (address >= module.text_begin && address < module.text_end) return "[" + module.name + "]";
  // What is not in the image's text can only be in a module's.
  if (modules_->incomplete && pmu_.classify(address) == PointerClass::kKernelImage)
    return *modules_->incomplete;
  return std::string();
}

Reading<bool> State::is_x86(const PerfEvent& event) {
  const Reading<uint64_t> pmu = event.pmu();
  if (!pmu.has_value()) return pmu.unread();
  const auto known = x86_pmus_.find(*pmu);
  if (known != x86_pmus_.end()) return known->second;
  return x86_pmus_.emplace(*pmu, pmu_.is_x86_event(event)).first->second;
}

Reading<std::string> State::inside(int cpu, uint32_t where) {
  const Stack& stack = d_.stack(cpu);
  for (const Frame& frame : stack.frames)
    if (frame.reliable && (where_of(without_compiler_suffix(frame.function)) & where))
      return fmt::format("CPU {} was inside {}()", cpu, without_compiler_suffix(frame.function));
  if (stack.complete()) return std::string();
  // An idle CPU or one stopped in firmware has no stack to speak of; where the walk says why it ended, that
  // is the reason.
  if (stack.stopped) return *stack.stopped;
  return Unread{UnreadReason::kUnsupported, 0, fmt::format("stack of CPU {}", cpu),
                "it could not be unwound reliably"};
}

Reading<std::string> State::inside_any(uint32_t where) {
  const auto known = inside_any_.find(where);
  if (known != inside_any_.end()) return known->second;
  return inside_any_.emplace(where, find_inside(where)).first->second;
}

Reading<std::string> State::find_inside(uint32_t where) {
  std::optional<Unread> unread;
  for (const int cpu : cpus_) {
    if (offline(cpu).is(true)) continue;
    const Reading<std::string> function = inside(cpu, where);
    if (!function.has_value())
      unread = function.unread();
    else if (!function->empty())
      return function;
  }
  if (unread) return *unread;
  return std::string();
}

void State::run(std::string_view id, std::optional<int> cpu, uint32_t legal_in,
                const std::function<void(Check&)>& check) {
  Check answer(*this, id, cpu, legal_in);
  try {
    check(answer);
  } catch (const std::exception& error) {
    answer.unknown(fmt::format("the check failed: {}", error.what()));
  }
  for (const InvariantResult& result : answer.results_)
    if (result.status == InvariantStatus::kViolated) violated_.insert({result.id, cpu.value_or(-1)});
  if (answer.unread_count_ > 0) {
    std::string why = fmt::format("{}", fmt::join(answer.unread_, "; "));
    if (answer.unread_count_ > answer.unread_.size())
      why += fmt::format("; and {} more", answer.unread_count_ - answer.unread_.size());
    answer.add(InvariantStatus::kNotRead, nullptr, std::move(why));
  }
  if (answer.results_.empty()) {
    answer.add(answer.not_applicable_.empty() ? InvariantStatus::kOk : InvariantStatus::kNotApplicable,
               nullptr, answer.not_applicable_);
    answer.results_.back().observed = answer.observed_;
  }
  std::move(answer.results_.begin(), answer.results_.end(), std::back_inserter(results_));
}

void State::run_on_cpus(std::string_view id, uint32_t legal_in,
                        const std::function<void(Check&, int)>& check) {
  for (const int cpu : cpus_) {
    run(id, cpu, legal_in, [&](Check& answer) {
      if (offline(cpu).is(true))
        answer.not_applicable("the CPU is offline: what it left behind means nothing");
      else
        check(answer, cpu);
    });
  }
}

std::vector<InvariantResult> State::take_results() {
  // By id, then CPU, those without a CPU last; several answers of one check stay in their order.
  std::stable_sort(results_.begin(), results_.end(), [](const InvariantResult& a, const InvariantResult& b) {
    if (a.id != b.id) return a.id < b.id;
    return a.cpu.value_or(INT32_MAX) < b.cpu.value_or(INT32_MAX);
  });
  return std::move(results_);
}

}  // namespace perfcore::invariant

namespace perfcore {

std::vector<InvariantResult> check_invariants(Diagnosis& diagnosis) {
  invariant::State state(diagnosis);
  if (state.cpus().empty()) {
    std::vector<InvariantResult> results;
    const auto& cpus = diagnosis.pmu().cpus();
    for (const InvariantInfo& info : invariants())
      results.push_back({std::string(info.id),
                         std::nullopt,
                         InvariantStatus::kNotRead,
                         info.severity,
                         "",
                         {},
                         "",
                         cpus.has_value() ? "no present CPU has a per-CPU area" : cpus.unread().message()});
    return results;
  }
  invariant::check_global(state);  // which PMU is whose, before what hangs on it
  invariant::check_counters(state);
  invariant::check_counter_events(state);
  invariant::check_groups(state);
  invariant::check_contexts(state);
  invariant::check_hardware_buffers(state);
  invariant::check_ring_buffers(state);
  invariant::check_surroundings(state);
  return state.take_results();
}

}  // namespace perfcore
