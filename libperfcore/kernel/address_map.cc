// SPDX-License-Identifier: LGPL-2.1-or-later
#include <fmt/format.h>

#include <cstring>

#include "perfcore/address.h"

namespace perfcore {
namespace {

// Documentation/arch/x86/x86_64/mm.rst. These do not move: KASLR shifts the three regions that are read from
// variables, the image and modules within theirs.
constexpr uint64_t kCpuEntryAreaBegin = 0xfffffe0000000000;  // CPU_ENTRY_AREA_PGD = -4
constexpr uint64_t kCpuEntryAreaEnd = 0xfffffe8000000000;
constexpr uint64_t kImageBegin = 0xffffffff80000000;  // __START_KERNEL_map
constexpr uint64_t kModulesBegin =
    0xffffffffa0000000;  // MODULES_VADDR without KASLR; 0xffffffffc0000000 with
constexpr uint64_t kModulesEnd = 0xffffffffff000000;
constexpr uint64_t kFirstErrorPointer = ~uint64_t{0} - 4094;  // MAX_ERRNO 4095

// Without CONFIG_DYNAMIC_MEMORY_LAYOUT (__PAGE_OFFSET_BASE_L4 and so on).
constexpr uint64_t kDirectMapBase4 = 0xffff888000000000, kDirectMapBase5 = 0xff11000000000000;
constexpr uint64_t kVmallocBase4 = 0xffffc90000000000, kVmallocBase5 = 0xffa0000000000000;
constexpr uint64_t kVmemmapBase4 = 0xffffea0000000000, kVmemmapBase5 = 0xffd4000000000000;

constexpr uint64_t kPoisonDelta = 0xdead000000000000;  // CONFIG_ILLEGAL_POINTER_VALUE

struct PoisonByte {
  uint8_t byte;
  std::string_view meaning;
};
// include/linux/poison.h, mm/slab.h, security/ and compilers' patterns.
constexpr PoisonByte kPoisonBytes[] = {
    {0x6b, "freed slab memory (0x6b, POISON_FREE)"},
    {0x5a, "slab memory that was allocated and never written (0x5a, POISON_INUSE)"},
    {0xa5, "end of a slab object (0xa5, POISON_END)"},
    {0xbb, "red zone of a free slab object (0xbb, SLUB_RED_INACTIVE)"},
    {0xcc, "red zone of a slab object in use, or freed init memory (0xcc)"},
    {0xaa, "freed page, or variable that was never initialised (0xaa, PAGE_POISON)"},
};

struct PoisonValue {
  uint64_t value;
  std::string_view name;
};
// Members of an object that such a pointer should lead to lie above it; the nearest below counts.
constexpr PoisonValue kPoisonValues[] = {
    {kPoisonDelta + 0x300, "TIMER_ENTRY_STATIC"},
    {kPoisonDelta + 0x122, "LIST_POISON2: the prev or pprev of an entry that was taken off its list"},
    {kPoisonDelta + 0x100, "LIST_POISON1: the next of an entry that was taken off its list"},
    {kPoisonDelta, "an illegal pointer (POISON_POINTER_DELTA)"},
};

uint64_t repeated(uint8_t byte) {
  return byte * 0x0101010101010101;
}

}  // namespace

std::string_view to_string(Region region) {
  switch (region) {
    case Region::kNullPage:
      return "NULL page";
    case Region::kUser:
      return "user space";
    case Region::kNonCanonical:
      return "non-canonical";
    case Region::kDirectMap:
      return "direct map";
    case Region::kVmalloc:
      return "vmalloc area";
    case Region::kVmemmap:
      return "array of struct page (vmemmap)";
    case Region::kCpuEntryArea:
      return "CPU entry area";
    case Region::kKernelImage:
      return "kernel image";
    case Region::kModules:
      return "module area";
    case Region::kFixmap:
      return "fixed mappings";
    case Region::kErrorPointer:
      return "error pointer";
    case Region::kOtherKernel:
      return "kernel half, no region of its own";
  }
  return "?";
}

AddressMap::AddressMap(Kernel& kernel)
    : kernel_(&kernel), five_levels_(kernel.vmcoreinfo().number("pgtable_l5_enabled").value_or(0) != 0) {}

const AddressMap::Bases& AddressMap::bases() {
  if (bases_) return *bases_;
  const auto base = [&](const char* name, uint64_t otherwise4, uint64_t otherwise5) -> Reading<uint64_t> {
    Reading<uint64_t> value = kernel_->variable(name).u64();
    if (!value.has_value() && value.unread().reason == UnreadReason::kNoSymbol)
      return five_levels_ ? otherwise5 : otherwise4;
    return value;
  };
  bases_ = Bases{base("page_offset_base", kDirectMapBase4, kDirectMapBase5),
                 base("vmalloc_base", kVmallocBase4, kVmallocBase5),
                 base("vmemmap_base", kVmemmapBase4, kVmemmapBase5)};
  return *bases_;
}

const Reading<uint64_t>& AddressMap::direct_map() {
  return bases().direct_map;
}
const Reading<uint64_t>& AddressMap::vmalloc() {
  return bases().vmalloc;
}
const Reading<uint64_t>& AddressMap::vmemmap() {
  return bases().vmemmap;
}

Region AddressMap::region(uint64_t address) {
  if (address < kPageSize) return Region::kNullPage;
  const int bits = five_levels_ ? 56 : 47;
  const uint64_t top = address >> bits;
  if (top == 0) return Region::kUser;
  if (top != ~uint64_t{0} >> bits) return Region::kNonCanonical;
  if (address >= kFirstErrorPointer) return Region::kErrorPointer;
  if (address >= kModulesEnd) return Region::kFixmap;
  if (address >= kImageBegin) {
    if (address < kModulesBegin) return Region::kKernelImage;
    // With KASLR the image may take a gigabyte; its end tells.
    const auto end = kernel_->symbols().find("_end");
    return end && address < end->address ? Region::kKernelImage : Region::kModules;
  }
  if (address >= kCpuEntryAreaBegin && address < kCpuEntryAreaEnd) return Region::kCpuEntryArea;
  const Bases& known = bases();
  const auto at_or_above = [&](const Reading<uint64_t>& base) {
    return base.has_value() && address >= *base;
  };
  const auto below = [&](const Reading<uint64_t>& base) { return base.has_value() && address < *base; };
  // 32 TB or 12.5 PB of vmalloc space, 1 TB or 0.5 PB of vmemmap at least (VMALLOC_SIZE_TB_L4 and mm.rst).
  const uint64_t vmalloc_size = five_levels_ ? uint64_t{12800} << 40 : uint64_t{32} << 40;
  const uint64_t vmemmap_size = five_levels_ ? uint64_t{512} << 40 : uint64_t{1} << 40;
  if (at_or_above(known.vmemmap) && address - *known.vmemmap < vmemmap_size) return Region::kVmemmap;
  if (at_or_above(known.vmalloc) && below(known.vmemmap) && address - *known.vmalloc < vmalloc_size)
    return Region::kVmalloc;
  if (at_or_above(known.direct_map) && below(known.vmalloc)) return Region::kDirectMap;
  return Region::kOtherKernel;
}

std::string poison_name(uint64_t value) {
  for (const PoisonByte& poison : kPoisonBytes)
    if (value - repeated(poison.byte) < kPageSize || value >> 8 == repeated(poison.byte) >> 8)
      return std::string(poison.meaning);
  if (value - kPoisonDelta < 2 * kPageSize)
    for (const PoisonValue& poison : kPoisonValues)
      if (value >= poison.value) return std::string(poison.name);
  return "";
}

std::string error_pointer_name(uint64_t value) {
  if (value < kFirstErrorPointer) return "";
  const int error = static_cast<int>(~value + 1);
  // include/linux/errno.h: numbers that never reach user space.
  static constexpr std::pair<int, std::string_view> kKernelOnly[] = {{512, "ERESTARTSYS"},
                                                                     {513, "ERESTARTNOINTR"},
                                                                     {514, "ERESTARTNOHAND"},
                                                                     {515, "ENOIOCTLCMD"},
                                                                     {516, "ERESTART_RESTARTBLOCK"},
                                                                     {517, "EPROBE_DEFER"},
                                                                     {518, "EOPENSTALE"},
                                                                     {519, "ENOPARAM"},
                                                                     {521, "EBADHANDLE"},
                                                                     {522, "ENOTSYNC"},
                                                                     {523, "EBADCOOKIE"},
                                                                     {524, "ENOTSUPP"},
                                                                     {525, "ETOOSMALL"},
                                                                     {526, "ESERVERFAULT"},
                                                                     {527, "EBADTYPE"},
                                                                     {528, "EJUKEBOX"},
                                                                     {529, "EIOCBQUEUED"},
                                                                     {530, "ERECALLCONFLICT"}};
  for (const auto& [number, name] : kKernelOnly)
    if (number == error) return fmt::format("-{}", name);
  if (const char* name = strerrorname_np(error)) return fmt::format("-{}", name);
  return fmt::format("-{}", error);
}

}  // namespace perfcore
