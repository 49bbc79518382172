// SPDX-License-Identifier: LGPL-2.1-or-later
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <random>

#include "perfcore/symbols.h"
#include "support/kallsyms_builder.h"

namespace perfcore {
namespace {

using test::BuiltKallsyms;
using test::BuiltSymbol;
using test::KallsymsForm;
using test::KallsymsOptions;

constexpr uint64_t kText = 0xffffffff81000000;
constexpr uint64_t kFillers = kText + 0x10000;
constexpr uint64_t kData = 0xffffffff81800000;

/// Three blocks of names and every special case: per-CPU symbols, aliases, duplicates, names of 128 tokens
/// and more.
std::vector<BuiltSymbol> make_symbols(bool zero_based_percpu) {
  std::vector<BuiltSymbol> symbols = {
      {kText, 'T', "_text"},
      {kText, 'T', "_stext"},
      {kText + 0x1000, 'T', "__do_softirq"},
      {kText + 0x1000, 'T', "__start_something"},
      {kText + 0x1000, 't', "aaa_local"},
      {kText + 0x1000, 'W', "a_weak"},
      {kText + 0x2000, 't', "__pfx_twice"},
      {kText + 0x2010, 't', "twice"},
      {kText + 0x3000, 't', "twice"},
      {kText + 0x4000, 't', "local_first"},
      {kText + 0x5000, 'T', "local_first"},
      {kText + 0x6000, 't', std::string(300, 'q')},
      {kText + 0x7000, 'T', "x86_pmu_start"},
      {kText + 0x7000, 'T', "x86_pmu_start.constprop.0"},
      {kText + 0x400000, 'T', "_etext"},
      {kData, 'D', "x86_pmu"},
      {kData + 0x1000, 'd', "panic_cpu"},
      {kData + 0x2000, 'B', "_end"},
  };
  const uint64_t percpu = zero_based_percpu ? 0 : kData + 0x100000;
  symbols.push_back({percpu, 'D', "__per_cpu_start"});
  symbols.push_back({percpu + 0x1a240, 'd', "cpu_hw_events"});
  for (int i = 0; i < 700; i++)
    symbols.push_back({kFillers + static_cast<uint64_t>(i) * 0x40, 'T', fmt::format("filler_{:03}", i)});
  return symbols;
}

struct Case {
  const char* name;
  KallsymsOptions options;
};

void PrintTo(const Case& c, std::ostream* out) {
  *out << c.name;
}

KallsymsOptions options(bool behind, KallsymsForm form, bool seqs, uint64_t alignment = 8) {
  KallsymsOptions result;
  result.tables_behind_tokens = behind;
  result.form = form;
  result.seqs = seqs;
  result.alignment = alignment;
  return result;
}

std::unique_ptr<SymbolTable> open(BuiltKallsyms& built, bool with_kallsyms = true) {
  const VmcoreInfo info(built.vmcoreinfo(kText, with_kallsyms));
  Unread why;
  auto table = open_kallsyms(built.memory, info, &why);
  EXPECT_NE(table, nullptr) << why.message();
  return table;
}

class KallsymsOf : public testing::TestWithParam<Case> {
 protected:
  bool zero_based() const { return GetParam().options.form == KallsymsForm::kAbsolutePerCpu; }
  std::vector<BuiltSymbol> symbols_ = make_symbols(zero_based());
  BuiltKallsyms built_ = build_kallsyms(symbols_, GetParam().options);
};

TEST_P(KallsymsOf, FindsEverySymbolByName) {
  const auto table = open(built_);
  ASSERT_NE(table, nullptr);
  EXPECT_EQ(table->source(), "kallsyms");
  for (const BuiltSymbol& symbol : symbols_) {
    if (symbol.name == "twice" || symbol.name == "local_first") continue;
    const auto found = table->find(symbol.name);
    ASSERT_TRUE(found) << symbol.name;
    EXPECT_EQ(found->address, symbol.address) << symbol.name;
    EXPECT_EQ(found->kind, symbol.kind) << symbol.name;
    EXPECT_EQ(found->name, symbol.name);
  }
  for (const char* name : {"", "filler_", "filler_7000", "zzz", "x86_pmu_star", "x86_pmu_start."})
    EXPECT_FALSE(table->find(name)) << name;
}

TEST_P(KallsymsOf, FindsManyNamesInOnePassAsIfOneByOne) {
  std::vector<std::string_view> names = {"nowhere", "filler_", ""};
  for (const BuiltSymbol& symbol : symbols_) names.push_back(symbol.name);
  const auto at_once = open(built_);
  const auto one_by_one = open(built_);
  at_once->prefetch(names);
  const size_t reads = built_.memory.reads;
  at_once->prefetch(names);
  EXPECT_EQ(built_.memory.reads, reads);
  for (std::string_view name : names) {
    const auto a = at_once->find_all(name);
    const auto b = one_by_one->find_all(name);
    ASSERT_EQ(a.size(), b.size()) << name;
    for (size_t i = 0; i < a.size(); i++) EXPECT_EQ(a[i].address, b[i].address) << name;
  }
}

TEST_P(KallsymsOf, TakesOverWhatWasReadOfTheSameNames) {
  const auto before = open(built_);
  std::vector<std::string_view> names = {"nowhere"};
  for (const BuiltSymbol& symbol : symbols_) names.push_back(symbol.name);
  before->prefetch(names);

  BuiltKallsyms same = build_kallsyms(symbols_, GetParam().options);
  const VmcoreInfo info(same.vmcoreinfo(kText));
  Unread why;
  SymbolTable* const alike[] = {before.get()};
  const auto table = open_kallsyms(same.memory, info, &why, alike);
  ASSERT_NE(table, nullptr);
  const size_t reads = same.memory.reads;
  table->prefetch(names);
  EXPECT_EQ(same.memory.reads, reads);
  const auto alone = open(built_);
  for (std::string_view name : names) {
    const auto a = table->find_all(name);
    const auto b = alone->find_all(name);
    ASSERT_EQ(a.size(), b.size()) << name;
    for (size_t i = 0; i < a.size(); i++) EXPECT_EQ(a[i].address, b[i].address) << name;
  }
}

TEST_P(KallsymsOf, TakesNothingFromOtherNames) {
  const auto before = open(built_);
  for (const BuiltSymbol& symbol : symbols_) before->find(symbol.name);
  auto others = symbols_;
  for (BuiltSymbol& symbol : others)
    if (symbol.name == "filler_650") symbol.name = "filler_x50";
  BuiltKallsyms changed = build_kallsyms(others, GetParam().options);
  const VmcoreInfo info(changed.vmcoreinfo(kText));
  Unread why;
  SymbolTable* const alike[] = {before.get()};
  const auto table = open_kallsyms(changed.memory, info, &why, alike);
  ASSERT_NE(table, nullptr);
  EXPECT_FALSE(table->find("filler_650"));
  EXPECT_TRUE(table->find("filler_x50"));
}

TEST_P(KallsymsOf, OfOneNameTheGlobalSymbolIsFoundElseTheFirst) {
  const auto table = open(built_);
  EXPECT_EQ(table->find("twice")->address, kText + 0x2010);
  const auto all = table->find_all("twice");
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[1].address, kText + 0x3000);
  EXPECT_EQ(table->find("local_first")->address, kText + 0x5000);
}

TEST_P(KallsymsOf, NamesAddresses) {
  const auto table = open(built_);
  EXPECT_EQ(table->at(kFillers + 5 * 0x40 + 3)->name, "filler_005");
  EXPECT_EQ(table->at(kFillers + 5 * 0x40)->size, 0x40u);
  EXPECT_EQ(table->at(kText + 0x200f)->name, "__pfx_twice");
  EXPECT_EQ(table->at(kText + 0x2010)->name, "twice");
  EXPECT_EQ(table->at(kText + 0x2fff)->size, 0xff0u);
  EXPECT_EQ(table->at(kData + 8)->name, "x86_pmu");
  // Functions before labels, strong before weak, global before local.
  EXPECT_EQ(table->at(kText + 0x1004)->name, "__do_softirq");
  EXPECT_EQ(table->at(kText + 0x7000)->name, "x86_pmu_start");
  EXPECT_EQ(table->at(kText + 0x1004)->size, 0x1000u);
}

TEST_P(KallsymsOf, NamesNothingOutsideSymbols) {
  const auto table = open(built_);
  EXPECT_FALSE(table->at(0));
  EXPECT_FALSE(table->at(0x1a240));
  EXPECT_FALSE(table->at(0xffff888000000000));
  EXPECT_FALSE(table->at(kText - 1));
  EXPECT_TRUE(table->at(kText + 0x400000));
  EXPECT_FALSE(table->at(kText + 0x400001));
  EXPECT_FALSE(table->at(kData + 0x2001));
  EXPECT_FALSE(table->at(kData + 0x100000 + 0x1a241));
  EXPECT_FALSE(table->at(UINT64_MAX));
}

TEST_P(KallsymsOf, PerCpuSymbolsKeepTheirForm) {
  const auto table = open(built_);
  EXPECT_EQ(table->find("cpu_hw_events")->address, zero_based() ? 0x1a240u : kData + 0x100000 + 0x1a240);
}

TEST_P(KallsymsOf, DamagedTablesDoNoHarm) {
  std::minstd_rand random(1);
  const auto begin = GetParam().options.tables;
  for (int round = 0; round < 300; round++) {
    BuiltKallsyms damaged = built_;
    for (int i = 0; i < 4; i++)
      damaged.memory.poke(begin + random() % (built_.end - begin), static_cast<uint8_t>(random()));
    if (round % 10 == 0) damaged.memory.remove_page(begin + random() % (built_.end - begin));
    const VmcoreInfo info(damaged.vmcoreinfo(kText));
    Unread why;
    const auto table = open_kallsyms(damaged.memory, info, &why);
    if (!table) {
      EXPECT_NE(why.message(), "");
      continue;
    }
    table->find("x86_pmu");
    table->find_all("filler_500");
    for (uint64_t address = kText; address < kData + 0x3000; address += 0x7fff0) table->at(address);
  }
}

INSTANTIATE_TEST_SUITE_P(Layouts, KallsymsOf,
                         testing::Values(Case{"v5", options(false, KallsymsForm::kAbsolutePerCpu, false)},
                                         Case{"v6_2", options(false, KallsymsForm::kAbsolutePerCpu, true)},
                                         Case{"v6_4", options(true, KallsymsForm::kAbsolutePerCpu, true)},
                                         Case{"v6_15", options(true, KallsymsForm::kFromBase, true)},
                                         Case{"v7_0", options(true, KallsymsForm::kFromEntry, true, 4)},
                                         Case{"v7_0_without_seqs",
                                              options(true, KallsymsForm::kFromEntry, false, 4)}),
                         [](const auto& param) { return param.param.name; });

TEST(Kallsyms, IsFoundByItsTokensWithoutVmcoreinfo) {
  for (bool seqs : {false, true}) {
    BuiltKallsyms built =
        build_kallsyms(make_symbols(true), options(false, KallsymsForm::kAbsolutePerCpu, seqs));
    const auto table = open(built, false);
    ASSERT_NE(table, nullptr);
    EXPECT_EQ(table->find("x86_pmu")->address, kData);
    EXPECT_EQ(table->at(kFillers + 0x41)->name, "filler_001");
  }
}

TEST(Kallsyms, ReadsOnlyThePagesItNeeds) {
  std::vector<BuiltSymbol> symbols = make_symbols(true);
  for (int i = 0; i < 20000; i++)
    symbols.push_back(
        {kFillers + 0x20000 + static_cast<uint64_t>(i) * 16, 't', fmt::format("more_{:05}", i)});
  BuiltKallsyms built = build_kallsyms(symbols, {});
  const uint64_t pages = (built.end - KallsymsOptions().tables) / kPageSize;
  ASSERT_GT(pages, 60u);
  built.memory.reads = 0;
  const auto table = open(built);
  EXPECT_TRUE(table->find("x86_pmu"));
  EXPECT_TRUE(table->at(kText + 0x1000));
  EXPECT_LT(built.memory.reads, pages / 2);
}

TEST(Kallsyms, NamesOutOfOrderAreFoundInOnePass) {
  BuiltKallsyms built = build_kallsyms(make_symbols(true), {});
  const uint64_t seqs = built.tables.at("kallsyms_seqs_of_names");
  // In the places that are probed at the start the order is right, in between it is not.
  for (uint32_t i = 300; i < 400; i++) built.memory.write(seqs + i * 3, {"\0\0\0", 3});
  const auto table = open(built);
  ASSERT_NE(table, nullptr);
  for (const BuiltSymbol& symbol : make_symbols(true)) EXPECT_TRUE(table->find(symbol.name)) << symbol.name;
}

TEST(Kallsyms, MarkersThatMakeNoSenseAreMadeAnew) {
  BuiltKallsyms built = build_kallsyms(make_symbols(true), {});
  built.memory.poke(built.tables.at("kallsyms_markers") + 4, uint32_t{0});
  const auto table = open(built);
  ASSERT_NE(table, nullptr);
  EXPECT_EQ(table->find("filler_699")->address, kFillers + 699 * 0x40);
  EXPECT_EQ(table->at(kFillers + 699 * 0x40 + 1)->name, "filler_699");
}

TEST(Kallsyms, ABlockThatCannotBeReadCostsItsNamesOnly) {
  std::vector<BuiltSymbol> symbols = make_symbols(true);
  for (int i = 0; i < 3000; i++)
    symbols.push_back(
        {kFillers + 0x20000 + static_cast<uint64_t>(i) * 16, 't', fmt::format("more_{:04}", i)});
  BuiltKallsyms built = build_kallsyms(symbols, options(false, KallsymsForm::kAbsolutePerCpu, false));
  built.memory.remove_page(built.tables.at("kallsyms_names") + 12000);
  const auto table = open(built);
  ASSERT_NE(table, nullptr);
  EXPECT_TRUE(table->find("x86_pmu_start"));
  EXPECT_TRUE(table->find("x86_pmu"));
  size_t missing = 0;
  std::vector<std::string_view> names;
  for (const BuiltSymbol& symbol : symbols) names.push_back(symbol.name);
  table->prefetch(names);
  for (std::string_view name : names) missing += !table->find(name);
  EXPECT_GT(missing, 0u);
  EXPECT_LT(missing, 1100u);
}

TEST(Kallsyms, SaysWhyItCannotBeUsed) {
  Unread why;
  BuiltKallsyms built = build_kallsyms(make_symbols(true), {});
  EXPECT_EQ(open_kallsyms(built.memory, VmcoreInfo(""), &why), nullptr);
  EXPECT_EQ(why.reason, UnreadReason::kNoSymbol);
  EXPECT_NE(why.detail.find("_stext"), std::string::npos);

  // The tables are those of another kernel.
  EXPECT_EQ(open_kallsyms(built.memory, VmcoreInfo(built.vmcoreinfo(kText + 0x100)), &why), nullptr);
  EXPECT_EQ(why.reason, UnreadReason::kCorrupt);
  EXPECT_NE(why.detail.find("0xffffffff81000100"), std::string::npos);

  BuiltKallsyms huge = built;
  huge.memory.poke(huge.tables.at("kallsyms_num_syms"), uint32_t{0x7fffffff});
  EXPECT_EQ(open_kallsyms(huge.memory, VmcoreInfo(huge.vmcoreinfo(kText)), &why), nullptr);
  EXPECT_EQ(why.detail, "2147483647 symbols");

  BuiltKallsyms tokens = built;
  tokens.memory.poke(tokens.tables.at("kallsyms_token_index") + 100, uint16_t{0xffff});
  EXPECT_EQ(open_kallsyms(tokens.memory, VmcoreInfo(tokens.vmcoreinfo(kText)), &why), nullptr);
  EXPECT_EQ(why.reason, UnreadReason::kCorrupt);

  BuiltKallsyms holes = built;
  holes.memory.remove_page(holes.tables.at("kallsyms_num_syms"));
  EXPECT_EQ(open_kallsyms(holes.memory, VmcoreInfo(holes.vmcoreinfo(kText)), &why), nullptr);
  EXPECT_EQ(why.reason, UnreadReason::kNotMapped);
  EXPECT_EQ(why.path, "kallsyms_num_syms");

  test::ImageMemory empty;
  EXPECT_EQ(open_kallsyms(empty, VmcoreInfo(built.vmcoreinfo(kText, false)), &why), nullptr);
  EXPECT_EQ(why.reason, UnreadReason::kNoSymbol);
  EXPECT_NE(why.detail.find("64 MiB"), std::string::npos);
}

}  // namespace
}  // namespace perfcore
