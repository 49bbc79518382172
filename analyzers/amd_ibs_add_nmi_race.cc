// SPDX-License-Identifier: LGPL-2.1-or-later
//
// amd-ibs-add-nmi-race: an NMI from another source lands in perf_ibs_start() after IBS_STARTED is set and
// before the MSR that enables IBS is written. The handler finds a stale valid bit, takes a bogus sample and
// itself enables the event (or stops it, and perf_ibs_start() enables the hardware all the same). Fixed by
// 1b044ff3c17e (7.1), which disables the event before the state bits are set.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "analyzers/knowledge.h"
#include "analyzers/pmu_evidence.h"
#include "analyzers/registry.h"
#include "analyzers/text_finding.h"
#include "perfcore/code.h"
#include "perfcore/ibs.h"
#include "perfcore/members.h"

namespace perfcore {
namespace {

constexpr EvidenceKind kWindow = {
    "this kernel's perf_ibs_start() has the window: no MSR is written before IBS_STARTED is set (probe "
    "P-IBS)",
    EvidenceRole::kRequired, 20, Certainty::kBinary,
    "open in 6.1.192, 6.12.117, 6.18.12, 6.19.10, 7.0.13; closed in 7.2.12"};
constexpr EvidenceKind kNmiInWindow = {"an NMI interrupted perf_ibs_start() in the window",
                                       EvidenceRole::kRequired, 40, Certainty::kReproduced, "6.12.117"};
constexpr EvidenceKind kHandlerAtWork = {
    "the IBS handler was at work on the very event that was being started", EvidenceRole::kRequired, 30,
    Certainty::kReproduced, "6.12.117"};
constexpr EvidenceKind kIllegalState = {
    "or, for likely: a CPU's IBS state and its event are in a combination that no state of rest has",
    EvidenceRole::kRequired, 30, Certainty::kSource, "arch/x86/events/amd/ibs.c, enum ibs_states"};
constexpr EvidenceKind kUnknownNmis = {"the log has unknown NMIs", EvidenceRole::kSupports, 15,
                                       Certainty::kSource, "arch/x86/kernel/nmi.c"};
constexpr EvidenceKind kWarning = {"the log has a warning of the IBS driver", EvidenceRole::kSupports, 30,
                                   Certainty::kSource, "arch/x86/events/amd/ibs.c, perf_ibs_start()"};
constexpr EvidenceKind kBothFlavours = {
    "both flavours of IBS are in use on a CPU, so that one's NMI can hit the other's start",
    EvidenceRole::kSupports, 10, Certainty::kReproduced, "6.12.117"};

const std::vector<KnownCommit>& commits() {
  static const std::vector<KnownCommit> kCommits = {
      {{"fix", "1b044ff3c17e", "perf/amd/ibs: Avoid race between event add and NMI"},
       "7.1; whether a stable series has it is not known (posted for 5.10 to 7.0 on 2026-04-20)",
       Certainty::kBinary,
       "7.2.12 has it; 6.1.192, 6.12.117, 6.18.12, 6.19.10 and 7.0.13 do not"},
  };
  return kCommits;
}

const std::vector<std::string>& remedy() {
  static const std::vector<std::string> kRemedy = {
      "Backport 1b044ff3c17e (in 7.1): one call that disables the event before IBS_STARTED is set.",
      "Until then do not use ibs_op// or ibs_fetch// together with other NMI sources: "
      "kernel.nmi_watchdog=0, no concurrent perf "
      "record of cycles (cycles:p and :pp select IBS on Zen), or a longer period."};
  return kRemedy;
}

/// Probe P-IBS: is the control MSR written in perf_ibs_start() before IBS_STARTED is set?
struct IbsProbe {
  Reading<bool> fixed = Unread{UnreadReason::kUnsupported, 0, "perf_ibs_start", "not probed"};
  uint64_t set_started = 0;  ///< address of the instruction that sets IBS_STARTED
  std::string reason;
};

bool writes_msr(Kernel& kernel, const Instruction& instruction) {
  if (instruction.mnemonic == "wrmsr" || instruction.mnemonic == "wrmsrns") return true;
  if (!instruction.is_call) return false;
  if (!instruction.target)
    return instruction.memory && instruction.memory->base == Reg::kRip;  // an unpatched pv_ops call
  const auto symbol = kernel.symbols().at(*instruction.target);
  return symbol && (symbol->name.find("write_msr") != std::string::npos ||
                    symbol->name.find("wrmsr") != std::string::npos ||
                    symbol->name.find("perf_ibs_disable_event") != std::string::npos);
}

IbsProbe probe_ibs(Kernel& kernel) {
  IbsProbe probe;
  const auto code = decode_function(kernel, "perf_ibs_start");
  if (!code.has_value()) {
    probe.fixed = code.unread();
    probe.reason = code.unread().message();
    return probe;
  }
  const Type* type = kernel.type("struct cpu_perf_ibs");
  const auto state = type ? find_member(kernel, type, "state") : std::nullopt;
  const IbsStates states = ibs_states(kernel);
  if (!state) {
    probe.reason = "struct cpu_perf_ibs is not known";
    return probe;
  }
  // set_bit() of a constant bit: lock or of one byte; of a variable bit: lock bts.
  const auto sets_started = [&](const Instruction& instruction) {
    if (!instruction.memory || !instruction.memory->written || !instruction.immediate) return false;
    if (instruction.memory->displacement != static_cast<int64_t>(state->byte_offset())) return false;
    const auto value = static_cast<uint64_t>(*instruction.immediate);
    if (instruction.mnemonic.starts_with("or")) return (value & 0xff) == states.started;
    return instruction.mnemonic.starts_with("bts") && uint64_t{1} << (value & 63) == states.started;
  };
  const auto started = std::find_if(code->begin(), code->end(), sets_started);
  if (started == code->end()) {
    probe.reason = "no instruction of perf_ibs_start() sets IBS_STARTED";
    probe.fixed = Unread{UnreadReason::kUnsupported, 0, "perf_ibs_start", probe.reason};
    return probe;
  }
  probe.set_started = started->address;
  const auto written =
      std::find_if(code->begin(), started, [&](const Instruction& i) { return writes_msr(kernel, i); });
  probe.fixed = written != started;
  const auto function = kernel.symbols().find("perf_ibs_start");
  probe.reason = fmt::format(
      "perf_ibs_start+{:#x} sets IBS_STARTED, {}", started->address - (function ? function->address : 0),
      written != started ? "after the control MSR was written" : "and no MSR is written before it");
  return probe;
}

/// Is an IBS state legal for a CPU that is not in the middle of changing it? (State machine of
/// perf_ibs_start/stop/add/del.) \return empty when legal, else why not.
std::string illegal_at_rest(const IbsStates& s, uint64_t state, bool has_event, uint64_t hw_state,
                            uint64_t interrupts, bool in_nmi) {
  const bool enabled = state & s.enabled, started = state & s.started, stopping = state & s.stopping;
  const bool stopped = state & s.stopped;
  if (!has_event) {
    if (enabled) return "ENABLED without an event";
    if (started) return "STARTED without an owner";
    if (stopped && !stopping) return "STOPPED without STOPPING";
    return "";
  }
  if (!enabled) return "an event is left although IBS is not ENABLED";
  if (started && stopping) return "STARTED and STOPPING at once";
  if (started && (hw_state & kHesStopped)) return "STARTED although the event is stopped";
  if (!started && !(hw_state & kHesStopped)) return "not STARTED although the event is running";
  if (started && interrupts == kMaxInterrupts && !in_nmi)
    return "running although the event is throttled: the handler's stop was lost";
  return "";
}

class IbsRace {
 public:
  explicit IbsRace(Diagnosis& diagnosis) : d_(diagnosis), kernel_(diagnosis.kernel()) {}

