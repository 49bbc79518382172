// SPDX-License-Identifier: LGPL-2.1-or-later
#include "kernel/address_areas.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <set>

namespace perfcore {
namespace {

constexpr size_t kMaxChunks = 10000;
constexpr uint64_t kMaxSlots = 64;
constexpr uint64_t kMaxChunkPages = 1 << 16;
constexpr uint64_t kMinAllocation = 4;  // PCPU_MIN_ALLOC_SIZE, bytes a bit of the maps stands for
constexpr int kMaxTreeDepth = 128;
constexpr int64_t kMaxVmapNodes = 1024;

// include/linux/vmalloc.h
constexpr std::pair<uint64_t, std::string_view> kVmFlags[] = {
    {0x1, "ioremap"}, {0x2, "vmalloc"}, {0x4, "vmap"}, {0x8, "mapped to user space"}, {0x10, "DMA"}};

/// The set bit of a bitmap next to `bit`, downwards from it or upwards from the one behind it.
Reading<std::optional<uint64_t>> nearest_bit(Kernel& kernel, uint64_t map, uint64_t bits, uint64_t bit,
                                             bool down) {
  for (int64_t word = static_cast<int64_t>(bit / 64); word >= 0 && static_cast<uint64_t>(word) * 64 < bits;
       word += down ? -1 : 1) {
    const auto value = read_value<uint64_t>(kernel.memory(), map + static_cast<uint64_t>(word) * 8);
    if (!value.has_value()) return value.unread();
    uint64_t set = *value;
    if (static_cast<uint64_t>(word) == bit / 64) {
      const uint64_t up_to_bit = ~uint64_t{0} >> (63 - bit % 64);
      set &= down ? up_to_bit : ~up_to_bit;
    }
    if (set == 0) continue;
    const int found = down ? 63 - std::countl_zero(set) : std::countr_zero(set);
    return std::optional<uint64_t>(static_cast<uint64_t>(word) * 64 + static_cast<uint64_t>(found));
  }
  return std::optional<uint64_t>();
}

/// The vmap_area of a red-black tree that holds the address.
Reading<std::optional<Object>> search_tree(const Object& root, uint64_t address) {
  Object node = root.member("rb_node");
  for (int depth = 0; depth < kMaxTreeDepth; depth++) {
    const auto pointer = node.u64();
    if (!pointer.has_value()) return pointer.unread();
    if (*pointer == 0) return std::optional<Object>();
    const Object area = node.container_of("struct vmap_area", "rb_node").load();
    const auto begin = area.member("va_start").u64();
    const auto end = area.member("va_end").u64();
    if (!begin.has_value()) return begin.unread();
    if (!end.has_value()) return end.unread();
    if (address >= *begin && address < *end) return std::optional(area);
    node = area.member("rb_node").member(address < *begin ? "rb_left" : "rb_right");
  }
  return Unread{UnreadReason::kLimit, address, root.expression(),
                "the tree is deeper than a sound one can be"};
}

VmallocArea describe_area(const Object& found, bool freed) {
  VmallocArea area;
  area.freed = freed;
  if (const auto begin = found.member("va_start").u64(); begin.has_value()) area.begin = *begin;
  if (const auto end = found.member("va_end").u64(); end.has_value()) area.end = *end;
  // In a free area the pointer's place holds a size.
  const auto vm = found.member("vm").u64();
  if (freed || !vm.has_value() || *vm == 0) return area;
  area.vm = *vm;
  const Object mapping = found.member("vm").deref().load();
  const auto take = [&](const char* name, uint64_t* value) {
    if (const auto read = mapping.member(name).u64(); read.has_value()) *value = *read;
  };
  take("flags", &area.flags);
  take("caller", &area.caller);
  take("size", &area.size);
  take("phys_addr", &area.physical);
  for (const auto& [flag, name] : kVmFlags)
    if (area.flags & flag) area.flag_names += (area.flag_names.empty() ? "" : ", ") + std::string(name);
  return area;
}

}  // namespace

void PerCpuAreas::load() {
  loaded_ = true;
  const auto start = kernel_.symbols().find("__per_cpu_start");
  const auto end = kernel_.symbols().find("__per_cpu_end");
  if (!start || !end) {
    missing_.push_back({UnreadReason::kNoSymbol, 0, "__per_cpu_start", ""});
    return;
  }
  start_ = start->address;
  fixed_size_ = end->address - start->address;
  const auto cpus = kernel_.possible_cpus();
  if (!cpus.has_value()) {
    missing_.push_back(cpus.unread());
    return;
  }
  for (const int cpu : *cpus) {
    const auto offset = kernel_.per_cpu_offset(cpu);
    if (offset.has_value())
      units_.push_back({cpu, *offset});
    else
      missing_.push_back(offset.unread());
  }
  const auto base = kernel_.variable("pcpu_base_addr").u64();
  const auto slots = kernel_.variable("pcpu_nr_slots").u64();
  const Object lists = kernel_.variable("pcpu_chunk_lists");
  if (!base.has_value() || !slots.has_value()) {
    missing_.push_back(base.has_value() ? slots.unread() : base.unread());
    return;
  }
  base_ = *base;
  for (const char* name : {"pcpu_first_chunk", "pcpu_reserved_chunk"})
    if (kernel_.variable(name).truth().is(true)) add_chunk(kernel_.variable(name).deref());
  for (uint64_t slot = 0; slot < std::min(*slots, kMaxSlots); slot++) {
    const ListWalk walk =
        list_entries(lists.index(static_cast<int64_t>(slot)), "struct pcpu_chunk", "list", kMaxChunks);
    for (const Object& chunk : walk.entries) add_chunk(chunk);
    if (walk.incomplete) missing_.push_back(*walk.incomplete);
  }
}

void PerCpuAreas::add_chunk(const Object& chunk) {
  const Object loaded = chunk.load();
  const auto base = loaded.member("base_addr").u64();
  const auto pages = loaded.member("nr_pages").u64();
  const auto begin = loaded.member("start_offset").u64();
  const auto end = loaded.member("end_offset").u64();
  for (const auto* value : {&base, &pages, &begin, &end})
    if (!value->has_value()) {
      missing_.push_back(value->unread());
      return;
    }
  const uint64_t size = *pages * kPageSize;
  if (*base == 0 || *pages > kMaxChunkPages || *begin > size || *end > size - *begin) return;
  const bool known = std::ranges::any_of(
      chunks_, [&](const Chunk& other) { return other.base == *base && other.begin == *begin; });
  if (!known && chunks_.size() < kMaxChunks) chunks_.push_back({loaded, *base, *begin, size - *end});
}

std::optional<PerCpuPlace::Allocation> PerCpuAreas::allocation_at(const Chunk& chunk, uint64_t offset,
                                                                  std::vector<Unread>* unread) {
  const auto bound = chunk.object.member("bound_map").u64();
  const auto used = chunk.object.member("alloc_map").u64();
  if (!bound.has_value() || !used.has_value()) return std::nullopt;
  // Bits count from the chunk's base; a set bit of bound_map starts an allocation or free space behind one.
  const uint64_t bit = offset / kMinAllocation;
  const uint64_t bits = chunk.end / kMinAllocation;
  const auto first = nearest_bit(kernel_, *bound, bits, bit, true);
  const auto next = nearest_bit(kernel_, *bound, bits, bit, false);
  const auto word = read_value<uint64_t>(kernel_.memory(), *used + bit / 64 * 8);
  if (!first.has_value() || !next.has_value() || !word.has_value()) {
    unread->push_back(!first.has_value()  ? first.unread()
                      : !next.has_value() ? next.unread()
                                          : word.unread());
    return std::nullopt;
  }
  const uint64_t begin = first->value_or(chunk.begin / kMinAllocation) * kMinAllocation;
  const uint64_t end = next->value_or(bits) * kMinAllocation;
  return PerCpuPlace::Allocation{begin, end - begin, (*word >> bit % 64 & 1) != 0};
}

std::optional<PerCpuPlace> PerCpuAreas::find(uint64_t address, std::vector<Unread>* unread) {
  if (!loaded_) load();
  for (const Unread& missing : missing_) unread->push_back(missing);
  if (!start_) return std::nullopt;
  for (const Unit& unit : units_) {
    PerCpuPlace place;
    place.cpu = unit.cpu;
    place.pointer = address - unit.offset;
    if (place.pointer - *start_ < fixed_size_) {
      place.fixed = true;
      return place;
    }
    if (!base_) continue;
    // __addr_to_pcpu_ptr(): the units of a CPU in all chunks are equally far from the chunk's base.
    const uint64_t in_first_unit = place.pointer - *start_ + *base_;
    for (const Chunk& chunk : chunks_) {
      const uint64_t offset = in_first_unit - chunk.base;
      if (offset < chunk.begin || offset >= chunk.end) continue;
      if (const auto at = chunk.object.address(); at.has_value()) place.chunk = *at;
      place.allocation = allocation_at(chunk, offset, unread);
      if (place.allocation) place.allocation->begin += chunk.base - *base_ + *start_;
      return place;
    }
  }
  return std::nullopt;
}

Reading<std::optional<VmallocArea>> find_vmalloc_area(Kernel& kernel, uint64_t address) {
  // One tree up to 6.8; 72210662c5a2 ("mm: vmalloc: Offload free_vmap_area_lock lock") and its neighbours
  // (6.9) spread the areas over nodes.
  if (!kernel.symbols().find("vmap_nodes")) {
    const auto found = search_tree(kernel.variable("vmap_area_root"), address);
    if (!found.has_value()) return found.unread();
    return *found ? std::optional(describe_area(**found, false)) : std::nullopt;
  }
  const auto count = kernel.variable("nr_vmap_nodes").s64();
  const Object nodes = kernel.variable("vmap_nodes");
  const int64_t node_count = count.has_value() ? std::min(*count, kMaxVmapNodes) : 1;
  std::optional<Unread> unread;
  if (!count.has_value()) unread = count.unread();
  for (const char* tree : {"busy", "lazy"})
    for (int64_t node = 0; node < node_count; node++) {
      const auto found = search_tree(nodes.index(node).member(tree).member("root"), address);
      if (found.has_value() && *found)
        return std::optional(describe_area(**found, std::string_view(tree) == "lazy"));
      if (!found.has_value() && !unread) unread = found.unread();
    }
  if (unread) return *unread;
  return std::optional<VmallocArea>();
}

}  // namespace perfcore
