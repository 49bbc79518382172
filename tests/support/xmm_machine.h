// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// A tiny kernel that samples SIMD registers of user space: no released one does. Its vmcore carries BTF,
/// kallsyms and per-CPU x86_user_regs and ext_regs_buf, and opens like any other.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "support/dump_builder.h"

namespace perfcore::test {

/// Two CPUs, each with a task, an XSAVE buffer, a PEBS buffer and one event, all at rest: every pointer of
/// x86_user_regs is NULL, both CPUs were interrupted in user mode.
class XmmMachine {
 public:
  static constexpr int kCpus = 2;

  struct Options {
    bool with_code = true;    ///< x86_user_regs and ext_regs_buf exist
    bool with_buffer = true;  ///< ext_regs_buf among the symbols
    bool with_nr_cpu_ids = true;
    bool with_mask = true;           ///< struct x86_pmu has ext_regs_mask
    bool typed_variables = false;    ///< BTF knows the two per-CPU variables
    bool buffer_in_per_cpu = false;  ///< ext_regs_buf is the buffer itself, not a pointer
    bool with_pmu = true;            ///< cpu_hw_events, debug_store and events exist
    bool with_fpu = true;            ///< struct fpu and what leads to it exist
    bool with_pointers = true;       ///< struct x86_perf_regs has pointers to SIMD registers
  };

  XmmMachine() : XmmMachine(Options{}) {}
  explicit XmmMachine(const Options& options);

  // Addresses in the kernel's memory.
  uint64_t user_regs(int cpu) const;       ///< x86_user_regs
  uint64_t buffer_pointer(int cpu) const;  ///< ext_regs_buf
  uint64_t buffer(int cpu) const;          ///< what it points to
  uint64_t hw_events(int cpu) const;
  uint64_t debug_store(int cpu) const;
  uint64_t pebs_buffer(int cpu) const;
  uint64_t event(int cpu) const;
  uint64_t task(int cpu) const;
  uint64_t fpstate(int cpu) const;    ///< of that task: its XSAVE area
  uint64_t stack(int cpu) const;      ///< lowest address; 16 KB
  uint64_t nmi_stack(int cpu) const;  ///< lowest address; 4 KB
  /// Memory that belongs to nobody: a slab of 8 objects of 512 bytes, of which the second one is free.
  uint64_t heap() const;

  // Offsets of members.
  static constexpr uint64_t kRegsCs = 136, kXmmRegs = 168, kYmmhRegs = 176, kOpmaskRegs = 184, kSsp = 192,
                            kEgprRegs = 200;
  static constexpr uint64_t kTaskFlags = 0;
  static constexpr uint64_t kXfeatures = 512, kXcompBv = 520;
  static constexpr uint64_t kPebsBufferSize = 4096;

  /// BTF with struct x86_perf_regs, xregs_state and fpu, and nothing else.
  static std::vector<std::byte> user_regs_types();

  template <typename T>
  void poke(uint64_t address, T value) {
    builder_.write(physical(address), std::as_bytes(std::span(&value, 1)));
  }
  /// Sets xmm_regs of a CPU.
  void set_xmm(int cpu, uint64_t value) { poke(user_regs(cpu) + kXmmRegs, value); }
  /// What the event of a CPU samples.
  void set_event(int cpu, uint64_t user, uint64_t interrupted, int precise);
  /// Start of a function: "default_idle", "perf_reg_value" and those that call it.
  static uint64_t function(std::string_view name);
  /// Where CPU 1 was stopped: in this function, called by those functions, the nearest first. Its stack is in
  /// use from kStackUsed on.
  void stop_in(std::string_view name, const std::vector<std::string>& callers = {}) {
    stop_in(name, callers, stack(1) + kStackUsed);
  }
  void stop_in(std::string_view name, const std::vector<std::string>& callers, uint64_t sp,
               const Registers& others = {});
  static constexpr uint64_t kStackUsed = 0x3000;
  /// CPU 1 died by an oops, and kexec took over from it: in perf_reg_value() at the instruction that loads
  /// from the pointer in rcx, with these registers otherwise.
  void oops(const Registers& registers, const std::vector<std::string>& callers);
  /// The kernel log.
  void set_log(const std::vector<std::string>& lines);
  /// Leaves the page of an address out of the dump.
  void exclude(uint64_t address) { builder_.exclude(physical(address) / DumpBuilder::kPage); }

  std::string elf() const { return complete().elf(); }
  std::string kdump() const { return complete().kdump(); }

 private:
  uint64_t physical(uint64_t address) const;
  uint64_t area(int cpu) const;     ///< of a CPU's private pages
  uint64_t per_cpu(int cpu) const;  ///< where the CPU's copy of the per-CPU section lies
  void lay_out_memory();
  DumpBuilder complete() const;
  std::vector<std::byte> types() const;

  Options options_;
  std::array<Registers, kCpus> registers_;
  DumpBuilder builder_;
};

}  // namespace perfcore::test
