// SPDX-License-Identifier: LGPL-2.1-or-later
//
// x86-xmm-user-regs: a sample of user space's SIMD registers follows a pointer that nobody set for it. Three
// ways, found in review of the series that samples XMM registers for PERF_SAMPLE_REGS_USER, which no release
// up to 7.3 has:
//
//   uninitialised-pebs-regs      the drain of PEBS records keeps a struct x86_perf_regs on its stack and
//                                leaves its pointers as they are
//   stale-percpu-user-regs       per-CPU x86_user_regs keeps the pointers of an earlier sample
//   ignore-mask-suppresses-user  what PEBS recorded of the kernel's registers counts as read for the user's
#include <fmt/format.h>

#include <algorithm>

#include "analyzers/knowledge.h"
#include "analyzers/pmu_evidence.h"
#include "analyzers/registry.h"
#include "perfcore/user_regs.h"

namespace perfcore {
namespace {

constexpr const char* kUninitialised = "uninitialised-pebs-regs";
constexpr const char* kStale = "stale-percpu-user-regs";
constexpr const char* kSuppressed = "ignore-mask-suppresses-user";

/// include/uapi/linux/perf_event.h, arch/x86/include/uapi/asm/perf_regs.h: user ABI.
constexpr uint64_t kSampleRegsUser = 1 << 12;  // PERF_SAMPLE_REGS_USER
constexpr int kFirstXmmBit = 32;               // PERF_REG_X86_XMM0
/// PEBS_DATACFG_XMMS, arch/x86/include/asm/perf_event.h.
constexpr uint64_t kPebsXmms = 1 << 2;
/// XSAVE areas lie on 64 bytes.
constexpr uint64_t kXsaveAlignment = 64;
constexpr size_t kMaxEvidence = 24;

constexpr EvidenceKind kHasCode = {
    "this kernel samples SIMD registers of user space: per-CPU x86_user_regs, ext_regs_buf or "
    "x86_pmu.ext_regs_mask exists",
    EvidenceRole::kRequired, 10, Certainty::kSource,
    "arch/x86/events, absent in 6.1, 6.12, 7.2 and 7.3; present in the series"};
constexpr EvidenceKind kBadPointer = {
    "a pointer to SIMD registers leads to no registers of this sample: another CPU's buffer, a PEBS record "
    "outside of a drain, a dead stack, freed memory",
    EvidenceRole::kRequired, 40, Certainty::kPublic, "review of the series"};
constexpr EvidenceKind kNoUserXmm = {
    "or, for possible: XMM registers of user space are wanted on a CPU by a precise event that wants those "
    "of "
    "both contexts, and the pointer is NULL",
    EvidenceRole::kRequired, 20, Certainty::kPublic, "review of the series"};
constexpr EvidenceKind kFaultThere = {"the fault is at what the pointer leads to", EvidenceRole::kSupports,
                                      30, Certainty::kExpert, ""};
constexpr EvidenceKind kFaultInSample = {
    "the fault is where a sampled register is read through such a pointer", EvidenceRole::kSupports, 30,
    Certainty::kSource, "arch/x86/kernel/perf_regs.c, perf_reg_value()"};
constexpr EvidenceKind kPebsHasXmm = {"PEBS records XMM registers", EvidenceRole::kSupports, 10,
                                      Certainty::kSource,
                                      "arch/x86/include/asm/perf_event.h, PEBS_DATACFG_XMMS"};

constexpr const char* kBadRegs =
    "a bad struct pt_regs: registers of a kernel thread, or none at all (regs_user.abi is NONE)";
constexpr const char* kStackCopy = "a fault while the user's stack is copied";
constexpr const char* kXsaves = "XSAVES refuses its buffer";

const std::vector<KnownCommit>& commits() {
  static const std::vector<KnownCommit> kCommits = [] {
    const std::string releases = "none up to 7.3; expected in 7.4, which was not checked";
    std::vector<KnownCommit> list;
    for (const auto& [id, title] : {
             std::pair{"edd9aec51213", "perf/x86: Enable XMM register sampling for REGS_USER case"},
             std::pair{"b84c96283684", "part of the same series"},
             std::pair{"bbdf84fcedfa", "perf/x86/intel: Convert x86_perf_regs to per-cpu variables"},
             std::pair{"9c05620b4971", "part of the same series"},
             std::pair{"03b89c9f202e", "part of the same series"},
             std::pair{"9106892e27ca", "part of the same series"},
         })
      list.push_back({{"commit", id, title}, releases, Certainty::kPublic, "tip perf/core of 2026-09-09"});
    return list;
  }();
  return kCommits;
}

const std::vector<std::string>& remedy() {
  static const std::vector<std::string> kRemedy = {
      "Use the eighth or a later version of the series, or what was merged of it: there the pointers are "
      "cleared before each sample.",
      "Until then do not ask for XMM, YMM, ZMM or opmask registers of user space (perf record "
      "--user-regs, PERF_SAMPLE_REGS_USER)."};
  return kRemedy;
}

/// What an event asks for.
struct Wishes {
  Reading<bool> user = false;      ///< any registers of user space
  Reading<bool> user_xmm = false;  ///< SIMD registers among them
  Reading<bool> intr_xmm = false;
  Reading<bool> precise = false;
};

Wishes wishes_of(const PerfEvent& event) {
  const auto value = [&](const char* member) -> Reading<uint64_t> {
    const Object object = event.object().member(member);
    // The members of the SIMD extension of perf_event_attr are not in every kernel.
    if (object.unread() && object.unread()->reason == UnreadReason::kNoMember) return uint64_t{0};
    return object.u64();
  };
  const auto not_zero = [](uint64_t word) { return word != 0; };
  const auto has_xmm = [](uint64_t mask) { return mask >> kFirstXmmBit != 0; };
  const Reading<uint64_t> user = value("attr.sample_regs_user");
  const Reading<uint64_t> simd_user = value("attr.sample_simd_vec_reg_user");
  const Reading<uint64_t> simd_intr = value("attr.sample_simd_vec_reg_intr");
  Wishes wishes;
  wishes.user_xmm = user.map(has_xmm) || simd_user.map(not_zero);
  wishes.user = user.map(not_zero) || simd_user.map(not_zero) ||
                value("attr.sample_type").map([](uint64_t type) { return (type & kSampleRegsUser) != 0; });
  wishes.intr_xmm = value("attr.sample_regs_intr").map(has_xmm) || simd_intr.map(not_zero);
  wishes.precise = value("attr.precise_ip").map(not_zero);
  return wishes;
}

/// The events of a CPU, asked for what they sample.
struct CpuWishes {
  Reading<bool> any_user = false;
  Reading<bool> any_user_xmm = false;
  Reading<bool> both = false;  ///< one precise event wants XMM of both the interrupted and the user's context
  std::string plain;           ///< the first event that samples user registers, but no SIMD ones
  std::string clashes;         ///< the first one that makes `both` true
};

class XmmUserRegs {
 public:
  explicit XmmUserRegs(Diagnosis& diagnosis)
      : d_(diagnosis),
        kernel_(diagnosis.kernel()),
        regs_(diagnosis.pmu(), [this](int cpu) -> const Stack& { return live_stack(cpu); }) {}

