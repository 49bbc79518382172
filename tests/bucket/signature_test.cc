// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Signatures: the same crash has the same one however it is told, another crash another one.
#include "perfcore/signature.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "analyzers/registry.h"
#include "perfcore/log.h"
#include "support/overlay.h"

namespace perfcore {
namespace {

using test::PatchedKernel;

constexpr const char* kNullEvents = "null-events-6.18.12.vmcore";
constexpr const char* kLookAlike = "lookalike-corruption-6.12.117.vmcore";

std::vector<ConsoleReport> reports_of(const KernelLog& log) {
  std::string text;
  for (const LogRecord& record : log.records) text += record.text + "\n";
  return parse_console(text);
}

Signature sign(Kernel& kernel) {
  Diagnosis diagnosis(kernel);
  const auto findings = run_rules(diagnosis, all_rules());
  const auto reports = reports_of(diagnosis.log());
  return sign(diagnosis.crash(), findings, all_rules(), reports);
}

Signature sign_dump(const std::string& path) {
  PatchedKernel kernel(path);
  return sign(kernel.patched());
}

Signature sign_log(const std::string& name) {
  PatchedKernel kernel(test::bundled(name));
  const auto reports = reports_of(read_log(kernel.original()));
  EXPECT_FALSE(reports.empty());
  return reports.empty() ? Signature() : sign(reports.front());
}

bool is_related(const Signature& signature, const std::string& id) {
  return std::any_of(signature.related.begin(), signature.related.end(),
                     [&](const RelatedSignature& other) { return other.id == id; });
}

TEST(Signature, NamesTheRuleThatExplainsTheCrash) {
  const Signature signature = sign_dump(test::bundled(kNullEvents));
  EXPECT_EQ(signature.crash_class, "null-deref");
  EXPECT_EQ(signature.cause, "perf-x86-null-events");
  EXPECT_EQ(signature.facts, std::vector<std::string>{"generation=G1"});
  EXPECT_FALSE(signature.partial);
  EXPECT_TRUE(signature.id.starts_with("pc1-"));
  EXPECT_EQ(signature.id.size(), 20u);
  EXPECT_GE(signature.why.size(), 3u);
}

TEST(Signature, IsTheSameFromARecording) {
  for (const char* name : {kNullEvents, kLookAlike, "aux-hang-6.12.117.vmcore", "healthy-6.12.117.vmcore"})
    EXPECT_EQ(sign_dump(test::recorded(name)).id, sign_dump(test::bundled(name)).id) << name;
}

TEST(Signature, IsTheSameOnAnotherCpuAndAtOtherAddresses) {
  PatchedKernel kernel(test::recorded(kNullEvents));
  kernel.move_direct_map(uint64_t{5} << 30);
  EXPECT_EQ(sign(kernel.patched()).id, sign_dump(test::recorded(kNullEvents)).id);
  PatchedKernel other(test::recorded(kNullEvents));
  other.swap_cpus(1, 3);
  EXPECT_EQ(sign(other.patched()).id, sign_dump(test::recorded(kNullEvents)).id);
}

TEST(Signature, TextLeadsToTheDump) {
  for (const char* name : {kNullEvents, kLookAlike}) {
    const Signature dump = sign_dump(test::bundled(name));
    const Signature text = sign_log(name);
    EXPECT_TRUE(text.id == dump.id || is_related(dump, text.id)) << name;
  }
  // No rule explains this one: text and dump are one bucket.
  EXPECT_EQ(sign_log("ibs-race-6.12.117.vmcore").id, sign_dump(test::bundled("ibs-race-6.12.117.vmcore")).id);
}

TEST(Signature, LookAlikesAreApart) {
  std::set<std::string> ids;
  for (const char* name : {kNullEvents, kLookAlike, "ibs-race-6.12.117.vmcore", "aux-hang-6.12.117.vmcore",
                           "throttled-arch-6.18.12.vmcore", "healthy-6.12.117.vmcore"})
    EXPECT_TRUE(ids.insert(sign_dump(test::bundled(name)).id).second) << name;
}

TEST(Signature, AFactThatCannotBeReadMakesItPartialAndLinked) {
  PatchedKernel kernel(test::recorded(kNullEvents));
  const auto code = kernel.original().symbols().find("x86_pmu_enable");
  ASSERT_TRUE(code);
  kernel.memory().take_away(code->address & ~(kPageSize - 1), kPageSize);
  const Signature partial = sign(kernel.patched());
  const Signature complete = sign_dump(test::recorded(kNullEvents));
  EXPECT_TRUE(partial.partial);
  EXPECT_TRUE(partial.id.ends_with("~partial"));
  EXPECT_TRUE(compatible(partial, complete));
  EXPECT_FALSE(compatible(partial, sign_dump(test::recorded(kLookAlike))));
  EXPECT_TRUE(compatible(complete, complete));
}

TEST(Signature, TextWithoutAFunctionGoesByItsTitle) {
  const auto reports = parse_console("[   12.3] Kernel panic - not syncing: VFS: Unable to mount root fs\n");
  ASSERT_EQ(reports.size(), 1u);
  EXPECT_TRUE(sign(reports.front()).cause.starts_with("title:"));
}

TEST(Signature, SuffixesOfCompilersAreNoOtherBug) {
  ConsoleReport report;
  report.kind = "null-deref";
  report.function = normalised_function("foo.isra.0");
  ConsoleReport other = report;
  other.function = normalised_function("foo");
  EXPECT_EQ(sign(report).id, sign(other).id);
  other.function = "bar";
  EXPECT_NE(sign(report).id, sign(other).id);
  other = report;
  other.kind = "gpf";
  EXPECT_NE(sign(report).id, sign(other).id);
}

// A title has "toy" for __do_sys_toy(), a dump has the name of the system call.
TEST(Signature, ASystemCallIsOneUnderAllItsNames) {
  const std::string head = "BUG: kernel NULL pointer dereference, address: 0\nRIP: 0010:";
  const auto one = parse_console(head + "__do_sys_toy+0x1/0x2\nCall Trace:\n do_syscall_64+0x1/0x2\n");
  const auto other = parse_console(head + "__x64_sys_toy+0x1/0x2\nCall Trace:\n do_syscall_64+0x1/0x2\n");
  ASSERT_EQ(one.size(), 1u);
  ASSERT_EQ(other.size(), 1u);
  EXPECT_EQ(one.front().function, "toy");
  EXPECT_EQ(sign(one.front()).id, sign(other.front()).id);
}

TEST(Signature, ANullPointerIsOneWithAndWithoutKasan) {
  ConsoleReport plain;
  plain.kind = "null-deref";
  plain.function = "x86_pmu_enable_event";
  ConsoleReport kasan = plain;
  kasan.kind = "gpf";
  kasan.lines = {"KASAN: null-ptr-deref in range [0x0000000000000198-0x000000000000019f]"};
  EXPECT_EQ(sign(plain).id, sign(kasan).id);
  kasan.lines = {"KASAN: maybe wild-memory-access in range [0xdead000000000110-0xdead000000000117]"};
  EXPECT_NE(sign(plain).id, sign(kasan).id);
}

TEST(Signature, VendorsAndInliningAreNoOtherBug) {
  ConsoleReport one;
  one.kind = "null-deref";
  one.function = "amd_pmu_enable_all";
  ConsoleReport other = one;
  other.function = "x86_pmu_enable_event";
  EXPECT_EQ(sign(one).id, sign(other).id);
  // A warning is about the very function that it stands in.
  one.kind = other.kind = "warning";
  EXPECT_NE(sign(one).id, sign(other).id);
}

/// A signature that was not made from a crash.
Signature made(std::string crash_class, std::string cause, std::vector<std::string> facts) {
  Signature signature;
  signature.crash_class = std::move(crash_class);
  signature.cause = std::move(cause);
  signature.facts = std::move(facts);
  identify(&signature);
  return signature;
}

TEST(Signature, OfSeveralCausesFitsEachOfThem) {
  const Signature open = made("null-deref", "rule-a|rule-b/?|stack:foo", {});
  EXPECT_TRUE(compatible(open, made("null-deref", "rule-a", {"generation=G1"})));
  EXPECT_TRUE(compatible(open, made("null-deref", "rule-b/second", {})));
  EXPECT_TRUE(compatible(open, made("null-deref", "stack:foo", {})));
  EXPECT_FALSE(compatible(open, made("null-deref", "stack:fo", {})));
  EXPECT_FALSE(compatible(open, made("null-deref", "rule-c", {})));
  EXPECT_FALSE(compatible(open, made("gpf", "stack:foo", {})));
}

TEST(Signature, OfAnOpenClassFitsAnyClass) {
  const Signature open = made("panic", "rule-a", {"class=?", "generation=G1"});
  EXPECT_TRUE(open.partial);
  EXPECT_TRUE(compatible(open, made("null-deref", "rule-a", {"generation=G1"})));
  EXPECT_FALSE(compatible(open, made("null-deref", "rule-a", {"generation=G2"})));
}

}  // namespace
}  // namespace perfcore
