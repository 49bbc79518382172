// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// What killed the kernel: class, reason, CPU, task, registers, stacks; and facts about the system.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "perfcore/code.h"
#include "perfcore/kernel.h"
#include "perfcore/log.h"
#include "perfcore/unwind.h"

namespace perfcore {

/// The vocabulary of CrashState::crash_class. "none": no panic in log or registers (a live or hypervisor
/// dump).
inline constexpr std::string_view kCrashClasses[] = {"atomic-sleep",
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
                                                     "list-corruption",
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
                                                     "stack-segment",
                                                     "ubsan",
                                                     "unregister-netdev",
                                                     "warning",
                                                     "workqueue-lockup",
                                                     "other",
                                                     "hard-lockup",
                                                     "unknown-nmi",
                                                     "nmi-storm",
                                                     "msr-access",
                                                     "mce",
                                                     "oom-panic",
                                                     "sysrq",
                                                     "none"};

/// What is known of the crash. Empty or nullopt members: not known; see unread.
struct CrashState {
  /// One word of kCrashClasses.
  std::string crash_class = "none";
  std::string reason;  ///< what panic() was told, or the oops line when there was no panic message
  std::string
      oops;  ///< first line of the oops ("BUG: kernel NULL pointer dereference, address: ..."), if any
  std::optional<int> cpu;  ///< the CPU that crashed
  std::optional<int64_t> pid;
  std::string comm;
  Context context = Context::kUnknown;  ///< of the fault (or of the caller of panic())
  /// Whom the crash is about: where the fault hit, or who decided to panic. Of a check that complains about
  /// its caller (refcount_warn_saturate(), usercopy_abort()) and of a call through NULL the caller; of a
  /// lockup the code that did not let go; of a hung task where it waits. As the symbol table has it,
  /// ".isra.0" included.
  std::string function;
  uint64_t offset = 0;
  std::optional<uint64_t> fault_address;     ///< CR2 of a page fault, or the address in the oops line
  std::optional<Registers> fault_registers;  ///< pt_regs of the exception that led to the panic
  std::optional<FaultExplanation> fault;     ///< the faulting instruction decoded and explained
  Stack stack;  ///< of the crashing CPU, innermost first, panic() and exception entry included
  /// Index into stack.frames of the frame that faulted (interrupted by the exception), if any.
  std::optional<size_t> fault_frame;
  /// Where the facts come from: "log", "registers", "log and registers".
  std::string basis;

  /// Nothing says whether the kernel died: neither the log nor what panic() sets could be read.
  bool not_known() const { return crash_class == "other" && basis.empty(); }
  /// The first anomaly in the log before the oops: MCE, OOM, lockup, WARNING, KASAN... (whole line); empty
  /// when none.
  std::string first_anomaly;
  std::optional<uint64_t> first_anomaly_timestamp_ns;
  std::vector<Unread> unread;
};

/// Reads the crash state. Never throws on bad memory.
CrashState read_crash_state(Kernel& kernel, Unwinder& unwinder, const KernelLog& log);

/// Facts about the machine. Empty strings and nullopt: not known; see unread.
struct SystemFacts {
  std::string nodename;
  std::string machine;
  std::string version;          ///< utsname.version: "#1 SMP PREEMPT_DYNAMIC Debian ..."
  std::optional<int64_t> time;  ///< of the crash, seconds since 1970 (UTC)
  std::optional<uint64_t> uptime_ns;
  std::optional<uint64_t> taint;  ///< tainted_mask
  std::string taint_text;         ///< letters and words: "O (out-of-tree module), E (unsigned module)"
  std::vector<std::string> modules_out_of_tree;
  std::string command_line;
  std::string cpu_model;
  std::string cpu_vendor;  ///< "AuthenticAMD", "GenuineIntel", ...
  std::optional<uint64_t> microcode;
  std::string hypervisor;  ///< "KVM", "VMware", ...; empty on bare metal or when not known
  bool hypervisor_known = false;
  std::vector<Unread> unread;
};

SystemFacts read_system_facts(Kernel& kernel);

/// A loaded module.
struct ModuleInfo {
  std::string name;
  uint64_t address = 0;  ///< struct module
  uint64_t text_begin = 0;
  uint64_t text_end = 0;
  std::string taints;  ///< letters of module->taints, "" when none
};
struct ModuleList {
  std::vector<ModuleInfo> modules;
  std::optional<Unread> incomplete;
};
ModuleList read_modules(Kernel& kernel);

}  // namespace perfcore