  Finding run() {
    finding_.references = references_of(commits());
    const Reading<bool> present = UserRegs::in_kernel(kernel_);
    if (present.is(false)) return not_applicable();
    if (!present.has_value()) {
      finding_.verdict = Verdict::kUndetermined;
      finding_.summary = "whether this kernel samples SIMD registers of user space could not be told: " +
                         present.unread().message();
      finding_.not_visible.push_back(finding_.summary);
      return finding_;
    }
    finding_.evidence.push_back(plain_evidence(
        "this kernel samples SIMD registers of user space", gate_symbols(),
        "x86_user_regs, ext_regs_buf or x86_pmu.ext_regs_mask", EvidenceResult::kSupports, kHasCode.weight));
    const Reading<std::vector<int>> cpus = regs_.cpus();
    if (cpus.has_value()) {
      for (const int cpu : *cpus) {
        inspect(cpu);
        inspect_reader(cpu);
      }
    } else {
      note(cpus.unread());
    }
    inspect_crash();
    judge();
    return finding_;
  }

 private:
  struct Hit {
    const char* check;
    int cpu = -1;
    UserRegsPointer pointer;
    std::string expression;
    std::optional<uint64_t> address = {};
    bool leftover = false;  ///< a good pointer that the last sample had not asked for
    bool crashed = false;   ///< the fault was at what it points to
    bool certain = true;
    std::string event = {};  ///< whose wishes this is about
  };

  Finding not_applicable() {
    finding_.verdict = Verdict::kNotApplicable;
    finding_.summary =
        "this kernel cannot sample XMM registers of user space: there is no per-CPU x86_user_regs, and "
        "x86_pmu_hw_config() refuses such an event. No released kernel has that code (expected in 7.4), only "
        "development trees and backports do";
    finding_.evidence.push_back(plain_evidence("this kernel samples SIMD registers of user space",
                                               "neither x86_user_regs nor ext_regs_buf, and struct x86_pmu "
                                               "has no ext_regs_mask",
                                               "one of them", EvidenceResult::kContradicts, kHasCode.weight));
    return finding_;
  }

