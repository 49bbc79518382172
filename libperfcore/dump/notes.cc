// SPDX-License-Identifier: LGPL-2.1-or-later
#include "dump/notes.h"

#include <elf.h>

#include <cstring>

#include "dump/minimal_note.h"

namespace perfcore {
namespace {

/// struct elf_prstatus of x86-64 (include/linux/elfcore.h); only what is used has a name.
struct ElfPrstatus {
  uint8_t before_pid[32];
  int32_t pid;
  uint8_t before_registers[76];
  Registers registers;  // user_regs_struct begins like pt_regs
  uint64_t fs_base;
  uint64_t gs_base;
  uint64_t ds_es_fs_gs[4];
  uint64_t fpvalid;
};
static_assert(sizeof(ElfPrstatus) == 336);
static_assert(offsetof(ElfPrstatus, registers) == 112);

struct QemuSegment {
  uint32_t selector, limit, flags, padding;
  uint64_t base;
};

/// QEMUCPUState of QEMU's target/i386/arch_dump.c, version 1.
struct QemuCpuState {
  uint32_t version, size;
  uint64_t general[18];  // rax..r15, rip, rflags
  QemuSegment cs, ds, es, fs, gs, ss, ldt, tr, gdt, idt;
  uint64_t cr[5];
  uint64_t kernel_gs_base;
};
static_assert(sizeof(QemuCpuState) == 440);

template <typename T>
std::optional<T> record(std::string_view content) {
  T value;
  if (content.size() < sizeof(T)) return std::nullopt;
  std::memcpy(&value, content.data(), sizeof(T));
  return value;
}

bool in_kernel_half(uint64_t address) {
  return static_cast<int64_t>(address) < 0;
}

/// swapgs exchanges GS.base and KERNEL_GS_BASE on the way into and out of the kernel. In ring 0 the kernel's
/// base is normally in GS.base, but not in the first instructions of an entry: an address in the upper half
/// tells.
uint64_t kernel_gs_base(const QemuCpuState& state) {
  const bool ring0 = (state.cs.selector & 3) == 0;
  const uint64_t likely = ring0 ? state.gs.base : state.kernel_gs_base;
  const uint64_t other = ring0 ? state.kernel_gs_base : state.gs.base;
  return in_kernel_half(likely) || !in_kernel_half(other) ? likely : other;
}

size_t align4(size_t size) {
  return (size + 3) & ~size_t{3};
}

}  // namespace

bool for_each_note(std::string_view raw, const std::function<void(const Note&)>& f) {
  while (raw.size() >= sizeof(Elf64_Nhdr)) {
    const auto header = *record<Elf64_Nhdr>(raw);
    const size_t name_at = sizeof(Elf64_Nhdr);
    const size_t content_at = name_at + align4(header.n_namesz);
    if (content_at + size_t{header.n_descsz} > raw.size()) return false;
    std::string_view name = raw.substr(name_at, header.n_namesz);
    name = name.substr(0, name.find('\0'));
    f({name, header.n_type, raw.substr(content_at, header.n_descsz)});
    raw.remove_prefix(std::min(raw.size(), content_at + align4(header.n_descsz)));
  }
  return true;
}

Notes parse_notes(std::string_view raw) {
  Notes notes;
  // Zeros, with which the kernel pads its notes, read as notes without name and content.
  const bool whole = for_each_note(raw, [&](const Note& note) {
    if (note.name == "CORE" && note.type == NT_PRSTATUS) {
      if (const auto status = record<ElfPrstatus>(note.content)) {
        CpuStatus cpu;
        cpu.cpu = static_cast<int>(notes.cpus.size());
        cpu.pid = status->pid;
        cpu.registers = status->registers;
        cpu.gs_base = status->gs_base;
        notes.cpus.push_back(cpu);
      } else {
        notes.malformed++;
      }
    } else if (note.name == "CORE" && (note.type == NT_AUXV || note.type == NT_FILE)) {
      notes.of_a_process = true;
    } else if (note.name == "QEMU") {
      const auto state = record<QemuCpuState>(note.content);
      if (state && state->version == 1)
        notes.hypervisor_cpus.push_back(
            {state->cs.selector, state->cr[3], state->cr[4], kernel_gs_base(*state)});
      else
        notes.malformed++;
    } else if (note.name == kVmcoreInfoNoteName) {
      notes.vmcoreinfo = note.content;
    } else if (note.name == kMinimalNoteName && note.type == kMinimalNoteType) {
      notes.minimal = note.content;
    }
  });
  if (!whole) notes.malformed++;
  // QEMU writes all NT_PRSTATUS first and then its own notes, both in the order of the CPUs.
  if (notes.hypervisor_cpus.size() == notes.cpus.size())
    for (size_t i = 0; i < notes.cpus.size(); i++) {
      notes.cpus[i].gs_base = notes.hypervisor_cpus[i].kernel_gs_base;
      notes.cpus[i].pid = 0;  // what QEMU writes there is the number of the CPU plus one
    }
  return notes;
}

std::string make_note(std::string_view name, uint32_t type, std::string_view content) {
  const Elf64_Nhdr header{static_cast<Elf64_Word>(name.size() + 1), static_cast<Elf64_Word>(content.size()),
                          type};
  std::string note(reinterpret_cast<const char*>(&header), sizeof(header));
  note.append(name);
  note.resize(sizeof(header) + align4(name.size() + 1));
  note.append(content);
  note.resize(align4(note.size()));
  return note;
}

}  // namespace perfcore
