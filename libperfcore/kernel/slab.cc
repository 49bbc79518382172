// SPDX-License-Identifier: LGPL-2.1-or-later
#include "perfcore/slab.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cctype>
#include <map>
#include <vector>

namespace perfcore {
namespace {

/// Bounds against corrupt slabs. A slab has at most 32767 objects (15 bits of struct slab).
constexpr uint64_t kMaxObjects = 32768;
constexpr uint64_t kMaxSheafObjects = 4096;
constexpr size_t kMaxSheaves = 1024;
constexpr uint64_t kMaxNodes = 1024;
constexpr int kMaxOrder = 10;  // of the largest free block of pages (MAX_PAGE_ORDER)
constexpr uint64_t kHeadMaskFloor = 0xfffffff000000000;  // above vmemmap: not a pointer to a struct page

/// Caches whose name is not that of their struct.
constexpr std::pair<std::string_view, std::string_view> kCacheTypes[] = {
    {"anon_vma_chain", "struct anon_vma_chain"},
    {"bdev_cache", "struct bdev_inode"},
    {"cred", "struct cred"},
    {"cred_jar", "struct cred"},
    {"ext4_inode_cache", "struct ext4_inode_info"},
    {"files_cache", "struct files_struct"},
    {"filp", "struct file"},
    {"fs_cache", "struct fs_struct"},
    {"inode_cache", "struct inode"},
    {"mnt_cache", "struct mount"},
    {"mqueue_inode_cache", "struct mqueue_inode_info"},
    {"names_cache", "char [4096]"},
    {"pid", "struct pid"},
    {"proc_inode_cache", "struct proc_inode"},
    {"radix_tree_node", "struct xa_node"},
    {"shmem_inode_cache", "struct shmem_inode_info"},
    {"sighand_cache", "struct sighand_struct"},
    {"signal_cache", "struct signal_struct"},
    {"skbuff_head_cache", "struct sk_buff"},
    {"sock_inode_cache", "struct socket_alloc"},
    {"TCP", "struct tcp_sock"},
    {"UNIX", "struct unix_sock"},
};

std::string lower(std::string_view text) {
  std::string result(text);
  std::ranges::transform(result, result.begin(), [](unsigned char c) { return std::tolower(c); });
  return result;
}

}  // namespace

struct SlabReader::Impl {
  struct Cache {
    Object object;
    std::string name;
    Reading<uint64_t> size, object_size, pointer_offset, red_left_pad;
    bool hardened = false;
    Reading<uint64_t> random;
    bool merged = false;
  };

  /// A chain of free objects; `first` points to one of them, or is NULL.
  struct Chain {
    Reading<uint64_t> first;
    std::string name;
  };

  Impl(Kernel& k, AddressMap& m) : kernel(k), map(m) {}

  Cache& cache(uint64_t address) {
    if (const auto known = caches.find(address); known != caches.end()) return known->second;
    const Object object = kernel.object("struct kmem_cache", address);
    Cache cache{
        object,
        "",
        object.member("size").u64(),
        object.member("object_size").u64(),
        object.member("offset").u64(),
        object.has_member("red_left_pad") ? object.member("red_left_pad").u64() : Reading<uint64_t>(0),
        object.has_member("random"),
        object.member("random").u64(),
        false};
    if (const auto name = object.member("name").string(128); name.has_value()) cache.name = *name;
    const auto users = object.member("refcount").s64();
    cache.merged = users.has_value() && *users > 1;
    return caches.emplace(address, std::move(cache)).first->second;
  }

  const std::vector<int>& cpus() {
    if (!cpu_list) {
      const auto possible = kernel.possible_cpus();
      cpu_list = possible.has_value() ? *possible : std::vector<int>{};
      if (!possible.has_value()) cpus_unread = possible.unread();
    }
    return *cpu_list;
  }