  std::string gate_symbols() {
    std::string found;
    for (const char* name : {"x86_user_regs", "ext_regs_buf"})
      if (kernel_.symbols().find(name)) found += (found.empty() ? "" : ", ") + std::string(name);
    const Object mask = regs_.ext_regs_mask();
    const Reading<uint64_t> value = mask.u64();
    if (value.has_value()) found += fmt::format("{}ext_regs_mask {:#x}", found.empty() ? "" : ", ", *value);
    return found.empty() ? "struct x86_pmu has ext_regs_mask" : found;
  }

  /// The stack of a CPU as it was before the fault: what the panic pushed says nothing of who was live.
  const Stack& live_stack(int cpu) {
    const CrashState& crash = d_.crash();
    const Stack& stack = d_.stack(cpu);
    if (crash.cpu != cpu || !crash.fault_frame || *crash.fault_frame >= crash.stack.frames.size())
      return stack;
    if (!at_fault_) {
      at_fault_ = crash.stack;
      at_fault_->frames.erase(at_fault_->frames.begin(),
                              at_fault_->frames.begin() + static_cast<ptrdiff_t>(*crash.fault_frame));
    }
    return *at_fault_;
  }

  void note(const Unread& unread) {
    if (unread_.empty() || unread_.back().message() != unread.message()) unread_.push_back(unread);
    d_.note_unread(unread);
  }

  CpuWishes wishes(int cpu) {
    CpuWishes all;
    const CounterState counters = read_counters(d_.pmu(), cpu);
    if (!counters.n_events.has_value()) {
      all.any_user = all.any_user_xmm = all.both = counters.n_events.unread();
      return all;
    }
    std::vector<Reading<uint64_t>> events = counters.event_list;
    for (int i = 0; i < kMaxCounters; i++)
      if (counters.active(i)) events.push_back(counters.events[static_cast<size_t>(i)]);
    for (const Reading<uint64_t>& pointer : events) {
      Wishes one;
      if (!pointer.has_value()) {
        one.user = one.user_xmm = one.intr_xmm = one.precise = pointer.unread();
      } else if (*pointer != 0) {
        one = wishes_of(d_.pmu().event(*pointer));
      }
      const Reading<bool> both = one.user_xmm && one.intr_xmm && one.precise;
      if (pointer.has_value() && one.user.is(true) && one.user_xmm.is(false) && all.plain.empty())
        all.plain = d_.pmu().event(*pointer).describe();
      if (pointer.has_value() && both.is(true) && all.clashes.empty())
        all.clashes = d_.pmu().event(*pointer).describe();
      all.any_user = all.any_user || one.user;
      all.any_user_xmm = all.any_user_xmm || one.user_xmm;
      all.both = all.both || both;
    }
    return all;
  }

  void inspect(int cpu) {
    const Object regs = regs_.object(cpu);
    const Reading<std::vector<UserRegsPointer>> pointers = regs_.pointers(cpu);
    if (!pointers.has_value()) {
      note(pointers.unread());
      return;
    }
    std::optional<CpuWishes> asked;
    const auto ask = [&]() -> const CpuWishes& {
      if (!asked) asked = wishes(cpu);
      return *asked;
    };
    for (const UserRegsPointer& pointer : *pointers) {
      const Object member = regs.member(pointer.name);
      const Reading<uint64_t> address = member.address();
      Hit hit{kStale, cpu, pointer, member.expression()};
      if (address.has_value()) hit.address = *address;
      count(pointer);
      if (!pointer.legal.has_value()) {
        note(pointer.legal.unread());
        add(plain_evidence(fmt::format("{} of CPU {} may be followed", pointer.name, cpu),
                           pointer.value.has_value() ? fmt::format("{:#x}: {}", *pointer.value, pointer.why)
                                                     : pointer.value.unread().message(),
                           "NULL, or valid registers of this sample", EvidenceResult::kUndetermined, 0),
            hit);
        undecided_.push_back(hit);
      } else if (!*pointer.legal) {
        hits_.push_back(hit);
      } else if (pointer.place == UserRegsPlace::kOwnBuffer) {
        // The buffer is good; was it filled for the last sample? Only an event that samples user registers
        // makes the kernel look at the pointer.
        const Reading<bool> leftover = ask().any_user && !ask().any_user_xmm;
        if (!leftover.has_value()) {
          note_unless_absent(leftover.unread());
        } else if (*leftover) {
          hit.leftover = true;
          hit.event = ask().plain;
          hits_.push_back(hit);
        }
      }
      if (pointer.name.starts_with("xmm") && pointer.place == UserRegsPlace::kNull)
        check_suppressed(cpu, ask(), hit);
    }
  }

