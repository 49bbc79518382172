// SPDX-License-Identifier: LGPL-2.1-or-later
#include "kernel/null_events_probe.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "kernel/elf_image.h"
#include "kernel/fake_types.h"

namespace perfcore {
namespace {

/// x86_pmu.c as one compiler made it, with its layout as types.
class Built : public FlowFacts {
 public:
  explicit Built(const std::string& path) : image(path) {
    const Type* word = types.integer("unsigned long", 8);
    const Type* event = types.aggregate(TypeKind::kStruct, "perf_event", value("event_size"));
    types.member(event, "state", value("hw_state"), types.integer("int", 4));
    const Type* cpuc = types.aggregate(TypeKind::kStruct, "cpu_hw_events", value("cpuc_size"));
    const Type* list = types.array(types.pointer(event), 64);
    types.member(cpuc, "events", 0, list);
    types.member(cpuc, "active_mask", value("active_mask"), word);
    types.member(cpuc, "event_list", value("event_list"), list);
    layout.cpu_hw_events = cpuc;
    layout.perf_event = event;
    layout.events = {0, static_cast<int64_t>(list->size)};
    layout.active_mask = range("active_mask", 8);
    layout.event_list = range("event_list", list->size);
    layout.hw_state = static_cast<int64_t>(value("hw_state"));
  }

  Value per_cpu_variable(uint64_t address) const override {
    const uint64_t base = image.symbol("cpu_hw_events").address;
    if (address < base || address >= base + layout.cpu_hw_events->size) return {};
    return Value::pointer(layout.cpu_hw_events, static_cast<int64_t>(address - base));
  }
  bool is_this_cpu_offset(uint64_t address) const override {
    return address == image.symbol("this_cpu_off").address;
  }
  std::optional<uint64_t> jump_table_entry(uint64_t address) const override {
    const auto bytes = image.bytes(address, 8);
    if (bytes.size() != 8) return std::nullopt;
    uint64_t entry = 0;
    std::memcpy(&entry, bytes.data(), 8);
    return entry;
  }

  NullEventsVerdict probe() const { return probe(image.code("x86_pmu_start"), image.code("x86_pmu_enable")); }
  NullEventsVerdict probe(const std::vector<Instruction>& start,
                          const std::vector<Instruction>& enable) const {
    return probe_null_events_code({start, image.symbol("x86_pmu_start").address},
                                  {enable, image.symbol("x86_pmu_enable").address}, *this, layout,
                                  [&](uint64_t target) { return image.name_at(target); });
  }

  test::ElfImage image;
  test::FakeTypes types;
  NullEventsLayout layout;

 private:
  uint64_t value(const std::string& name) const { return image.symbol("layout_" + name).address; }
  NullEventsLayout::Range range(const std::string& name, uint64_t size) const {
    const auto begin = static_cast<int64_t>(value(name));
    return {begin, begin + static_cast<int64_t>(size)};
  }
};

/// All programs that the build made, "<how>-g<generation>.elf".
std::vector<std::string> programs() {
  std::vector<std::string> paths;
  for (const auto& entry : std::filesystem::directory_iterator(PERFCORE_TEST_CODE))
    if (entry.path().extension() == ".elf") paths.push_back(entry.path().string());
  std::sort(paths.begin(), paths.end());
  return paths;
}

class NullEventsProbeOnCode : public testing::TestWithParam<std::string> {};

TEST_P(NullEventsProbeOnCode, TellsTheGeneration) {
  const std::string stem = std::filesystem::path(GetParam()).stem().string();
  const Built built(GetParam());
  const NullEventsVerdict verdict = built.probe();
  EXPECT_EQ(to_string(verdict.code), "G" + stem.substr(stem.size() - 1)) << verdict.reason;
  EXPECT_NE(verdict.address, 0U);
}

INSTANTIATE_TEST_SUITE_P(Compilers, NullEventsProbeOnCode, testing::ValuesIn(programs()),
                         [](const auto& program) {
                           std::string name = std::filesystem::path(program.param).stem().string();
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

/// The program of one build; skips where its compiler is not at hand.
std::optional<Built> built(const std::string& name) {
  const std::string path = std::string(PERFCORE_TEST_CODE) + "/" + name + ".elf";
  if (!std::filesystem::exists(path)) return std::nullopt;
  return std::optional<Built>(std::in_place, path);
}

std::vector<Instruction> without(std::vector<Instruction> code, size_t i) {
  Instruction nothing;
  nothing.address = code[i].address;
  nothing.length = code[i].length;
  nothing.mnemonic = "nop";
  code[i] = nothing;
  return code;
}

// Code that is not what the probe knows must not be called vulnerable because a piece of it is missing.
TEST(NullEventsProbe, NoSingleInstructionMakesSoundCodeVulnerable) {
  for (const char* name :
       {"gcc-kernel-g0", "gcc-kernel-g2", "gcc-kernel-g3", "clang-o2-g0", "clang-o2-g2", "clang-o2-g3"}) {
    const auto code = built(name);
    if (!code) continue;
    const auto start = code->image.code("x86_pmu_start");
    const auto enable = code->image.code("x86_pmu_enable");
    for (size_t i = 0; i < start.size(); i++)
      EXPECT_NE(code->probe(without(start, i), enable).code, NullEventsCode::kG1)
          << name << " without " << start[i].text;
    for (size_t i = 0; i < enable.size(); i++)
      EXPECT_NE(code->probe(start, without(enable, i)).code, NullEventsCode::kG1)
          << name << " without " << enable[i].text;
  }
}

TEST(NullEventsProbe, SaysWhatItMisses) {
  const auto code = built("gcc-o2-g1");
  if (!code) GTEST_SKIP() << "no gcc";
  const auto start = code->image.code("x86_pmu_start");
  auto enable = code->image.code("x86_pmu_enable");
  EXPECT_EQ(code->probe({}, enable).reason, "x86_pmu_start() sets no bit of active_mask");
  EXPECT_EQ(code->probe(start, {}).reason, "no test of PERF_HES_ARCH was found in x86_pmu_enable()");
  const auto store = std::find_if(enable.begin(), enable.end(), [](const Instruction& i) {
    return i.mnemonic == "mov" && i.memory && i.memory->written && i.memory->scale == 8 &&
           i.memory->index != Reg::kNone && i.source != Reg::kNone && i.memory->displacement == 0;
  });
  ASSERT_NE(store, enable.end());
  enable = without(enable, static_cast<size_t>(store - enable.begin()));
  EXPECT_EQ(code->probe(start, enable).reason,
            "neither x86_pmu_start() nor x86_pmu_enable() was found to store to events[]");
}

}  // namespace
}  // namespace perfcore
