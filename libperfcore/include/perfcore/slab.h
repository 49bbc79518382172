// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// Pages and slab objects: which cache an address belongs to, which object of it, and whether that is free.
/// SLUB only (mm/slub.c); SLAB was removed in 6.8, and no distribution of interest used it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "perfcore/address.h"
#include "perfcore/kernel.h"

namespace perfcore {

/// struct page of an address of the direct map.
struct PageInfo {
  uint64_t pfn = 0;
  uint64_t page = 0;                ///< struct page
  uint64_t head = 0;                ///< of the compound page or slab; `page` itself when it is neither
  uint64_t head_address = 0;        ///< of the memory that the head describes
  uint64_t flags = 0;               ///< of the head
  std::string flag_names;           ///< "uptodate|lru", by the kernel's own enum pageflags
  uint64_t page_type = 0;           ///< page_type of the head, which shares its place with _mapcount
  std::string type_name;            ///< "buddy", "slab", "table", ...; empty for a page without a type
  std::optional<int64_t> refcount;  ///< of the head
  bool slab = false;
};

struct SlabObject {
  enum class State { kAllocated, kFree };

  uint64_t cache = 0;  ///< struct kmem_cache
  std::string cache_name;
  bool merged = false;       ///< the cache also serves others of the same size (kmem_cache.refcount > 1)
  uint64_t slab = 0;         ///< struct slab; struct page before 5.17
  uint64_t object = 0;       ///< where the object starts
  uint64_t object_size = 0;  ///< bytes
  uint64_t offset = 0;       ///< of the address within the object
  uint64_t index = 0;        ///< of the object in its slab
  uint64_t count = 0;        ///< objects in the slab
  bool inside = true;        ///< false: between objects, or behind the last one; `offset` is then beyond
                             ///< object_size or the address lies before the object
  /// Whether the object is on a freelist (of the slab, of a CPU, in a sheaf); unread where one of these could
  /// not be read and none of the others has it. An object that was given to kfree_rcu() and is still waiting
  /// counts as allocated unless its sheaf can be found.
  Reading<State> state = Unread{};
  std::string where;  ///< "freelist of the slab", "freelist of CPU 1", ...; empty when not free
};

/// Reads pages and slabs by need; what it has read of caches it keeps. One thread at a time.
class SlabReader {
 public:
  /// \param map  not owned
  SlabReader(Kernel& kernel, AddressMap& map);
  ~SlabReader();
  SlabReader(const SlabReader&) = delete;
  SlabReader& operator=(const SlabReader&) = delete;

  /// The page of an address of the direct map.
  Reading<PageInfo> page_of(uint64_t address);
  /// The page with this number.
  Reading<PageInfo> page(uint64_t pfn);

  /// The slab object at an address of the direct map; nullopt when its page is no slab.
  Reading<std::optional<SlabObject>> object_at(uint64_t address);

  /// The type of the objects of a cache, where the cache is of one type: struct task_struct of "task_struct",
  /// struct file of "filp". nullptr when not known or when it does not fit the objects.
  const Type* type_of(const SlabObject& object);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace perfcore