  /// X3: NULL although somebody wants the registers and user space was sampled.
  void check_suppressed(int cpu, const CpuWishes& asked, const Hit& null) {
    if (!asked.both.has_value()) return note_unless_absent(asked.both.unread());
    if (!*asked.both) return;
    const auto from_user = [](uint64_t cs) { return (cs & 3) == 3; };
    Reading<bool> user = regs_.object(cpu).member("regs.cs").u64().map(from_user);
    if (const CpuStatus* status = kernel_.status_of(cpu))
      user = user || Reading<bool>(status->registers.from_user());
    if (!user.has_value()) return note(user.unread());
    if (!*user) return;
    Hit hit = null;
    hit.check = kSuppressed;
    hit.event = asked.clashes;
    hits_.push_back(hit);
  }

  /// A kernel without the thing has nothing to be read: said, but no reason to doubt the rest.
  void note_unless_absent(const Unread& unread) {
    if (unread.reason == UnreadReason::kNoSymbol || unread.reason == UnreadReason::kNoType ||
        unread.reason == UnreadReason::kNoMember) {
      const std::string text = "which events sample registers is not known: " + unread.message();
      if (std::find(finding_.not_visible.begin(), finding_.not_visible.end(), text) ==
          finding_.not_visible.end())
        finding_.not_visible.push_back(text);
    } else {
      note(unread);
    }
  }

  void count(const UserRegsPointer& pointer) {
    std::vector<int>& cpus = places_[std::string(to_string(pointer.place))];
    if (cpus.empty() || cpus.back() != pointer.cpu) cpus.push_back(pointer.cpu);
  }

  void add(Evidence evidence, const Hit& hit) {
    if (finding_.evidence.size() >= kMaxEvidence) return;
    evidence.expression = hit.expression;
    evidence.address = hit.address;
    finding_.evidence.push_back(std::move(evidence));
  }

  // --- the crash -----------------------------------------------------------------------------------------

  /// Names of the functions from the fault outwards, up to whatever they interrupted. From the stack, or
  /// where that is not known from the log's trace.
  std::vector<std::string> callers_of_fault() {
    const CrashState& crash = d_.crash();
    std::vector<std::string> names;
    const auto& frames = crash.stack.frames;
    for (size_t i = crash.fault_frame.value_or(frames.size()); i < frames.size(); i++) {
      if (i > *crash.fault_frame && frames[i].interrupted) break;
      names.emplace_back(without_compiler_suffix(frames[i].function));
    }
    if (!names.empty() || crash.function.empty()) return names;
    names.emplace_back(without_compiler_suffix(crash.function));
    const auto& records = d_.log().records;
    size_t start = records.size();
    for (size_t i = 0; i < records.size(); i++)
      if (records[i].text.find("RIP:") != std::string::npos &&
          records[i].text.find(names.front()) != std::string::npos)
        start = i + 1;
    for (size_t i = start; i < records.size(); i++) {
      const std::string_view text = records[i].text;
      const size_t plus = text.find("+0x");
      if (plus == std::string_view::npos || text.find("RIP:") != std::string_view::npos) continue;
      const size_t before = text.find_last_of(" \t>", plus);
      const size_t begin = before == std::string_view::npos ? 0 : before + 1;
      names.emplace_back(without_compiler_suffix(text.substr(begin, plus - begin)));
    }
    return names;
  }

  void inspect_crash() {
    const CrashState& crash = d_.crash();
    if (crash.crash_class == "none" || !crash.cpu) return;
    const std::vector<std::string> names = callers_of_fault();
    if (names.empty()) return;
    const auto calls = [&](auto&& accept) { return std::any_of(names.begin(), names.end(), accept); };
    const auto named = [](std::string_view wanted) {
      return [wanted](const std::string& name) { return name == wanted; };
    };
    in_copy_ = names.front() == "copy_from_user_nmi" ||
               (calls(named("copy_from_user_nmi")) && calls(named("perf_output_sample")));
    in_xsaves_ = names.front().find("xsaves_nmi") != std::string::npos ||
                 (crash.fault && crash.fault->instruction.mnemonic.starts_with("xsaves") &&
                  calls([](const std::string& name) {
                    return name.find("sample_xregs") != std::string::npos ||
                           name.find("ext_regs") != std::string::npos;
                  }));
    in_sample_regs_ = !in_copy_ && !in_xsaves_ &&
                      (names.front() == "perf_output_sample_regs" ||
                       (names.front() == "perf_reg_value" && calls(named("perf_output_sample_regs"))));
    if (!in_sample_regs_) return;
    const bool in_value = names.front() == "perf_reg_value";
    const bool under_pebs = calls(processes_pebs);
    finding_.evidence.push_back(
        plain_evidence(std::string(kFaultInSample.claim),
                       fmt::format("{} called by {}", names.front(), names.size() > 1 ? names[1] : "?"),
                       "perf_reg_value, called by perf_output_sample_regs", EvidenceResult::kSupports,
                       kFaultInSample.weight));
    explain(*crash.cpu, under_pebs, in_value);
  }

