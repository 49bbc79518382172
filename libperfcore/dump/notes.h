// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// ELF notes of a dump: who died with which registers, and the kernel's VMCOREINFO.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "perfcore/dump.h"

namespace perfcore {

/// The name in the VMCOREINFO note (VMCOREINFO_NOTE_NAME of include/linux/vmcore_info.h).
inline constexpr std::string_view kVmcoreInfoNoteName = "VMCOREINFO";

/// Control registers and segment bases that QEMU saves for each virtual CPU (target/i386/arch_dump.c,
/// QEMUCPUState).
struct HypervisorCpu {
  uint64_t cs = 0;
  uint64_t cr3 = 0;
  uint64_t cr4 = 0;
  uint64_t kernel_gs_base = 0;  ///< per-CPU base of the kernel, found by where the CPU was
};

struct Note {
  std::string_view name;  ///< without the NUL
  uint32_t type = 0;
  std::string_view content;
};

/// Calls f(note) for each note in a text laid out as in PT_NOTE: 4-byte alignment, as the kernel and QEMU
/// write them. \return false when a note does not fit into the text; nothing is read behind it.
bool for_each_note(std::string_view raw, const std::function<void(const Note&)>& f);

/// What the notes say. Counts are bounded by the size of the text they come from.
struct Notes {
  std::vector<CpuStatus> cpus;
  std::vector<HypervisorCpu> hypervisor_cpus;  ///< in the order of the CPUs; empty in dumps of kexec
  std::string vmcoreinfo;                      ///< empty when there is no such note
  std::optional<std::string> minimal;          ///< content of the note of write_minimal_dump()
  bool of_a_process = false;                   ///< NT_AUXV or NT_FILE: the core of a program
  size_t malformed = 0;  ///< notes that do not fit into the text; nothing is read behind one
};

Notes parse_notes(std::string_view raw);

/// One note in the layout of PT_NOTE, ready to be appended to others.
std::string make_note(std::string_view name, uint32_t type, std::string_view content);

}  // namespace perfcore
