// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// Lists of areas that addresses are looked up in: per-CPU chunks, vmalloc areas, modules. Each is read when
/// it is first asked for.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "perfcore/kernel.h"

namespace perfcore {

/// A place in the per-CPU area of a CPU (mm/percpu.c).
struct PerCpuPlace {
  int cpu = -1;
  uint64_t pointer = 0;  ///< what per_cpu_ptr() takes: the address minus __per_cpu_offset[cpu]
  bool fixed = false;    ///< a variable of the kernel image; otherwise allocated
  uint64_t chunk = 0;    ///< struct pcpu_chunk; 0 for variables
  /// The allocation that holds it: pointer and bytes. nullopt when the chunk's maps cannot be read.
  struct Allocation {
    uint64_t begin = 0;
    uint64_t size = 0;
    bool allocated = false;
  };
  std::optional<Allocation> allocation;
};

class PerCpuAreas {
 public:
  explicit PerCpuAreas(Kernel& kernel) : kernel_(kernel) {}

  /// nullopt when the address is in no CPU's area.
  std::optional<PerCpuPlace> find(uint64_t address, std::vector<Unread>* unread);

 private:
  struct Chunk {
    Object object;
    uint64_t base = 0;
    uint64_t begin = 0;  ///< of what may be allocated, from base
    uint64_t end = 0;
  };
  struct Unit {
    int cpu = 0;
    uint64_t offset = 0;  ///< __per_cpu_offset
  };
  void load();
  void add_chunk(const Object& chunk);
  std::optional<PerCpuPlace::Allocation> allocation_at(const Chunk& chunk, uint64_t offset,
                                                       std::vector<Unread>* unread);

  Kernel& kernel_;
  bool loaded_ = false;
  std::vector<Unread> missing_;
  std::optional<uint64_t> start_;  ///< __per_cpu_start, as symbols have it
  uint64_t fixed_size_ = 0;
  std::optional<uint64_t> base_;  ///< pcpu_base_addr
  std::vector<Unit> units_;
  std::vector<Chunk> chunks_;
};

/// A mapping of the vmalloc area (struct vmap_area, mm/vmalloc.c).
struct VmallocArea {
  uint64_t begin = 0;
  uint64_t end = 0;        ///< with the guard page
  uint64_t vm = 0;         ///< struct vm_struct; 0 when it has none or it could not be read
  uint64_t flags = 0;      ///< vm->flags
  std::string flag_names;  ///< "ioremap", "alloc", ...
  uint64_t caller = 0;     ///< vm->caller
  uint64_t size = 0;       ///< vm->size
  uint64_t physical = 0;   ///< of ioremap areas
  bool freed = false;      ///< freed, not yet unmapped everywhere
};
/// nullopt when no area holds the address.
Reading<std::optional<VmallocArea>> find_vmalloc_area(Kernel& kernel, uint64_t address);

}  // namespace perfcore