  std::optional<uint64_t> faulting_address() {
    const CrashState& crash = d_.crash();
    if (crash.fault_address) return crash.fault_address;
    if (crash.fault && crash.fault->instruction.memory && crash.fault_registers)
      return effective_address(crash.fault->instruction, *crash.fault->instruction.memory,
                               *crash.fault_registers);
    return std::nullopt;
  }

  static bool covers(const UserRegsPointer& pointer, uint64_t address) {
    return pointer.value.has_value() && *pointer.value != 0 && address >= *pointer.value &&
           address - *pointer.value < pointer.size;
  }

  /// Which pointer led to the fault? The struct x86_perf_regs in use is in a register of perf_reg_value().
  void explain(int cpu, bool under_pebs, bool in_value) {
    const CrashState& crash = d_.crash();
    const std::optional<uint64_t> address = faulting_address();
    if (!address) {
      finding_.not_visible.push_back("the address that faulted is not known");
    } else if (crash.fault_registers) {
      const Registers& r = *crash.fault_registers;
      for (const uint64_t base :
           {r.di, r.bx, r.bp, r.r12, r.r13, r.r14, r.r15, r.si, r.dx, r.cx, r.ax, r.r8, r.r9, r.r10, r.r11})
        if (examine_structure(base, cpu, *address, under_pebs)) return;
    }
    if (address && blame_user_regs(cpu, *address)) return;
    if (!under_pebs || !in_value || (address && *address < kPageSize)) return;
    Hit hit{kUninitialised, cpu, {}, ""};
    hit.crashed = true;
    hit.certain = false;
    hit.pointer.cpu = cpu;
    hit.pointer.why = "the structure that holds the pointer was not found in the registers of the fault";
    if (address) hit.pointer.value = *address;
    hits_.push_back(std::move(hit));
  }

  /// Did a pointer of x86_user_regs lead to the address that faulted? Then it was bad, whatever else is
  /// known.
  bool blame_user_regs(int cpu, uint64_t address) {
    for (Hit& hit : hits_)
      if (hit.cpu == cpu && hit.check == kStale && covers(hit.pointer, address)) return hit.crashed = true;
    for (const Hit& hit : undecided_) {
      if (hit.cpu != cpu || !covers(hit.pointer, address)) continue;
      hits_.push_back(hit);
      return hits_.back().crashed = true;
    }
    return false;
  }

  bool examine_structure(uint64_t base, int cpu, uint64_t address, bool under_pebs) {
    if (regs_.object(cpu).address().is(base)) return blame_user_regs(cpu, address);
    if (!under_pebs) return false;
    for (Hit& hit : structure_on_stack(base, cpu)) {
      if (!covers(hit.pointer, address) || hit.pointer.legal.is(true)) continue;
      hit.crashed = true;
      hits_.push_back(std::move(hit));
      return true;
    }
    return false;
  }

  /// The pointers of a struct x86_perf_regs at `base`; none when that is not on a stack of the CPU.
  std::vector<Hit> structure_on_stack(uint64_t base, int cpu) {
    std::vector<Hit> hits;
    bool on_stack = false;
    for (const StackArea& area : stacks_of_cpu(kernel_, cpu, nullptr))
      on_stack |= base % 8 == 0 && base >= area.begin && base < area.end;
    if (!on_stack) return hits;
    const Object structure = kernel_.object("struct x86_perf_regs", base);
    const auto pointers = regs_.pointers_of(structure, cpu);
    if (!pointers.has_value()) return hits;
    for (const UserRegsPointer& pointer : *pointers) {
      const Object member = structure.member(pointer.name);
      Hit hit{kUninitialised, cpu, pointer, member.expression()};
      if (const auto place = member.address(); place.has_value()) hit.address = *place;
      hits.push_back(std::move(hit));
    }
    return hits;
  }

  /// A CPU that did not fault, but was stopped in perf_reg_value() with a structure of the drain.
  void inspect_reader(int cpu) {
    const CpuStatus* status = kernel_.status_of(cpu);
    if (!status || status->registers.from_user()) return;
    const auto symbol = kernel_.symbols().at(status->registers.ip);
    if (!symbol || without_compiler_suffix(symbol->name) != "perf_reg_value") return;
    if (d_.crash().crash_class != "none" && d_.crash().cpu == cpu) return;
    const auto& frames = live_stack(cpu).frames;
    if (std::none_of(frames.begin(), frames.end(),
                     [](const Frame& frame) { return processes_pebs(frame.function); }))
      return;
    // Its first argument is the structure's first member; the compiler may keep a copy.
    for (const uint64_t base : {status->registers.di, status->registers.bx}) {
      for (Hit& hit : structure_on_stack(base, cpu)) {
        if (!hit.pointer.legal.is(false)) continue;
        hits_.push_back(std::move(hit));
        return;
      }
    }
  }