  Finding run() {
    finding_.references = references_of(commits());
    const Reading<uint64_t> caps = ibs_caps(kernel_);
    if (caps.is(uint64_t{0}) || !kernel_.symbols().find("perf_ibs_start")) {
      finding_.verdict = Verdict::kNotApplicable;
      finding_.summary =
          caps.is(uint64_t{0}) ? "this CPU has no IBS (ibs_caps is 0)" : "this kernel has no IBS driver";
      if (caps.has_value())
        finding_.evidence.push_back(evidence_of("the CPU has IBS", kernel_.variable("ibs_caps"), "not 0",
                                                Reading<bool>(false), 0, true));
      return finding_;
    }
    states_ = ibs_states(kernel_);
    probe_ = probe_ibs(kernel_);
    finding_.evidence.push_back(plain_evidence("this kernel's perf_ibs_start() has the window (probe P-IBS)",
                                               probe_.reason, "no MSR write before IBS_STARTED",
                                               !probe_.fixed.has_value() ? EvidenceResult::kUndetermined
                                               : *probe_.fixed           ? EvidenceResult::kContradicts
                                                                         : EvidenceResult::kSupports,
                                               kWindow.weight));
    finding_.evidence.back().address = probe_.set_started ? std::optional(probe_.set_started) : std::nullopt;
    if (probe_.fixed.is(true)) {
      finding_.verdict = Verdict::kNotApplicable;
      finding_.summary = "this kernel has the fix";
      return finding_;
    }
    inspect_states();
    inspect_crash();
    judge(caps);
    return finding_;
  }

