// SPDX-License-Identifier: LGPL-2.1-or-later
#include <fmt/format.h>

#include <algorithm>
#include <span>

#include "crash/oops_text.h"
#include "perfcore/crash.h"

namespace perfcore {
namespace {

// Addresses below this count as NULL for show_fault_oops(), arch/x86/mm/fault.c.
constexpr uint64_t kNullPage = 4096;

enum class Part {
  kDying,    // the kernel is going down: panic() or kexec
  kOops,     // reports an exception that hit the interrupted code: there is a fault
  kWarning,  // the same for a WARN()
  kHelper    // between the two and who called them
};

struct Plumbing {
  std::string_view function;
  Part part;
};

// Functions on the stack of a dying CPU that are not the reason for it (compiler suffixes left out). Who
// called the outermost of them decided that the kernel must die.
constexpr Plumbing kPlumbing[] = {
    // kernel/panic.c, kernel/crash_core.c and kexec_core.c, arch/x86/kernel/{crash,machine_kexec_64}.c
    {"panic", Part::kDying},
    {"vpanic", Part::kDying},
    {"nmi_panic", Part::kDying},
    {"crash_kexec", Part::kDying},
    {"__crash_kexec", Part::kDying},
    {"machine_kexec", Part::kDying},
    {"machine_crash_shutdown", Part::kDying},
    {"crash_setup_regs", Part::kHelper},
    {"check_panic_on_warn", Part::kHelper},
    // arch/x86/kernel/dumpstack.c, arch/x86/mm/fault.c, arch/x86/kernel/traps.c
    {"oops_end", Part::kOops},
    {"die", Part::kOops},
    {"die_addr", Part::kOops},
    {"__die", Part::kOops},
    {"page_fault_oops", Part::kOops},
    {"no_context", Part::kOops},
    // kernel/panic.c and lib/bug.c: WARN() is an exception, too
    {"__warn", Part::kWarning},
    {"report_bug", Part::kWarning},
    {"__report_bug", Part::kWarning},
    {"handle_bug", Part::kWarning},
    {"warn_slowpath_fmt", Part::kHelper},
    {"warn_slowpath_null", Part::kHelper},
    {"__warn_printk", Part::kHelper},
    // mm/kasan/report.c, mm/kfence/report.c, mm/kmsan/report.c, lib/ubsan.c, kernel/kcsan/report.c
    {"end_report", Part::kHelper},
    {"kasan_report", Part::kHelper},
    {"kasan_report_invalid_free", Part::kHelper},
    {"kasan_report_double_free", Part::kHelper},
    {"kasan_check_range", Part::kHelper},
    {"kfence_report_error", Part::kHelper},
    {"kmsan_report", Part::kHelper},
    {"ubsan_epilogue", Part::kHelper},
    {"print_report", Part::kHelper},
};

const Plumbing* plumbing_of(const Frame& frame) {
  const std::string_view name = without_compiler_suffix(frame.function);
  for (const Plumbing& plumbing : kPlumbing)
    if (plumbing.function == name) return &plumbing;
  return nullptr;
}

bool is_sanitizer_call(std::string_view function) {
  return function.starts_with("__asan_") || function.starts_with("__ubsan_handle_") ||
         function.starts_with("__msan_") || function.starts_with("__tsan_");
}

struct FunctionClass {
  std::string_view function;
  std::string_view crash_class;
  bool needs_fault = false;  // panic() may also be called on the way of a legal exception
};

// Class by who is on the stack between panic() and the interrupted code. The first row that fits counts: what
// is called on behalf of another comes first.
constexpr FunctionClass kFunctionClasses[] = {
    {"sysrq_handle_crash", "sysrq"},
    {"watchdog_hardlockup_check", "hard-lockup"},   // since 6.5
    {"watchdog_overflow_callback", "hard-lockup"},  // kernel/watchdog_perf.c
    {"watchdog_timer_fn", "soft-lockup"},
    {"check_hung_uninterruptible_tasks", "hung-task"},
    {"check_hung_task", "hung-task"},
    {"wq_watchdog_timer_fn", "workqueue-lockup"},
    {"panic_on_rcu_stall", "rcu-stall"},
    {"print_cpu_stall", "rcu-stall"},
    {"print_other_cpu_stall", "rcu-stall"},
    {"check_cpu_stall", "rcu-stall"},
    {"rcu_sched_clock_irq", "rcu-stall"},
    {"unknown_nmi_error", "unknown-nmi"},
    {"mce_panic", "mce"},
    {"do_machine_check", "mce"},
    {"__ghes_panic", "mce"},
    {"out_of_memory", "oom-panic"},
    {"check_panic_on_oom", "oom-panic"},
    {"exc_double_fault", "double-fault"},
    {"kasan_report", "kasan"},
    {"kasan_report_invalid_free", "kasan"},
    {"kasan_report_double_free", "kasan"},
    {"kfence_report_error", "kfence"},
    {"kmsan_report", "kmsan"},
    {"ubsan_epilogue", "ubsan"},
    {"__schedule_bug", "atomic-sleep"},
    {"__might_resched", "atomic-sleep"},
    {"__list_add_valid", "list-corruption"},
    {"__list_add_valid_or_report", "list-corruption"},  // since 6.6
    {"__list_del_entry_valid", "list-corruption"},
    {"__list_del_entry_valid_or_report", "list-corruption"},
    {"refcount_warn_saturate", "refcount"},
    {"debug_print_object", "odebug"},
    {"ex_handler_msr", "msr-access"},
    {"__warn", "warning"},
    {"exc_general_protection", "gpf", true},
    {"exc_invalid_op", "kernel-bug", true},
    {"exc_divide_error", "divide-error", true},
    {"exc_stack_segment", "stack-segment", true},
    {"exc_int3", "int3"},
    {"exc_machine_check", "mce"},
    {"exc_page_fault", "page-fault", true},
    // Entry code, should the handler behind it be inlined or jumped to.
    {"asm_exc_general_protection", "gpf", true},
    {"asm_exc_invalid_op", "kernel-bug", true},
    {"asm_exc_divide_error", "divide-error", true},
    {"asm_exc_stack_segment", "stack-segment", true},
    {"asm_exc_double_fault", "double-fault"},
    {"asm_exc_int3", "int3"},
    {"asm_exc_machine_check", "mce"},
    {"asm_exc_page_fault", "page-fault", true},
};

// Lockups are about the code that did not let go, not about the watchdog that found it.
bool is_about_interrupted_code(std::string_view crash_class) {
  return crash_class == "soft-lockup" || crash_class == "hard-lockup" || crash_class == "rcu-stall";
}

std::vector<LogLine> split_lines(const KernelLog& log) {
  std::vector<LogLine> lines;
  lines.reserve(log.records.size() + log.records.size() / 8);
  for (const LogRecord& record : log.records) {
    const std::string_view text = record.text;
    for (size_t at = 0; at <= text.size();) {
      const size_t end = std::min(text.find('\n', at), text.size());
      lines.push_back({text.substr(at, end - at), record.timestamp_ns, record.facility <= 0});
      at = end + 1;
    }
  }
  return lines;
}

// What the stack of the dying CPU says.
struct StackVerdict {
  bool dying = false;                 // panic(), kexec or an oops is on it
  std::optional<size_t> fault;        // the interrupted frame that an exception or WARN() hit
  std::optional<size_t> decided;      // who called panic(), where there is no fault
  std::optional<size_t> interrupted;  // the code that the context of panic() interrupted
  std::string_view crash_class;       // empty: the stack does not say
};

StackVerdict judge_stack(const Stack& stack) {
  StackVerdict verdict;
  const std::vector<Frame>& frames = stack.frames;
  const auto usable = [&](size_t i) { return frames[i].reliable && !frames[i].inlined; };
  // The outermost sign of dying: a second oops in panic() is not the cause. A WARNING kills nobody by itself;
  // it is the cause where panic() was called from it, and not where it was interrupted.
  size_t dying = frames.size();
  bool same_context = true;
  for (size_t i = 0; i < frames.size(); ++i) {
    same_context = same_context && !frames[i].interrupted;
    const Plumbing* plumbing = usable(i) ? plumbing_of(frames[i]) : nullptr;
    if (!plumbing || plumbing->part == Part::kHelper) continue;
    if (plumbing->part == Part::kWarning && !(verdict.dying && same_context)) continue;
    verdict.dying = same_context = true;
    dying = i;
  }
  if (!verdict.dying) return verdict;

  // The context that died: from the last interrupted frame above it to the next one below.
  size_t begin = dying, end = dying + 1;
  while (begin > 0 && !frames[begin].interrupted) --begin;
  while (end < frames.size() && !frames[end].interrupted) ++end;
  // Of inlined frames at one address the last one is the function that the symbol table knows.
  size_t boundary = end;
  while (boundary + 1 < frames.size() && frames[boundary].inlined) ++boundary;
  if (boundary < frames.size()) verdict.interrupted = boundary;

  bool oops = false;
  for (size_t i = begin; i < end; ++i) {
    if (!usable(i)) continue;
    const Plumbing* plumbing = plumbing_of(frames[i]);
    oops = oops || (plumbing && (plumbing->part == Part::kOops || plumbing->part == Part::kWarning));
    if (i <= dying || verdict.decided || plumbing || is_sanitizer_call(frames[i].function)) continue;
    verdict.decided = i;
  }
  if (oops && verdict.interrupted) {
    verdict.fault = verdict.interrupted;
    verdict.decided.reset();
  }
  const size_t last = verdict.fault ? *verdict.fault + 1 : end;
  for (const FunctionClass& row : kFunctionClasses) {
    if (row.needs_fault && !verdict.fault) continue;
    for (size_t i = begin; i < last; ++i) {
      if (!usable(i) || without_compiler_suffix(frames[i].function) != row.function) continue;
      verdict.crash_class = row.crash_class;
      return verdict;
    }
  }
  return verdict;
}

// Context by the mark that the kernel prints around a part of a trace: "<NMI>".
Context context_of_section(std::string_view section) {
  if (section == "NMI") return Context::kNmi;
  if (section == "IRQ") return Context::kIrq;
  if (section == "SOFTIRQ") return Context::kSoftirq;
  if (section.starts_with("#")) return Context::kException;
  return Context::kUnknown;
}

class CrashReader {
 public:
  CrashReader(Kernel& kernel, Unwinder& unwinder, const KernelLog& log)
      : kernel_(kernel), unwinder_(unwinder), lines_(split_lines(log)), text_(judge_log(lines_)) {
    if (log.incomplete) state_.unread.push_back(*log.incomplete);
  }

