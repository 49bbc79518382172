// SPDX-License-Identifier: LGPL-2.1-or-later
#include <fmt/format.h>

#include <algorithm>
#include <span>

#include "crash/frame_roles.h"
#include "crash/oops_text.h"
#include "crash/stack_verdict.h"
#include "perfcore/crash.h"

namespace perfcore {
namespace {

// Addresses below this count as NULL for show_fault_oops(), arch/x86/mm/fault.c.
constexpr uint64_t kNullPage = 4096;

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

bool usable(const Frame& frame) {
  return frame.reliable && !frame.inlined;
}

// A frame that stands for others: a check that complains about its caller, a call through a NULL pointer, and
// where sleeping was the mistake, what sleeps.
bool is_on_behalf(std::string_view function, std::string_view crash_class) {
  const auto role = frame_role(function);
  const bool sleeping = crash_class == "atomic-sleep" || crash_class == "hung-task";
  return function.empty() || role == FrameRole::kChecker || role == FrameRole::kHelper ||
         (sleeping && role == FrameRole::kWaiting);
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
    if (!died_) {
      // Without a log and without the variables that panic() sets nobody can say that nothing happened.
      if (lines_.empty() && !panic_cpu_read_) state_.crash_class = "other";
      return std::move(state_);
    }
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
  void name_place(const CodePlace& rip, const std::vector<TraceLine>& trace);
  bool is_about_another() const;
  void fill_from_stack();
  std::optional<uint64_t> accessed_address(const Registers& registers);
  std::string_view class_of_instruction(const Registers& registers);
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
  bool panic_cpu_read_ = false;
  bool kexeced_ = false;  // crashing_cpu is set: the dump's notes were saved by the dying kernel itself
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
  panic_cpu_read_ = kernel_.variable("panic_cpu").member("counter").s64().has_value();
  const auto crashing_cpu = cpu_variable("crashing_cpu", "");
  kexeced_ = crashing_cpu.has_value();
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
  // that nothing of oops_end() is on the stack that begins there. A hypervisor's dump has the registers of
  // the moment instead.
  if (kexeced_ && !verdict_.dying && !text_.panic && !frames.empty()) {
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
    name_place(report_->rip, report_->trace);
  }
  if (text_.panic) name_place({}, text_.panic->trace);
}

// Takes the place and its context from what the log printed, unless they are known already.
void CrashReader::name_place(const CodePlace& rip, const std::vector<TraceLine>& trace) {
  if (state_.context == Context::kUnknown && !trace.empty())
    state_.context = context_of_section(trace.front().section);
  if (!state_.function.empty()) return;
  const auto take = [&](const CodePlace& place) {
    const auto role = frame_role(place.function);
    if (role == FrameRole::kDying || is_on_behalf(place.function, state_.crash_class)) return false;
    state_.function = place.function;
    state_.offset = place.offset;
    return true;
  };
  if (take(rip)) return;
  for (const TraceLine& line : trace)
    if (line.reliable && take(line.place)) return;
}

bool CrashReader::text_names(const Frame& frame) const {
  return text_.report && text_.report->rip.function == frame.function &&
         text_.report->rip.offset == frame.offset;
}

// The log alone names the place where the panic is about other code than the one that panicked: a task that
// hangs, a CPU that another one found stuck.
bool CrashReader::is_about_another() const {
  if (state_.crash_class == "hung-task") return true;
  return is_about_interrupted_code(state_.crash_class) && report_ && report_->cpu &&
         report_->cpu != state_.cpu;
}

void CrashReader::fill_from_stack() {
  const std::vector<Frame>& frames = state_.stack.frames;
  std::optional<size_t> place = verdict_.fault ? verdict_.fault : verdict_.decided;
  if (is_about_interrupted_code(state_.crash_class) && verdict_.interrupted) place = verdict_.interrupted;
  if (place && !(is_about_another() && !state_.function.empty())) {
    state_.context = frames[*place].context;
    size_t i = *place;
    while (i + 1 < frames.size() && !frames[i + 1].interrupted &&
           (!usable(frames[i]) || is_on_behalf(frames[i].function, state_.crash_class)))
      ++i;
    if (is_on_behalf(frames[i].function, state_.crash_class)) i = *place;
    state_.function = frames[i].function;
    state_.offset = frames[i].offset;
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

// What the faulting instruction accessed, by its operand and the registers: CR2 is not among those that are
// saved.
std::optional<uint64_t> CrashReader::accessed_address(const Registers& registers) {
  if (registers.ip < kNullPage) return registers.ip;  // a call through a NULL pointer
  const auto instruction = decode_at(kernel_, registers.ip);
  if (!instruction.has_value() || !instruction->memory) return std::nullopt;
  if (!instruction->memory->read && !instruction->memory->written) return std::nullopt;
  return effective_address(*instruction, *instruction->memory, registers);
}

// Class by the instruction that faulted, where neither log nor stack name the exception: kexec took over and
// the log was filtered.
std::string_view CrashReader::class_of_instruction(const Registers& registers) {
  const auto instruction = decode_at(kernel_, registers.ip);
  if (instruction.has_value()) {
    const std::string& mnemonic = instruction->mnemonic;
    if (mnemonic == "ud2" || mnemonic == "ud1") return "kernel-bug";
    if (mnemonic == "int3") return "int3";
    if (mnemonic == "div" || mnemonic == "idiv") return "divide-error";
  }
  const auto address = accessed_address(registers);
  if (!address) return "panic";
  if (*address < kNullPage) return "null-deref";
  // Bits 63 to 47 of an address are equal, 63 to 56 with 5-level paging.
  const auto sign = static_cast<int64_t>(*address) >> 56;
  if (sign != 0 && sign != -1) return "gpf";
  const auto unread = read_value<uint8_t>(kernel_.memory(), *address);
  return !unread.has_value() && unread.unread().reason == UnreadReason::kNotMapped ? "page-fault" : "panic";
}

void CrashReader::explain() {
  if (!state_.fault_registers) return;
  const Registers& registers = *state_.fault_registers;
  if (!text_.panic && !report_ && verdict_.crash_class.empty())
    state_.crash_class = class_of_instruction(registers);
  const bool page_fault = state_.crash_class == "page-fault" || state_.crash_class == "null-deref";
  if (page_fault && !state_.fault_address) {
    state_.fault_address = accessed_address(registers);
    if (state_.fault_address.value_or(kNullPage) < kNullPage) state_.crash_class = "null-deref";
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