  std::string flag_names(uint64_t flags) {
    if (!flag_list) {
      flag_list.emplace();
      if (const Type* type = kernel.type("enum pageflags"))
        for (const Enumerator& flag : type->enumerators())
          // Flags share bits with others that have a meaning in one subsystem only: the first name is the
          // general one.
          if (flag.value >= 0 && flag.value < 32 && flag.name.starts_with("PG_") &&
              std::ranges::none_of(*flag_list, [&](const auto& known) { return known.first == flag.value; }))
            flag_list->emplace_back(flag.value, lower(std::string_view(flag.name).substr(3)));
    }
    std::string names;
    for (const auto& [bit, name] : *flag_list)
      if (flags >> bit & 1) names += (names.empty() ? "" : "|") + name;
    return names;
  }

  /// PG_slab was a page flag up to 6.9; then a page type (46df8e73a4a3 "mm: free up PG_slab", 6.10), in the
  /// upper byte since 6.12.
  Reading<bool> is_slab(const PageInfo& info) {
    if (const auto type = kernel.enumerator("pagetype", "PGTY_slab"))
      return info.page_type >> 24 == static_cast<uint64_t>(*type);
    if (const auto flag = kernel.enumerator("pageflags", "PG_slab"); flag && *flag >= 0 && *flag < 32)
      return (info.flags >> *flag & 1) != 0;
    if (const auto value = kernel.vmcoreinfo().number("PAGE_SLAB_MAPCOUNT_VALUE"))
      return static_cast<uint32_t>(info.page_type) == static_cast<uint32_t>(*value);
    return Unread{UnreadReason::kNoType, info.page, "PG_slab", "neither a page flag nor a page type"};
  }

  std::string type_name(uint64_t page_type) {
    if (const Type* types = kernel.type("enum pagetype"))
      for (const Enumerator& type : types->enumerators())
        if (type.name.starts_with("PGTY_") && type.name != "PGTY_mapcount_underflow" &&
            page_type >> 24 == static_cast<uint64_t>(type.value))
          return lower(std::string_view(type.name).substr(5));
    for (const auto& [key, name] : {std::pair{"PAGE_BUDDY_MAPCOUNT_VALUE", "buddy"},
                                    std::pair{"PAGE_OFFLINE_MAPCOUNT_VALUE", "offline"}})
      if (const auto value = kernel.vmcoreinfo().number(key);
          value && static_cast<uint32_t>(page_type) == static_cast<uint32_t>(*value))
        return name;
    return "";
  }

  /// The memory that a struct page describes.
  Reading<uint64_t> address_of_page(uint64_t page, uint64_t page_size) {
    if (!map.direct_map().has_value()) return map.direct_map().unread();
    return *map.direct_map() + (page - *map.vmemmap()) / page_size * kPageSize;
  }

  /// compound_head(). Since 7.0 the word may be a mask that leads from a tail page to its head.
  static uint64_t head_of(uint64_t page, uint64_t word) {
    if ((word & 1) == 0) return page;
    return word >= kHeadMaskFloor ? page & word : word - 1;
  }

  Reading<PageInfo> page(uint64_t pfn);
  /// Is this page within a free block that starts at another page?
  bool in_free_block(uint64_t pfn, uint64_t page_size);

  Reading<SlabObject::State> state_of(Cache& cache, const Object& slab, uint64_t begin, SlabObject* object);
  Reading<bool> chain_holds(const Cache& cache, const Chain& chain, uint64_t begin, uint64_t end,
                            uint64_t size, uint64_t count, uint64_t wanted);
  /// The sheaf's objects below `size` are free.
  Reading<bool> sheaf_holds(const Object& pointer, uint64_t wanted);
  /// Sheaves of every CPU and node; nullopt when none has the object.
  Reading<std::optional<std::string>> find_in_sheaves(Cache& cache, uint64_t wanted);