 private:
  struct Illegal {
    int cpu = -1;
    std::string flavour;
    std::string why;
    Object state;
  };
  /// An NMI that interrupted perf_ibs_start() inside the window.
  struct Hit {
    int cpu = -1;
    std::string flavour;  ///< that was being started
    uint64_t event = 0;
    bool handler_active = false;  ///< the handler was past its checks and worked on this very event
    std::string interrupted;      ///< "perf_ibs_start+0xa4"
    std::string callee;           ///< what the handler had called
    std::string found_in;         ///< where the event pointer was found
  };

  void inspect_states() {
    const Reading<std::vector<int>>& cpus = d_.pmu().cpus();
    if (!cpus.has_value()) {
      note(cpus.unread());
      return;
    }
    for (const IbsPmu& pmu : ibs_pmus(kernel_))
      for (const int cpu : *cpus) inspect_state(pmu, cpu);
  }

  void note(const Unread& unread) {
    unread_ = true;
    d_.note_unread(unread);
    finding_.not_visible.push_back(unread.message());
  }

  void inspect_state(const IbsPmu& pmu, int cpu) {
    const Object pcpu = pmu.pcpu(cpu);
    const Object state = pcpu.member("state[0]");
    const Reading<uint64_t> bits = state.u64();
    const Reading<uint64_t> event = pcpu.member("event").u64();
    if (!bits.has_value() || !event.has_value()) {
      note(bits.has_value() ? event.unread() : bits.unread());
      return;
    }
    uint64_t hw_state = 0, interrupts = 0;
    if (*event) {
      const Reading<uint64_t> hw = d_.pmu().event(*event).hw_state();
      const Reading<uint64_t> count = d_.pmu().event(*event).hw_interrupts();
      if (!hw.has_value() || !count.has_value()) {
        note(hw.has_value() ? count.unread() : hw.unread());
        return;
      }
      hw_state = *hw;
      interrupts = *count;
      active_.push_back({cpu, pmu.name});
    }
    const std::string why = illegal_at_rest(states_, *bits, *event != 0, hw_state, interrupts, false);
    if (why.empty()) return;
    const Stack& stack = d_.stack(cpu);
    const bool complete = stack.complete();
    bool busy = false;
    for (const Frame& frame : stack.frames)
      busy |= frame.function.starts_with("perf_ibs_") || frame.function == "perf_event_nmi_handler" ||
              frame.context == Context::kNmi;
    // A CPU stopped by the panic's own NMI is in NMI context without being in a PMU handler; that one may be
    // judged.
    const bool in_handler = stack.contains("perf_ibs_nmi_handler") || stack.contains("perf_ibs_handle_irq") ||
                            stack.contains("perf_ibs_start") || stack.contains("perf_ibs_stop") ||
                            stack.contains("perf_ibs_add") || stack.contains("perf_ibs_del");
    if (in_handler || (!complete && busy)) {
      finding_.evidence.push_back(evidence_of(
          fmt::format("{} of CPU {} is {}; the CPU was just changing it", pmu.name, cpu, why), state,
          "a state of rest", Reading<bool>(Unread{UnreadReason::kUnsupported, 0, "", ""}), 0, true));
      return;
    }
    illegal_.push_back({cpu, pmu.name, why, state});
    certain_ |= complete;
  }

