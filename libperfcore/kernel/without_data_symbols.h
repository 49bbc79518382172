// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// Kernels built without CONFIG_KALLSYMS_ALL list functions only: what perfcore needs of their data is found
/// by other means.
#pragma once

#include <cstdint>
#include <optional>
#include <utility>

#include "perfcore/kernel.h"

namespace perfcore {

/// Where vmlinux's BTF lies, searched for by its header in [begin, end) of the kernel image: start and end of
/// the data.
std::optional<std::pair<uint64_t, uint64_t>> find_btf(Memory& memory, uint64_t begin, uint64_t end);

struct PerCpuLayout {
  uint64_t section = 0;       ///< what the offsets of BTF's per-CPU variables count from (__per_cpu_start)
  uint64_t offset_array = 0;  ///< address of __per_cpu_offset[]
  uint64_t cpus = 0;          ///< CPUs that have a per-CPU area
};

/// Reads the layout of per-CPU memory off the kernel's code: `add %gs:this_cpu_off, reg` (this_cpu_ptr())
/// gives the section's start, an index by CPU as in cpu_rq(cpu) (kernel/sched/sched.h) gives
/// __per_cpu_offset[]. Believed only if each CPU's copy of cpu_number holds that CPU's number.
std::optional<PerCpuLayout> find_per_cpu_layout(Kernel& kernel);

}  // namespace perfcore
