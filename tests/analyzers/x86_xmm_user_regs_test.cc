// SPDX-License-Identifier: LGPL-2.1-or-later
//
// x86-xmm-user-regs on vmcores made by hand: each place that a pointer of x86_user_regs can lead to, where
// that is legal and where it is not; and every input taken away.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "analyzers/registry.h"
#include "support/overlay.h"
#include "support/xmm_machine.h"

namespace perfcore {
namespace {

using test::XmmMachine;
using Strings = std::vector<std::string>;

constexpr const char* kRule = "x86-xmm-user-regs";
constexpr const char* kStale = "stale-percpu-user-regs";
constexpr const char* kUninitialised = "uninitialised-pebs-regs";
constexpr const char* kSuppressed = "ignore-mask-suppresses-user";
constexpr uint64_t kXmm = 160;  // of an XSAVE area
constexpr uint64_t kAllXmm = uint64_t{0xffffffff} << 32;

Finding find(const XmmMachine& machine) {
  const test::TempDir directory;
  KernelOptions options;
  options.search_debuginfo = false;
  const auto kernel = Kernel::open(Dump::open({directory.write("vmcore", machine.elf())}), options);
  Diagnosis diagnosis(*kernel);
  return test::finding_of(run_rules(diagnosis, all_rules()), kRule);
}

Strings checks(const Finding& finding) {
  const auto fact = finding.facts.find("checks");
  return fact == finding.facts.end() ? Strings{} : std::get<Strings>(fact->second);
}

Strings places(const Finding& finding) {
  Strings names;
  for (const auto& [name, cpus] :
       std::get<std::map<std::string, std::vector<int>>>(finding.facts.at("pointers")))
    if (name != "NULL") names.push_back(name);
  return names;
}

void expect_sound(const Finding& finding) {
  EXPECT_EQ(finding.verdict, Verdict::kLatent) << finding.summary;
  EXPECT_EQ(finding.stage, Stage::kLatent);
  EXPECT_EQ(checks(finding), Strings{});
  EXPECT_FALSE(finding.cause_of_crash);
}

void expect_stale(const Finding& finding, const std::string& place) {
  EXPECT_EQ(finding.verdict, Verdict::kLikely) << finding.summary;
  EXPECT_EQ(finding.stage, Stage::kArmed);
  EXPECT_EQ(checks(finding), Strings{kStale});
  EXPECT_EQ(places(finding), Strings{place});
  EXPECT_EQ(finding.cpus, std::vector<int>{1});
  EXPECT_FALSE(finding.cause_of_crash);
  EXPECT_FALSE(finding.explanation.empty());
  EXPECT_FALSE(finding.remedy.empty());
}

void expect_undetermined(const Finding& finding) {
  EXPECT_EQ(finding.verdict, Verdict::kUndetermined) << finding.summary;
  EXPECT_EQ(checks(finding), Strings{});
  EXPECT_FALSE(finding.not_visible.empty());
}

TEST(XmmUserRegs, NotApplicableWithoutTheCode) {
  XmmMachine::Options options;
  options.with_code = options.with_mask = false;
  EXPECT_EQ(find(XmmMachine(options)).verdict, Verdict::kNotApplicable);
}

TEST(XmmUserRegs, UndeterminedWhenTheCodeIsThereButNotItsState) {
  XmmMachine::Options options;
  options.with_code = false;
  expect_undetermined(find(XmmMachine(options)));
}

TEST(XmmUserRegs, NotApplicableOnReleasedKernels) {
  int dumps = 0;
  for (const auto& entry : std::filesystem::directory_iterator(PERFCORE_TESTDATA)) {
    if (entry.path().extension() != ".vmcore") continue;
    SCOPED_TRACE(entry.path().string());
    test::PatchedKernel kernel(entry.path().string());
    Diagnosis diagnosis(kernel.patched());
    const Finding finding = test::finding_of(run_rules(diagnosis, all_rules()), kRule);
    EXPECT_EQ(finding.verdict, Verdict::kNotApplicable);
    EXPECT_EQ(finding.stage, Stage::kNone);
    EXPECT_NE(finding.summary.find("No released kernel"), std::string::npos);
    dumps++;
  }
  EXPECT_GT(dumps, 0);
}

TEST(XmmUserRegs, NullIsSound) {
  const Finding finding = find(XmmMachine());
  expect_sound(finding);
  EXPECT_EQ(places(finding), Strings{});
}

// --- the CPU's own buffer ----------------------------------------------------------------------------------

TEST(XmmUserRegs, OwnBufferIsSound) {
  XmmMachine machine;
  machine.set_xmm(1, machine.buffer(1) + kXmm);
  machine.poke(machine.user_regs(1) + XmmMachine::kYmmhRegs, machine.buffer(1) + 576);
  const Finding finding = find(machine);
  expect_sound(finding);
  EXPECT_EQ(places(finding), Strings{"own buffer"});
}

TEST(XmmUserRegs, OwnBufferWithinThePerCpuAreaIsSound) {
  for (const bool typed : {false, true}) {
    XmmMachine::Options options;
    options.buffer_in_per_cpu = true;
    options.typed_variables = typed;
    XmmMachine machine(options);
    machine.set_xmm(1, machine.buffer(1) + kXmm);
    const Finding finding = find(machine);
    expect_sound(finding);
    EXPECT_EQ(places(finding), Strings{"own buffer"});
    machine.set_xmm(1, machine.buffer(0) + kXmm);
    expect_stale(find(machine), "other CPU's buffer");
  }
}

TEST(XmmUserRegs, OwnBufferAtTheWrongPlaceIsStale) {
  for (const uint64_t offset : {uint64_t{0}, uint64_t{kXmm + 8}, uint64_t{576}}) {
    XmmMachine machine;
    machine.set_xmm(1, machine.buffer(1) + offset);
    expect_stale(find(machine), "own buffer");
  }
}

TEST(XmmUserRegs, OwnBufferWithoutTheRegistersIsStale) {
  XmmMachine machine;
  machine.set_xmm(1, machine.buffer(1) + kXmm);
  machine.poke<uint64_t>(machine.buffer(1) + XmmMachine::kXfeatures, 0x4);
  expect_stale(find(machine), "own buffer");
}

TEST(XmmUserRegs, OwnBufferThatXsavesDidNotWriteIsStale) {
  XmmMachine machine;
  machine.set_xmm(1, machine.buffer(1) + kXmm);
  machine.poke<uint64_t>(machine.buffer(1) + XmmMachine::kXcompBv, 0);
  expect_stale(find(machine), "own buffer");
}

TEST(XmmUserRegs, ExtendedRegistersLieWhereTheCompactedFormPutsThem) {
  XmmMachine machine;
  machine.poke<uint64_t>(machine.buffer(1) + XmmMachine::kXfeatures, 0x26);
  machine.poke(machine.user_regs(1) + XmmMachine::kOpmaskRegs, machine.buffer(1) + 576 + 256);
  expect_sound(find(machine));
  // Without AVX in the buffer the opmask registers come first.
  machine.poke<uint64_t>(machine.buffer(1) + XmmMachine::kXcompBv, uint64_t{1} << 63 | 0x22);
  expect_stale(find(machine), "own buffer");
  machine.poke(machine.user_regs(1) + XmmMachine::kOpmaskRegs, machine.buffer(1) + 576);
  expect_sound(find(machine));
}

TEST(XmmUserRegs, TheShadowStackPointerAndApxHaveTheirOwnPlaces) {
  // SSE, user CET (16 bytes) and APX, which may or may not be aligned.
  for (const auto& [ssp, egpr, sound] : {std::tuple<uint64_t, uint64_t, bool>{576, 592, true},
                                         {584, 640, true},
                                         {592, 592, false},
                                         {576, 600, false}}) {
    XmmMachine machine;
    machine.poke<uint64_t>(machine.buffer(1) + XmmMachine::kXfeatures, 0x80802);
    machine.poke<uint64_t>(machine.buffer(1) + XmmMachine::kXcompBv, uint64_t{1} << 63 | 0x80802);
    machine.poke(machine.user_regs(1) + XmmMachine::kSsp, machine.buffer(1) + ssp);
    machine.poke(machine.user_regs(1) + XmmMachine::kEgprRegs, machine.buffer(1) + egpr);
    const Finding finding = find(machine);
    if (sound)
      expect_sound(finding);
    else
      expect_stale(finding, "own buffer");
  }
}

TEST(XmmUserRegs, OwnBufferIsALeakWhenNobodyAskedForIt) {
  XmmMachine machine;
  machine.set_xmm(1, machine.buffer(1) + kXmm);
  machine.set_event(1, 0xff, 0, 0);
  const Finding finding = find(machine);
  expect_stale(finding, "own buffer");
  EXPECT_TRUE(std::get<bool>(finding.facts.at("information_leak")));
  EXPECT_NE(finding.summary.find("information leak"), std::string::npos);
}

TEST(XmmUserRegs, OwnBufferIsSoundWhenNoEventSamplesUserRegisters) {
  XmmMachine machine;
  machine.set_xmm(1, machine.buffer(1) + kXmm);
  machine.set_event(1, 0, 0, 0);
  expect_sound(find(machine));
}

// --- other places ------------------------------------------------------------------------------------------

TEST(XmmUserRegs, AnotherCpusBufferIsStale) {
  XmmMachine machine;
  machine.set_xmm(1, machine.buffer(0) + kXmm);
  expect_stale(find(machine), "other CPU's buffer");
}

TEST(XmmUserRegs, APebsRecordIsSoundWhileItIsProcessed) {
  XmmMachine machine;
  machine.stop_in("intel_pmu_drain_pebs_icl");
  machine.set_xmm(1, machine.pebs_buffer(1) + 0x80);
  const Finding finding = find(machine);
  expect_sound(finding);
  EXPECT_EQ(places(finding), Strings{"PEBS record"});
}

TEST(XmmUserRegs, APebsRecordIsStaleAfterwards) {
  XmmMachine machine;
  machine.set_xmm(1, machine.pebs_buffer(1) + 0x80);
  expect_stale(find(machine), "PEBS record");

  XmmMachine idle;
  idle.stop_in("default_idle");
  idle.set_xmm(1, idle.pebs_buffer(1) + 0x80);
  expect_stale(find(idle), "PEBS record");
  // Something on the stack looks like a return address in the drain: it may be a leftover.
  idle.poke(idle.stack(1) + 0x3200, XmmMachine::function("intel_pmu_drain_pebs_icl") + 0x40);
  expect_undetermined(find(idle));
}

TEST(XmmUserRegs, AnotherCpusPebsRecordIsStale) {
  XmmMachine machine;
  machine.stop_in("intel_pmu_drain_pebs_icl");
  machine.set_xmm(1, machine.pebs_buffer(0) + 0x80);
  expect_stale(find(machine), "PEBS record");
}

TEST(XmmUserRegs, TheCurrentTasksFpstateIsSoundWhileItsRegistersAreThere) {
  // Old and new number of TIF_NEED_FPU_LOAD.
  for (const int bit : {14, 19}) {
    XmmMachine machine;
    machine.set_xmm(1, machine.fpstate(1) + kXmm);
    machine.poke(machine.task(1) + XmmMachine::kTaskFlags, uint64_t{1} << bit);
    const Finding finding = find(machine);
    expect_sound(finding);
    EXPECT_EQ(places(finding), Strings{"task fpstate"});
  }
}

TEST(XmmUserRegs, TheCurrentTasksFpstateIsStaleWhenItsRegistersAreLoaded) {
  XmmMachine machine;
  machine.set_xmm(1, machine.fpstate(1) + kXmm);
  expect_stale(find(machine), "task fpstate");
}

TEST(XmmUserRegs, AnotherTasksFpstateIsStale) {
  XmmMachine machine;
  machine.set_xmm(1, machine.fpstate(0) + kXmm);
  machine.poke(machine.task(0) + XmmMachine::kTaskFlags, uint64_t{1} << 14);
  machine.poke(machine.task(1) + XmmMachine::kTaskFlags, uint64_t{1} << 14);
  expect_stale(find(machine), "task fpstate");
}

TEST(XmmUserRegs, ALiveStackIsSoundADeadOneIsNot) {
  XmmMachine live;
  live.stop_in("default_idle");
  live.set_xmm(1, live.stack(1) + XmmMachine::kStackUsed + 0x100);
  const Finding finding = find(live);
  expect_sound(finding);
  EXPECT_EQ(places(finding), Strings{"stack"});

  XmmMachine dead;
  dead.stop_in("default_idle");
  dead.set_xmm(1, dead.stack(1) + XmmMachine::kStackUsed - 0x100);
  expect_stale(find(dead), "stack");

  XmmMachine unused;  // the CPU was in user mode
  unused.set_xmm(1, unused.stack(1) + XmmMachine::kStackUsed + 0x100);
  expect_stale(find(unused), "stack");

  XmmMachine other;
  other.stop_in("default_idle");
  other.set_xmm(1, other.stack(0) + XmmMachine::kStackUsed + 0x100);
  expect_stale(find(other), "stack");
}

TEST(XmmUserRegs, TheNmiStackIsLiveWithinTheNmiOnly) {
  XmmMachine nmi;
  nmi.stop_in("perf_output_sample", {}, nmi.nmi_stack(1) + 0x800);
  nmi.set_xmm(1, nmi.nmi_stack(1) + 0x900);
  const Finding finding = find(nmi);
  expect_sound(finding);
  EXPECT_EQ(places(finding), Strings{"stack"});
  nmi.set_xmm(1, nmi.nmi_stack(1) + 0x700);
  expect_stale(find(nmi), "stack");

  XmmMachine afterwards;
  afterwards.set_xmm(1, afterwards.nmi_stack(1) + 0x900);
  expect_stale(find(afterwards), "stack");
}

TEST(XmmUserRegs, EveryExpressionInTheEvidenceCanBePrinted) {
  XmmMachine machine;
  const uint64_t structure = machine.stack(1) + XmmMachine::kStackUsed + 0x200;
  machine.poke<uint64_t>(structure + XmmMachine::kXmmRegs, 0x1234567812345678);
  machine.set_xmm(0, machine.buffer(1) + kXmm);
  machine.stop_in("perf_reg_value", {"perf_output_sample_regs", "intel_pmu_drain_pebs_icl"},
                  machine.stack(1) + XmmMachine::kStackUsed, Registers{.di = structure});
  const test::TempDir directory;
  KernelOptions options;
  options.search_debuginfo = false;
  const auto kernel = Kernel::open(Dump::open({directory.write("vmcore", machine.elf())}), options);
  Diagnosis diagnosis(*kernel);
  const Finding finding = test::finding_of(run_rules(diagnosis, all_rules()), kRule);
  EXPECT_EQ(checks(finding).size(), 2u);
  int expressions = 0;
  for (const Evidence& evidence : finding.evidence) {
    if (evidence.expression.empty()) continue;
    expressions++;
    const Object object = evaluate(*kernel, evidence.expression);
    ASSERT_EQ(object.unread(), nullptr) << evidence.expression;
    EXPECT_EQ(object.address().value(), evidence.address) << evidence.expression;
  }
  EXPECT_EQ(expressions, 2);
}

TEST(XmmUserRegs, GarbageIsStale) {
  for (const auto& [value, place] : {std::pair<uint64_t, const char*>{0x7ffc00001000, "user address"},
                                     {0x1234567812345678, "non-canonical"},
                                     {0x6b6b6b6b6b6b6b6b, "poison"},
                                     {0xdead000000000100, "poison"}}) {
    XmmMachine machine;
    machine.set_xmm(1, value);
    expect_stale(find(machine), place);
  }
}

TEST(XmmUserRegs, MemoryOfNobodyIsStale) {
  XmmMachine machine;
  machine.set_xmm(1, machine.heap());
  const Finding finding = find(machine);
  expect_stale(finding, "other kernel memory");
  EXPECT_NE(finding.summary.find("kmalloc-512"), std::string::npos) << finding.summary;
}

TEST(XmmUserRegs, AFreeObjectOfASlabIsStale) {
  XmmMachine machine;
  machine.set_xmm(1, machine.heap() + 512 + kXmm);
  const Finding finding = find(machine);
  expect_stale(finding, "freed memory");
  EXPECT_NE(finding.explanation[1].find("freelist"), std::string::npos) << finding.explanation[1];
  // Its neighbour is in use.
  machine.set_xmm(1, machine.heap() + 1024 + kXmm);
  expect_stale(find(machine), "other kernel memory");
}

TEST(XmmUserRegs, PoisonedMemoryIsStale) {
  XmmMachine machine;
  machine.set_xmm(1, machine.heap());
  machine.poke(machine.heap(), 0x6b6b6b6b6b6b6b6b);
  machine.poke(machine.heap() + 8, 0x6b6b6b6b6b6b6b6b);
  expect_stale(find(machine), "freed memory");
}

// --- XMM registers of user space that PEBS suppresses ------------------------------------------------------

TEST(XmmUserRegs, NullForAPreciseEventThatWantsBothIsPossibleDataLoss) {
  XmmMachine machine;
  machine.set_event(1, kAllXmm, kAllXmm, 2);
  const Finding finding = find(machine);
  EXPECT_EQ(finding.verdict, Verdict::kPossible);
  EXPECT_EQ(finding.stage, Stage::kLatent);
  EXPECT_EQ(checks(finding), Strings{kSuppressed});
  EXPECT_EQ(finding.cpus, std::vector<int>{1});
}

TEST(XmmUserRegs, NullIsSoundWhenAnyConditionOfTheDataLossIsMissing) {
  XmmMachine only_user, only_interrupted, imprecise, kernel_mode;
  kernel_mode.stop_in("default_idle");
  only_user.set_event(1, kAllXmm, 0xff, 2);
  only_interrupted.set_event(1, 0xff, kAllXmm, 2);
  imprecise.set_event(1, kAllXmm, kAllXmm, 0);
  kernel_mode.set_event(1, kAllXmm, kAllXmm, 2);
  kernel_mode.poke<uint64_t>(kernel_mode.user_regs(1) + XmmMachine::kRegsCs, 0x10);
  for (const XmmMachine* machine : {&only_user, &only_interrupted, &imprecise, &kernel_mode})
    expect_sound(find(*machine));
}

TEST(XmmUserRegs, TwoChecksAreOneFinding) {
  XmmMachine machine;
  machine.set_xmm(0, machine.buffer(1) + kXmm);
  machine.set_event(1, kAllXmm, kAllXmm, 2);
  const Finding finding = find(machine);
  EXPECT_EQ(finding.verdict, Verdict::kLikely);
  EXPECT_EQ(finding.stage, Stage::kArmed);
  EXPECT_EQ(checks(finding), (Strings{kStale, kSuppressed}));
  EXPECT_EQ(finding.cpus, std::vector<int>{0});
}

// --- crashes -----------------------------------------------------------------------------------------------

const Strings kSampleCallers = {"perf_output_sample_regs", "perf_output_sample", "perf_event_output_forward"};
const Strings kPebsCallers = {"perf_output_sample_regs", "perf_output_sample", "perf_event_output_forward",
                              "__intel_pmu_pebs_events", "intel_pmu_drain_pebs_icl"};
// Nothing is mapped there: an object of a slab whose page was given back, say.
constexpr uint64_t kUnmapped = 0xffffb12345678000;

/// Registers at the load: xmm_regs in rcx, the index of the register in rax, the struct in rdi.
Registers loading(uint64_t xmm_regs, uint64_t structure) {
  Registers registers;
  registers.cx = xmm_regs;
  registers.ax = 3;
  registers.di = structure;
  return registers;
}

void expect_crashed(const Finding& finding, const char* check, Verdict verdict) {
  EXPECT_EQ(finding.verdict, verdict) << finding.summary;
  EXPECT_EQ(finding.stage, Stage::kCrashed);
  EXPECT_EQ(checks(finding), Strings{check});
  EXPECT_TRUE(finding.cause_of_crash);
  EXPECT_EQ(finding.cpus, std::vector<int>{1});
}

TEST(XmmUserRegs, AStalePointerKills) {
  XmmMachine machine;
  machine.set_xmm(1, kUnmapped);
  machine.oops(loading(kUnmapped, machine.user_regs(1)), kSampleCallers);
  expect_crashed(find(machine), kStale, Verdict::kLikely);
}

TEST(XmmUserRegs, TheCrashIsWhereTheRegistersSayWithoutOrcTables) {
  XmmMachine machine;
  machine.oops(loading(kUnmapped, machine.user_regs(1)), kSampleCallers);
  const test::TempDir directory;
  KernelOptions options;
  options.search_debuginfo = false;
  const auto kernel = Kernel::open(Dump::open({directory.write("vmcore", machine.elf())}), options);
  Diagnosis diagnosis(*kernel);
  const CrashState& crash = diagnosis.crash();
  EXPECT_EQ(crash.function, "perf_reg_value");
  ASSERT_GT(crash.stack.frames.size(), 1u);
  EXPECT_TRUE(crash.stack.frames[0].reliable);
  EXPECT_FALSE(crash.stack.frames[1].reliable);
}

TEST(XmmUserRegs, APointerThatKilledWasBadWhateverElseIsKnown) {
  XmmMachine machine;
  machine.set_xmm(1, kUnmapped);
  machine.exclude(machine.debug_store(1));
  machine.oops(loading(kUnmapped, machine.user_regs(1)), kSampleCallers);
  expect_crashed(find(machine), kStale, Verdict::kLikely);
}

TEST(XmmUserRegs, AStalePointerIsNotTheCauseOfAFaultElsewhere) {
  XmmMachine machine;
  machine.set_xmm(1, kUnmapped);
  machine.oops(loading(kUnmapped + 0x100000, machine.heap()), kSampleCallers);
  const Finding finding = find(machine);
  EXPECT_EQ(finding.verdict, Verdict::kLikely);
  EXPECT_EQ(finding.stage, Stage::kArmed);
  EXPECT_FALSE(finding.cause_of_crash);
  ASSERT_EQ(finding.look_alikes.size(), 1u);
  EXPECT_FALSE(finding.look_alikes[0].ruled_out);
}

TEST(XmmUserRegs, AnUninitialisedPointerOnTheStackOfTheDrainKills) {
  XmmMachine machine;
  const uint64_t structure = machine.stack(1) + XmmMachine::kStackUsed + 0x200;
  machine.poke(structure + XmmMachine::kXmmRegs, kUnmapped);
  machine.oops(loading(kUnmapped, structure), kPebsCallers);
  const Finding finding = find(machine);
  expect_crashed(finding, kUninitialised, Verdict::kLikely);
  EXPECT_NE(finding.explanation.back().find(fmt::format("{:#x}", kUnmapped + 3 * 8)), std::string::npos);
  // Its expression can be printed.
  EXPECT_TRUE(std::any_of(finding.evidence.begin(), finding.evidence.end(), [&](const Evidence& one) {
    return one.address == structure + XmmMachine::kXmmRegs && !one.expression.empty();
  }));
}

TEST(XmmUserRegs, AnUninitialisedPointerThatIsNoAddressKills) {
  XmmMachine machine;
  const uint64_t garbage = 0x1234567812345678;
  const uint64_t structure = machine.stack(1) + XmmMachine::kStackUsed + 0x200;
  machine.poke(structure + XmmMachine::kXmmRegs, garbage);
  machine.oops(loading(garbage, structure), kPebsCallers);
  expect_crashed(find(machine), kUninitialised, Verdict::kLikely);
}

TEST(XmmUserRegs, AnUninitialisedPointerIsFoundBeforeItIsFollowed) {
  XmmMachine machine;
  const uint64_t structure = machine.stack(1) + XmmMachine::kStackUsed + 0x200;
  machine.poke(structure + XmmMachine::kXmmRegs, kUnmapped);
  machine.stop_in("perf_reg_value", kPebsCallers, machine.stack(1) + XmmMachine::kStackUsed,
                  loading(kUnmapped, structure));
  const Finding finding = find(machine);
  EXPECT_EQ(finding.verdict, Verdict::kLikely) << finding.summary;
  EXPECT_EQ(finding.stage, Stage::kFired);
  EXPECT_EQ(checks(finding), Strings{kUninitialised});
  EXPECT_FALSE(finding.cause_of_crash);
  machine.poke<uint64_t>(structure + XmmMachine::kXmmRegs, 0);
  expect_sound(find(machine));
}

TEST(XmmUserRegs, WithoutTheStructureTheDrainIsOnlyPossible) {
  XmmMachine machine;
  machine.oops(loading(kUnmapped, 0), kPebsCallers);
  expect_crashed(find(machine), kUninitialised, Verdict::kPossible);
}

TEST(XmmUserRegs, TheLogAloneNamesTheDrain) {
  XmmMachine machine;
  const uint64_t structure = machine.stack(1) + XmmMachine::kStackUsed + 0x200;
  machine.poke(structure + XmmMachine::kXmmRegs, kUnmapped);
  Strings lines = {fmt::format("BUG: unable to handle page fault for address: {:016x}", kUnmapped + 3 * 8),
                   "#PF: supervisor read access in kernel mode",
                   "#PF: error_code(0x0000) - not-present page",
                   "Oops: Oops: 0000 [#1] SMP NOPTI",
                   "CPU: 1 UID: 0 PID: 101 Comm: perf Not tainted 7.4.0-test #1",
                   "RIP: 0010:perf_reg_value+0x20/0x100",
                   "RSP: 0018:ffffb00000000000 EFLAGS: 00010046",
                   fmt::format("RAX: {:016x} RBX: {:016x} RCX: {:016x}", 3, 0, kUnmapped),
                   fmt::format("RDX: {:016x} RSI: {:016x} RDI: {:016x}", 0, 35, structure),
                   fmt::format("RBP: {0:016x} R08: {0:016x} R09: {0:016x}", 0),
                   fmt::format("R10: {0:016x} R11: {0:016x} R12: {0:016x}", 0),
                   fmt::format("R13: {0:016x} R14: {0:016x} R15: {0:016x}", 0),
                   "Call Trace:",
                   " <NMI>"};
  for (const std::string& caller : kPebsCallers) lines.push_back(" " + caller + "+0x40/0x100");
  lines.insert(lines.end(), {" </NMI>", "---[ end trace 0000000000000000 ]---",
                             "Kernel panic - not syncing: Fatal exception in interrupt"});
  machine.set_log(lines);
  expect_crashed(find(machine), kUninitialised, Verdict::kLikely);
}

TEST(XmmUserRegs, LookAlikesAreContradicted) {
  struct Case {
    Strings functions;  // the one that faulted first
    const char* title;
  };
  for (const auto& [functions, title] :
       {Case{{"perf_output_sample_regs", "perf_output_sample"}, "pt_regs"},
        Case{{"copy_from_user_nmi", "perf_output_sample"}, "the user's stack"},
        Case{{"xsaves_nmi", "x86_pmu_sample_xregs"}, "XSAVES"}}) {
    XmmMachine machine;
    machine.oops(loading(kUnmapped, 0), {});
    machine.stop_in(functions[0], {functions.begin() + 1, functions.end()});
    const Finding finding = find(machine);
    EXPECT_EQ(finding.verdict, Verdict::kContradicted) << title << ": " << finding.summary;
    EXPECT_EQ(finding.stage, Stage::kNone);
    EXPECT_FALSE(finding.cause_of_crash);
    ASSERT_EQ(finding.look_alikes.size(), 1u);
    EXPECT_NE(finding.look_alikes[0].title.find(title), std::string::npos);
    EXPECT_FALSE(finding.look_alikes[0].ruled_out);
  }
}

TEST(XmmUserRegs, AMisalignedBufferIsNamed) {
  XmmMachine machine;
  machine.oops(loading(kUnmapped, 0), {});
  machine.stop_in("xsaves_nmi", {"x86_pmu_sample_xregs"});
  machine.poke(machine.buffer_pointer(1), machine.buffer(1) + 8);
  const Finding finding = find(machine);
  ASSERT_EQ(finding.look_alikes.size(), 1u);
  EXPECT_NE(finding.look_alikes[0].why.find("not aligned"), std::string::npos);
}

// --- what was not saved ------------------------------------------------------------------------------------

TEST(XmmUserRegs, UndeterminedWithoutThePointers) {
  XmmMachine machine;
  machine.exclude(machine.user_regs(1));
  expect_undetermined(find(machine));
}

TEST(XmmUserRegs, UndeterminedWithoutTheMembers) {
  XmmMachine::Options options;
  options.with_pointers = false;
  expect_undetermined(find(XmmMachine(options)));
}

TEST(XmmUserRegs, UndeterminedWithoutTheBuffersName) {
  XmmMachine::Options options;
  options.with_buffer = false;
  XmmMachine machine(options);
  expect_sound(find(machine));
  machine.set_xmm(1, machine.buffer(1) + kXmm);
  expect_undetermined(find(machine));
}

TEST(XmmUserRegs, CpusAreFoundWhereTheirNumberIsAConstant) {
  XmmMachine::Options options;
  options.with_nr_cpu_ids = false;
  XmmMachine machine(options);
  machine.set_xmm(1, machine.buffer(0) + kXmm);
  expect_stale(find(machine), "other CPU's buffer");
}

TEST(XmmUserRegs, UndeterminedWithoutTheHeaderOfTheBuffer) {
  XmmMachine machine;
  machine.set_xmm(1, machine.buffer(1) + kXmm);
  machine.exclude(machine.buffer(1));
  expect_undetermined(find(machine));
}

TEST(XmmUserRegs, UndeterminedWithoutTheEvent) {
  XmmMachine machine;
  machine.set_xmm(1, machine.buffer(1) + kXmm);
  machine.exclude(machine.event(1));
  expect_undetermined(find(machine));
}

TEST(XmmUserRegs, UndeterminedWithoutTheDebugStore) {
  XmmMachine machine;
  machine.set_xmm(1, machine.heap());
  machine.exclude(machine.debug_store(1));
  expect_undetermined(find(machine));
}

TEST(XmmUserRegs, WhatAnotherCpuLacksChangesNothing) {
  XmmMachine machine;
  machine.set_xmm(1, machine.heap());
  for (const uint64_t address :
       {machine.task(0), machine.debug_store(0), machine.pebs_buffer(0), machine.stack(0), machine.event(0),
        machine.buffer(0), machine.buffer(1), machine.pebs_buffer(1), machine.event(1)})
    machine.exclude(address);
  expect_stale(find(machine), "other kernel memory");
}

TEST(XmmUserRegs, UndeterminedWithoutTheTask) {
  XmmMachine machine;
  machine.set_xmm(1, machine.heap());
  machine.exclude(machine.task(1));
  expect_undetermined(find(machine));
}

TEST(XmmUserRegs, UndeterminedWithoutTheStack) {
  XmmMachine machine;
  machine.stop_in("default_idle");
  machine.set_xmm(1, machine.pebs_buffer(1) + 0x80);
  machine.exclude(machine.stack(1) + 0x3000);
  expect_undetermined(find(machine));
}

TEST(XmmUserRegs, UndeterminedWithoutTheFrames) {
  // In an NMI, so that the task's stack is in use to an unknown place: the NMI stack was not saved.
  XmmMachine machine;
  machine.stop_in("perf_output_sample", {}, machine.nmi_stack(1) + 0x800);
  machine.exclude(machine.nmi_stack(1));
  machine.set_xmm(1, machine.stack(1) + 0x3100);
  expect_undetermined(find(machine));
}

TEST(XmmUserRegs, GarbageNeedsNothingElse) {
  XmmMachine machine;
  machine.set_xmm(1, 0x6b6b6b6b6b6b6b6b);
  machine.exclude(machine.task(1));
  machine.exclude(machine.debug_store(1));
  machine.exclude(machine.buffer(1));
  expect_stale(find(machine), "poison");
}

TEST(XmmUserRegs, WithoutPmuAndFpuTheRestIsStillJudged) {
  XmmMachine::Options options;
  options.with_pmu = options.with_fpu = false;
  XmmMachine machine(options);
  machine.set_xmm(1, machine.buffer(1) + kXmm);
  const Finding finding = find(machine);
  expect_sound(finding);
  EXPECT_FALSE(finding.not_visible.empty());
  machine.set_xmm(1, machine.buffer(0) + kXmm);
  expect_stale(find(machine), "other CPU's buffer");
}

// --- on the state of a real kernel
// ---------------------------------------------------------------------------

/// A released kernel to which the variables and types were added: tasks, stacks and counters are real.
class OnRealKernel : public testing::Test {
 protected:
  static constexpr uint64_t kUserRegs = 0x7000000000, kBufferPointer = kUserRegs + 0x100;  // per-CPU, unused
  static constexpr uint64_t kBuffers = 0xffffc00000000000;