  /// Looks for the one thing that proves the race: an NMI frame of the IBS handler over perf_ibs_start() in
  /// the window.
  void inspect_crash() {
    const Reading<std::vector<int>>& cpus = d_.pmu().cpus();
    if (!cpus.has_value()) return;
    for (const int cpu : *cpus) {
      const Stack& stack = d_.stack(cpu);
      if (!stack.frames.empty() && !stack.complete()) {
        unread_ = true;
        finding_.not_visible.push_back(
            fmt::format("what CPU {} was doing: its stack could not be followed to its end{}", cpu,
                        stack.stopped ? " (" + stack.stopped->message() + ")" : std::string()));
      }
      for (size_t i = 0; i < stack.frames.size(); i++) {
        const Frame& frame = stack.frames[i];
        if (frame.function != "perf_ibs_start" || !frame.interrupted || !frame.registers || !frame.reliable)
          continue;
        if (probe_.set_started && frame.ip <= probe_.set_started) continue;
        if (auto hit = examine_hit(cpu, stack, i)) hits_.push_back(std::move(*hit));
      }
    }
  }

  std::optional<Hit> examine_hit(int cpu, const Stack& stack, size_t interrupted) {
    // The NMI's frames lie inside of the interrupted one, whose own inlined calls come between; the handler
    // must be among them.
    size_t handler = stack.frames.size();
    size_t inner = interrupted;
    while (inner > 0 && stack.frames[inner - 1].inlined) inner--;
    for (size_t i = inner; i-- > 0;) {
      if (stack.frames[i].inlined) continue;
      if (stack.frames[i].context != Context::kNmi && stack.frames[i].context != Context::kException) break;
      if (stack.frames[i].function == "perf_ibs_handle_irq" ||
          stack.frames[i].function == "perf_ibs_nmi_handler")
        handler = i;
    }
    if (handler == stack.frames.size()) return std::nullopt;
    Hit hit;
    hit.cpu = cpu;
    const Frame& frame = stack.frames[interrupted];
    hit.interrupted = fmt::format("{}+{:#x}", frame.function, frame.offset);
    if (!enabled_later(frame)) return std::nullopt;
    const auto flavour = being_started(*frame.registers, cpu);
    if (!flavour) return hit;
    hit.flavour = flavour->name;
    const Reading<uint64_t> event = flavour->pcpu(cpu).member("event").u64();
    if (!event.has_value() || *event == 0 || handler == 0) return hit;
    hit.event = *event;
    size_t callee = handler - 1;
    while (callee > 0 && stack.frames[callee].inlined) callee--;
    hit.callee = stack.frames[callee].function;
    hit.found_in = find_event(stack, handler, interrupted, *event);
    hit.handler_active = !hit.found_in.empty();
    return hit;
  }

  /// Is there an MSR write still to come in perf_ibs_start() after this point?
  bool enabled_later(const Frame& frame) {
    const auto code = decode_function(kernel_, "perf_ibs_start");
    if (!code.has_value()) return false;
    return std::any_of(code->begin(), code->end(),
                       [&](const Instruction& i) { return i.address >= frame.ip && writes_msr(kernel_, i); });
  }

  /// Which flavour perf_ibs_start() was working on: its struct perf_ibs, per-CPU state or event is in a
  /// register.
  std::optional<IbsPmu> being_started(const Registers& registers, int cpu) {
    std::optional<IbsPmu> found;
    for (const IbsPmu& pmu : ibs_pmus(kernel_)) {
      for (const Reading<uint64_t>& pointer :
           {pmu.pmu.address(), pmu.pcpu(cpu).address(), pmu.pcpu(cpu).member("event").u64()}) {
        if (!pointer.has_value() || *pointer == 0 || !in_registers(registers, *pointer)) continue;
        if (found && found->name != pmu.name) return std::nullopt;
        found = pmu;
      }
    }
    return found;
  }

  static bool in_registers(const Registers& r, uint64_t value) {
    const std::array all = {r.ax, r.bx,  r.cx,  r.dx,  r.si,  r.di,  r.bp, r.r8,
                            r.r9, r.r10, r.r11, r.r12, r.r13, r.r14, r.r15};
    return std::find(all.begin(), all.end(), value) != all.end();
  }

