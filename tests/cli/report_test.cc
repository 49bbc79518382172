// SPDX-License-Identifier: LGPL-2.1-or-later
#include "report.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "class_words.h"
#include "exit_codes.h"
#include "glossary.h"
#include "json.h"
#include "text.h"

namespace perfcore::cli {
namespace {

using nlohmann::json;

Finding finding(Verdict verdict, Stage stage, bool cause) {
  Finding result;
  result.rule = "rule";
  result.title = "title";
  result.verdict = verdict;
  result.stage = stage;
  result.cause_of_crash = cause;
  return result;
}

int exit_code_with(std::vector<Finding> findings) {
  TriageReport report;
  report.findings = std::move(findings);
  return report.exit_code();
}

TEST(ExitCode, TellsRootCauseDefectAndNeither) {
  EXPECT_EQ(exit_code_with({}), kExitDone);
  EXPECT_EQ(exit_code_with({finding(Verdict::kProven, Stage::kCrashed, true)}), kExitRootCause);
  EXPECT_EQ(exit_code_with({finding(Verdict::kLikely, Stage::kCrashed, true)}), kExitRootCause);
  EXPECT_EQ(exit_code_with({finding(Verdict::kProven, Stage::kArmed, false)}), kExitDefect);
  EXPECT_EQ(exit_code_with({finding(Verdict::kPossible, Stage::kFired, false)}), kExitDefect);
  EXPECT_EQ(exit_code_with({finding(Verdict::kPossible, Stage::kCrashed, true)}), kExitDefect);
}

TEST(ExitCode, WhatIsNotBadIsNotADefect) {
  EXPECT_EQ(exit_code_with({finding(Verdict::kLatent, Stage::kLatent, false),
                            finding(Verdict::kLatent, Stage::kPrimed, false),
                            finding(Verdict::kContradicted, Stage::kNone, false),
                            finding(Verdict::kUndetermined, Stage::kArmed, false),
                            finding(Verdict::kNotApplicable, Stage::kNone, false)}),
            kExitDone);
}

TEST(ExitCode, TheRootCauseIsFoundBehindOtherFindings) {
  EXPECT_EQ(exit_code_with({finding(Verdict::kProven, Stage::kArmed, false),
                            finding(Verdict::kLikely, Stage::kCrashed, true)}),
            kExitRootCause);
}

TEST(Known, AreShownAndChangeNothing) {
  TriageReport report;
  report.crash.crash_class = "null-deref";
  KnownCause cause;
  cause.entry = &catalogue().front();
  cause.verdict = Verdict::kPossible;
  cause.why = "the crash is of class null-deref";
  report.known = {cause};
  EXPECT_EQ(report.exit_code(), kExitDone);
  EXPECT_EQ(report.root_cause(), nullptr);
  const json answer = json::parse(to_json(report));
  EXPECT_TRUE(answer["findings"].empty());
  ASSERT_EQ(answer["known"].size(), 1u);
  EXPECT_EQ(answer["known"][0]["id"], catalogue().front().id);
  EXPECT_EQ(answer["known"][0]["verdict"], "possible");
  EXPECT_FALSE(answer["known"][0]["references"].empty());
  TextWriter out(false, 100);
  render(out, report);
  EXPECT_NE(out.text().find("Known causes with the same symptom"), std::string::npos);
  EXPECT_NE(out.text().find(catalogue().front().id), std::string::npos);
}

TEST(UnreadList, KeepsEachReasonOnce) {
  UnreadList list;
  const Unread unread{UnreadReason::kExcluded, 0x1000, "x", ""};
  EXPECT_EQ(list.take(Reading<int>(unread)), std::nullopt);
  EXPECT_EQ(list.take(Reading<int>(unread)), std::nullopt);
  EXPECT_EQ(list.take(Reading<int>(7)), 7);
  EXPECT_EQ(list.items().size(), 1u);
}

TEST(Json, UnreadIsNullAndWideNumbersAreHexadecimal) {
  PmuReport report;
  PmuView view;
  view.cpu = 3;
  view.active_mask = 0xffffffffffffffff;
  view.events.emplace();
  view.events->emplace(1, std::nullopt);
  view.events->emplace(32, 0xffff888000000000);
  EventListEntry entry;
  entry.address = 0xffff888000000000;
  entry.event.hw_interrupts = kMaxInterrupts;
  entry.event.hw_idx = -1;
  entry.event.attr_pinned = true;
  view.event_list.emplace().push_back(entry);
  report.cpus.push_back(view);
  report.unread.push_back({UnreadReason::kExcluded, 0x1000, "somewhere", ""});

  const json answer = json::parse(to_json(report));
  const json& cpu = answer["cpus"][0];
  EXPECT_EQ(cpu["active_mask"], "0xffffffffffffffff");
  EXPECT_TRUE(cpu["enabled"].is_null());
  EXPECT_EQ(cpu["events"], json({{"1", nullptr}, {"32", "0xffff888000000000"}}));
  const json& event = cpu["event_list"][0];
  EXPECT_EQ(event["hw.interrupts"], "0xffffffffffffffff");
  EXPECT_EQ(event["hw.idx"], -1);
  EXPECT_EQ(event["attr.pinned"], 1);
  EXPECT_TRUE(event["attr.config"].is_null());
  EXPECT_EQ(answer["unread"][0]["address"], "0x1000");
}

TEST(Json, BytesThatAreNotUtf8DoNotStopIt) {
  TriageReport report;
  report.crash.comm = "\xff\xfe";
  EXPECT_EQ(json::parse(to_json(report))["crash"]["comm"], "\xef\xbf\xbd\xef\xbf\xbd");
}

TEST(Text, DumpedStringsDoNotReachTheTerminalRaw) {
  TriageReport report;
  const std::string evil = "x\033[2Jy";
  report.crash.crash_class = "null-deref";
  report.crash.comm = report.crash.reason = report.crash.function = report.crash.first_anomaly = evil;
  report.system.nodename = report.system.taint_text = evil;
  report.system.modules_out_of_tree = {evil};
  report.kernel.release = evil;
  Finding bad = finding(Verdict::kProven, Stage::kCrashed, true);
  bad.summary = evil;
  bad.explanation = bad.remedy = bad.not_visible = {evil};
  bad.evidence.push_back({evil, evil, std::nullopt, evil, evil, EvidenceResult::kSupports, 1});
  report.findings = {bad};
  TextWriter out(false, 100);
  render(out, report);
  EXPECT_EQ(out.text().find('\033'), std::string::npos);
  EXPECT_NE(out.text().find("x\\x1b[2Jy"), std::string::npos);
}

TEST(Text, WithoutARuleThereIsStillAnAnswer) {
  TriageReport report;
  report.crash.crash_class = "hung-task";
  report.crash.reason = "hung_task: blocked tasks";
  TextWriter out(false, 100);
  render(out, report);
  EXPECT_NE(out.text().find("No known root cause"), std::string::npos);
  EXPECT_NE(out.text().find("hung_task: blocked tasks"), std::string::npos);
  EXPECT_NE(out.text().find("Now"), std::string::npos);
}

TEST(ClassWords, UnknownClassesHaveWordsToo) {
  EXPECT_EQ(words_for("null-deref").crash_class, "null-deref");
  EXPECT_EQ(words_for("no such class").crash_class, "other");
  EXPECT_FALSE(words_for("no such class").next.empty());
}

TEST(ClassWords, EveryClassOfTheVocabularyHasItsOwn) {
  for (const char* crash_class : {"atomic-sleep",
                                  "bad-page",
                                  "divide-error",
                                  "double-fault",
                                  "gpf",
                                  "hung-task",
                                  "int3",
                                  "kasan",
                                  "kcsan",
                                  "kernel-bug",
                                  "kfence",
                                  "kmsan",
                                  "lockdep",
                                  "memory-leak",
                                  "null-deref",
                                  "odebug",
                                  "page-fault",
                                  "panic",
                                  "rcu-stall",
                                  "rcu-usage",
                                  "refcount",
                                  "soft-lockup",
                                  "ubsan",
                                  "unregister-netdev",
                                  "warning",
                                  "other",
                                  "hard-lockup",
                                  "unknown-nmi",
                                  "nmi-storm",
                                  "msr-access",
                                  "mce",
                                  "oom-panic",
                                  "sysrq",
                                  "none",
                                  "list-corruption",
                                  "stack-segment",
                                  "workqueue-lockup"})
    EXPECT_EQ(words_for(crash_class).crash_class, crash_class);
}

TEST(Glossary, FindsWholeWordsOnly) {
  const auto terms = terms_in("the NMI walked events[] and x86_PMU_thing; event_list[1]");
  ASSERT_EQ(terms.size(), 2u);
  EXPECT_EQ(terms[0].term, "events[]");
  EXPECT_EQ(terms[1].term, "NMI");
}

}  // namespace
}  // namespace perfcore::cli
