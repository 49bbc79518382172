// SPDX-License-Identifier: LGPL-2.1-or-later
// Symbols and types of real kernels, out of their dumps.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <map>
#include <random>

#include "perfcore/dump.h"
#include "perfcore/symbols.h"
#include "perfcore/types.h"

namespace perfcore {
namespace {

/// What `pahole` says of each kernel's vmlinux, in bytes.
struct Layout {
  uint64_t cpu_hw_events;
  uint64_t event_list;  ///< offset in struct cpu_hw_events
  uint64_t perf_event;
  uint64_t last_period;  ///< offset in struct hw_perf_event
  uint64_t x86_pmu;
  uint64_t lbr_cpl;  ///< offset in struct x86_pmu, in bits: a bit-field
  uint64_t perf_buffer;
};
const std::map<std::string, Layout, std::less<>> kLayouts = {
    {"6.1.0-56-amd64", {4944, 1320, 1232, 144, 640, 3934, 272}},
    {"6.12.117+deb12-amd64", {5200, 1320, 1312, 144, 680, 4254, 280}},
    {"6.18.12+deb13-amd64", {6224, 1320, 1344, 160, 736, 4766, 280}},
    {"6.19.6+deb13-amd64", {6736, 1320, 1352, 160, 760, 4958, 280}},
    {"7.2.12+deb13-amd64", {6224, 1320, 1320, 160, 760, 4958, 272}},
};

class RealDumps : public testing::Test {
 protected:
  void SetUp() override {
    const char* directory = std::getenv("PERFCORE_TEST_DUMPS");
    if (!directory) GTEST_SKIP() << "PERFCORE_TEST_DUMPS does not name a directory of dumps";
    for (const auto& entry : std::filesystem::recursive_directory_iterator(directory))
      if (entry.is_regular_file() && entry.path().filename().string().starts_with("vmcore."))
        paths_.push_back(entry.path());
    if (paths_.empty()) GTEST_SKIP() << directory << " holds no vmcore.*";
  }

  std::vector<std::string> paths_;
};

TEST_F(RealDumps, NamesAndAddressesAgree) {
  for (const std::string& path : paths_) {
    SCOPED_TRACE(path);
    const auto dump = Dump::open({path});
    Unread why;
    const auto symbols = open_kallsyms(dump->memory(), dump->vmcoreinfo(), &why);
    ASSERT_NE(symbols, nullptr) << why.message();
    const auto stext = symbols->find("_stext");
    ASSERT_TRUE(stext);
    EXPECT_EQ(stext->address, dump->vmcoreinfo().symbol("_stext"));
    const auto etext = symbols->find("_etext");
    ASSERT_TRUE(etext);
    std::minstd_rand random(1);
    size_t named = 0;
    for (int i = 0; i < 500; i++) {
      const uint64_t address = stext->address + random() % (etext->address - stext->address);
      const auto symbol = symbols->at(address);
      if (!symbol) continue;
      named++;
      EXPECT_LE(symbol->address, address);
      EXPECT_LT(address, symbol->address + symbol->size);
      bool found = false;
      for (const Symbol& same : symbols->find_all(symbol->name)) found |= same.address == symbol->address;
      EXPECT_TRUE(found) << symbol->name;
    }
    EXPECT_GT(named, 450u);
  }
}

TEST_F(RealDumps, BtfHasTheLayoutsOfTheKernel) {
  size_t checked = 0;
  for (const std::string& path : paths_) {
    SCOPED_TRACE(path);
    const auto dump = Dump::open({path});
    Unread why;
    const auto symbols = open_kallsyms(dump->memory(), dump->vmcoreinfo(), &why);
    ASSERT_NE(symbols, nullptr) << why.message();
    const auto start = symbols->find("__start_BTF");
    const auto stop = symbols->find("__stop_BTF");
    ASSERT_TRUE(start && stop);
    const auto types = open_btf(dump->memory(), start->address, stop->address, &why);
    ASSERT_NE(types, nullptr) << why.message();
    const auto release = dump->vmcoreinfo().get("OSRELEASE");
    ASSERT_TRUE(release);
    const auto layout = kLayouts.find(*release);
    if (layout == kLayouts.end()) continue;
    checked++;
    const auto structure = [&](std::string_view name) { return types->find(TypeKind::kStruct, name); };
    const Type* events = structure("cpu_hw_events");
    ASSERT_NE(events, nullptr);
    EXPECT_EQ(events->size, layout->second.cpu_hw_events);
    EXPECT_EQ(TypeSource::find_member(events, "event_list")->byte_offset(), layout->second.event_list);
    EXPECT_EQ(TypeSource::find_member(events, "events[2]")->type->to_string(), "struct perf_event *");
    EXPECT_EQ(structure("perf_event")->size, layout->second.perf_event);
    EXPECT_EQ(TypeSource::find_member(structure("hw_perf_event"), "last_period")->byte_offset(),
              layout->second.last_period);
    EXPECT_EQ(structure("x86_pmu")->size, layout->second.x86_pmu);
    const auto lbr_cpl = TypeSource::find_member(structure("x86_pmu"), "lbr_cpl");
    ASSERT_TRUE(lbr_cpl);
    EXPECT_EQ(lbr_cpl->bit_offset, layout->second.lbr_cpl);
    EXPECT_EQ(lbr_cpl->bit_size, 1u);
    EXPECT_EQ(structure("perf_buffer")->size, layout->second.perf_buffer);

    // Per-CPU variables: their type, and the same place from BTF and from kallsyms.
    EXPECT_EQ(types->variable("cpu_hw_events"), events);
    const auto per_cpu_start = symbols->find("__per_cpu_start");
    ASSERT_TRUE(per_cpu_start);
    EXPECT_EQ(types->percpu_offset("cpu_hw_events"),
              symbols->find("cpu_hw_events")->address - per_cpu_start->address);
    EXPECT_EQ(types->incomplete(), std::nullopt);
  }
  if (checked == 0) GTEST_SKIP() << "none of the dumps is of a kernel whose layouts are known here";
}

}  // namespace
}  // namespace perfcore
