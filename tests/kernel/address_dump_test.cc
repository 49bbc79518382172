// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Addresses of real kernels, of which the bundled dumps hold a part.
#include <gtest/gtest.h>

#include <algorithm>

#include "perfcore/address.h"
#include "perfcore/tasks.h"
#include "support/overlay.h"

namespace perfcore {
namespace {

constexpr const char* kDumps[] = {"healthy-6.1.192.vmcore", "healthy-6.12.117.vmcore",
                                  "healthy-7.2.12.vmcore", "null-events-6.18.12.vmcore"};

const AddressFact* find_fact(const AddressReport& report, std::string_view kind) {
  const auto found = std::ranges::find(report.facts, kind, &AddressFact::kind);
  return found == report.facts.end() ? nullptr : &*found;
}

template <typename T>
T field(const AddressFact* fact, std::string_view name) {
  if (fact)
    for (const auto& [key, value] : fact->fields)
      if (key == name && std::holds_alternative<T>(value)) return std::get<T>(value);
  ADD_FAILURE() << "no field " << name;
  return T{};
}

class AddressOnDump : public ::testing::TestWithParam<const char*> {
 protected:
  AddressOnDump() : patched(test::bundled(GetParam())), kernel(patched.original()) {}
  test::PatchedKernel patched;
  Kernel& kernel;
};

TEST_P(AddressOnDump, StaticPerCpuVariablesAreFoundWithCpuAndMember) {
  AddressBook book(kernel);
  const std::vector<int> cpus = kernel.present_cpus().value();
  for (const int cpu : cpus) {
    const Object slot = kernel.per_cpu("cpu_hw_events", cpu).member("events[3]");
    const AddressReport report = book.describe(slot.address().value());
    const AddressFact* variable = find_fact(report, "per-cpu");
    EXPECT_EQ(field<int64_t>(variable, "cpu"), cpu);
    if (std::ranges::none_of(variable->fields, [](const auto& item) { return item.first == "name"; })) {
      EXPECT_FALSE(report.unread.empty()) << "a name that is missing is said to be missing";
      continue;
    }
    EXPECT_TRUE(field<std::string>(variable, "name").starts_with("cpu_hw_events"));
    EXPECT_EQ(field<std::string>(find_fact(report, "member"), "path"), "events[3]");
    EXPECT_LT(find_fact(report, "member"), variable) << "the more specific comes first";
  }
}

TEST_P(AddressOnDump, FunctionsAndVariablesAreFound) {
  AddressBook book(kernel);
  const AddressReport code = book.describe(address_of_expression(kernel, "x86_pmu_enable+0x5").value());
  if (find_fact(code, "symbol")) {
    EXPECT_EQ(field<std::string>(find_fact(code, "symbol"), "name"), "x86_pmu_enable");
    EXPECT_EQ(field<int64_t>(find_fact(code, "symbol"), "offset"), 5);
    EXPECT_TRUE(find_fact(code, "symbol")->words.starts_with("function"));
  } else {
    EXPECT_FALSE(code.unread.empty());
  }
  const AddressReport data = book.describe(kernel.variable("x86_pmu").member("handle_irq").address().value());
  if (find_fact(data, "symbol"))
    EXPECT_EQ(field<std::string>(find_fact(data, "member"), "name"), "x86_pmu.handle_irq");
  else
    EXPECT_FALSE(data.unread.empty());
}

TEST_P(AddressOnDump, KernelStacksAreFoundWithTheirTaskAndWhetherFramesAreThere) {
  AddressBook book(kernel);
  int seen = 0;
  for_each_task(kernel, [&](const Object& task) {
    const auto stack = task.member("stack").u64();
    const auto sp = task.member("thread.sp").u64();
    const auto pid = task.member("pid").s64();
    if (!stack.has_value() || !sp.has_value() || !pid.has_value() || *pid < 2 || *sp <= *stack || seen >= 5)
      return;
    const AddressReport report = book.describe(*sp - 64);
    const AddressFact* fact = find_fact(report, "task-stack");
    EXPECT_EQ(field<int64_t>(fact, "pid"), *pid);
    EXPECT_EQ(field<uint64_t>(fact, "stack"), *stack);
    EXPECT_NE(field<std::string>(fact, "live"), "");
    seen++;
  });
  EXPECT_GT(seen, 0);
}

TEST_P(AddressOnDump, ExceptionStacksBelongToTheirCpu) {
  AddressBook book(kernel);
  const std::vector<int> cpus = kernel.present_cpus().value();
  for (const int cpu : cpus) {
    const auto nmi = kernel.per_cpu("cea_exception_stacks", cpu).deref().member("NMI_stack").address();
    if (!nmi.has_value()) continue;
    const AddressReport report = book.describe(*nmi + 4000);
    EXPECT_EQ(field<std::string>(find_fact(report, "exception-stack"), "name"), "NMI stack");
    EXPECT_EQ(field<int64_t>(find_fact(report, "exception-stack"), "cpu"), cpu);
    const AddressReport guard = book.describe(*nmi - 8);
    EXPECT_EQ(find_fact(guard, "exception-stack"), nullptr);
    EXPECT_EQ(field<std::string>(find_fact(guard, "cpu-entry-area"), "member"), "estacks.NMI_stack_guard");
  }
}

INSTANTIATE_TEST_SUITE_P(Kernels, AddressOnDump, ::testing::ValuesIn(kDumps), [](const auto& dump) {
  std::string name = dump.param;
  std::ranges::replace_if(
      name, [](char c) { return !isalnum(static_cast<unsigned char>(c)); }, '_');
  return name;
});

}  // namespace
}  // namespace perfcore