  Kernel& kernel;
  AddressMap& map;
  std::map<uint64_t, Cache> caches;
  std::optional<std::vector<int>> cpu_list;
  std::optional<Unread> cpus_unread;
  std::optional<std::vector<std::pair<int64_t, std::string>>> flag_list;
};

bool SlabReader::Impl::in_free_block(uint64_t pfn, uint64_t page_size) {
  for (int order = 1; order <= kMaxOrder; order++) {
    const uint64_t first = pfn >> order << order;
    if (first == pfn) continue;
    const Object page = kernel.object("struct page", *map.vmemmap() + first * page_size);
    const auto type = page.member("page_type").u64();
    const auto block_order = page.member("private").u64();
    if (type.has_value() && block_order.has_value() && type_name(*type) == "buddy" &&
        *block_order >= static_cast<uint64_t>(order) && *block_order <= kMaxOrder)
      return true;
  }
  return false;
}

Reading<PageInfo> SlabReader::Impl::page(uint64_t pfn) {
  if (!map.vmemmap().has_value()) return map.vmemmap().unread();
  const Type* type = kernel.type("struct page");
  if (!type || type->size == 0) return Unread{UnreadReason::kNoType, 0, "struct page", ""};
  PageInfo info;
  info.pfn = pfn;
  info.page = *map.vmemmap() + pfn * type->size;
  const Object own = kernel.object(type, info.page).load();
  // Renamed to compound_info in 7.0 or thereabouts.
  const auto word = own.member(own.has_member("compound_info") ? "compound_info" : "compound_head").u64();
  if (!word.has_value()) return word.unread();
  info.head = head_of(info.page, *word);
  const auto address = address_of_page(info.head, type->size);
  if (!address.has_value()) return address.unread();
  info.head_address = *address;
  const Object head = info.head == info.page ? own : kernel.object(type, info.head).load();
  // memdesc_flags_t since 6.18 (53fbef56e07d "mm: introduce memdesc_flags_t"), an unsigned long before.
  const Object flags = head.member("flags");
  const auto flag_bits = flags.has_member("f") ? flags.member("f").u64() : flags.u64();
  if (!flag_bits.has_value()) return flag_bits.unread();
  info.flags = *flag_bits;
  info.flag_names = flag_names(info.flags);
  if (const auto page_type = head.member("page_type").u64(); page_type.has_value())
    info.page_type = *page_type & 0xffffffff;
  if (const auto count = head.member("_refcount.counter").s64(); count.has_value()) info.refcount = *count;
  const auto slab = is_slab(info);
  if (!slab.has_value()) return slab.unread();
  info.slab = *slab;
  info.type_name = info.slab ? "slab" : type_name(info.page_type);
  if (info.type_name.empty() && info.refcount == 0 && in_free_block(pfn, type->size))
    info.type_name = "buddy";
  return info;
}

Reading<bool> SlabReader::Impl::chain_holds(const Cache& cache, const Chain& chain, uint64_t begin,
                                            uint64_t end, uint64_t size, uint64_t count, uint64_t wanted) {
  if (!chain.first.has_value()) return chain.first.unread();
  uint64_t object = *chain.first;
  for (uint64_t steps = 0; object != 0; steps++) {
    if (object < begin || object >= end || (object - begin) % size != 0 || steps > count)
      return Unread{UnreadReason::kCorrupt, object, chain.name,
                    fmt::format("entry {} points to {:#x}, which is no object of the slab at {:#x}", steps,
                                object, begin)};
    if (object == wanted) return true;
    const uint64_t link = object + *cache.pointer_offset;
    auto next = read_value<uint64_t>(kernel.memory(), link);
    if (!next.has_value()) return next.unread();
    object = *next;
    // freelist_ptr_decode(); the address of the pointer takes part byte-swapped since 1ad53d9fa3f6 (5.7).
    if (cache.hardened) {
      if (!cache.random.has_value()) return cache.random.unread();
      object ^= *cache.random ^ __builtin_bswap64(link);
    }
  }
  return false;
}

Reading<bool> SlabReader::Impl::sheaf_holds(const Object& pointer, uint64_t wanted) {
  const auto address = pointer.u64();
  if (!address.has_value()) return address.unread();
  if (*address == 0) return false;
  const Object sheaf = pointer.deref();
  const auto size = sheaf.member("size").u64();
  if (!size.has_value()) return size.unread();
  if (*size > kMaxSheafObjects)
    return Unread{UnreadReason::kCorrupt, *address, sheaf.member("size").expression(),
                  fmt::format("{} objects in one sheaf", *size)};
  const auto first = sheaf.member("objects").address();
  if (!first.has_value()) return first.unread();
  const auto objects = read_array<uint64_t>(kernel.memory(), *first, *size);
  if (!objects.has_value()) return objects.unread();
  return std::ranges::find(*objects, wanted) != objects->end();
}

Reading<std::optional<std::string>> SlabReader::Impl::find_in_sheaves(Cache& cache, uint64_t wanted) {
  std::optional<Unread> unread;
  const auto note = [&](const Reading<bool>& holds) {
    if (!holds.has_value() && !unread) unread = holds.unread();
    return holds.is(true);
  };
  for (const int cpu : cpus()) {
    const Object sheaves = cache.object.member("cpu_sheaves").per_cpu_ptr(cpu);
    for (const char* name : {"main", "spare"})
      if (note(sheaf_holds(sheaves.member(name), wanted)))
        return std::optional(fmt::format("sheaf of CPU {}", cpu));
    if (note(sheaf_holds(sheaves.member("rcu_free"), wanted)))
      return std::optional(fmt::format("kfree_rcu() sheaf of CPU {}, waiting for a grace period", cpu));
  }
  const auto nodes = kernel.variable("nr_node_ids").u64();
  const uint64_t node_count = nodes.has_value() ? std::min(*nodes, kMaxNodes) : 1;
  const bool together = cache.object.has_member("per_node");
  for (uint64_t node = 0; node < node_count; node++) {
    // struct kmem_cache_node had the barn in 6.18 and 6.19.
    const Object barn = (together ? cache.object.member("per_node").index(static_cast<int64_t>(node))
                                  : cache.object.member("node").index(static_cast<int64_t>(node)).deref())
                            .member("barn");
    const auto address = barn.u64();
    if (!address.has_value() || *address == 0) {
      if (!address.has_value() && !unread) unread = address.unread();
      continue;
    }
    const ListWalk walk =
        list_entries(barn.deref().member("sheaves_full"), "struct slab_sheaf", "barn_list", kMaxSheaves);
    for (const Object& sheaf : walk.entries)
      if (note(sheaf_holds(sheaf.address_of(), wanted)))
        return std::optional(fmt::format("full sheaf of node {}", node));
    if (walk.incomplete && !unread) unread = *walk.incomplete;
  }
  if (unread) return *unread;
  return std::optional<std::string>();
}

Reading<SlabObject::State> SlabReader::Impl::state_of(Cache& cache, const Object& slab, uint64_t begin,
                                                      SlabObject* object) {
  if (!cache.pointer_offset.has_value()) return cache.pointer_offset.unread();
  const uint64_t size = *cache.size;
  const uint64_t first = begin + *cache.red_left_pad;
  const uint64_t end = begin + size * object->count;
  std::optional<Unread> unread;
  const auto holds = [&](const Chain& chain) {
    const auto found = chain_holds(cache, chain, first, end, size, object->count, object->object);
    if (!found.has_value() && !unread) unread = found.unread();
    if (found.is(true)) object->where = chain.name;
    return found.is(true);
  };
  if (holds({slab.member("freelist").u64(), "freelist of the slab"})) return SlabObject::State::kFree;
  if (cpus().empty() && cpus_unread) unread = *cpus_unread;
  // The CPU that allocates from a slab takes its freelist over (until 7.0, where sheaves replaced that).
  if (cache.object.has_member("cpu_slab")) {
    for (const int cpu : cpus()) {
      const Object local = cache.object.member("cpu_slab").per_cpu_ptr(cpu);
      const auto current = local.member(local.has_member("slab") ? "slab" : "page").u64();
      if (!current.has_value()) {
        if (!unread) unread = current.unread();
        continue;
      }
      if (*current == object->slab &&
          holds({local.member("freelist").u64(), fmt::format("freelist of CPU {}", cpu)}))
        return SlabObject::State::kFree;
    }
  }
  if (cache.object.has_member("cpu_sheaves")) {
    const auto used = cache.object.member("cpu_sheaves").u64();
    if (!used.has_value() && !unread) unread = used.unread();
    if (used.has_value() && *used != 0) {
      const auto sheaf = find_in_sheaves(cache, object->object);
      if (sheaf.has_value() && *sheaf) {
        object->where = **sheaf;
        return SlabObject::State::kFree;
      }
      if (!sheaf.has_value() && !unread) unread = sheaf.unread();
    }
  }
  if (unread) return *unread;
  return SlabObject::State::kAllocated;
}

SlabReader::SlabReader(Kernel& kernel, AddressMap& map) : impl_(std::make_unique<Impl>(kernel, map)) {}
SlabReader::~SlabReader() = default;

Reading<PageInfo> SlabReader::page_of(uint64_t address) {
  const auto& base = impl_->map.direct_map();
  if (!base.has_value()) return base.unread();
  if (impl_->map.region(address) != Region::kDirectMap)
    return Unread{UnreadReason::kUnsupported, address, "struct page", "not an address of the direct map"};
  return page((address - *base) / kPageSize);
}

Reading<PageInfo> SlabReader::page(uint64_t pfn) {
  return impl_->page(pfn);
}

Reading<std::optional<SlabObject>> SlabReader::object_at(uint64_t address) {
  const Reading<PageInfo> page = page_of(address);
  if (!page.has_value()) return page.unread();
  if (!page->slab) return std::optional<SlabObject>();
  // struct slab took these members over from struct page in 5.17 (d122019bf061 "mm: Split slab into its own
  // type").
  Kernel& kernel = impl_->kernel;
  const char* slab_type = kernel.type("struct slab") ? "struct slab" : "struct page";
  const Object slab = kernel.object(slab_type, page->head).load();
  SlabObject object;
  object.slab = page->head;
  const auto cache_address = slab.member("slab_cache").u64();
  if (!cache_address.has_value()) return cache_address.unread();
  object.cache = *cache_address;
  if (object.cache == 0)
    return Unread{UnreadReason::kCorrupt, page->head, slab.member("slab_cache").expression(),
                  "NULL in a slab"};
  Impl::Cache& cache = impl_->cache(object.cache);
  for (const auto* value : {&cache.size, &cache.object_size, &cache.red_left_pad})
    if (!value->has_value()) return value->unread();
  const auto count = slab.member("objects").u64();
  if (!count.has_value()) return count.unread();
  object.cache_name = cache.name;
  object.merged = cache.merged;
  object.object_size = *cache.object_size;
  object.count = *count;
  if (*cache.size == 0 || *cache.object_size > *cache.size || *cache.red_left_pad >= *cache.size ||
      object.count > kMaxObjects)
    return Unread{
        UnreadReason::kCorrupt, object.cache, cache.object.expression(),
        fmt::format("size {}, object_size {}, {} objects", *cache.size, *cache.object_size, *count)};
  const uint64_t in_slab = address - page->head_address;
  object.index = in_slab / *cache.size;
  object.object = page->head_address + object.index * *cache.size + *cache.red_left_pad;
  object.offset = address - object.object;
  object.inside =
      address >= object.object && object.offset < object.object_size && object.index < object.count;
  if (object.index < object.count)
    object.state = impl_->state_of(cache, slab, page->head_address, &object);
  else
    object.state = Unread{UnreadReason::kUnsupported, address, "slab object", "behind the last object"};
  return std::optional(std::move(object));
}

const Type* SlabReader::type_of(const SlabObject& object) {
  Kernel& kernel = impl_->kernel;
  const auto* known = std::ranges::find(kCacheTypes, object.cache_name,
                                        &std::pair<std::string_view, std::string_view>::first);
  const Type* type = known != std::end(kCacheTypes) ? kernel.type(known->second)
                     : object.cache_name.starts_with("kmalloc") || object.cache_name.empty()
                         ? nullptr
                         : kernel.type("struct " + object.cache_name);
  // Of task_struct's objects only as much is allocated as the CPU's FPU state at its end needs (up to 6.15).
  const bool fits =
      type && type->size != 0 && (type->size <= object.object_size || object.cache_name == "task_struct");
  return fits ? type : nullptr;
}

}  // namespace perfcore
