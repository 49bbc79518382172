// SPDX-License-Identifier: LGPL-2.1-or-later
//
// One bug is one bucket, however the crash varies from machine to machine; two bugs are two. The set is made
// here from the bundled dumps and recordings: kernels, vendors' handlers and KASLR differ among them, and
// each is varied by other CPUs, other addresses, another counter, and pages that were not dumped.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <random>

#include "analyzers/registry.h"
#include "cli/bucket_quality.h"
#include "cli/crash_record.h"
#include "cli/report.h"
#include "perfcore/store.h"
#include "support/overlay.h"

namespace perfcore {
namespace {

using test::PatchedKernel;

/// What becomes of crashes in the store of a batch.
class Variants : public testing::Test {
 protected:
  ~Variants() override { std::filesystem::remove_all(directory_); }

  void SetUp() override {
    std::filesystem::create_directories(directory_);
    store_ = Store::open(directory_ + "/crashes.db");
    std::ifstream file(test::bundled("recordings/labels.csv"));
    for (std::string line; std::getline(file, line);) {
      const size_t comma = line.find(',');
      ASSERT_NE(comma, line.npos) << line;
      labels_.emplace_back(line.substr(0, comma), line.substr(comma + 1));
    }
    ASSERT_GE(labels_.size(), 25u);
  }

  static std::string path_of(const std::string& name) {
    return name.ends_with(".rec") ? test::bundled("recordings/" + name) : test::recorded(name);
  }

  void add(PatchedKernel& kernel, const std::string& label, const std::string& variant) {
    Kernel& patched = kernel.patched();
    Diagnosis diagnosis(patched);
    const cli::TriageReport report = cli::make_triage_report(diagnosis, all_rules(), false);
    CrashRecord record = cli::make_crash_record(report, patched, diagnosis.log());
    // Each is a crash of its own, on a machine of its own.
    record.identity = crash_identity(std::vector<std::string>{variant});
    record.path = variant;
    label_of_[record.identity] = label;
    store_->add(std::span(&record, 1));
  }

  /// How well the buckets fit, after partial signatures were linked; `spread` then says which labels are in
  /// several buckets.
  /// \param partial  whether crashes count of which the bucket could not be told
  cli::BucketQuality quality(bool partial, std::string* spread) {
    std::vector<std::pair<std::string, std::string>> placed;
    std::map<std::string, std::map<std::string, std::vector<std::string>>> found;
    store_->crashes({}, [&](StoredCrash&& crash) {
      if (!partial && crash.bucket.ends_with("~partial")) return;
      placed.emplace_back(crash.bucket, label_of_[crash.identity]);
      found[label_of_[crash.identity]][crash.bucket].push_back(crash.path);
    });
    for (const auto& [label, buckets] : found) {
      if (buckets.size() < 2) continue;
      *spread += label + "\n";
      for (const auto& [bucket, paths] : buckets)
        *spread += fmt::format("  {}: {}, such as {}\n", bucket, paths.size(), paths.front());
    }
    return cli::quality_of(placed);
  }