  // --- the verdict ---------------------------------------------------------------------------------------

  static Stage stage_of(const Hit& hit) {
    if (hit.crashed) return Stage::kCrashed;
    if (hit.check == kSuppressed) return Stage::kLatent;
    return hit.check == kUninitialised ? Stage::kFired : Stage::kArmed;
  }

  void judge() {
    std::vector<std::string> checks;
    for (const char* check : {kUninitialised, kStale, kSuppressed})
      if (std::any_of(hits_.begin(), hits_.end(), [&](const Hit& hit) { return hit.check == check; }))
        checks.emplace_back(check);
    finding_.facts["checks"] = checks;
    finding_.facts["pointers"] = places_;
    for (const Hit& hit : hits_) add_hit(hit);
    consider_look_alikes();

    const bool likely = std::any_of(hits_.begin(), hits_.end(),
                                    [](const Hit& hit) { return hit.check != kSuppressed && hit.certain; });
    const auto stale = [](const Hit& hit) { return hit.check == kStale; };
    if (!hits_.empty()) {
      finding_.verdict = likely ? Verdict::kLikely : Verdict::kPossible;
      for (const Hit& hit : hits_) finding_.stage = std::max(finding_.stage, stage_of(hit));
      finding_.cause_of_crash = finding_.stage == Stage::kCrashed;
      for (const Hit& hit : hits_)
        if (stage_of(hit) == finding_.stage) finding_.cpus.push_back(hit.cpu);
      std::sort(finding_.cpus.begin(), finding_.cpus.end());
      finding_.cpus.erase(std::unique(finding_.cpus.begin(), finding_.cpus.end()), finding_.cpus.end());
      tell();
    } else if (!unread_.empty()) {
      finding_.verdict = Verdict::kUndetermined;
      finding_.stage = Stage::kLatent;
      finding_.summary = "what is needed to judge the pointers to SIMD registers could not all be read: " +
                         unread_.front().message();
    } else if (in_sample_regs_ || in_copy_ || in_xsaves_) {
      finding_.verdict = Verdict::kContradicted;
      finding_.stage = Stage::kNone;
      finding_.summary = "the crash is in the sampling of registers, but no pointer to SIMD registers is bad";
    } else {
      finding_.verdict = Verdict::kLatent;
      finding_.stage = Stage::kLatent;
      finding_.summary = "this kernel samples SIMD registers of user space; every pointer to them is sound";
    }
    std::map<std::string, std::vector<int>> by_stage;
    for (const Hit& hit : hits_) {
      if (stage_of(hit) <= Stage::kLatent) continue;
      std::vector<int>& cpus = by_stage[std::string(to_string(stage_of(hit)))];
      if (std::find(cpus.begin(), cpus.end(), hit.cpu) == cpus.end()) cpus.push_back(hit.cpu);
    }
    if (!by_stage.empty()) finding_.facts["cpus_by_stage"] = std::move(by_stage);
    for (const Unread& unread : unread_) {
      if (finding_.not_visible.size() >= kMaxEvidence) break;
      finding_.not_visible.push_back(unread.message());
    }
    if (finding_.verdict == Verdict::kContradicted) return;
    if (std::any_of(hits_.begin(), hits_.end(), stale))
      finding_.not_visible.push_back(
          "whether this kernel clears the pointers before each sample (since the eighth version of the "
          "series): if it does, one that is left over from an earlier sample does no harm");
    finding_.remedy = remedy();
  }

  void add_hit(const Hit& hit) {
    if (hit.check == kSuppressed) {
      add(plain_evidence(
              fmt::format("XMM registers of user space are wanted on CPU {}, but there are none", hit.cpu),
              "NULL although a precise event asks for those of both contexts", "a pointer to registers",
              EvidenceResult::kSupports, kNoUserXmm.weight),
          hit);
      const Object config = d_.pmu().cpu(hit.cpu).object().member("pebs_data_cfg");
      const Reading<uint64_t> value = config.u64();
      // Architectural PEBS keeps its configuration elsewhere: a clear bit proves nothing.
      const Reading<bool> set = value.map([](uint64_t bits) { return (bits & kPebsXmms) != 0; });
      const Reading<bool> holds =
          set.is(true) ? set : Reading<bool>(Unread{UnreadReason::kUnsupported, 0, config.expression(), ""});
      if (!config.unread() && finding_.evidence.size() < kMaxEvidence)
        finding_.evidence.push_back(evidence_of(fmt::format("PEBS records XMM registers on CPU {}", hit.cpu),
                                                config, "bit 2 set (PEBS_DATACFG_XMMS)", holds,
                                                kPebsHasXmm.weight, true));
      return;
    }
    const UserRegsPointer& pointer = hit.pointer;
    if (!hit.certain && hit.expression.empty()) {
      finding_.evidence.push_back(plain_evidence("the structure on the stack of the PEBS drain is at fault",
                                                 pointer.why, "its pointer", EvidenceResult::kUndetermined,
                                                 0));
      return;
    }
    const std::string where = pointer.target.empty() ? "" : ", " + pointer.target;
    add(plain_evidence(fmt::format("{} {} leads to no registers of this sample", pointer.name,
                                   hit.check == kStale ? fmt::format("of CPU {}", hit.cpu)
                                                       : "on the stack of the drain"),
                       fmt::format("{:#x}: {}{}", *pointer.value, to_string(pointer.place), where),
                       "NULL, or valid registers of this sample",
                       pointer.legal.has_value() ? EvidenceResult::kSupports : EvidenceResult::kUndetermined,
                       kBadPointer.weight),
        hit);
    if (hit.crashed && finding_.evidence.size() < kMaxEvidence)
      finding_.evidence.push_back(
          plain_evidence(std::string(kFaultThere.claim), fmt::format("{:#x}", faulting_address().value_or(0)),
                         fmt::format("{:#x} to {:#x}", *pointer.value, *pointer.value + pointer.size),
                         EvidenceResult::kSupports, kFaultThere.weight));
  }

