// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// State of the code that samples SIMD registers of user space: per-CPU x86_user_regs and ext_regs_buf
/// (arch/x86/events/core.c of the series that ends in edd9aec51213; in no release up to 7.3), and what the
/// pointers in a struct x86_perf_regs lead to.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "perfcore/kernel.h"
#include "perfcore/pmu.h"
#include "perfcore/unwind.h"

namespace perfcore {

class AddressMap;
class SlabReader;

/// Is this a function that turns PEBS records into samples (arch/x86/events/intel/ds.c)?
bool processes_pebs(std::string_view function);

/// Where a pointer of struct x86_perf_regs leads.
enum class UserRegsPlace {
  kUnknown,         ///< not read, or what it would have to be compared with was not
  kNull,            ///< no registers: they are reported as 0
  kOwnBuffer,       ///< ext_regs_buf of the same CPU
  kOtherCpuBuffer,  ///< ext_regs_buf of another CPU
  kPebsRecord,      ///< a PEBS buffer
  kTaskFpstate,     ///< saved FPU state of a task
  kStack,           ///< a kernel stack
  kFreed,           ///< a free object of a slab, by its content or by the allocator's lists, or a free page
  kPoison,          ///< the pointer itself is a poison pattern
  kUser,
  kNonCanonical,
  kOther,  ///< kernel memory that is none of these
};
/// "NULL", "own buffer", "other CPU's buffer", "PEBS record", "task fpstate", "stack", "freed memory",
/// "poison", "user address", "non-canonical", "other kernel memory", "unknown".
std::string_view to_string(UserRegsPlace place);

/// A pointer of a struct x86_perf_regs, judged.
struct UserRegsPointer {
  int cpu = -1;      ///< whose x86_user_regs holds it, or who uses the structure on a stack
  std::string name;  ///< of the member: "xmm_regs"
  Reading<uint64_t> value = uint64_t{0};
  uint64_t size = 0;  ///< bytes of registers behind it
  UserRegsPlace place = UserRegsPlace::kUnknown;
  std::string target;  ///< "ext_regs_buf of CPU 1 + 0xa0", "fpstate of perf (PID 12)"
  /// May it be followed? False: it leads to registers of somebody else, or to no registers at all. Unread:
  /// what decides could not be read.
  Reading<bool> legal = true;
  std::string why;  ///< the reason, in words
};

/// Reads and judges that state. Keeps nothing but small tables of addresses. One thread at a time; must not
/// outlive its Kernel.
class UserRegs {
 public:
  /// The frames of a CPU that were live when it used its registers, innermost first.
  using StackOf = std::function<const Stack&(int cpu)>;

  UserRegs(PmuState& pmu, StackOf stack_of);
  ~UserRegs();
  UserRegs(const UserRegs&) = delete;
  UserRegs& operator=(const UserRegs&) = delete;

  /// Does this kernel have the code? By the symbols x86_user_regs and ext_regs_buf, and by
  /// x86_pmu.ext_regs_mask. Unread when neither symbols nor types could be read.
  static Reading<bool> in_kernel(Kernel& kernel);

  /// CPUs to look at: present, else possible ones, else all that the kernel was booted for.
  Reading<std::vector<int>> cpus();

  /// x86_user_regs of a CPU: struct x86_perf_regs.
  Object object(int cpu);
  /// Address of the buffer that XSAVES writes on this CPU: what ext_regs_buf points to, or ext_regs_buf
  /// itself where it is no pointer. 0 when there is none.
  Reading<uint64_t> buffer(int cpu);
  /// Bit mask of the register sets that this PMU samples by XSAVES.
  Object ext_regs_mask();

  /// The pointers of x86_user_regs of a CPU, in the order of the structure; unread when the structure or its
  /// address is not known or it has none. A pointer that cannot be read is among them.
  Reading<std::vector<UserRegsPointer>> pointers(int cpu);
  /// The pointers of a struct x86_perf_regs anywhere, judged for code that runs on `cpu`.
  Reading<std::vector<UserRegsPointer>> pointers_of(const Object& regs, int cpu);

  /// Was this CPU processing PEBS records (*_drain_pebs*, setup_pebs_*)? Unread when its stack is not known
  /// well enough to say no.
  Reading<bool> drains_pebs(int cpu);
  /// Is TIF_NEED_FPU_LOAD set for the current task of a CPU: its registers are in memory, not in the CPU?
  Reading<bool> needs_fpu_load(int cpu);

 private:
  struct Range {
    uint64_t begin = 0;
    uint64_t end = 0;
    std::string name;
    int cpu = -1;
    bool contains(uint64_t address) const { return address >= begin && address < end; }
  };
  struct Ranges {
    std::vector<Range> ranges;
    std::vector<Unread> unread;  ///< exists according to symbols and types, but was not read
  };

  /// What belongs to a CPU (range.cpu) or to a task.
  struct Foreign {
    Range range;
    UserRegsPlace place = UserRegsPlace::kOther;
    uint64_t task = 0;  ///< struct task_struct
  };

  Reading<uint64_t> per_cpu_address(std::string_view name, int cpu);
  void judge(UserRegsPointer& pointer);
  void judge_own_buffer(UserRegsPointer& pointer, const Range& buffer);
  bool judge_stack(UserRegsPointer& pointer, std::vector<Unread>& unread);
  Reading<bool> look_for_pebs(int cpu);
  bool no_stack_leads_to_pebs(int cpu);
  const std::vector<Foreign>& foreign_places();
  bool name_freed(UserRegsPointer& pointer);
  bool name_foreign(UserRegsPointer& pointer);
  const std::vector<Range>& buffers();
  Ranges pebs_buffers(int cpu);
  Ranges fpstates(const Object& task, const std::string& name);
  const Reading<uint64_t>& need_fpu_load_mask();

  PmuState& pmu_;
  Kernel& kernel_;
  StackOf stack_of_;
  std::unique_ptr<AddressMap> map_;
  std::unique_ptr<SlabReader> slabs_;
  std::optional<std::vector<Range>> buffers_;
  std::optional<std::vector<Foreign>> foreign_;
  std::map<int, Reading<bool>> drains_pebs_;
  std::optional<Reading<uint64_t>> need_fpu_load_mask_;
};

}  // namespace perfcore
