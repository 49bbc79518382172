// SPDX-License-Identifier: LGPL-2.1-or-later
//
// x86-xmm-user-regs on vmcores made by hand: each place that a pointer of x86_user_regs can lead to, where
// that is legal and where it is not; and every input taken away.
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
  XmmMachine::Options options;
  options.interrupted = "intel_pmu_drain_pebs_icl";
  XmmMachine machine(options);
  machine.set_xmm(1, machine.pebs_buffer(1) + 0x80);
  const Finding finding = find(machine);
  expect_sound(finding);
  EXPECT_EQ(places(finding), Strings{"PEBS record"});
}

TEST(XmmUserRegs, APebsRecordIsStaleAfterwards) {
  XmmMachine machine;
  machine.set_xmm(1, machine.pebs_buffer(1) + 0x80);
  expect_stale(find(machine), "PEBS record");

  XmmMachine::Options options;
  options.interrupted = "default_idle";
  XmmMachine idle(options);
  idle.set_xmm(1, idle.pebs_buffer(1) + 0x80);
  expect_stale(find(idle), "PEBS record");
  // Something on the stack looks like a return address in the drain: it may be a leftover.
  idle.poke(idle.stack(1) + 0x3200, test::DumpBuilder::kImage + 0x2040);
  expect_undetermined(find(idle));
}

TEST(XmmUserRegs, AnotherCpusPebsRecordIsStale) {
  XmmMachine::Options options;
  options.interrupted = "intel_pmu_drain_pebs_icl";
  XmmMachine machine(options);
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
  XmmMachine::Options options;
  options.interrupted = "default_idle";  // its stack pointer is at 0x3000
  XmmMachine live(options);
  live.set_xmm(1, live.stack(1) + 0x3100);
  const Finding finding = find(live);
  expect_sound(finding);
  EXPECT_EQ(places(finding), Strings{"stack"});

  XmmMachine dead(options);
  dead.set_xmm(1, dead.stack(1) + 0x2f00);
  expect_stale(find(dead), "stack");

  XmmMachine unused;  // the CPU was in user mode
  unused.set_xmm(1, unused.stack(1) + 0x3100);
  expect_stale(find(unused), "stack");

  XmmMachine other(options);
  other.set_xmm(1, other.stack(0) + 0x3100);
  expect_stale(find(other), "stack");
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
  expect_stale(find(machine), "other kernel memory");
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
  XmmMachine only_user, only_interrupted, imprecise,
      kernel_mode(XmmMachine::Options{.interrupted = "default_idle"});
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

TEST(XmmUserRegs, UndeterminedWithoutTheTask) {
  XmmMachine machine;
  machine.set_xmm(1, machine.heap());
  machine.exclude(machine.task(1));
  expect_undetermined(find(machine));
}

TEST(XmmUserRegs, UndeterminedWithoutTheStack) {
  XmmMachine::Options options;
  options.interrupted = "default_idle";
  XmmMachine machine(options);
  machine.set_xmm(1, machine.pebs_buffer(1) + 0x80);
  machine.exclude(machine.stack(1) + 0x3000);
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
