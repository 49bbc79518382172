// SPDX-License-Identifier: LGPL-2.1-or-later
#include "perfcore/record.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <random>
#include <set>

#include "dump/recorded_dump.h"
#include "dump/recording_file.h"
#include "kernel/recorder.h"
#include "perfcore/diagnosis.h"
#include "perfcore/log.h"
#include "perfcore/tasks.h"
#include "support/overlay.h"

namespace perfcore {
namespace {

std::unique_ptr<Kernel> open(const std::string& path, bool record) {
  KernelOptions options;
  options.search_debuginfo = false;
  options.record = record;
  return Kernel::open(Dump::open({path}), options);
}

class RecordTest : public testing::Test {
 protected:
  void SetUp() override {
    path_ = testing::TempDir() + "perfcore_record_" +
            testing::UnitTest::GetInstance()->current_test_info()->name() + std::to_string(getpid());
  }
  void TearDown() override { std::filesystem::remove(path_); }

  std::string path_;
};

TEST_F(RecordTest, KeepsWhatWasReadAndAllMembersOfIt) {
  const auto original = open(test::bundled("healthy-6.12.117.vmcore"), true);
  const Object task = original->variable("init_task");
  const Snapshot whole = take_snapshot(original->memory(), *task.address(), task.type()->size);
  EXPECT_TRUE(task.member("pid").u64().has_value());
  EXPECT_TRUE(original->variable("no_such_variable").unread());
  write_recording(*original, path_);

  const auto copy = open(path_, false);
  const Object again = copy->variable("init_task");
  EXPECT_EQ(*again.address(), *task.address());
  const Snapshot again_whole = take_snapshot(copy->memory(), *again.address(), again.type()->size);
  EXPECT_EQ(again_whole.bytes, whole.bytes);
  EXPECT_EQ(again_whole.gaps.size(), whole.gaps.size());
  // A member that nobody asked for, in a struct that lies within.
  const Object unasked = again.member("thread.sp");
  EXPECT_TRUE(unasked.address().has_value());
  EXPECT_EQ(unasked.u64().has_value(), task.member("thread.sp").u64().has_value());
  EXPECT_EQ(copy->variable("no_such_variable").unread()->reason, UnreadReason::kNoSymbol);
  EXPECT_EQ(copy->variable("panic_timeout").unread()->reason, UnreadReason::kNotRecorded);
  const auto beyond = read_value<uint64_t>(copy->memory(), 0xffffdead00000000);
  ASSERT_FALSE(beyond.has_value());
  EXPECT_EQ(beyond.unread().reason, UnreadReason::kNotRecorded);
}

TEST_F(RecordTest, WhatWasPointedToHasANameButItsMembersAreNotRecorded) {
  const auto original = open(test::bundled("healthy-6.12.117.vmcore"), true);
  EXPECT_TRUE(original->variable("init_task").member("pid").u64().has_value());
  EXPECT_TRUE(original->variable("init_task").member("files").u64().has_value());
  write_recording(*original, path_);
  const auto copy = open(path_, false);
  const Object files = copy->variable("init_task").member("files");
  EXPECT_EQ(files.type()->to_string(), "struct files_struct *");
}

TEST_F(RecordTest, FailuresFailForTheSameReason) {
  const auto original = open(test::bundled("healthy-6.12.117.vmcore"), true);
  constexpr uint64_t kUnmapped = 0xffffdead00000ff8;
  const auto why = read_array<uint64_t>(original->memory(), kUnmapped, 4);
  ASSERT_FALSE(why.has_value());
  write_recording(*original, path_);
  const auto copy = read_array<uint64_t>(open(path_, false)->memory(), kUnmapped, 4);
  ASSERT_FALSE(copy.has_value());
  EXPECT_EQ(copy.unread().message(), why.unread().message());
}

TEST_F(RecordTest, RedactedBytesHoldNoNamesAndNoTexts) {
  const auto original = open(test::bundled("null-events-6.18.12.vmcore"), true);
  std::set<std::string> secrets;
  EXPECT_TRUE(original->variable("init_task").member("pid").u64().has_value());
  for_each_task(*original, [&](const Object& task) {
    const Reading<std::string> comm = task.member("comm").string(16);
    // Shorter names are words that symbols have as well, and members begin with longer ones: "oom_reaper".
    if (comm.has_value() && comm->size() >= 9) secrets.insert(*comm + '\0');
  });
  for (const LogRecord& record : read_log(*original).records)
    if (record.text.size() >= 16) secrets.insert(record.text.substr(0, 16));
  ASSERT_GT(secrets.size(), 10u);
  const Reading<std::string> command_line = original->variable("saved_command_line").string(2048);
  ASSERT_TRUE(command_line.has_value());
  secrets.insert(command_line->substr(0, 16));
  const auto found = [&] {
    const std::string content = read_recording_file(path_);
    size_t count = 0;
    for (const std::string& secret : secrets) count += content.find(secret) != std::string::npos;
    return count;
  };
  write_recording(*original, path_);
  EXPECT_GT(found(), 10u);
  write_recording(*original, path_, {.redact = true});
  EXPECT_EQ(found(), 0u);
  const auto copy = open(path_, false);
  EXPECT_EQ(copy->dump()->quality().size(), original->dump()->quality().size() + 1);
  const Reading<std::string> comm = copy->variable("init_task").member("comm").string(16);
  ASSERT_FALSE(comm.has_value());
  EXPECT_EQ(comm.unread().detail, "redacted");
  EXPECT_TRUE(copy->variable("init_task").member("pid").u64().has_value());
}

/// Content that passes the checksum and is wrong all the same.
TEST_F(RecordTest, HostileContentIsRefusedOrHarmless) {
  const auto original = open(test::bundled("null-events-6.18.12.vmcore"), true);
  EXPECT_TRUE(original->variable("init_task").member("pid").u64().has_value());
  EXPECT_TRUE(original->possible_cpus().has_value());
  write_recording(*original, path_);
  const std::string content = read_recording_file(path_);
  std::mt19937 chance(7);
  size_t refused = 0;
  for (int i = 0; i < 300; i++) {
    std::string bad = content;
    if (i % 3 == 0) {
      bad.resize(chance() % bad.size());
    } else {
      for (int flips = 0; flips < 3; flips++)
        bad[chance() % bad.size()] = static_cast<char>(i % 3 == 1 ? 0xff : chance());
    }
    write_recording_file(path_, bad);
    try {
      const auto copy = open(path_, false);
      (void)copy->possible_cpus();
      const Object task = copy->variable("init_task");
      (void)task.member("se.load.weight").u64();
      if (task.type()) (void)task.type()->to_string();
    } catch (const InputError& error) {
      refused++;
    }
  }
  EXPECT_GE(refused, 100u);  // those cut short at least
}

TEST(RecordedRangesTest, MergesAndRemoves) {
  RecordedRanges ranges;
  ranges.add(10, 20);
  ranges.add(30, 40);
  ranges.add(20, 30);
  EXPECT_EQ(ranges.ranges, (std::map<uint64_t, uint64_t>{{10, 40}}));
  ranges.remove(15, 18, {UnreadReason::kNotRecorded, 0, "", "redacted"});
  EXPECT_EQ(ranges.ranges, (std::map<uint64_t, uint64_t>{{10, 15}, {18, 40}}));
  ranges.remove(0, 12, {UnreadReason::kNotRecorded, 0, "", "redacted"});
  ranges.remove(39, 100, {UnreadReason::kNotRecorded, 0, "", "redacted"});
  EXPECT_EQ(ranges.ranges, (std::map<uint64_t, uint64_t>{{12, 15}, {18, 39}}));
}

TEST(RecordReaderTest, BoundsEveryNumber) {
  RecordWriter out;
  out.number(UINT64_MAX);
  out.text("ab");
  RecordReader in(out.buffer(), "file");
  EXPECT_EQ(in.number(), UINT64_MAX);
  EXPECT_EQ(in.text(), "ab");
  EXPECT_THROW(in.number(), InputError);
  EXPECT_THROW(RecordReader("\x05", "file").count(), InputError);
  EXPECT_THROW(RecordReader("\x7f"
                            "a",
                            "file")
                   .text(),
               InputError);
  EXPECT_THROW(RecordReader(std::string(11, '\x80'), "file").number(), InputError);
}

}  // namespace
}  // namespace perfcore
