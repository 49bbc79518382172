// SPDX-License-Identifier: LGPL-2.1-or-later
#include <fmt/format.h>

#include "crash/taint.h"
#include "perfcore/crash.h"

namespace perfcore {
namespace {

constexpr uint64_t kNanosecondsPerSecond = 1'000'000'000;

// Takes a value over; where there is none says so.
template <typename T, typename U>
void take(const Reading<T>& reading, U& target, SystemFacts& facts) {
  if (reading.has_value())
    target = *reading;
  else
    facts.unread.push_back(reading.unread());
}

// The kernel's struct timekeeper, kernel/time/timekeeping.c: in timekeeper_data[0] since 6.17, in tk_core of
// type struct tk_data since 6.13. Before that tk_core had no type with a name, but shadow_timekeeper holds
// the copy that each tick advances first.
Object timekeeper(Kernel& kernel) {
  if (kernel.symbols().find("timekeeper_data"))
    return kernel.variable("timekeeper_data").index(0).member("timekeeper");
  if (kernel.symbols().find("shadow_timekeeper")) return kernel.variable("shadow_timekeeper");
  return kernel.variable("tk_core").member("timekeeper");
}

// Time of day and uptime at the last tick. The uptime is that of /proc/uptime: time asleep included
// (tk_setup_internals(), ktime_get_boottime_ts64()).
void read_time(Kernel& kernel, SystemFacts& facts) {
  if (const auto crash_time = kernel.vmcoreinfo().get("CRASHTIME")) {
    // Written by crash_save_vmcoreinfo() when kexec took over; see kernel/vmcore_info.c.
    int64_t seconds = 0;
    for (char digit : *crash_time) {
      if (digit < '0' || digit > '9' || seconds > INT64_MAX / 100) break;
      seconds = seconds * 10 + (digit - '0');
    }
    if (seconds > 0) facts.time = seconds;
  }
  const Object tk = timekeeper(kernel).load();
  const auto seconds = tk.member("xtime_sec").u64();
  if (!seconds.has_value()) {
    facts.unread.push_back(seconds.unread());
    return;
  }
  if (!facts.time) facts.time = static_cast<int64_t>(*seconds);
  const auto to_monotonic = tk.member("wall_to_monotonic.tv_sec").s64();
  const auto nanoseconds = tk.member("wall_to_monotonic.tv_nsec").s64();
  const auto fraction = tk.member("tkr_mono.xtime_nsec").u64();
  const auto shift = tk.member("tkr_mono.shift").u64();
  const auto asleep = tk.member("offs_boot").s64();
  for (const Unread* unread :
       {to_monotonic.has_value() ? nullptr : &to_monotonic.unread(),
        nanoseconds.has_value() ? nullptr : &nanoseconds.unread(),
        fraction.has_value() ? nullptr : &fraction.unread(), shift.has_value() ? nullptr : &shift.unread(),
        asleep.has_value() ? nullptr : &asleep.unread()}) {
    if (!unread) continue;
    facts.unread.push_back(*unread);
    return;
  }
  const auto whole = static_cast<int64_t>(*seconds + static_cast<uint64_t>(*to_monotonic));
  constexpr int64_t kMaxUptime = 1ll << 32;  // seconds; above it the structure is damaged
  if (whole < 0 || whole > kMaxUptime || *shift > 63 || *asleep < 0) {
    facts.unread.push_back({UnreadReason::kCorrupt, 0, tk.expression(),
                            fmt::format("an uptime of {} seconds is not possible", whole)});
    return;
  }
  facts.uptime_ns = static_cast<uint64_t>(whole) * kNanosecondsPerSecond +
                    static_cast<uint64_t>(*nanoseconds) + (*fraction >> *shift) +
                    static_cast<uint64_t>(*asleep);
}

struct HypervisorName {
  std::string_view enumerator;
  std::string_view name;
};
// enum x86_hypervisor_type, arch/x86/include/asm/hypervisor.h. Asked by name: numbers may move.
constexpr HypervisorName kHypervisors[] = {
    {"X86_HYPER_VMWARE", "VMware"}, {"X86_HYPER_MS_HYPERV", "Hyper-V"},
    {"X86_HYPER_XEN_PV", "Xen PV"}, {"X86_HYPER_XEN_HVM", "Xen HVM"},
    {"X86_HYPER_KVM", "KVM"},       {"X86_HYPER_JAILHOUSE", "Jailhouse"},
    {"X86_HYPER_ACRN", "ACRN"},     {"X86_HYPER_BHYVE", "bhyve"},
};

void read_hypervisor(Kernel& kernel, const Object& cpu, SystemFacts& facts) {
  const auto type = kernel.variable("x86_hyper_type").u64();
  if (!type.has_value()) {
    facts.unread.push_back(type.unread());
    return;
  }
  for (const HypervisorName& hypervisor : kHypervisors) {
    const auto value = kernel.enumerator("x86_hypervisor_type", hypervisor.enumerator);
    if (!value || static_cast<uint64_t>(*value) != *type) continue;
    facts.hypervisor = hypervisor.name;
    facts.hypervisor_known = true;
    return;
  }
  // One that the kernel does not know by name still sets CPUID 1, ECX bit 31: X86_FEATURE_HYPERVISOR, word 4
  // of x86_capability (arch/x86/include/asm/cpufeatures.h), as QEMU does without KVM.
  const auto features = cpu.member("x86_capability[4]").u64();
  if (!features.has_value()) {
    facts.unread.push_back(features.unread());
    return;
  }
  if (*features >> 31 & 1)
    facts.hypervisor = *type == 0 ? "unknown" : fmt::format("unknown (x86_hyper_type {})", *type);
  facts.hypervisor_known = true;
}

std::string trimmed(std::string text) {
  const size_t begin = std::min(text.find_first_not_of(" \t\n"), text.size());
  const size_t end = text.find_last_not_of(" \t\n");
  return end == std::string::npos ? std::string() : text.substr(begin, end + 1 - begin);
}

}  // namespace

SystemFacts read_system_facts(Kernel& kernel) {
  SystemFacts facts;
  const Object uts = kernel.variable("init_uts_ns").member("name").load();
  take(uts.member("nodename").string(), facts.nodename, facts);
  take(uts.member("machine").string(), facts.machine, facts);
  take(uts.member("version").string(), facts.version, facts);
  read_time(kernel, facts);

  if (const auto taint = kernel.variable("tainted_mask").u64(); taint.has_value()) {
    facts.taint = *taint;
    facts.taint_text = taint_words(*taint);
  } else {
    facts.unread.push_back(taint.unread());
  }
  const ModuleList modules = read_modules(kernel);
  for (const ModuleInfo& module : modules.modules)
    if (module.taints.find('O') != std::string::npos) facts.modules_out_of_tree.push_back(module.name);
  if (modules.incomplete) facts.unread.push_back(*modules.incomplete);

  constexpr size_t kMaxCommandLine = 4096;  // COMMAND_LINE_SIZE is 2048, boot config comes on top
  take(kernel.variable("saved_command_line").string(kMaxCommandLine), facts.command_line, facts);
  facts.command_line = trimmed(std::move(facts.command_line));

  const Object cpu = kernel.variable("boot_cpu_data").load();
  take(cpu.member("x86_model_id").string(), facts.cpu_model, facts);
  facts.cpu_model = trimmed(std::move(facts.cpu_model));
  take(cpu.member("x86_vendor_id").string(), facts.cpu_vendor, facts);
  if (const auto microcode = cpu.member("microcode").u64(); microcode.has_value())
    facts.microcode = *microcode;
  else
    facts.unread.push_back(microcode.unread());
  read_hypervisor(kernel, cpu, facts);
  return facts;
}

}  // namespace perfcore
