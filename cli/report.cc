// SPDX-License-Identifier: LGPL-2.1-or-later
#include "report.h"

#include <fmt/format.h>

#include <algorithm>

#include "exit_codes.h"
#include "guard.h"

namespace perfcore::cli {
namespace {

/// A name or path that a corrupt dump makes endless must not make the answer so.
constexpr size_t kMaxUnread = 1000;

/// INTEL_PMC_IDX_FIXED_BTS, arch/x86/include/asm/perf_event.h: from here on no counters of their own.
constexpr int kFirstPseudoCounter = 47;

bool is_bad(Verdict verdict) {
  return verdict == Verdict::kProven || verdict == Verdict::kLikely || verdict == Verdict::kPossible;
}

bool is_scalar(const Type& type) {
  const Type* plain = type.strip();
  return plain != nullptr && (plain->kind == TypeKind::kInt || plain->kind == TypeKind::kEnum ||
                              plain->kind == TypeKind::kPointer);
}

CounterCell cell_of(const PmuView& view, int counter, bool exists) {
  if (!view.active_mask || !view.events) return CounterCell::kUnread;
  const bool active = (*view.active_mask >> counter & 1) != 0;
  const auto slot = view.events->find(counter);
  const bool held = slot != view.events->end();
  if (held && !slot->second) return CounterCell::kUnread;
  if (!exists && (active || held)) return CounterCell::kNoCounter;
  if (active && !held) return CounterCell::kMissing;
  if (!view.event_list)
    return active ? CounterCell::kRunning : held ? CounterCell::kHeld : CounterCell::kUnused;
  for (const EventListEntry& entry : *view.event_list) {
    if (held && entry.address == slot->second) {
      if (entry.event.hw_idx && *entry.event.hw_idx != counter) return CounterCell::kMismatch;
      return active ? CounterCell::kRunning : CounterCell::kHeld;
    }
    if (!held && entry.event.hw_idx == counter) return CounterCell::kClaimed;
  }
  return held ? CounterCell::kMismatch : CounterCell::kUnused;
}

}  // namespace

void UnreadList::add(const Unread& unread) {
  const bool known = std::any_of(items_.begin(), items_.end(), [&](const Unread& item) {
    return item.reason == unread.reason && item.address == unread.address && item.path == unread.path;
  });
  if (!known && items_.size() < kMaxUnread) items_.push_back(unread);
}

void UnreadList::add(const std::vector<Unread>& unread) {
  for (const Unread& item : unread) add(item);
}

DumpFacts dump_facts(Kernel& kernel) {
  DumpFacts facts;
  const Dump* dump = kernel.dump();
  if (dump == nullptr) return facts;
  facts.path = dump->path();
  facts.format = dump->format();
  for (const QualityNote& note : dump->quality()) {
    std::string text = note.what;
    if (note.first_address != 0)
      text += fmt::format(" (first at physical address {:#x})", note.first_address);
    facts.quality.push_back(std::move(text));
  }
  return facts;
}

KernelFacts kernel_facts(Kernel& kernel, UnreadList& unread) {
  KernelFacts facts;
  facts.release = kernel.release();
  facts.build_id = kernel.build_id();
  facts.kaslr_offset = kernel.kaslr_offset();
  if (const auto cpus = unread.take(kernel.present_cpus())) facts.cpus = cpus->size();
  facts.types = kernel.types().source();
  facts.symbols = kernel.symbols().source();
  facts.vmlinux = kernel.vmlinux();
  return facts;
}

EventView event_view(const PerfEvent& event, UnreadList& unread) {
  EventView view;
  view.address = event.address();
  view.hw_idx = unread.take(event.hw_idx());
  view.hw_state = unread.take(event.hw_state());
  view.hw_last_cpu = unread.take(event.hw_last_cpu());
  view.hw_interrupts = unread.take(event.hw_interrupts());
  view.state = unread.take(event.state());
  view.oncpu = unread.take(event.oncpu());
  view.cpu = unread.take(event.cpu());
  view.group_leader = unread.take(event.group_leader());
  view.attr_type = unread.take(event.attr_type());
  view.attr_config = unread.take(event.attr_config());
  view.attr_pinned = unread.take(event.attr_pinned());
  view.attr_freq = unread.take(event.attr_freq());
  return view;
}

PmuView pmu_view(PmuState& pmu, int cpu, UnreadList& unread) {
  PmuView view;
  const CpuPmu& cpuc = pmu.cpu(cpu);
  view.cpu = cpu;
  view.address = unread.take(cpuc.address());
  view.enabled = unread.take(cpuc.enabled());
  view.n_events = unread.take(cpuc.n_events());
  view.n_added = unread.take(cpuc.n_added());
  view.n_txn = unread.take(cpuc.n_txn());
  view.active_mask = unread.take(cpuc.active_mask());

  std::map<int, std::optional<uint64_t>> slots;
  bool any_read = false;
  for (int i = 0; i < kMaxCounters; ++i) {
    const auto pointer = unread.take(cpuc.events(i).u64());
    any_read = any_read || pointer.has_value();
    if (pointer != 0) slots.emplace(i, pointer);
  }
  if (any_read) view.events = std::move(slots);

  if (!view.n_events) return view;
  view.event_list.emplace();
  // n_events comes from the dump: event_list[] has as many entries as there are counters.
  const auto count = static_cast<int>(std::clamp<int64_t>(*view.n_events, 0, kMaxCounters));
  for (int i = 0; i < count; ++i) {
    EventListEntry entry;
    entry.address = unread.take(cpuc.event_list(i).u64());
    if (entry.address.value_or(0) != 0) entry.event = event_view(pmu.event(*entry.address), unread);
    view.event_list->push_back(entry);
  }
  return view;
}

PmuReport make_pmu_report(PmuState& pmu, bool with_maps) {
  set_activity("reading the PMU state");
  PmuReport report;
  UnreadList unread;
  const auto cpus = unread.take(pmu.cpus());
  report.cpus_known = cpus.has_value();
  if (cpus)
    for (const int cpu : *cpus) {
      report.cpus.push_back(pmu_view(pmu, cpu, unread));
      if (with_maps) report.maps.push_back(make_counter_map(pmu, cpu, unread));
    }
  report.unread = unread.items();
  return report;
}

CounterMap make_counter_map(PmuState& pmu, int cpu, UnreadList& unread) {
  const PmuView view = pmu_view(pmu, cpu, unread);
  CounterMap map;
  map.cpu = cpu;
  map.active_mask = view.active_mask;
  const auto valid = unread.take(pmu.valid_counters(cpu));
  for (int i = 0; i < kMaxCounters; ++i) {
    // Without the driver's word on it, the counters that are in use are taken to exist.
    const bool exists = !valid || (*valid >> i & 1) != 0;
    const CounterCell cell = cell_of(view, i, exists);
    // Above the real counters there are numbers for tracers, metrics and the like: shown when in use.
    const bool shown = exists && valid && i < kFirstPseudoCounter;
    if (shown || cell != CounterCell::kUnused) map.cells.emplace(i, cell);
  }
  if (!view.event_list) return map;
  for (const EventListEntry& entry : *view.event_list) {
    if (entry.address.value_or(0) == 0) continue;
    const PerfEvent& event = pmu.event(*entry.address);
    CounterMap::EventLine line;
    line.counter = entry.event.hw_idx;
    line.address = *entry.address;
    line.counts = event.describe();
    line.state = entry.event.hw_state ? hw_state_name(*entry.event.hw_state) : "state not read";
    line.throttled = entry.event.hw_interrupts == kMaxInterrupts;
    const auto owner = event.owner();  // kernel events such as the NMI watchdog's have none
    if (owner.has_value()) line.owner = owner.value();
    map.events.push_back(std::move(line));
  }
  return map;
}

StackReport make_stack_report(Diagnosis& diagnosis, std::optional<int> only) {
  StackReport report;
  UnreadList unread;
  Kernel& kernel = diagnosis.kernel();
  set_activity("reading the state of the crash");
  const CrashState& crash = diagnosis.crash();
  std::vector<int> cpus;
  if (only)
    cpus.push_back(*only);
  else if (const auto present = unread.take(kernel.present_cpus()))
    cpus = *present;
  else
    for (const CpuStatus& status : kernel.cpu_status()) cpus.push_back(status.cpu);
  std::stable_partition(cpus.begin(), cpus.end(), [&](int cpu) { return crash.cpu == cpu; });

  set_activity("unwinding the stacks");
  for (const int cpu : cpus) {
    StackView view;
    view.cpu = cpu;
    view.crashed = crash.cpu == cpu;
    const Object task = kernel.current_task(cpu);
    view.pid = unread.take(task.member("pid").s64());
    view.comm = unread.take(task.member("comm").string());
    view.stack = view.crashed ? crash.stack : diagnosis.stack(cpu);
    if (view.crashed) view.fault_frame = crash.fault_frame;
    if (view.stack.stopped) unread.add(*view.stack.stopped);
    report.cpus.push_back(std::move(view));
  }
  report.unread = unread.items();
  return report;
}

static void take_nmi_state(const CpuNmiState& state, CpuView& view, UnreadList& unread) {
  const auto take = [&](const Reading<uint64_t>& value) -> std::optional<uint64_t> {
    // A kernel without the perf lockup detector has no watchdog_ev: nothing is lost.
    if (!value.has_value() && value.unread().reason == UnreadReason::kNoSymbol) return std::nullopt;
    return unread.take(value);
  };
  view.nmi_normal = take(state.normal);
  view.nmi_unknown = take(state.unknown);
  view.nmi_external = take(state.external);
  view.nmi_swallowed = take(state.swallowed);
  view.watchdog_event = take(state.watchdog_event);
  view.throttled_count = take(state.throttled_count);
  view.throttled_seq = take(state.throttled_seq);
}

CpuReport make_cpu_report(Diagnosis& diagnosis) {
  CpuReport report;
  UnreadList unread;
  Kernel& kernel = diagnosis.kernel();
  set_activity("reading what the CPUs were doing");
  const auto present = unread.take(kernel.present_cpus());
  const auto online = unread.take(kernel.online_cpus());
  if (present) {
    for (const int cpu : *present) {
      CpuView view;
      view.cpu = cpu;
      if (online) view.online = std::find(online->begin(), online->end(), cpu) != online->end();
      const Object task = kernel.current_task(cpu);
      view.pid = unread.take(task.member("pid").s64());
      view.comm = unread.take(task.member("comm").string());
      if (const CpuStatus* status = kernel.status_of(cpu)) {
        view.ip = status->registers.ip;
        view.user = status->registers.from_user();
        if (!view.user) {
          const Frame frame = diagnosis.unwinder().describe(status->registers.ip);
          view.function = frame.function;
          view.offset = frame.offset;
          view.module = frame.module;
        }
      }
      take_nmi_state(cpu_nmi_state(kernel, cpu), view, unread);
      report.cpus.push_back(std::move(view));
    }
  }
  NmiHandlerList handlers = nmi_handlers(kernel);
  report.nmi_handlers = std::move(handlers.handlers);
  unread.add(handlers.incomplete);
  report.unread = unread.items();
  return report;
}

ModuleReport make_module_report(Kernel& kernel) {
  set_activity("walking the list of modules");
  ModuleList list = read_modules(kernel);
  ModuleReport report;
  report.modules = std::move(list.modules);
  if (list.incomplete) report.unread.push_back(*list.incomplete);
  return report;
}

EventReport make_event_report(PmuState& pmu, uint64_t address) {
  set_activity("reading the event");
  EventReport report;
  UnreadList unread;
  const PerfEvent& event = pmu.event(address);
  report.event = event_view(event, unread);
  report.counts = event.describe();
  report.owner = unread.take(event.owner());
  report.text = format_object(event.object());
  report.unread = unread.items();
  return report;
}

InfoReport make_info_report(Diagnosis& diagnosis) {
  InfoReport report;
  UnreadList unread;
  Kernel& kernel = diagnosis.kernel();
  report.dump = dump_facts(kernel);
  if (Dump* dump = kernel.dump()) {
    report.vmcoreinfo = dump->vmcoreinfo_source();
    for (const PhysicalMemory::Range& range : dump->physical().ranges())
      report.memory_bytes += range.end - range.begin;
  }
  report.cpu_notes = kernel.cpu_status().size();
  report.kernel = kernel_facts(kernel, unread);
  report.remarks = kernel.remarks();
  report.possible_cpus = unread.take(kernel.possible_cpus());
  report.present_cpus = unread.take(kernel.present_cpus());
  report.online_cpus = unread.take(kernel.online_cpus());
  set_activity("reading facts about the system");
  report.system = diagnosis.system();
  unread.add(report.system.unread);
  set_activity("reading the stack unwinding tables");
  report.orc_format = diagnosis.unwinder().orc_format();
  set_activity("reading the kernel log");
  const KernelLog& log = diagnosis.log();
  report.log_source = log.source;
  report.log_records = log.records.size();
  if (log.incomplete) unread.add(*log.incomplete);
  report.unread = unread.items();
  return report;
}

CompatReport make_compat_report(Kernel& kernel) {
  UnreadList unread;
  CompatReport report{dump_facts(kernel), kernel_facts(kernel, unread), {}, {}};
  report.unread = unread.items();
  return report;
}

PrintReport make_print_report(Kernel& kernel, std::span<const std::string> expressions) {
  set_activity("evaluating the expressions");
  PrintReport report;
  UnreadList unread;
  for (const std::string& expression : expressions) {
    const Object object = evaluate(kernel, expression);
    PrintedExpression printed;
    printed.expression = expression;
    if (const Unread* why = object.unread()) {
      unread.add(*why);
      printed.text = fmt::format("<not read: {}>", why->message());
    } else {
      printed.type = object.type()->to_string();
      // An rvalue has no address and an aggregate no scalar value: neither is something that was not read.
      if (const auto address = object.address(); address.has_value()) printed.address = address.value();
      if (is_scalar(*object.type())) printed.value = unread.take(object.u64());
      printed.text = format_object(object);
    }
    report.results.push_back(std::move(printed));
  }
  report.unread = unread.items();
  return report;
}

VersionInfo make_version_info() {
  return {std::string(version()),
          components(),
          codecs(),
          {"perfcore.triage/1",
           "perfcore.check/1",
           "perfcore.show-pmu/1",
           "perfcore.show-cpus/1",
           "perfcore.show-modules/1",
           "perfcore.show-bt/1",
           "perfcore.show-event/1",
           "perfcore.show-ibs/1",
           "perfcore.show-events/1",
           "perfcore.show-contexts/1",
           "perfcore.show-buffers/1",
           "perfcore.show-tasks/1",
           "perfcore.addr/1",
           "perfcore.batch/1",
           "perfcore.batch-list/1",
           "perfcore.fleet/1",
           "perfcore.buckets-export/1",
           "perfcore.buckets-show/1",
           "perfcore.buckets-diff/1",
           "perfcore.buckets-rebucket/1",
           "perfcore.buckets-eval/1",
           "perfcore.type/1",
           "perfcore.log/1",
           "perfcore.print/1",
           "perfcore.info/1",
           "perfcore.info-compat/1",
           "perfcore.extract/1",
           "perfcore.record/1",
           "perfcore.rules/1",
           "perfcore.rule/1",
           "perfcore.version/1"}};
}

const Finding* TriageReport::root_cause() const {
  for (const Finding& finding : findings)
    if (finding.cause_of_crash &&
        (finding.verdict == Verdict::kProven || finding.verdict == Verdict::kLikely))
      return &finding;
  return nullptr;
}

const Finding* TriageReport::defect() const {
  for (const Finding& finding : findings)
    if (is_bad(finding.verdict) && finding.stage >= Stage::kArmed) return &finding;
  return nullptr;
}

int TriageReport::exit_code() const {
  if (root_cause() != nullptr) return kExitRootCause;
  return defect() != nullptr ? kExitDefect : kExitDone;
}

namespace {

/// The reports in a dump's log.
std::vector<ConsoleReport> console_reports(const KernelLog& log) {
  std::vector<ConsoleReport> reports;
  ConsoleParser parser([&](ConsoleReport&& report) { reports.push_back(std::move(report)); });
  for (const LogRecord& record : log.records) {
    parser.feed(record.text);
    parser.feed("\n");
  }
  parser.finish();
  return reports;
}

}  // namespace

std::optional<CounterMap> leading_counters(Diagnosis& diagnosis, const TriageReport& report,
                                           UnreadList& unread) {
  const Finding* leading = report.root_cause() != nullptr ? report.root_cause() : report.defect();
  if (leading == nullptr || leading->cpus.empty()) return std::nullopt;
  set_activity("drawing the counters");
  const auto& cpus = leading->cpus;
  const bool crashed_here =
      report.crash.cpu && std::find(cpus.begin(), cpus.end(), *report.crash.cpu) != cpus.end();
  return make_counter_map(diagnosis.pmu(), crashed_here ? *report.crash.cpu : cpus.front(), unread);
}

TriageReport make_triage_report(Diagnosis& diagnosis, std::span<const RuleInfo> rules, bool with_counters) {
  TriageReport report;
  UnreadList unread;
  Kernel& kernel = diagnosis.kernel();
  report.dump = dump_facts(kernel);
  set_activity("reading the kernel log");
  const KernelLog& log = diagnosis.log();
  if (log.incomplete) unread.add(*log.incomplete);
  set_activity("reading the state of the crash");
  report.crash = diagnosis.crash();
  set_activity("reading facts about the system");
  report.system = diagnosis.system();
  report.kernel = kernel_facts(kernel, unread);
  set_activity("running the rules");
  report.findings = run_rules(diagnosis, rules);
  set_activity("looking for known causes with the same symptom");
  report.catalogue = catalogue_about(report.crash.crash_class);
  report.known = known_causes(diagnosis, report.catalogue, report.findings);
  set_activity("judging KCSAN reports");
  report.races = judge_races(diagnosis);
  set_activity("naming the bucket");
  report.signature =
      sign(report.crash, report.findings, rules, console_reports(log), report.system.cpu_vendor);
  if (with_counters) report.counters = leading_counters(diagnosis, report, unread);
  unread.add(report.crash.unread);
  if (report.crash.stack.stopped) unread.add(*report.crash.stack.stopped);
  unread.add(report.system.unread);
  unread.add(diagnosis.unread());
  report.unread = unread.items();
  return report;
}

}  // namespace perfcore::cli
