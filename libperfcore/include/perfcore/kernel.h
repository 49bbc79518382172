// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// The dead kernel: its memory, symbols and types in one place.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "perfcore/dump.h"
#include "perfcore/memory.h"
#include "perfcore/object.h"
#include "perfcore/reading.h"
#include "perfcore/symbols.h"
#include "perfcore/types.h"

namespace perfcore {

class Kernel;

struct KernelOptions {
  /// Files or directories with debug info (--debuginfo). A vmlinux of another build is refused with
  /// InputError.
  std::vector<std::string> debuginfo;
  /// Look in the usual places (/usr/lib/debug ...) when `debuginfo` names nothing.
  bool search_debuginfo = true;
  /// Remember what is read and asked from now on, for write_recording() (record.h).
  bool record = false;
  /// Kernels of other dumps, perhaps of the same build: of those that have read their symbols and types from
  /// the dump's memory, as this one will, what they have read is taken over where this dump holds the same
  /// bytes, so that the answers are those that this dump alone would give. They are spent then: they must be
  /// kept alive and not be asked for anything any more.
  std::vector<Kernel*> alike = {};
};

/// A kernel in a dump. One thread at a time; open twice for two threads.
class Kernel {
 public:
  /// Identifies the kernel and chooses symbols and types: a fitting vmlinux (ELF symbols and DWARF), else
  /// kallsyms and BTF from the dump. Throws InputError when a vmlinux given by the user does not fit. What
  /// else is missing is said in missing(), and reads that need it are unread. A recording brings its own
  /// symbols and types; they are used unless the user names debug info.
  static std::unique_ptr<Kernel> open(std::unique_ptr<Dump> dump, const KernelOptions& options = {});

  /// The same over memory that is no dump file, such as another tool's session: dump() is then nullptr.
  /// \param info        VMCOREINFO; without SYMBOL(kallsyms_*) and KERNELOFFSET in it no symbols are found
  /// \param cpu_status  the registers that were saved; may be empty
  static std::unique_ptr<Kernel> open(std::unique_ptr<Memory> memory, VmcoreInfo info,
                                      std::vector<CpuStatus> cpu_status, const KernelOptions& options = {});

  /// A kernel over any memory (a test image, another tool's session). `symbols` and `types` may be null.
  /// `offset` is the KASLR slide.
  Kernel(std::unique_ptr<Memory> memory, VmcoreInfo info, std::vector<CpuStatus> cpu_status,
         std::unique_ptr<SymbolTable> symbols, std::unique_ptr<TypeSource> types);
  ~Kernel();
  Kernel(const Kernel&) = delete;
  Kernel& operator=(const Kernel&) = delete;

  /// The dump file; nullptr for a kernel over bare memory.
  Dump* dump() { return dump_.get(); }
  Memory& memory() { return *memory_; }
  const VmcoreInfo& vmcoreinfo() const { return *info_; }
  const std::vector<CpuStatus>& cpu_status() const { return *cpu_status_; }

  /// Never null; an empty table when the kernel's symbols were not found.
  SymbolTable& symbols() { return *symbols_; }
  TypeSource& types() { return *types_; }
  /// The DWARF source when types come from a vmlinux, else nullptr.
  DwarfSource* dwarf() { return dwarf_; }
  /// Whether types were read from this dump's memory, and not taken over (KernelOptions::alike).
  bool read_own_types() const { return read_own_types_; }
  /// Path of the vmlinux in use, empty without one.
  const std::string& vmlinux() const { return vmlinux_; }
  /// Choices made while looking for debug info, and what is missing, for people.
  const std::vector<std::string>& remarks() const { return remarks_; }

  /// uts release, e.g. "6.12.117+deb12-amd64"; empty when unknown.
  const std::string& release() const { return release_; }
  /// GNU build ID in lower-case hex; empty when unknown (VMCOREINFO has it since 5.9).
  const std::string& build_id() const { return build_id_; }
  /// KASLR slide in bytes.
  uint64_t kaslr_offset() const { return kaslr_offset_; }

  /// A global variable: address from the symbols, type from the debug info or, for BTF (which has no
  /// globals), from the table in kernel/variables.cc.
  Object variable(std::string_view name);
  /// A static per-CPU variable of one CPU.
  Object per_cpu(std::string_view name, int cpu);
  /// A struct, union or typedef at an address: object("struct perf_event", 0xffff...).
  Object object(std::string_view type_name, uint64_t address);
  Object object(const Type* type, uint64_t address);
  /// Type by C name: "struct perf_event *", "unsigned long", "u64", "struct list_head [4]". nullptr when not
  /// known.
  const Type* type(std::string_view c_name);
  /// The type of pointers to `target`, which must be of this kernel.
  const Type* pointer_to(const Type* target);
  /// An rvalue.
  Object constant(uint64_t value, std::string_view c_type = "unsigned long");

  /// Value of an enumerator by name within an enum ("PERF_EVENT_STATE_ACTIVE" of "perf_event_state").
  std::optional<int64_t> enumerator(std::string_view enum_name, std::string_view name);

  /// __per_cpu_offset[cpu]: what is added to the address of a per-CPU variable.
  Reading<uint64_t> per_cpu_offset(int cpu);
  /// CPUs from __cpu_possible_mask and __cpu_present_mask, ascending. Not the online mask: panic() and kexec
  /// clear it.
  Reading<std::vector<int>> possible_cpus();
  Reading<std::vector<int>> present_cpus();
  Reading<std::vector<int>> online_cpus();
  /// Number of CPUs that the kernel was built or booted for, bounding every CPU number (nr_cpu_ids).
  Reading<uint64_t> nr_cpu_ids();

  /// The task that was running on a CPU: struct task_struct lvalue (current_task, or pcpu_hot.current_task
  /// in 6.2 - 6.14).
  Object current_task(int cpu);

  /// What was read and asked; nullptr unless KernelOptions::record was set.
  class Recorder* recorder() { return recorder_.get(); }

  /// The registers saved for a CPU in the dump's notes; nullptr when there are none.
  const CpuStatus* status_of(int cpu) const;

 private:
  Kernel();
  void identify();
  void choose_debug_info(const KernelOptions& options);
  void prefetch_symbols();
  bool use_recorded_tables();
  void start_recorder();
  const struct PerCpuLayout* per_cpu_layout();
  Reading<std::vector<int>> cpu_mask(std::string_view name);
  const Type* variable_type(std::string_view name);
  const Type* parse_type(std::string_view c_name);

  std::unique_ptr<Dump> dump_;
  std::unique_ptr<Memory> own_memory_;
  Memory* memory_ = nullptr;
  VmcoreInfo own_info_;
  const VmcoreInfo* info_ = nullptr;
  std::vector<CpuStatus> own_cpu_status_;
  const std::vector<CpuStatus>* cpu_status_ = nullptr;
  std::unique_ptr<SymbolTable> symbols_;
  std::unique_ptr<TypeSource> types_;
  DwarfSource* dwarf_ = nullptr;
  std::unique_ptr<class SyntheticTypes> synthetic_;
  std::string vmlinux_, release_, build_id_;
  uint64_t kaslr_offset_ = 0;
  std::vector<std::string> remarks_;
  bool read_own_types_ = false;
  std::optional<std::vector<uint64_t>> per_cpu_offsets_;
  std::unique_ptr<struct PerCpuLayout> per_cpu_layout_;  // only where the symbols are missing
  bool per_cpu_layout_sought_ = false;
  std::unique_ptr<class Recorder> recorder_;
  friend class Object;
};

}  // namespace perfcore