  /// Where the handler's frames hold the event: a saved register of the nearest pt_regs, or a stack slot.
  std::string find_event(const Stack& stack, size_t handler, size_t interrupted, uint64_t event) {
    for (size_t i = 0; i < handler; i++)
      if (stack.frames[i].registers && in_registers(*stack.frames[i].registers, event))
        return fmt::format("a register saved at {}", stack.frames[i].function);
    const uint64_t begin = stack.frames[0].context == stack.frames[handler].context
                               ? stack.frames[0].sp
                               : stack.frames[handler - 1].sp;
    const uint64_t end = stack.frames[interrupted].registers_address;
    constexpr uint64_t kMaxStack = 32 << 10;
    if (begin >= end || end - begin > kMaxStack) return "";
    const Snapshot slots = take_snapshot(kernel_.memory(), begin, end - begin);
    for (size_t offset = 0; offset + 8 <= slots.bytes.size(); offset += 8) {
      uint64_t value;
      std::memcpy(&value, slots.bytes.data() + offset, 8);
      if (value == event && !slots.gap_in(offset, 8))
        return fmt::format("the handler's stack at {:#x}", begin + offset);
    }
    return "";
  }

  void judge(const Reading<uint64_t>& caps) {
    const bool unfixed = probe_.fixed.is(false);
    const auto proving =
        std::find_if(hits_.begin(), hits_.end(), [](const Hit& hit) { return hit.handler_active; });
    for (const Hit& hit : hits_) add_hit(hit);
    for (const Illegal& illegal : illegal_)
      finding_.evidence.push_back(evidence_of(fmt::format("{} of CPU {} is in an impossible state: {}",
                                                          illegal.flavour, illegal.cpu, illegal.why),
                                              illegal.state, "a state of rest", Reading<bool>(true),
                                              kIllegalState.weight, true));
    const size_t unknown_nmis = add_symptoms();
    if (proving != hits_.end()) {
      const bool panicked_here = d_.crash().cpu == proving->cpu && d_.crash().crash_class != "none";
      finding_.verdict = unfixed ? Verdict::kProven : Verdict::kLikely;
      finding_.stage = panicked_here ? Stage::kCrashed : Stage::kFired;
      finding_.cpus = {proving->cpu};
      finding_.facts["kind"] = std::string("nmi-inside-start");
      tell_hit(*proving, panicked_here);
    } else if (!illegal_.empty()) {
      finding_.verdict = unfixed && certain_ ? Verdict::kLikely : Verdict::kPossible;
      finding_.stage = finding_.verdict == Verdict::kLikely ? Stage::kArmed : Stage::kLatent;
      finding_.facts["kind"] = std::string("state-of-a-lost-stop");
      for (const Illegal& illegal : illegal_)
        if (std::find(finding_.cpus.begin(), finding_.cpus.end(), illegal.cpu) == finding_.cpus.end())
          finding_.cpus.push_back(illegal.cpu);
      std::sort(finding_.cpus.begin(), finding_.cpus.end());
      finding_.summary = fmt::format("{}: {} is in a state that only a lost stop explains: {}",
                                     cpu_list(finding_.cpus), illegal_.front().flavour, illegal_.front().why);
      finding_.explanation = {
          "IBS state bits and the event disagree on a CPU that was not changing them. The race leaves such a "
          "state when the NMI's throttle is undone by perf_ibs_start() going on."};
    } else if (!hits_.empty() || (unknown_nmis && throttled_)) {
      finding_.verdict = Verdict::kPossible;
      finding_.stage = Stage::kLatent;
      finding_.summary = hits_.empty()
                             ? "unknown NMIs while an IBS event is throttled"
                             : fmt::format("an NMI hit the window on CPU {}, but the handler had not used it",
                                           hits_.front().cpu);
    } else if (unread_ || !caps.has_value() || !probe_.fixed.has_value()) {
      finding_.verdict = Verdict::kUndetermined;
      finding_.stage = unfixed ? Stage::kLatent : Stage::kNone;
      finding_.summary = "what is needed to judge IBS could not all be read";
    } else {
      finding_.verdict = Verdict::kLatent;
      finding_.stage = Stage::kLatent;
      finding_.summary =
          "this kernel has the window in perf_ibs_start(); nothing has gone wrong that memory shows";
    }
    if (!finding_.cpus.empty() && finding_.stage > Stage::kLatent)
      finding_.facts["cpus_by_stage"] =
          std::map<std::string, std::vector<int>>{{std::string(to_string(finding_.stage)), finding_.cpus}};
    finding_.not_visible.push_back(
        "IBS control registers (MSRs) are not in a vmcore: whether the hardware is enabled cannot be seen");
    finding_.remedy = remedy();
  }

