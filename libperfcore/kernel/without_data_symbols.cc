// SPDX-License-Identifier: LGPL-2.1-or-later
#include "kernel/without_data_symbols.h"

#include <algorithm>
#include <cstring>
#include <set>

#include "perfcore/code.h"

namespace perfcore {
namespace {

/// struct btf_header of include/uapi/linux/btf.h.
struct BtfHeader {
  uint16_t magic;
  uint8_t version;
  uint8_t flags;
  uint32_t header_size;
  uint32_t type_offset;
  uint32_t type_size;
  uint32_t string_offset;
  uint32_t string_size;
};

constexpr uint32_t kMinVmlinuxBtf = 512 << 10;  ///< a module's BTF is smaller, vmlinux's is some megabytes
constexpr uint32_t kMaxVmlinuxBtf = 64 << 20;
constexpr uint64_t kMaxCpus = 8192;

bool is_vmlinux_btf(const BtfHeader& header) {
  return header.magic == 0xeb9f && header.version == 1 && header.header_size >= sizeof header &&
         header.header_size <= 256 && header.type_offset == 0 && header.string_offset >= header.type_size &&
         header.string_offset - header.type_size < 16 && header.type_size > kMinVmlinuxBtf &&
         header.type_size < kMaxVmlinuxBtf && header.string_size > kMinVmlinuxBtf / 2 &&
         header.string_size < kMaxVmlinuxBtf;
}

/// The address that a %gs-relative operand names; rip-relative since 6.7 (or position-independent code),
/// absolute before.
uint64_t gs_variable(const Instruction& instruction) {
  const auto displacement = static_cast<uint64_t>(instruction.memory->displacement);
  return instruction.memory->base == Reg::kRip ? instruction.address + instruction.length + displacement
                                               : displacement;
}

/// __per_cpu_start by the address of this_cpu_off in the code of this_cpu_ptr().
std::set<uint64_t> section_candidates(Kernel& kernel) {
  std::set<uint64_t> candidates;
  const auto offset = kernel.types().percpu_offset("this_cpu_off");
  if (!offset) return candidates;
  for (const char* function : {"x86_pmu_enable", "x86_pmu_start", "x86_pmu_add", "x86_pmu_stop"}) {
    const auto code = decode_function(kernel, function);
    if (!code.has_value()) continue;
    for (const Instruction& instruction : *code)
      if (instruction.mnemonic.starts_with("add") && instruction.memory && instruction.memory->gs &&
          instruction.memory->index == Reg::kNone)
        candidates.insert(gs_variable(instruction) - *offset);
  }
  return candidates;
}

/// __per_cpu_offset[] by the code of functions that index it by CPU number.
std::set<uint64_t> array_candidates(Kernel& kernel) {
  std::set<uint64_t> candidates;
  for (const char* function :
       {"idle_cpu", "available_idle_cpu", "nr_iowait_cpu", "cpu_curr_snapshot", "idle_task"}) {
    const auto code = decode_function(kernel, function);
    if (!code.has_value()) continue;
    for (const Instruction& instruction : *code) {
      if (!instruction.memory || instruction.memory->base != Reg::kNone ||
          instruction.memory->index == Reg::kNone || instruction.memory->scale != 8 || instruction.memory->gs)
        continue;
      const auto array = static_cast<uint64_t>(instruction.memory->displacement);
      if (array >= 0xffffffff80000000) candidates.insert(array);
    }
  }
  return candidates;
}

/// Offset of cpu_number within the per-CPU section.
std::optional<uint64_t> cpu_number_offset(Kernel& kernel) {
  // Part of struct pcpu_hot from 6.2 to 6.14 (7443b296e699 "x86/percpu: Move cpu_number next to
  // current_task").
  const Type* hot = kernel.type("struct pcpu_hot");
  const auto member = hot ? TypeSource::find_member(hot, "cpu_number") : std::nullopt;
  if (!member) return kernel.types().percpu_offset("cpu_number");
  const auto offset = kernel.types().percpu_offset("pcpu_hot");
  return offset ? std::optional(*offset + member->byte_offset()) : std::nullopt;
}

/// How many CPUs, from 0 on, have a cpu_number that says so at `place` in their per-CPU area.
uint64_t count_cpus(Memory& memory, uint64_t array, uint64_t place) {
  uint64_t count = 0;
  while (count < kMaxCpus) {
    const auto offset = read_value<uint64_t>(memory, array + 8 * count);
    if (!offset.has_value() ||
        !read_value<uint32_t>(memory, *offset + place).is(static_cast<uint32_t>(count)))
      break;
    count++;
  }
  return count;
}

}  // namespace

std::optional<std::pair<uint64_t, uint64_t>> find_btf(Memory& memory, uint64_t begin, uint64_t end) {
  constexpr uint64_t kChunk = 256 << 10;
  std::vector<std::byte> chunk(kChunk);
  for (uint64_t at = begin & ~uint64_t{7}; at < end; at += kChunk) {
    const Snapshot snapshot = take_snapshot(memory, at, std::min(kChunk, end - at));
    for (size_t i = 0; i + sizeof(BtfHeader) <= snapshot.bytes.size(); i += 4) {
      if (snapshot.bytes[i] != std::byte{0x9f} || snapshot.bytes[i + 1] != std::byte{0xeb}) continue;
      BtfHeader header;
      std::memcpy(&header, snapshot.bytes.data() + i, sizeof header);
      if (is_vmlinux_btf(header))
        return std::pair(at + i, at + i + header.header_size + header.string_offset + header.string_size);
    }
  }
  return std::nullopt;
}

std::optional<PerCpuLayout> find_per_cpu_layout(Kernel& kernel) {
  const auto number = cpu_number_offset(kernel);
  if (!number) return std::nullopt;
  const std::set<uint64_t> sections = section_candidates(kernel);
  for (const uint64_t array : array_candidates(kernel))
    for (const uint64_t section : sections)
      if (const uint64_t cpus = count_cpus(kernel.memory(), array, section + *number))
        return PerCpuLayout{section, array, cpus};
  return std::nullopt;
}

}  // namespace perfcore
