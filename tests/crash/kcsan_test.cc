// SPDX-License-Identifier: LGPL-2.1-or-later
#include "perfcore/kcsan.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "crash/kcsan_text.h"

namespace perfcore {
namespace {

KcsanReport only_report(std::string_view text) {
  std::vector<KcsanReport> reports = parse_kcsan(text);
  EXPECT_EQ(reports.size(), 1u) << text;
  return reports.empty() ? KcsanReport() : reports.front();
}

/// Two accesses, printed as print_report() does. Stacks are lines; the tasks are 311 and 312.
struct Race {
  std::string first = "write";
  std::string first_stack;
  std::string second = "read";
  std::string second_stack;
  std::string value = {};
  int size = 4;
  std::string address = "0xffff888104a2b640";
  int first_cpu = 1;
  int second_cpu = 0;
  std::string first_locks = {};
  std::string second_locks = {};
};

std::string text_of(const Race& race) {
  auto side = [&](const std::string& operation, const std::string& pid, int cpu, const std::string& stack,
                  const std::string& locks) {
    return operation + " to " + race.address + " of " + std::to_string(race.size) + " bytes by task " + pid +
           " on cpu " + std::to_string(cpu) + ":\n" + stack + "\n\n" + locks;
  };
  return "==================================================================\n"
         "BUG: KCSAN: data-race in one / two\n\n" +
         side(race.first, "311", race.first_cpu, race.first_stack, race.first_locks) +
         side(race.second, "312", race.second_cpu, race.second_stack, race.second_locks) +
         (race.value.empty() ? "" : "value changed: " + race.value + "\n\n") +
         "Reported by Kernel Concurrency Sanitizer on:\n"
         "CPU: 0 UID: 0 PID: 312 Comm: two words Tainted: G        W           6.12.0-rc1 #7\n"
         "Hardware name: none\n"
         "==================================================================\n";
}

KcsanVerdict verdict_of(const Race& race) {
  return classify(only_report(text_of(race)));
}

constexpr std::string_view kToyReport =
    "BUG: KCSAN: data-race in toy_reset [toy] / toy_write+0x1c/0x40\n"
    "\n"
    "read-write (marked) to 0xffff888104a2b640 of 4 bytes by interrupt on cpu 3:\n"
    " bump drivers/toy/toy.c:12 [inline]\n"
    " toy_write+0x1c/0x40 drivers/toy/toy.c:80\n"
    " vfs_write+0x100/0x200\n"
    "\n"
    "write to 0xffff888104a2b640 of 4 bytes by task 42 on cpu 0:\n"
    " toy_reset.isra.0+0x9/0x20 [toy]\n"
    " worker_thread+0x1/0x2\n"
    "\n"
    "value changed: 0x0000002a -> 0x00000000\n"
    "\n"
    "Reported by Kernel Concurrency Sanitizer on:\n"
    "CPU: 0 UID: 0 PID: 42 Comm: kworker/0:1 Not tainted 6.12.0-rc1 #7\n"
    "Hardware name: none\n"
    "Workqueue: events toy_work\n"
    "==================================================================\n";

void expect_toy(const KcsanReport& report) {
  EXPECT_EQ(report.title, "KCSAN: data-race in toy_reset / toy_write");
  EXPECT_EQ(report.functions, (std::vector<std::string>{"toy_reset", "toy_write"}));
  EXPECT_FALSE(report.assertion);
  EXPECT_FALSE(report.unknown_origin);
  ASSERT_EQ(report.accesses.size(), 2u);
  const KcsanAccess& first = report.accesses[0];
  EXPECT_EQ(first.operation, KcsanOperation::kReadWrite);
  EXPECT_TRUE(first.marked);
  EXPECT_TRUE(first.writes());
  EXPECT_TRUE(first.interrupt);
  EXPECT_FALSE(first.pid);
  EXPECT_EQ(first.cpu, 3u);
  EXPECT_EQ(first.address, 0xffff888104a2b640u);
  EXPECT_EQ(first.size, 4u);
  ASSERT_EQ(first.stack.size(), 3u);
  EXPECT_EQ(first.stack[0].function, "bump");
  EXPECT_TRUE(first.stack[0].inlined);
  EXPECT_EQ(first.stack[0].file, "drivers/toy/toy.c");
  EXPECT_EQ(first.stack[0].line, 12u);
  EXPECT_EQ(first.stack[1].function, "toy_write");
  EXPECT_FALSE(first.stack[1].inlined);
  EXPECT_EQ(first.stack[1].offset, 0x1cu);
  EXPECT_EQ(first.stack[1].line, 80u);
  EXPECT_EQ(first.stack[2].file, "");
  const KcsanAccess& second = report.accesses[1];
  EXPECT_EQ(second.operation, KcsanOperation::kWrite);
  EXPECT_FALSE(second.marked);
  EXPECT_EQ(second.pid, 42);
  ASSERT_EQ(second.stack.size(), 2u);
  EXPECT_EQ(second.stack[0].function, "toy_reset.isra.0");
  EXPECT_EQ(second.stack[0].module, "toy");
  ASSERT_TRUE(report.value);
  EXPECT_EQ(report.value->before, 0x2au);
  EXPECT_EQ(report.value->after, 0u);
  EXPECT_EQ(report.comm, "kworker/0:1");
  EXPECT_EQ(report.pid, 42);
  EXPECT_EQ(report.kernel, "6.12.0-rc1");
  EXPECT_EQ(report.workqueue, "events toy_work");
  EXPECT_TRUE(report.complete);
  EXPECT_EQ(kcsan_bucket(report), "stack:toy_reset/toy_write/?");
}

TEST(KcsanParse, ReadsEveryPart) {
  expect_toy(only_report(kToyReport));
}

TEST(KcsanParse, StripsWhatConsolesAndMailPutInFront) {
  for (std::string_view prefix :
       {"[   12.345678] ", "[   12.345678][    C3] ", "[   12.345678] [  T311] ", "<4>[   12.345678] ",
        "Nov 20 12:00:00 host kernel: ", "Nov 20 12:00:00 host kernel: [   12.345678] ", "> > ", "\t",
        "kern  :warn  : [   12.345678] ", "[12.3] "}) {
    std::string text;
    size_t begin = 0;
    while (begin < kToyReport.size()) {
      size_t end = kToyReport.find('\n', begin);
      text += std::string(prefix) + std::string(kToyReport.substr(begin, end - begin)) + "\r\n";
      begin = end + 1;
    }
    SCOPED_TRACE(prefix);
    expect_toy(only_report(text));
  }
}

TEST(KcsanParse, ToleratesBlankLinesBetweenAllLines) {
  std::string text;
  for (char c : kToyReport) text += c == '\n' ? "\n\n" : std::string(1, c);
  KcsanReport report = only_report(text);
  ASSERT_EQ(report.accesses.size(), 2u);
  EXPECT_EQ(report.accesses[0].stack.size(), 3u);
  EXPECT_EQ(report.kernel, "6.12.0-rc1");
}

TEST(KcsanParse, FindsSeveralReportsAndTheirLines) {
  std::string text = "boot\n" + std::string(kToyReport) + "noise\n" + std::string(kToyReport);
  std::vector<KcsanReport> reports = parse_kcsan(text);
  ASSERT_EQ(reports.size(), 2u);
  for (const KcsanReport& report : reports) expect_toy(report);
  EXPECT_EQ(reports[0].first_line, 2u);
  EXPECT_GT(reports[1].first_line, reports[0].last_line);
}

TEST(KcsanParse, TellsContextsApartByCallerId) {
  KcsanReport report = only_report(
      "[1.0][T311] BUG: KCSAN: data-race in alpha / beta\n"
      "[1.0][T900] unrelated_function+0x1/0x2\n"
      "[1.0][T311] write to 0xffff888104a2b640 of 8 bytes by task 310 on cpu 1:\n"
      "[1.0][T900] WARNING: CPU: 2 PID: 900 at fs/other.c:1\n"
      "[1.0][T311]  alpha+0x1/0x2\n"
      "[1.0][T900]  other+0x1/0x2\n"
      "[1.0][T311] \n"
      "[1.0][T311] read to 0xffff888104a2b640 of 8 bytes by task 311 on cpu 0:\n"
      "[1.0][T311]  beta+0x1/0x2\n"
      "[1.0][T311] \n"
      "[1.0][T311] Reported by Kernel Concurrency Sanitizer on:\n");
  ASSERT_EQ(report.accesses.size(), 2u);
  ASSERT_EQ(report.accesses[0].stack.size(), 1u);
  EXPECT_EQ(report.accesses[0].stack[0].function, "alpha");
  EXPECT_EQ(report.accesses[1].stack.size(), 1u);
  EXPECT_TRUE(report.complete);
}

TEST(KcsanParse, TwoContextsReportAtOnce) {
  std::vector<KcsanReport> reports = parse_kcsan(
      "[1.0][T1] BUG: KCSAN: data-race in alpha / beta\n"
      "[1.0][T2] BUG: KCSAN: data-race in gamma / delta\n"
      "[1.0][T1] write to 0xffff888104a2b640 of 8 bytes by task 310 on cpu 1:\n"
      "[1.0][T2] write to 0xffff888104a2b700 of 4 bytes by task 410 on cpu 3:\n"
      "[1.0][T1]  alpha+0x1/0x2\n"
      "[1.0][T2]  gamma+0x1/0x2\n");
  ASSERT_EQ(reports.size(), 2u);
  ASSERT_EQ(reports[0].accesses.size(), 1u);
  EXPECT_EQ(reports[0].accesses[0].stack.at(0).function, "alpha");
  EXPECT_EQ(reports[1].accesses.at(0).stack.at(0).function, "gamma");
  EXPECT_FALSE(reports[0].complete);
}

TEST(KcsanParse, UnknownOriginAndWrappedLines) {
  KcsanReport report = only_report(
      "BUG: KCSAN: data-race in strcmp+0x10/0x20\n\n"
      "race at unknown origin, with read to 0xffff888104a2b640 of 1 bytes\n"
      "by task 7 on cpu 1:\n"
      " strcmp+0x10/0x20\n toy_find+0x1/0x2\n\n"
      "Reported by Kernel Concurrency Sanitizer on:\n");
  EXPECT_TRUE(report.unknown_origin);
  EXPECT_EQ(report.title, "KCSAN: data-race in strcmp");
  ASSERT_EQ(report.accesses.size(), 1u);
  EXPECT_EQ(report.accesses[0].pid, 7);
  EXPECT_EQ(report.accesses[0].stack.size(), 2u);
  EXPECT_TRUE(report.complete);
}

TEST(KcsanParse, Assertions) {
  KcsanReport report = only_report(
      "BUG: KCSAN: assert: race in toy_owner+0x10/0x20\n\n"
      "race at unknown origin, with assert no accesses (reordered) to 0xffff888104a2b640 of 4 bytes by task "
      "7 on cpu 1:\n"
      " toy_owner+0x10/0x20\n\n"
      "value changed: 0x00000000 -> 0x00000005\n bits changed: 0x00000005 with mask 0x0000000f\n");
  EXPECT_TRUE(report.assertion);
  EXPECT_EQ(report.title, "KCSAN: assert: race in toy_owner");
  ASSERT_EQ(report.accesses.size(), 1u);
  EXPECT_EQ(report.accesses[0].operation, KcsanOperation::kAssertNoAccesses);
  EXPECT_TRUE(report.accesses[0].reordered);
  EXPECT_FALSE(report.accesses[0].writes());
  ASSERT_TRUE(report.value);
  EXPECT_EQ(report.value->mask, 0xfu);
  KcsanVerdict verdict = classify(report);
  EXPECT_EQ(verdict.label, KcsanLabel::kHarmful);
  EXPECT_TRUE(verdict.confident);
  EXPECT_EQ(verdict.rule, "asserted-exclusive");
}

TEST(KcsanParse, StacksDecodedByScripts) {
  // scripts/decode_stacktrace.sh: the places of inlined calls come first.
  KcsanReport report = only_report(
      "BUG: KCSAN: data-race in toy_a / toy_b\n"
      "write to 0xffff888104a2b640 of 8 bytes by task 1 on cpu 1:\n"
      "toy_a (./include/linux/list.h:292 (discriminator 3) /src/linux/drivers/toy.c:?) toy\n"
      "worker_thread (kernel/workqueue.c:10)\n"
      "\n"
      "read to 0xffff888104a2b640 of 8 bytes by task 2 on cpu 0:\n"
      // addr2line: the raw frame first, then the calls inlined into it.
      " toy_b+0x52/0x80\n"
      " helper at include/linux/toy.h:4 (discriminator 11)\n"
      " (inlined by) toy_b at drivers/toy.c:20\n"
      " outer+0x1/0x2\n");
  ASSERT_EQ(report.accesses.size(), 2u);
  const std::vector<KcsanFrame>& first = report.accesses[0].stack;
  ASSERT_EQ(first.size(), 3u);
  EXPECT_EQ(first[0].function, "");
  EXPECT_TRUE(first[0].inlined);
  EXPECT_EQ(first[0].file, "include/linux/list.h");
  EXPECT_EQ(first[0].line, 292u);
  EXPECT_EQ(first[1].function, "toy_a");
  EXPECT_EQ(first[1].file, "/src/linux/drivers/toy.c");
  EXPECT_EQ(first[1].line, 0u);
  const std::vector<KcsanFrame>& second = report.accesses[1].stack;
  ASSERT_EQ(second.size(), 3u);
  EXPECT_EQ(second[0].function, "helper");
  EXPECT_TRUE(second[0].inlined);
  EXPECT_EQ(second[1].function, "toy_b");
  EXPECT_EQ(second[1].line, 20u);
  EXPECT_EQ(second[2].function, "outer");
}

TEST(KcsanParse, LocksOfVerboseReports) {
  std::string lock =
      "1 lock held by toy/311:\n #0: ffff888104000000 (&toy->lock){+.+.}-{2:2}, at: toy_a+0x1/0x2\n\n";
  std::string none =
      "no locks held by toy/312.\nirq event stamp: 12\n"
      "hardirqs last  enabled at (12): [<ffffffff81000000>] finish_task_switch+0x1/0x2\n\n";
  KcsanReport report = only_report(text_of({.first_stack = " toy_a+0x1/0x2",
                                            .second_stack = " toy_b+0x1/0x2",
                                            .first_locks = lock,
                                            .second_locks = none}));
  ASSERT_EQ(report.accesses.size(), 2u);
  EXPECT_TRUE(report.accesses[0].locks_listed);
  ASSERT_EQ(report.accesses[0].locks.size(), 1u);
  EXPECT_EQ(report.accesses[0].locks[0], "ffff888104000000 (&toy->lock){+.+.}-{2:2}, at: toy_a+0x1/0x2");
  EXPECT_TRUE(report.accesses[1].locks_listed);
  EXPECT_TRUE(report.accesses[1].locks.empty());
  EXPECT_EQ(report.accesses[1].stack.size(), 1u);
  EXPECT_EQ(report.comm, "two words");
  EXPECT_EQ(report.kernel, "6.12.0-rc1");
  EXPECT_NE(classify(report).reason.find("(&toy->lock)"), std::string::npos);

  KcsanVerdict same = verdict_of({.first_stack = " toy_a+0x1/0x2",
                                  .second_stack = " toy_b+0x1/0x2",
                                  .first_locks = lock,
                                  .second_locks = lock});
  EXPECT_EQ(same.rule, "same-lock");
  EXPECT_EQ(same.label, KcsanLabel::kUnclear);
}

TEST(KcsanParse, HiddenAddressAndElidedFrames) {
  KcsanReport report = only_report(
      "BUG: KCSAN: data-race in toy_a / toy_b\n...\n"
      "read to 0x(____ptrval____) of 8 bytes by task 3871 on cpu 0:\n"
      " toy_b+0x1/0x2\n ...\n\nSo this text explains the toy+0x1 that follows.\n");
  ASSERT_EQ(report.accesses.size(), 1u);
  EXPECT_EQ(report.accesses[0].address, 0u);
  EXPECT_EQ(report.accesses[0].stack.size(), 1u);
  EXPECT_TRUE(report.accesses[0].stack_cut);
  EXPECT_FALSE(report.complete);
}

TEST(KcsanParse, AnotherMessageEndsTheReport) {
  KcsanReport report = only_report(
      "BUG: KCSAN: data-race in toy_a / toy_b\n"
      "write to 0xffff888104a2b640 of 8 bytes by task 1 on cpu 1:\n toy_a+0x1/0x2\n"
      "Kernel panic - not syncing: panic_on_warn set ...\nCall Trace:\n panic+0x1/0x2\n toy_c+0x1/0x2\n");
  EXPECT_EQ(report.accesses.at(0).stack.size(), 1u);
  EXPECT_FALSE(report.complete);
}

TEST(KcsanParse, TextWithoutReports) {
  EXPECT_TRUE(parse_kcsan("").empty());
  EXPECT_TRUE(
      parse_kcsan("BUG: KASAN: slab-use-after-free in foo\nread to 0x1 of 8 bytes by task 1 on cpu 1:\n")
          .empty());
}

TEST(KcsanParse, CutAnywhereNothingBreaks) {
  for (size_t length = 0; length < kToyReport.size(); ++length)
    for (const KcsanReport& report : parse_kcsan(kToyReport.substr(0, length)))
      EXPECT_FALSE(classify(report).reason.empty());
}

TEST(KcsanParse, HostileTextStaysBounded) {
  std::mt19937 random(20260206);
  for (int round = 0; round < 2000; ++round) {
    std::string text(kToyReport);
    for (int flips = 0; flips < 12; ++flips) text[random() % text.size()] = static_cast<char>(random() % 256);
    for (const KcsanReport& report : parse_kcsan(text)) (void)classify(report);
  }
  std::string many;
  for (int i = 0; i < 5000; ++i) many += "[1.0][T" + std::to_string(i) + "] BUG: KCSAN: data-race in a / b\n";
  EXPECT_EQ(parse_kcsan(many).size(), 1024u);
  std::string deep = "BUG: KCSAN: data-race in a / b\nread to 0x1 of 1 bytes by task 1 on cpu 1:\n";
  for (int i = 0; i < 100000; ++i)
    deep += " f+0x1/0x2 (a.c:1 b.c:2 (((((((( c.c:3\n (inlined by) g at a.c:1\n";
  KcsanReport report = only_report(deep);
  EXPECT_LE(report.accesses.at(0).stack.size(), 256u);
  EXPECT_TRUE(report.accesses.at(0).stack_cut);
  EXPECT_FALSE(classify(report).reason.empty());
}

TEST(KcsanText, Patterns) {
  EXPECT_TRUE(matches("list_add_tail", "list_add*"));
  EXPECT_TRUE(matches("a/b/include/linux/list.h", "*include/linux/list.h"));
  EXPECT_TRUE(matches("perf_x_handler", "perf_*_handler"));
  EXPECT_FALSE(matches("list_add", "list_del*"));
  EXPECT_FALSE(matches("xlist_add", "list_add"));
  EXPECT_TRUE(matches("", "*"));
  EXPECT_FALSE(matches("", "a"));
  EXPECT_EQ(function_base("foo.isra.0.cold"), "foo");
}

/// What perf's own fields do, from text alone.
TEST(KcsanClassify, PerfEventTimes) {
  for (const char* other : {" perf_event_set_state+0x153/0x440", " event_sched_out+0x2d4/0x4d0"}) {
    KcsanVerdict verdict = verdict_of({.first_stack = " perf_mmap_rb+0x71c/0x910",
                                       .second_stack = other,
                                       .value = "0x0000000000400000 -> 0x0000000000412345",
                                       .size = 8});
    EXPECT_EQ(verdict.rule, "perf-event-time");
    EXPECT_EQ(verdict.label, KcsanLabel::kHarmful);
    EXPECT_TRUE(verdict.confident);
    EXPECT_NE(verdict.consequence.find("not to memory safety"), std::string::npos);
    EXPECT_NE(verdict.reason.find("0x0000000000400000"), std::string::npos);
  }
}

TEST(KcsanClassify, PerfFieldsByFunction) {
  struct Case {
    const char* rule;
    KcsanLabel label;
    Race race;
  };
  const Case cases[] = {
      {"perf-event-state",
       KcsanLabel::kBenign,
       {.first_stack = " perf_event_set_state+0x1/0x2", .second_stack = " perf_poll+0x1/0x2"}},
      {"perf-interrupt-counts",
       KcsanLabel::kBenign,
       {.first_stack = " __perf_event_account_interrupt+0x1/0x2",
        .second_stack = " perf_adjust_freq_unthr_events+0x1/0x2",
        .size = 8}},
      {"perf-limits",
       KcsanLabel::kBenign,
       {.first_stack = " update_perf_cpu_limits+0x1/0x2", .second_stack = " perf_sample_event_took+0x1/0x2"}},
      {"perf-counts",
       KcsanLabel::kBenign,
       {.first_stack = " x86_perf_event_update+0x1/0x2",
        .second_stack = " perf_event_count+0x1/0x2",
        .size = 8}},
      {"perf-pending",
       KcsanLabel::kHarmful,
       {.first_stack = " __perf_event_overflow+0x1/0x2", .second_stack = " perf_pending_irq+0x1/0x2"}},
      {"perf-event-containers",
       KcsanLabel::kHarmful,
       {.first_stack = " list_del_event+0x1/0x2",
        .second_stack = " perf_event_groups_next+0x1/0x2",
        .size = 8}},
      {"perf-user-page",
       KcsanLabel::kHarmful,
       {.first_stack = " perf_event_update_userpage+0x1/0x2",
        .second = "write",
        .second_stack = " perf_event_update_userpage+0x1/0x2",
        .size = 8}},
      {"perf-buffer-local",
       KcsanLabel::kHarmful,
       {.first_stack = " perf_output_begin+0x1/0x2",
        .second = "write",
        .second_stack = " perf_output_put_handle+0x1/0x2",
        .size = 8}},
      {"perf-buffer-local-nested",
       KcsanLabel::kBenign,
       {.first_stack = " perf_output_begin+0x1/0x2",
        .second = "write",
        .second_stack = " perf_output_put_handle+0x1/0x2",
        .size = 8,
        .first_cpu = 0}},
      {"perf-cpu-data",
       KcsanLabel::kHarmful,
       {.first_stack = " x86_pmu_del+0x1/0x2", .second_stack = " x86_pmu_enable+0x1/0x2", .size = 8}},
  };
  for (const Case& one : cases) {
    KcsanVerdict verdict = verdict_of(one.race);
    EXPECT_EQ(verdict.rule, one.rule);
    EXPECT_EQ(verdict.label, one.label) << one.rule;
  }
}

TEST(KcsanClassify, AKnownFieldDecides) {
  KcsanReport report =
      only_report(text_of({.first_stack = " toy_a+0x1/0x2", .second_stack = " toy_b+0x1/0x2"}));
  report.field = "cpu_hw_events.events";
  KcsanVerdict verdict = classify(report);
  EXPECT_EQ(verdict.rule, "perf-cpu-data");
  EXPECT_TRUE(verdict.confident);
  EXPECT_EQ(kcsan_bucket(report), "stack:one/two/cpu_hw_events.events");
  report.field = "perf_event_pmu_context.rotate_necessary";
  EXPECT_EQ(classify(report).rule, "perf-context-counts");
  report.field = "perf_buffer.poll";
  EXPECT_EQ(classify(report).label, KcsanLabel::kBenign);
  report.field = "toy.unheard_of";
  EXPECT_EQ(classify(report).rule, "word");
}

/// The kinds of data, on drivers that do not exist.
TEST(KcsanClassify, KindsOfData) {
  struct Case {
    const char* rule;
    KcsanLabel label;
    Race race;
  };
  const Case cases[] = {
      {"use-after-free",
       KcsanLabel::kHarmful,
       {.first_stack = " kfree+0x1/0x2\n toy_drop+0x1/0x2", .second_stack = " toy_look+0x1/0x2"}},
      {"payload",
       KcsanLabel::kBenign,
       {.first_stack = " toyfs_commit+0x1/0x2",
        .second_stack = " _copy_to_iter+0x1/0x2\n toy_read+0x1/0x2",
        .size = 8}},
      {"reference-count",
       KcsanLabel::kHarmful,
       {.first = "write (marked)",
        .first_stack = " refcount_inc include/linux/refcount.h:100 [inline]\n toy_open+0x1/0x2",
        .second_stack = " refcount_set include/linux/refcount.h:90 [inline]\n toy_init+0x1/0x2"}},
      {"reference-by-value",
       KcsanLabel::kHarmful,
       {.first_stack = " toy_hold+0x1/0x2",
        .second_stack = " toy_release+0x1/0x2",
        .value = "0x00000004 -> 0x00000005"}},
      {"container-two-writers",
       KcsanLabel::kHarmful,
       {.first_stack = " __list_add include/linux/list.h:73 [inline]\n toy_queue+0x1/0x2",
        .second = "write",
        .second_stack = " __list_del include/linux/list.h:110 [inline]\n toy_dequeue+0x1/0x2",
        .size = 8}},
      {"container-walk",
       KcsanLabel::kHarmful,
       {.first_stack = " rb_insert_color+0x1/0x2\n toy_insert+0x1/0x2",
        .second_stack = " toy_find+0x1/0x2",
        .size = 8}},
      {"emptiness-test",
       KcsanLabel::kBenign,
       {.first_stack = " __list_add include/linux/list.h:73 [inline]\n toy_queue+0x1/0x2",
        .second_stack = " list_empty include/linux/list.h:300 [inline]\n toy_has_work+0x1/0x2",
        .size = 8}},
      {"rcu-tree-reader",
       KcsanLabel::kBenign,
       {.first_stack = " mas_wr_bnode+0x1/0x2", .second_stack = " mtree_range_walk+0x1/0x2", .size = 8}},
      {"page-word",
       KcsanLabel::kBenign,
       {.first_stack = " toy_map+0x1/0x2",
        .second_stack = " toy_peek+0x1/0x2",
        .size = 8,
        .address = "0xffffea0004a1d2c8"}},
      {"bits-two-writers",
       KcsanLabel::kHarmful,
       {.first_stack =
            " ___set_bit include/asm-generic/bitops/instrumented-non-atomic.h:28 [inline]\n toy_mark+0x1/0x2",
        .second = "write",
        .second_stack = " toy_clear+0x1/0x2",
        .size = 8}},
      {"bits-reader",
       KcsanLabel::kBenign,
       {.first_stack =
            " ___set_bit include/asm-generic/bitops/instrumented-non-atomic.h:28 [inline]\n toy_mark+0x1/0x2",
        .second_stack = " toy_look+0x1/0x2",
        .size = 8}},
      {"flag-word-read-whole",
       KcsanLabel::kHarmful,
       {.first = "write (marked)",
        .first_stack = " toy_submit+0x1/0x2",
        .second_stack = " toy_split+0x1/0x2",
        .value = "0x0000000000000005 -> 0x0000000000000045",
        .size = 8}},
      {"timer-core",
       KcsanLabel::kBenign,
       {.first_stack = " __mod_timer+0x1/0x2", .second_stack = " mod_timer+0x1/0x2", .size = 8}},
      {"timer-outside",
       KcsanLabel::kHarmful,
       {.first_stack = " __mod_timer+0x1/0x2\n toy_rearm+0x1/0x2",
        .second_stack = " toy_kick+0x1/0x2",
        .size = 8}},
      {"statistics",
       KcsanLabel::kBenign,
       {.first_stack = " toy_update_stats+0x1/0x2", .second_stack = " toy_xmit+0x1/0x2", .size = 8}},
      {"block",
       KcsanLabel::kHarmful,
       {.first_stack = " toy_set_address+0x1/0x2",
        .second_stack = " memcmp+0x1/0x2\n toy_find+0x1/0x2",
        .size = 1}},
      {"wide",
       KcsanLabel::kHarmful,
       {.first_stack = " toy_set_key+0x1/0x2", .second_stack = " toy_get_key+0x1/0x2", .size = 24}},
      {"scratch-shared-by-readers",
       KcsanLabel::kHarmful,
       {.first_stack = " toy_info_show+0x1/0x9",
        .second_stack = " toy_info_show+0x5/0x9",
        .value = "0x00000031 -> 0x00000000"}},
      {"stop-against-worker",
       KcsanLabel::kHarmful,
       {.first_stack = " toy_stop+0x1/0x2",
        .second = "write",
        .second_stack = " toy_tick+0x1/0x2\n process_one_work+0x1/0x2",
        .value = "0x00000007 -> 0x00000000"}},
      {"per-cpu-two-writers",
       KcsanLabel::kHarmful,
       {.first_stack = " toy_a+0x1/0x2",
        .second = "write",
        .second_stack = " toy_b+0x1/0x2",
        .address = "0xffffe8fffe7425d8"}},
      {"pointer-cleared",
       KcsanLabel::kHarmful,
       {.first_stack = " toy_release+0x1/0x2",
        .second_stack = " toy_work+0x1/0x2",
        .value = "0xffff88811b818000 -> 0x0000000000000000",
        .size = 8}},
      {"pointer-published",
       KcsanLabel::kBenign,
       {.first_stack = " toy_setup+0x1/0x2",
        .second_stack = " toy_setup+0x4/0x8",
        .value = "0x0000000000000000 -> 0xffff88811b818000",
        .size = 8}},
      {"time-stamp",
       KcsanLabel::kBenign,
       {.first_stack = " toy_write_timestamp+0x1/0x2", .second_stack = " toy_recv+0x1/0x2", .size = 8}},
      {"time-value",
       KcsanLabel::kBenign,
       {.first_stack = " toy_xmit+0x1/0x2",
        .second_stack = " toy_xmit+0x4/0x8",
        .value = "0x00000000fffbac6e -> 0x00000000fffbac6f",
        .size = 8}},
      {"same-cpu",
       KcsanLabel::kHarmful,
       {.first_stack = " toy_handler+0x1/0x2",
        .second_stack = " toy_unlock+0x1/0x2",
        .size = 1,
        .first_cpu = 0}},
      {"wake-up-decision",
       KcsanLabel::kHarmful,
       {.first_stack = " toy_sleep+0x1/0x2", .second_stack = " toy_wake_worker+0x1/0x2"}},
      {"error-code",
       KcsanLabel::kBenign,
       {.first_stack = " toy_fail+0x1/0x2",
        .second_stack = " toy_send+0x1/0x2",
        .value = "0x00000000 -> 0xffffffea"}},
      {"setting",
       KcsanLabel::kBenign,
       {.first_stack = " toy_set+0x1/0x2\n toy_setsockopt+0x1/0x2",
        .second_stack = " toy_xmit+0x1/0x2",
        .value = "0x00000010 -> 0x00004000"}},
      {"flag",
       KcsanLabel::kBenign,
       {.first_stack = " toy_a+0x1/0x2",
        .second_stack = " toy_b+0x1/0x2",
        .value = "0x00 -> 0x01",
        .size = 1}},
      {"counter",
       KcsanLabel::kBenign,
       {.first_stack = " toy_a+0x1/0x2",
        .second_stack = " toy_b+0x1/0x2",
        .value = "0x0000000c -> 0x0000000d"}},
      {"half-marked",
       KcsanLabel::kBenign,
       {.first = "write (marked)", .first_stack = " toy_a+0x1/0x2", .second_stack = " toy_b+0x1/0x2"}},
      {"question",
       KcsanLabel::kBenign,
       {.first_stack = " toy_release_space+0x1/0x2", .second_stack = " toy_need_reclaim+0x1/0x2", .size = 8}},
      {"word-set-from-two-places",
       KcsanLabel::kHarmful,
       {.first_stack = " toy_a+0x1/0x2",
        .second = "write",
        .second_stack = " toy_b+0x1/0x2",
        .value = "0x00001000 -> 0x07000000"}},
      {"word",
       KcsanLabel::kBenign,
       {.first_stack = " toy_a+0x1/0x2",
        .second_stack = " toy_b+0x1/0x2",
        .value = "0x00001000 -> 0x07000000"}},
  };
  for (const Case& one : cases) {
    KcsanVerdict verdict = verdict_of(one.race);
    EXPECT_EQ(verdict.rule, one.rule);
    EXPECT_EQ(verdict.label, one.label) << one.rule;
    EXPECT_FALSE(verdict.consequence.empty());
    EXPECT_FALSE(verdict.suggestion.empty());
  }
}

/// Which side is printed first is chance.
TEST(KcsanClassify, TheOrderOfTheSidesDoesNotMatter) {
  Race race = {.first_stack = " __mod_timer+0x1/0x2", .second_stack = " toy_kick+0x1/0x2", .size = 8};
  Race swapped = race;
  std::swap(swapped.first, swapped.second);
  std::swap(swapped.first_stack, swapped.second_stack);
  EXPECT_EQ(verdict_of(race).rule, verdict_of(swapped).rule);
}

TEST(KcsanClassify, NamesTheMarkedSide) {
  KcsanVerdict verdict = verdict_of(
      {.first = "write (marked)", .first_stack = " toy_a+0x1/0x2", .second_stack = " toy_b+0x1/0x2"});
  EXPECT_NE(verdict.reason.find("Only the write is marked."), std::string::npos) << verdict.reason;
  EXPECT_NE(verdict.reason.find("in toy_b() by task 312 on CPU 0"), std::string::npos) << verdict.reason;
}

/// WRITE_ONCE() of a narrow mask is no bit operation: the marked side stores a whole value.
TEST(KcsanClassify, NarrowMarkedStoresAreNoBitOperations) {
  KcsanVerdict verdict = verdict_of({.first = "write (marked)",
                                     .first_stack = " toy_release+0x1/0x2",
                                     .second_stack = " toy_send+0x1/0x2",
                                     .value = "0x01 -> 0x03",
                                     .size = 1});
  EXPECT_EQ(verdict.rule, "half-marked");
  EXPECT_EQ(verdict.label, KcsanLabel::kBenign);
}

TEST(KcsanClassify, NothingKnownIsUnclear) {
  KcsanVerdict verdict = classify(only_report("BUG: KCSAN: data-race in toy_a / toy_b\n"));
  EXPECT_EQ(verdict.label, KcsanLabel::kUnclear);
  EXPECT_FALSE(verdict.confident);
}

}  // namespace
}  // namespace perfcore