  void add_hit(const Hit& hit) {
    finding_.evidence.push_back(
        plain_evidence(fmt::format("an NMI interrupted perf_ibs_start() on CPU {} in the window", hit.cpu),
                       hit.interrupted, "after IBS_STARTED is set, before the MSR is written",
                       EvidenceResult::kSupports, kNmiInWindow.weight));
    finding_.evidence.push_back(plain_evidence(
        std::string(kHandlerAtWork.claim),
        hit.handler_active ? fmt::format("event {:#x} of {} found in {}; the handler had called {}",
                                         hit.event, hit.flavour, hit.found_in, hit.callee)
                           : "no trace of that event in the handler's frames",
        "its pointer in the handler's frames",
        hit.handler_active ? EvidenceResult::kSupports : EvidenceResult::kUndetermined,
        kHandlerAtWork.weight));
  }

  /// Log lines and other NMI sources. \return number of unknown-NMI lines.
  size_t add_symptoms() {
    const KernelLog& log = d_.log();
    std::string line;
    const size_t unknown = count_log_lines(log, "NMI received for unknown reason", &line);
    if (unknown)
      finding_.evidence.push_back(plain_evidence(fmt::format("the log has {} unknown NMIs", unknown), line,
                                                 "Uhhuh. NMI received for unknown reason",
                                                 EvidenceResult::kSupports, kUnknownNmis.weight));
    if (count_log_lines(log, "amd/ibs.c", &line))
      finding_.evidence.push_back(plain_evidence("a warning of the IBS driver", line, "WARNING ... amd/ibs.c",
                                                 EvidenceResult::kSupports, kWarning.weight));
    for (const auto& [cpu, flavour] : active_) {
      for (const auto& [other_cpu, other] : active_)
        if (cpu == other_cpu && flavour < other) {
          finding_.evidence.push_back(plain_evidence(
              fmt::format("both flavours of IBS are in use on CPU {}, so that one's NMI can hit "
                          "the other's start",
                          cpu),
              flavour + ", " + other, "another NMI source", EvidenceResult::kSupports, kBothFlavours.weight));
        }
    }
    for (const IbsPmu& pmu : ibs_pmus(kernel_))
      for (const auto& [cpu, flavour] : active_)
        if (flavour == pmu.name) {
          const Reading<uint64_t> event = pmu.pcpu(cpu).member("event").u64();
          if (event.has_value() && *event && d_.pmu().event(*event).hw_interrupts().is(kMaxInterrupts))
            throttled_ = true;
        }
    return unknown;
  }

  void tell_hit(const Hit& hit, bool panicked) {
    finding_.summary = fmt::format(
        "CPU {}: an NMI hit perf_ibs_start() between IBS_STARTED and the enable, and its handler worked on "
        "the "
        "event that was only being started",
        hit.cpu);
    finding_.explanation = {
        fmt::format("On CPU {} perf_ibs_start() was starting event {:#x} of {}: it had set IBS_STARTED, but "
                    "not yet written the control "
                    "MSR ({}).",
                    hit.cpu, hit.event, hit.flavour, hit.interrupted),
        "An NMI from another source arrived there. perf_ibs_handle_irq() saw IBS_STARTED and a valid bit "
        "left in the control MSR from "
        "an earlier use, and took it for a sample of this event.",
        fmt::format("It went on to process that sample: it had called {}() ({} holds the event).", hit.callee,
                    hit.found_in)};
    if (!panicked) return;
    const CrashState& crash = d_.crash();
    const bool null_argument =
        crash.fault ? crash.fault->null_pointer : crash.fault_address && *crash.fault_address < kPageSize;
    const bool explained = !null_argument && (crash.fault || crash.fault_address || !crash.fault_registers);
    finding_.explanation.push_back(
        null_argument
            ? fmt::format(
                  "What the race explains: that {}() ran in this NMI at all. What it does not explain: the "
                  "NULL pointer at which it faulted ({}); the event that the handler holds is not NULL. "
                  "Look for that separately.",
                  crash.function,
                  crash.fault ? crash.fault->sentence : fmt::format("at {:#x}", *crash.fault_address))
        : explained
            ? fmt::format("The panic ({}) happened in that handler.", crash.reason)
            : fmt::format("Whether the fault in {}() is a consequence cannot be told: neither its address "
                          "nor its instruction could be read.",
                          crash.function));
    finding_.cause_of_crash = explained && d_.stack(hit.cpu).contains("perf_ibs_handle_irq");
  }

