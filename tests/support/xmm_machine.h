// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// A tiny kernel that samples SIMD registers of user space: no released one does. Its vmcore carries BTF,
/// kallsyms and per-CPU x86_user_regs and ext_regs_buf, and opens like any other.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "support/dump_builder.h"

namespace perfcore::test {

/// Two CPUs, each with a task, an XSAVE buffer, a PEBS buffer and one event, all at rest: every pointer of
/// x86_user_regs is NULL, both CPUs were interrupted in user mode.
class XmmMachine {
 public:
  static constexpr int kCpus = 2;

  struct Options {
    bool with_code = true;           ///< x86_user_regs and ext_regs_buf exist
    bool with_mask = true;           ///< struct x86_pmu has ext_regs_mask
    bool typed_variables = false;    ///< BTF knows the two per-CPU variables
    bool buffer_in_per_cpu = false;  ///< ext_regs_buf is the buffer itself, not a pointer
    bool with_pmu = true;            ///< cpu_hw_events, debug_store and events exist
    bool with_fpu = true;            ///< struct fpu and what leads to it exist
    bool with_pointers = true;       ///< struct x86_perf_regs has pointers to SIMD registers
    /// Function in which CPU 1 was interrupted; empty: in user mode.
    std::string interrupted;
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
  uint64_t fpstate(int cpu) const;  ///< of that task: its XSAVE area
  uint64_t stack(int cpu) const;    ///< lowest address; 16 KB
  uint64_t heap() const;            ///< memory that belongs to nobody

  // Offsets of members.
  static constexpr uint64_t kRegsCs = 136, kXmmRegs = 168, kYmmhRegs = 176, kOpmaskRegs = 184;
  static constexpr uint64_t kTaskFlags = 0;
  static constexpr uint64_t kXfeatures = 512, kXcompBv = 520;
  static constexpr uint64_t kPebsBufferSize = 4096;

  template <typename T>
  void poke(uint64_t address, T value) {
    builder_.write(physical(address), std::as_bytes(std::span(&value, 1)));
  }
  /// Sets xmm_regs of a CPU.
  void set_xmm(int cpu, uint64_t value) { poke(user_regs(cpu) + kXmmRegs, value); }
  /// What the event of a CPU samples.
  void set_event(int cpu, uint64_t user, uint64_t interrupted, int precise);
  /// Leaves the page of an address out of the dump.
  void exclude(uint64_t address) { builder_.exclude(physical(address) / DumpBuilder::kPage); }

  std::string elf() const { return builder_.elf(); }
  std::string kdump() const { return builder_.kdump(); }

 private:
  uint64_t physical(uint64_t address) const;
  uint64_t area(int cpu) const;     ///< of a CPU's private pages
  uint64_t per_cpu(int cpu) const;  ///< where the CPU's copy of the per-CPU section lies
  void lay_out_memory();
  std::vector<std::byte> types() const;

  Options options_;
  DumpBuilder builder_;
};

}  // namespace perfcore::test
