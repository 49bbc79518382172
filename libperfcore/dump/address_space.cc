// SPDX-License-Identifier: LGPL-2.1-or-later
#include "dump/address_space.h"

#include <elf.h>

#include <cstring>

#include "dump/kernel_map.h"

namespace perfcore {
namespace {

constexpr uint64_t kCr3AddressBits = 0x000ffffffffff000;
constexpr uint64_t kCr4La57 = 1 << 12;
/// With PTI the user's top-level table follows the kernel's (arch/x86/include/asm/pgtable.h,
/// PTI_PGTABLE_SWITCH_BIT).
constexpr uint64_t kPtiUserTable = 1 << 12;

/// VMCOREINFO_BYTES of include/linux/vmcore_info.h.
constexpr size_t kVmcoreInfoBytes = kPageSize;
constexpr std::string_view kTextBegin = "OSRELEASE=";

std::vector<int> possible_levels(const VmcoreInfo& info, const Notes& notes) {
  // NUMBER(pgtable_l5_enabled) since 4.17.
  if (const auto l5 = info.number("pgtable_l5_enabled")) return {*l5 != 0 ? 5 : 4};
  if (!notes.hypervisor_cpus.empty()) return {(notes.hypervisor_cpus.front().cr4 & kCr4La57) != 0 ? 5 : 4};
  return {4, 5};
}

std::optional<uint64_t> translate(PhysicalMemory& physical, const PageTableSetup& setup, uint64_t address) {
  PageTableSetup tables_only = setup;
  tables_only.phys_base.reset();
  PageTable table(physical, tables_only);
  const auto result = table.translate(address);
  if (!result.has_value()) return std::nullopt;
  return result->physical;
}

std::optional<uint64_t> root_symbol(const VmcoreInfo& info) {
  // init_top_pgt since 4.13, init_level4_pgt before; swapper_pg_dir is another name of the same table.
  for (const char* name : {"swapper_pg_dir", "init_top_pgt", "init_level4_pgt"})
    if (const auto address = info.symbol(name); address && *address >= kKernelImageMap) return address;
  return std::nullopt;
}

/// Page tables that a CPU was using. Every process has the kernel's half, except that a CPU in user mode with
/// PTI has next to nothing of it: the kernel's table is then the page before.
std::optional<PageTableSetup> from_control_registers(PhysicalMemory& physical, const Notes& notes) {
  for (size_t i = 0; i < notes.hypervisor_cpus.size() && i < notes.cpus.size(); i++) {
    const HypervisorCpu& cpu = notes.hypervisor_cpus[i];
    const bool user = (cpu.cs & 3) != 0;
    const uint64_t witness = user ? cpu.kernel_gs_base : notes.cpus[i].registers.ip;
    PageTableSetup setup;
    setup.levels = (cpu.cr4 & kCr4La57) != 0 ? 5 : 4;
    for (const uint64_t ignored : {kPtiUserTable, uint64_t{0}}) {
      if (ignored != 0 && !user) continue;
      setup.root = cpu.cr3 & kCr3AddressBits & ~ignored;
      if (static_cast<int64_t>(witness) < 0 && translate(physical, setup, witness)) return setup;
    }
  }
  return std::nullopt;
}

}  // namespace

AddressSpace find_address_space(PhysicalMemory& physical, const Container& container, const VmcoreInfo& info,
                                const Notes& notes) {
  AddressSpace space;
  space.setup.direct_map_base = container.direct_map_base();
  space.setup.sme_mask = static_cast<uint64_t>(info.number("sme_mask").value_or(0));
  const auto root = root_symbol(info);
  const auto text = info.symbol("_stext");

  std::vector<uint64_t> bases;
  if (const auto base = info.number("phys_base")) bases.push_back(static_cast<uint64_t>(*base));
  if (container.phys_base()) bases.push_back(*container.phys_base());

  const auto by_registers = from_control_registers(physical, notes);
  if (by_registers && text && *text >= kKernelImageMap)
    if (const auto at = translate(physical, *by_registers, *text))
      bases.push_back(*at - (*text - kKernelImageMap));

  if (root) {
    for (const uint64_t base : bases) {
      for (const int levels : possible_levels(info, notes)) {
        PageTableSetup setup = space.setup;
        setup.phys_base = base;
        setup.levels = levels;
        setup.root = *root - kKernelImageMap + base;
        const bool first = space.setup.root == 0;
        if (text && translate(physical, setup, *text) == *text - kKernelImageMap + base) return {setup, true};
        if (first) space.setup = setup;
      }
    }
  }
  if (space.setup.root == 0 && by_registers) {
    space.setup.root = by_registers->root;
    space.setup.levels = by_registers->levels;
  }
  if (!space.setup.phys_base && !bases.empty()) space.setup.phys_base = bases.front();
  if (space.setup.root == 0)
    space.setup.root = kCr3AddressBits;  // nowhere: every walk falls back to the mappings
  return space;
}

namespace {

/// The text in a page that begins like vmcoreinfo_data or like vmcoreinfo_note.
std::optional<std::string> text_at(PhysicalMemory& physical, uint64_t address) {
  char begin[sizeof(Elf64_Nhdr) + 12 + kTextBegin.size()];
  if (physical.read(address, std::as_writable_bytes(std::span(begin)))) return std::nullopt;
  const std::string_view view(begin, sizeof(begin));
  const size_t note_text = sizeof(Elf64_Nhdr) + 12;
  const bool is_data = view.starts_with(kTextBegin);
  const bool is_note = view.substr(sizeof(Elf64_Nhdr)).starts_with(kVmcoreInfoNoteName) &&
                       view.substr(note_text).starts_with(kTextBegin);
  if (!is_data && !is_note) return std::nullopt;
  std::string text(kVmcoreInfoBytes, '\0');
  const uint64_t from = address + (is_note ? note_text : 0);
  if (physical.read(from, std::as_writable_bytes(std::span(text)))) return std::nullopt;
  return text;
}

}  // namespace

std::optional<VmcoreInfo> search_vmcoreinfo(PhysicalMemory& physical, const Container& container,
                                            const Notes& notes,
                                            const std::function<void(uint64_t, uint64_t)>& progress,
                                            size_t& rejected) {
  constexpr uint64_t kProgressStep = 256 << 20;
  const auto ranges = physical.ranges();
  uint64_t total = 0, done = 0;
  for (const auto& range : ranges) total += range.end - range.begin;
  rejected = 0;
  for (const auto& range : ranges) {
    for (uint64_t address = range.begin & ~(kPageSize - 1); address < range.end; address += kPageSize) {
      if (progress && done % kProgressStep == 0) progress(done, total);
      done += kPageSize;
      auto text = text_at(physical, address);
      if (!text) continue;
      VmcoreInfo info(std::move(*text));
      if (find_address_space(physical, container, info, notes).verified) return info;
      rejected++;
    }
  }
  return std::nullopt;
}

}  // namespace perfcore