  Diagnosis& d_;
  Kernel& kernel_;
  IbsStates states_;
  IbsProbe probe_;
  Finding finding_;
  std::vector<Illegal> illegal_;
  std::vector<Hit> hits_;
  std::vector<std::pair<int, std::string>> active_;
  bool unread_ = false;
  bool certain_ = false;
  bool throttled_ = false;
};

RuleKnowledge knowledge() {
  RuleKnowledge known;
  known.summary =
      "an NMI hits perf_ibs_start() after IBS_STARTED is set and before the hardware is enabled, and "
      "its handler works on an event that is only being started";
  known.symptoms = {
      {"A crash or a warning in the IBS handler, on top of perf_ibs_start() on the same stack.",
       Certainty::kReproduced, "6.12.117"},
      {"\"Uhhuh. NMI received for unknown reason\" again and again on one CPU, NMI storms, IBS events that "
       "silently stop.",
       Certainty::kPublic, "1b044ff3c17e"},
  };
  known.mechanism = {
      {"perf_ibs_start() sets hw.state to 0 and IBS_STARTED, and only then writes the control MSR.",
       Certainty::kSource, "arch/x86/events/amd/ibs.c, perf_ibs_start(), 6.1 to 7.0"},
      {"An NMI from another source in between runs the handler. It sees IBS_STARTED and a valid bit that an "
       "earlier use left in the control MSR, takes that for a sample, and enables or stops the event.",
       Certainty::kSource, "arch/x86/events/amd/ibs.c, perf_ibs_handle_irq()"},
      {"perf_ibs_start() goes on and enables the hardware whatever the handler decided: the hardware may run "
       "while the software says STOPPED.",
       Certainty::kSource, "arch/x86/events/amd/ibs.c"},
  };
  known.evidence = {kWindow,  kNmiInWindow, kHandlerAtWork, kIllegalState,
                    kWarning, kUnknownNmis, kBothFlavours};
  known.look_alikes = {
      {"late counter NMI (D-20)", "no IBS event is in use; performance events are"},
      {"branch sampling (BRS) left on (D-06)", "KVM and BRS are in use"},
      {"NMI button or management controller",
       "external NMIs are counted in nmi_stats, and no IBS event is in use"},
  };
  known.kernels = {
      {"Up to 7.0, on AMD CPUs with IBS (ibs_caps is not 0).", Certainty::kBinary,
       "6.1.192, 6.12.117, 6.18.12, 6.19.6, 6.19.10, 7.0.4, 7.0.13"},
      {"Since 4.7 by a statement of the fix's discussion; not checked.", Certainty::kExpert, ""},
  };
  known.commits = commits();
  known.remedy = remedy();
  known.limits = {
      "IBS registers are not in a vmcore: memory alone gives likely at most; proven needs the nested NMI on "
      "the stack.",
      "When the race ends without throttling it leaves no trace at all.",
  };
  return known;
}

std::optional<Finding> of_text(const ConsoleReport& report) {
  static const TextSymptom kSymptom = {
      {{.classes = {"null-deref", "gpf", "page-fault", "kasan", "warning"},
        .functions = {},
        .stack_all = {"perf_ibs_handle_irq", "perf_ibs_start"},
        .stack_any = {},
        .log_any = {}}},
      {},
      "an NMI of IBS came while perf_ibs_start() was at work, the window of this "
      "race, and the kernel died in it; "
      "a vmcore would tell"};
  auto finding = text_finding(report, kSymptom);
  if (finding) finding->references = references_of(commits());
  return finding;
}

}  // namespace

RuleInfo amd_ibs_add_nmi_race_rule() {
  return {"amd-ibs-add-nmi-race",
          "AMD IBS: NMI between IBS_STARTED and the enable in perf_ibs_start()",
          {{"struct perf_event"}, {}},
          [](Diagnosis& diagnosis) { return IbsRace(diagnosis).run(); },
          knowledge,
          {.variant = "kind"},
          of_text};
}

}  // namespace perfcore