  CrashState read() {
    find_cpu();
    fill_anomaly();
    if (!died_) return std::move(state_);
    if (state_.stack.frames.empty()) read_stack();
    judge();
    fill_from_text();
    fill_from_stack();
    explain();
    fill_task();
    const bool from_log = text_.panic || report_;
    const bool from_stack = !state_.stack.frames.empty();
    state_.basis = from_log ? (from_stack ? "log and registers" : "log") : "registers";
    return std::move(state_);
  }

 private:
  void fill_anomaly();
  void find_cpu();
  std::optional<int> cpu_variable(std::string_view name, std::string_view member);
  std::optional<int> valid_cpu(std::optional<int> cpu);
  bool search_stacks();
  void read_stack();
  void judge();
  void fill_from_text();
  void fill_from_stack();
  void explain();
  void fill_task();
  std::optional<Registers> registers_of_text();
  bool text_names(const Frame& frame) const;
  void doubt(std::string path, std::string detail) {
    state_.unread.push_back({UnreadReason::kCorrupt, 0, std::move(path), std::move(detail)});
  }

  Kernel& kernel_;
  Unwinder& unwinder_;
  const std::vector<LogLine> lines_;
  const LogVerdict text_;
  StackVerdict verdict_;
  const OopsReport* report_ = nullptr;  // the one in text_ if it belongs to the crash
  CrashState state_;
  bool died_ = false;
};

void CrashReader::fill_anomaly() {
  std::optional<size_t> first = text_.first_anomaly;
  if (!first && !died_ && text_.report) first = text_.report->first_line;
  if (!first) return;
  const LogLine& line = lines_[*first];
  state_.first_anomaly = line.text;
  state_.first_anomaly_timestamp_ns = line.timestamp_ns;
}

std::optional<int> CrashReader::valid_cpu(std::optional<int> cpu) {
  if (!cpu || *cpu < 0) return std::nullopt;
  const auto number = kernel_.nr_cpu_ids();
  if (number.has_value() && static_cast<uint64_t>(*cpu) >= *number) {
    doubt("crash.cpu", fmt::format("CPU {} in a kernel of {} CPUs", *cpu, *number));
    return std::nullopt;
  }
  return cpu;
}

// -1 (PANIC_CPU_INVALID) while nothing has died.
std::optional<int> CrashReader::cpu_variable(std::string_view name, std::string_view member) {
  Object variable = kernel_.variable(name);
  if (!member.empty()) variable = variable.member(member);
  const auto value = variable.s64();
  if (!value.has_value()) {
    state_.unread.push_back(value.unread());
    return std::nullopt;
  }
  return *value >= 0 && *value <= INT32_MAX ? valid_cpu(static_cast<int>(*value)) : std::nullopt;
}

// Did the kernel die, and on which CPU? panic_cpu is set by panic() and crash_kexec(), crashing_cpu
// (arch/x86/kernel/reboot.c) when kexec stops the others. The log comes next; without any of these, the
// stacks in the dump's notes.
void CrashReader::find_cpu() {
  const auto panic_cpu = cpu_variable("panic_cpu", "counter");
  const auto crashing_cpu = cpu_variable("crashing_cpu", "");
  died_ = text_.panic || panic_cpu || crashing_cpu;
  state_.cpu = panic_cpu ? panic_cpu : crashing_cpu;
  if (!state_.cpu && text_.report && (died_ || text_.unfinished_oops))
    state_.cpu = valid_cpu(text_.report->cpu);
  if (!state_.cpu && text_.panic) state_.cpu = valid_cpu(text_.panic->cpu);
  if (died_ && state_.cpu) return;
  // An oops that was still being reported, or no log at all: does a stack show it?
  if (died_ || text_.unfinished_oops || lines_.empty()) died_ = search_stacks() || died_;
  if (!died_) state_.cpu.reset();
}

// Looks for a dying CPU, at the one that the log names first.
bool CrashReader::search_stacks() {
  constexpr size_t kMaxCpus = 1024;
  std::vector<int> cpus;
  if (state_.cpu) cpus.push_back(*state_.cpu);
  for (const CpuStatus& status : kernel_.cpu_status())
    if (cpus.size() < kMaxCpus && status.cpu >= 0) cpus.push_back(status.cpu);
  for (int cpu : cpus) {
    const CpuStatus* status = kernel_.status_of(cpu);
    if (!status || status->registers.from_user()) continue;
    Stack stack = unwinder_.unwind(status->registers, cpu);
    if (!judge_stack(stack).dying) continue;
    state_.cpu = cpu;
    state_.stack = std::move(stack);
    return true;
  }
  return false;
}

// The registers that the oops printed, with ip from its symbol.
std::optional<Registers> CrashReader::registers_of_text() {
  if (!text_.report || !text_.report->registers || text_.report->rip.function.empty()) return std::nullopt;
  const auto symbol = kernel_.symbols().find(text_.report->rip.function);
  if (!symbol) return std::nullopt;
  Registers registers = *text_.report->registers;
  registers.ip = symbol->address + text_.report->rip.offset;
  return registers;
}

void CrashReader::read_stack() {
  if (!state_.cpu) return;
  const CpuStatus* status = kernel_.status_of(*state_.cpu);
  if (status && !status->registers.from_user()) {
    state_.stack = unwinder_.unwind(status->registers, *state_.cpu);
    return;
  }
  state_.unread.push_back({UnreadReason::kNotInDump, 0, fmt::format("registers of CPU {}", *state_.cpu),
                           status ? "the dump holds those of user mode" : "the dump has none"});
  if (const auto registers = registers_of_text())
    state_.stack = unwinder_.unwind(*registers, *state_.cpu);
  else
    state_.stack = unwinder_.unwind_task(kernel_.current_task(*state_.cpu));
}

void CrashReader::judge() {
  const std::vector<Frame>& frames = state_.stack.frames;
  verdict_ = judge_stack(state_.stack);
  // kexec saved the registers of the oops itself (crash_setup_regs() is given the pt_regs of the fault), so
  // that nothing of oops_end() is on the stack that begins there.
  if (!verdict_.dying && !text_.panic && !frames.empty()) {
    size_t first = 0;
    while (first + 1 < frames.size() && frames[first].inlined) ++first;
    if (frames[first].registers && (!text_.report || text_names(frames[first]))) verdict_.fault = first;
  }
  // An oops that the kernel got past is not why it died, unless the stack says so.
  const bool same_place = verdict_.fault && text_names(frames[*verdict_.fault]);
  if (text_.report && (text_.panic || text_.unfinished_oops || same_place)) report_ = &*text_.report;
}

void CrashReader::fill_from_text() {
  if (text_.panic) {
    state_.reason = text_.panic_message;
    state_.crash_class = text_.crash_class;
  } else if (report_) {
    // kexec took over in oops_end(), before panic() could say anything.
    state_.reason = report_->headline;
    state_.crash_class = report_->crash_class;
  } else {
    state_.crash_class = verdict_.crash_class.empty() ? "panic" : verdict_.crash_class;
  }
  if (report_) {
    state_.oops = report_->headline;
    state_.fault_address = report_->fault_address;
    state_.function = report_->rip.function;
    state_.offset = report_->rip.offset;
    if (!report_->trace.empty()) state_.context = context_of_section(report_->trace.front().section);
  }
  if (!text_.panic || text_.panic->trace.empty()) return;
  if (state_.context == Context::kUnknown)
    state_.context = context_of_section(text_.panic->trace.front().section);
  if (!state_.function.empty()) return;
  Frame frame;
  for (const TraceLine& line : text_.panic->trace) {
    frame.function = line.place.function;
    if (!line.reliable || plumbing_of(frame) || frame.function.starts_with("dump_stack")) continue;
    state_.function = frame.function;
    state_.offset = line.place.offset;
    break;
  }
}

bool CrashReader::text_names(const Frame& frame) const {
  return text_.report && text_.report->rip.function == frame.function &&
         text_.report->rip.offset == frame.offset;
}

void CrashReader::fill_from_stack() {
  const std::vector<Frame>& frames = state_.stack.frames;
  std::optional<size_t> place = verdict_.fault ? verdict_.fault : verdict_.decided;
  if (is_about_interrupted_code(state_.crash_class)) {
    // The watchdog of one CPU may have found another one stuck: then the log alone names the place.
    const bool other_cpu = report_ && report_->cpu && report_->cpu != state_.cpu;
    if (verdict_.interrupted && !other_cpu) place = verdict_.interrupted;
    if (other_cpu && !state_.function.empty()) place.reset();
  }
  if (place) {
    const Frame& frame = frames[*place];
    state_.function = frame.function;
    state_.offset = frame.offset;
    state_.context = frame.context;
  }
  if (!verdict_.fault) {
    const bool faulted = report_ && report_->role != HeadlineRole::kStall;
    if (faulted) state_.fault_registers = registers_of_text();
    return;
  }
  const Frame& frame = frames[*verdict_.fault];
  state_.fault_frame = verdict_.fault;
  state_.fault_registers = frame.registers;
  if (report_ && !report_->rip.function.empty() && !text_names(frame)) {
    doubt("crash.function",
          fmt::format("the log says RIP {}+{:#x}, the stack {}+{:#x}", report_->rip.function,
                      report_->rip.offset, frame.function, frame.offset));
  }
}

void CrashReader::explain() {
  if (!state_.fault_registers) return;
  const Registers& registers = *state_.fault_registers;
  const bool page_fault = state_.crash_class == "page-fault" || state_.crash_class == "null-deref";
  if (!state_.fault_address && page_fault) {
    // CR2 is not among the saved registers; the instruction says what it accessed.
    const auto instruction = decode_at(kernel_, registers.ip);
    if (instruction.has_value() && instruction->memory &&
        (instruction->memory->read || instruction->memory->written))
      state_.fault_address = effective_address(*instruction, *instruction->memory, registers);
    if (state_.crash_class == "page-fault" && state_.fault_address.value_or(kNullPage) < kNullPage)
      state_.crash_class = "null-deref";
  }
  auto explanation = explain_fault(kernel_, registers, state_.fault_address, state_.function);
  if (explanation.has_value())
    state_.fault = std::move(explanation).value();
  else
    state_.unread.push_back(explanation.unread());
}

void CrashReader::fill_task() {
  if (!state_.cpu) return;
  const Object task = kernel_.current_task(*state_.cpu);
  const auto pid = task.member("pid").s64();
  const auto comm = task.member("comm").string();
  const OopsReport* told = nullptr;
  for (const auto* report : {&text_.report, &text_.panic})
    if (!told && *report && (*report)->cpu == state_.cpu && (*report)->pid) told = &**report;
  if (pid.has_value()) {
    state_.pid = *pid;
    if (told && told->pid != state_.pid)
      doubt("crash.pid", fmt::format("the log says PID {} ({}), the task on CPU {} is {}", *told->pid,
                                     told->comm, *state_.cpu, *pid));
  } else {
    state_.unread.push_back(pid.unread());
    if (told) state_.pid = told->pid;
  }
  if (comm.has_value())
    state_.comm = *comm;
  else if (told)
    state_.comm = told->comm;
}

}  // namespace

CrashState read_crash_state(Kernel& kernel, Unwinder& unwinder, const KernelLog& log) {
  return CrashReader(kernel, unwinder, log).read();
}

}  // namespace perfcore