  void consider_look_alikes() {
    const bool explained =
        std::any_of(hits_.begin(), hits_.end(), [](const Hit& hit) { return hit.crashed; });
    if (in_sample_regs_)
      finding_.look_alikes.push_back(
          {kBadRegs, explained,
           explained
               ? "the fault is at what a pointer to SIMD registers leads to"
               : "no pointer to SIMD registers leads to the address that faulted: the pt_regs itself is "
                 "the one to look at"});
    if (in_copy_)
      finding_.look_alikes.push_back({kStackCopy, false,
                                      "copy_from_user_nmi() expects faults and handles them; it reads no "
                                      "pointer of x86_user_regs"});
    if (in_xsaves_) {
      const Reading<uint64_t> buffer = regs_.buffer(d_.crash().cpu.value_or(-1));
      finding_.look_alikes.push_back(
          {kXsaves, false,
           !buffer.has_value() ? "the address of the buffer could not be read: " + buffer.unread().message()
           : *buffer % kXsaveAlignment != 0
               ? fmt::format("ext_regs_buf {:#x} is not aligned to {} bytes", *buffer, kXsaveAlignment)
               : fmt::format(
                     "ext_regs_buf {:#x} is aligned: bits of xcomp_bv that this CPU does not have, or "
                     "reserved bits of the header",
                     *buffer)});
    }
  }

  void tell() {
    const Hit& hit = *std::find_if(hits_.begin(), hits_.end(),
                                   [&](const Hit& one) { return stage_of(one) == finding_.stage; });
    const bool crashed = hit.crashed;
    const UserRegsPointer& pointer = hit.pointer;
    if (hit.check == kUninitialised) return tell_uninitialised(hit);
    if (hit.check == kSuppressed) return tell_suppressed(hit);
    const bool leak =
        !crashed &&
        (pointer.place == UserRegsPlace::kOwnBuffer || pointer.place == UserRegsPlace::kOtherCpuBuffer ||
         pointer.place == UserRegsPlace::kTaskFpstate || pointer.place == UserRegsPlace::kPebsRecord);
    finding_.facts["information_leak"] = leak;
    const std::string target =
        pointer.target.empty() ? std::string(to_string(pointer.place)) : pointer.target;
    finding_.summary =
        fmt::format("CPU {}: x86_user_regs.{} = {:#x} is left over from an earlier sample ({}){}", hit.cpu,
                    pointer.name, *pointer.value, target,
                    crashed ? ", and the kernel faulted on it"
                    : leak  ? ": an information leak"
                            : "");
    finding_.explanation = {
        fmt::format("A sample of user space's registers on CPU {} goes through per-CPU x86_user_regs. Its {} "
                    "is {:#x}: {}.",
                    hit.cpu, pointer.name, *pointer.value, target),
        hit.leftover
            ? "The CPU's own buffer is sound, but no event of this CPU asks for SIMD registers of user "
              "space, "
              "while one samples its other registers: the pointer was not cleared when the kernel found "
              "nothing to save."
            : fmt::format("That is not valid for this CPU now: {}.", pointer.why)};
    if (crashed)
      finding_.explanation.push_back(fmt::format(
          "perf_output_sample_regs() followed it and faulted at {:#x}.", faulting_address().value_or(0)));
    else if (leak)
      finding_.explanation.push_back(
          "Following it does not crash: the sample shows registers of another time, task or CPU. That is an "
          "information leak.");
    else
      finding_.explanation.push_back("The next sample that asks for these registers follows it.");
  }