  OnRealKernel() : kernel_(test::bundled("healthy-7.2.12.vmcore")) {
    kernel_.set_types(XmmMachine::user_regs_types());
    kernel_.add_symbol({"x86_user_regs", kUserRegs, 192, 'd'});
    kernel_.add_symbol({"ext_regs_buf", kBufferPointer, 8, 'd'});
    Kernel& original = kernel_.original();
    const std::vector<int> cpus = original.present_cpus().value();
    for (const int cpu : cpus) {
      const uint64_t base = original.per_cpu_offset(cpu).value();
      kernel_.memory().provide(base + kUserRegs, 4096);
      kernel_.memory().provide(buffer(cpu), 4096);
      kernel_.memory().poke(base + kBufferPointer, buffer(cpu));
      kernel_.memory().poke<uint64_t>(buffer(cpu) + XmmMachine::kXfeatures, 2);
      kernel_.memory().poke<uint64_t>(buffer(cpu) + XmmMachine::kXcompBv, uint64_t{1} << 63 | 2);
      const Object task = original.current_task(cpu);
      kernel_.memory().provide(task.address().value() + task.type()->size, 8192);
    }
  }

  static uint64_t buffer(int cpu) { return kBuffers + 0x10000 * static_cast<uint64_t>(cpu); }
  /// Its fpstate lies behind the task, at the next multiple of 64 bytes behind struct fpu's own members.
  uint64_t fpstate(int cpu) {
    const Object task = kernel_.original().current_task(cpu);
    return task.address().value() + task.type()->size + 128;
  }
  void set_xmm(int cpu, uint64_t value) {
    kernel_.memory().poke(kernel_.original().per_cpu_offset(cpu).value() + kUserRegs + XmmMachine::kXmmRegs,
                          value);
  }
  Finding find() {
    Diagnosis diagnosis(kernel_.patched());
    return test::finding_of(run_rules(diagnosis, all_rules()), kRule);
  }
  /// The CPU that called panic(), and its stack.
  int crashed_cpu() {
    Diagnosis diagnosis(kernel_.original());
    stack_ = diagnosis.crash().stack;
    return diagnosis.crash().cpu.value();
  }