  const std::string directory_ = testing::TempDir() + "/variants." + std::to_string(getpid());
  std::unique_ptr<Store> store_;
  std::vector<std::pair<std::string, std::string>> labels_;  // name of the file, label
  std::map<std::string, std::string> label_of_;              // by identity of the crash
};

/// Puts the defect on another counter: bit and owner move to one that nobody uses. \return whether there is
/// such a defect and such a counter
bool move_to_other_counter(PatchedKernel& kernel, int by) {
  constexpr int kCounters = 6;  // of the CPUs in the bundled dumps
  const auto cpus = kernel.original().present_cpus();
  for (const int cpu : cpus.has_value() ? *cpus : std::vector<int>()) {
    const Object pmu = kernel.original().per_cpu("cpu_hw_events", cpu);
    const Object mask = pmu.member("active_mask[0]");
    const auto event = [&](int i) { return pmu.member(fmt::format("events[{}]", i)).u64(); };
    const Reading<uint64_t> active = mask.u64();
    if (!active.has_value()) continue;
    for (int from = 0; from < kCounters; from++) {
      if (!(*active >> from & 1) || !event(from).is(0u)) continue;
      int free = 0;
      for (int to = 0; to < kCounters; to++) {
        if ((*active >> to & 1) || !event(to).is(0u) || free++ < by) continue;
        kernel.memory().poke<uint64_t>(*mask.address(), (*active ^ uint64_t{1} << from) | uint64_t{1} << to);
        const Reading<uint64_t> events = pmu.member("n_events").u64();
        for (uint64_t i = 0; events.has_value() && i < std::min<uint64_t>(*events, kCounters); i++) {
          const Object index = pmu.member(fmt::format("event_list[{}]", i)).deref().member("hw.idx");
          if (!index.u64().is(static_cast<uint64_t>(from))) continue;
          kernel.memory().poke<int32_t>(*index.address(), to);
          kernel.memory().poke<int32_t>(*pmu.member(fmt::format("assign[{}]", i)).address(), to);
        }
        return true;
      }
    }
  }
  return false;
}

/// makedumpfile leaves pages of the kernel image in every dump; those that it leaves out are mapped
/// elsewhere.
bool can_be_filtered(uint64_t page) {
  constexpr uint64_t kImage = 0xffffffff80000000;
  return page < kImage;
}

TEST_F(Variants, OfOneBugAreOneBucketAndOfTwoBugsTwo) {
  constexpr size_t kPagesEach = 12;
  std::mt19937 random(1);
  size_t other_counters = 0;
  for (const auto& [name, label] : labels_) {
    PatchedKernel whole(path_of(name));
    add(whole, label, name);
    const auto cpus = whole.original().present_cpus();
    ASSERT_TRUE(cpus.has_value());
    for (const int cpu : {1, 2, 3}) {
      if (std::count(cpus->begin(), cpus->end(), cpu) == 0) continue;
      PatchedKernel kernel(path_of(name));
      kernel.swap_cpus(0, cpu);
      add(kernel, label, fmt::format("{}, CPU 0 for CPU {}", name, cpu));
    }
    for (const uint64_t gigabytes : {1, 7}) {
      PatchedKernel kernel(path_of(name));
      kernel.move_direct_map(gigabytes << 30);
      add(kernel, label, fmt::format("{}, {} GiB from there", name, gigabytes));
    }
    for (const int by : {0, 1}) {
      PatchedKernel kernel(path_of(name));
      if (!label.starts_with("armed bit") || !move_to_other_counter(kernel, by)) continue;
      add(kernel, label, fmt::format("{}, free counter {}", name, by));
      other_counters++;
    }
    const std::set<uint64_t> read = whole.memory().pages_read();
    std::vector<uint64_t> pages;
    std::copy_if(read.begin(), read.end(), std::back_inserter(pages), can_be_filtered);
    std::shuffle(pages.begin(), pages.end(), random);
    for (size_t i = 0; i < std::min(kPagesEach, pages.size()); i++) {
      PatchedKernel kernel(path_of(name));
      kernel.memory().take_away(pages[i], kPageSize);
      add(kernel, label, fmt::format("{} without page {:#x}", name, pages[i]));
    }
  }
  EXPECT_GE(other_counters, 4u);
  std::string spread;
  const cli::BucketQuality quality = this->quality(true, &spread);
  EXPECT_GT(quality.crashes, 400u);
  EXPECT_LE(quality.spray, 1.05) << spread;
  EXPECT_LE(quality.glue, 1.02) << spread;
}

/// Any page that is missing, of the kernel image too, as when the file was cut: a crash may then not be told
/// for what it is, but it must not be taken for another one.
TEST_F(Variants, WithMissingPagesAreNotTakenForAnotherBug) {
  constexpr size_t kEvery = 7;
  for (const auto& [name, label] : labels_) {
    PatchedKernel whole(path_of(name));
    add(whole, label, name);
    size_t i = 0;
    for (const uint64_t page : whole.memory().pages_read()) {
      if (i++ % kEvery != 0) continue;
      PatchedKernel kernel(path_of(name));
      kernel.memory().take_away(page, kPageSize);
      add(kernel, label, fmt::format("{} without page {:#x}", name, page));
    }
  }
  std::string spread;
  const cli::BucketQuality quality = this->quality(false, &spread);
  EXPECT_GT(quality.crashes, 800u);
  EXPECT_LE(quality.glue, 1.02) << spread;
  EXPECT_GE(quality.precision, 0.99) << spread;
}

}  // namespace
}  // namespace perfcore