  void tell_uninitialised(const Hit& hit) {
    const UserRegsPointer& pointer = hit.pointer;
    finding_.summary =
        fmt::format("CPU {}: a sample of PEBS records {} a pointer to SIMD registers that nobody had set",
                    hit.cpu, hit.crashed ? "followed" : "is about to follow");
    finding_.explanation = {fmt::format(
        "CPU {} was turning PEBS records into samples. The struct x86_perf_regs for them is on the "
        "stack of the drain, and the kernel sets its pointers to SIMD registers only when the "
        "record has such registers.",
        hit.cpu)};
    if (hit.certain)
      finding_.explanation.push_back(fmt::format("Its {} is {:#x} ({}): {}.", pointer.name, *pointer.value,
                                                 to_string(pointer.place), pointer.why));
    finding_.explanation.push_back(
        !hit.crashed
            ? "The CPU was stopped in perf_reg_value(), which follows it for perf_output_sample_regs()."
        : faulting_address() ? fmt::format("perf_reg_value() followed it for perf_output_sample_regs() and "
                                           "faulted at {:#x}.",
                                           *faulting_address())
                             : "perf_reg_value() followed it for perf_output_sample_regs() and faulted.");
  }

  void tell_suppressed(const Hit& hit) {
    finding_.summary = fmt::format(
        "CPU {}: XMM registers of user space may be missing from samples, since PEBS had recorded the "
        "kernel's",
        hit.cpu);
    finding_.explanation = {
        fmt::format("On CPU {} {} asks for XMM registers of the interrupted context and of user space.",
                    hit.cpu, hit.event),
        "PEBS records those of the interrupted context. Where that was the kernel, the mask of what was "
        "recorded keeps the user's from being saved too: x86_user_regs.xmm_regs stays NULL and the samples "
        "show zeros. Nothing crashes; data is lost."};
  }

  Diagnosis& d_;
  Kernel& kernel_;
  UserRegs regs_;
  Finding finding_;
  std::vector<Hit> hits_;
  std::vector<Hit> undecided_;  // pointers of x86_user_regs of which it is not known whether they are bad
  std::map<std::string, std::vector<int>> places_;
  std::vector<Unread> unread_;
  std::optional<Stack> at_fault_;
  bool in_sample_regs_ = false;
  bool in_copy_ = false;
  bool in_xsaves_ = false;
};

RuleKnowledge knowledge() {
  RuleKnowledge known;
  known.summary = "a sample of user space's SIMD registers follows a pointer that was not set for it";
  known.symptoms = {
      {"A page fault or general protection fault in perf_reg_value(), called by perf_output_sample_regs(), "
       "in an NMI or while PEBS records are drained.",
       Certainty::kPublic, "review of the series"},
      {"Or no crash: samples carry another task's registers, or none.", Certainty::kPublic,
       "review of the series"},
  };
  known.mechanism = {
      {std::string(kUninitialised) +
           ": the drain of PEBS records keeps a struct x86_perf_regs on its stack and leaves its pointers as "
           "they are.",
       Certainty::kPublic, "review of the series' seventh version"},
      {std::string(kStale) + ": per-CPU x86_user_regs keeps the pointers of an earlier sample.",
       Certainty::kPublic, "review of the series' seventh version"},
      {std::string(kSuppressed) +
           ": what PEBS recorded of the interrupted context counts as read for the user's.",
       Certainty::kPublic, "review of the series' seventh version"},
  };
  known.evidence = {kHasCode, kBadPointer, kNoUserXmm, kFaultThere, kFaultInSample, kPebsHasXmm};
  known.look_alikes = {
      {kBadRegs, "no pointer to SIMD registers leads to the address that faulted"},
      {kStackCopy, "the fault is in copy_from_user_nmi(), which expects faults and handles them"},
      {kXsaves, "the fault is in the XSAVES itself: an unaligned buffer or a bad header"},
  };
  known.kernels = {
      {"No release up to 7.3 has this code; there x86_pmu_hw_config() refuses such an event.",
       Certainty::kSource, "6.1, 6.12, 7.2, 7.3"},
      {"Development trees and backports of the series up to its seventh version.", Certainty::kPublic,
       "review of the series"},
  };
  known.commits = commits();
  known.remedy = remedy();
  known.limits = {
      "Likely at most: a pointer that is left over does no harm where the kernel clears it before each "
      "sample, "
      "and whether it does is not seen.",
      "The layouts of code that was not released are taken from the dump's own types.",
  };
  return known;
}

}  // namespace

RuleInfo x86_xmm_user_regs_rule() {
  return {"x86-xmm-user-regs",
          "x86 perf: stale or uninitialised pointer to the SIMD registers of a user sample",
          {},
          [](Diagnosis& diagnosis) { return XmmUserRegs(diagnosis).run(); },
          knowledge,
          {.variant = "checks", .facets = {"pointers"}}};
}

}  // namespace perfcore