  test::PatchedKernel kernel_;
  Stack stack_;
};

TEST_F(OnRealKernel, NullIsSound) {
  expect_sound(find());
}

TEST_F(OnRealKernel, OwnBufferIsSoundAnotherOneIsNot) {
  set_xmm(1, buffer(1) + kXmm);
  expect_sound(find());
  set_xmm(1, buffer(2) + kXmm);
  expect_stale(find(), "other CPU's buffer");
}

TEST_F(OnRealKernel, FramesOnTheStackAreLiveUnlessTheyReturned) {
  const int cpu = crashed_cpu();
  ASSERT_GT(stack_.frames.size(), 3u);
  set_xmm(cpu, stack_.frames[2].sp);
  const Finding live = find();
  expect_sound(live);
  EXPECT_EQ(places(live), Strings{"stack"});

  set_xmm(cpu, stack_.frames[0].sp - 512);
  const Finding dead = find();
  EXPECT_EQ(dead.verdict, Verdict::kLikely);
  EXPECT_EQ(checks(dead), Strings{kStale});
  EXPECT_EQ(places(dead), Strings{"stack"});
}

TEST_F(OnRealKernel, TheNumberOfTheThreadFlagComesFromTheCode) {
  const int cpu = crashed_cpu();
  const Object flags = kernel_.original().current_task(cpu).member("thread_info.flags");
  set_xmm(cpu, fpstate(cpu) + kXmm);
  kernel_.memory().poke<uint64_t>(flags.address().value(), uint64_t{1} << 19);
  expect_sound(find());
  kernel_.memory().poke<uint64_t>(flags.address().value(), 0);
  EXPECT_EQ(checks(find()), Strings{kStale});

  const char code[] = "\xf0\x80\x60\x01\xbf\xc3";  // lock andb $0xbf,0x1(%rax): bit 14; ret
  constexpr uint64_t kFunction = 0xffffffffbf000000;
  kernel_.add_symbol({"fpregs_mark_activate", kFunction, sizeof(code) - 1, 'T'});
  kernel_.memory().provide(kFunction, 64);
  kernel_.memory().write(kFunction, code, sizeof(code) - 1);
  kernel_.memory().poke<uint64_t>(flags.address().value(), uint64_t{1} << 19);
  EXPECT_EQ(checks(find()), Strings{kStale});
  kernel_.memory().poke<uint64_t>(flags.address().value(), uint64_t{1} << 14);
  expect_sound(find());
}

// --- the tool ----------------------------------------------------------------------------------------------

nlohmann::json triage(const std::string& path) {
  const std::string command = std::string(PERFCORE_TOOL) + " triage --format json " + path;
  std::string output;
  FILE* pipe = popen(command.c_str(), "r");
  if (!pipe) return {};
  std::array<char, 4096> chunk;
  for (size_t size; (size = fread(chunk.data(), 1, chunk.size(), pipe)) > 0;)
    output.append(chunk.data(), size);
  pclose(pipe);
  return nlohmann::json::parse(output);
}

TEST(XmmUserRegs, TheToolOpensSuchADump) {
  XmmMachine machine;
  machine.set_xmm(1, machine.buffer(0) + kXmm);
  const test::TempDir directory;
  for (const std::string& path :
       {directory.write("vmcore.elf", machine.elf()), directory.write("vmcore.kdump", machine.kdump())}) {
    const nlohmann::json answer = triage(path);
    const auto finding = std::find_if(answer["findings"].begin(), answer["findings"].end(),
                                      [](const auto& one) { return one["rule"] == kRule; });
    ASSERT_NE(finding, answer["findings"].end());
    EXPECT_EQ((*finding)["verdict"], "likely");
    EXPECT_EQ((*finding)["facts"]["checks"], Strings{kStale});
    EXPECT_EQ((*finding)["cpus"], std::vector<int>{1});
  }
}

}  // namespace
}  // namespace perfcore
