// SPDX-License-Identifier: LGPL-2.1-or-later
#include "perfcore/address.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <set>
#include <stdexcept>

#include "kernel/address_areas.h"
#include "kernel/unwind_modules.h"
#include "perfcore/layout.h"
#include "perfcore/slab.h"
#include "perfcore/tasks.h"
#include "perfcore/unwind.h"

namespace perfcore {
namespace {

constexpr uint64_t kCpuEntryAreaBegin = 0xfffffe0000000000;
constexpr size_t kMaxAlternatives = 3;  // members of a union at one offset that are named
constexpr size_t kMaxListed = 10000;
constexpr uint64_t kFirstNonCanonicalFlip = 47;

/// Parts of the kernel image by the symbols around them; inner parts before those that contain them.
struct Section {
  const char* begin;
  const char* end;
  std::string_view name;
};
constexpr Section kSections[] = {
    {"__per_cpu_start", "__per_cpu_end", "template of per-CPU variables, freed after boot"},
    {"_sinittext", "_einittext", "init text, freed after boot"},
    {"__init_begin", "__init_end", "init, freed after boot"},
    {"_stext", "_etext", "text"},
    {"__start_rodata", "__end_rodata", "read-only data"},
    {"__bss_start", "__bss_stop", "bss"},
    {"_sdata", "_edata", "data"},
};

/// The part of the kernel image that an address is in; empty when not known.
std::string_view section_of(SymbolTable& symbols, uint64_t address) {
  std::array<std::string_view, 2 * std::size(kSections)> names;
  for (size_t i = 0; i < std::size(kSections); i++) {
    names[2 * i] = kSections[i].begin;
    names[2 * i + 1] = kSections[i].end;
  }
  symbols.prefetch(names);
  for (const Section& section : kSections) {
    const auto begin = symbols.find(section.begin);
    const auto end = symbols.find(section.end);
    if (begin && end && address >= begin->address && address < end->address) return section.name;
  }
  return "";
}

/// True for functions. Weak symbols can be either: their section tells.
bool is_function(const Symbol& symbol, std::string_view section) {
  if (!section.empty()) return section == "text" || section.starts_with("init text");
  return symbol.kind == 't' || symbol.kind == 'T';
}

std::string cpu_words(int cpu) {
  return fmt::format("CPU {}", cpu);
}

}  // namespace

struct AddressBook::Impl {
  struct Task {
    Object task;
    uint64_t stack = 0;
  };

  explicit Impl(Kernel& k) : kernel(k), map(k), slabs(k, map), per_cpu(k), modules(k) {}

  class Describer;

  const std::vector<Task>& tasks();
  const std::vector<int>& cpus();
  Unwinder& unwinder() {
    if (!own_unwinder) own_unwinder = std::make_unique<Unwinder>(kernel);
    return *own_unwinder;
  }

  Kernel& kernel;
  AddressMap map;
  SlabReader slabs;
  PerCpuAreas per_cpu;
  ModuleText modules;
  std::unique_ptr<Unwinder> own_unwinder;
  std::optional<std::vector<Task>> task_list;
  std::optional<Unread> tasks_unread;
  std::optional<std::vector<int>> cpu_list;
};

const std::vector<int>& AddressBook::Impl::cpus() {
  if (!cpu_list) {
    const auto present = kernel.present_cpus();
    cpu_list = present.has_value() ? *present : std::vector<int>{};
  }
  return *cpu_list;
}

const std::vector<AddressBook::Impl::Task>& AddressBook::Impl::tasks() {
  if (task_list) return *task_list;
  task_list.emplace();
  std::set<uint64_t> seen;
  const auto add = [&](const Object& task) {
    const auto address = task.address();
    const auto stack = task.member("stack").u64();
    if (address.has_value() && stack.has_value() && seen.insert(*address).second)
      task_list->push_back({task, *stack});
  };
  tasks_unread = for_each_task(kernel, add);
  // Idle tasks are on no list.
  for (const int cpu : cpus()) {
    add(kernel.per_cpu("runqueues", cpu).member("idle").deref());
    add(kernel.current_task(cpu));
  }
  return *task_list;
}

/// Collects what is true of one address.
class AddressBook::Impl::Describer {
 public:
  Describer(Impl& book, uint64_t address) : book_(book), kernel_(book.kernel), address_(address) {
    report_.address = address;
  }

  AddressReport describe() {
    if (const std::string poison = poison_name(address_); !poison.empty())
      add("poison", fmt::format("poison: {}", poison)).with("pattern", poison);
    const Region region = book_.map.region(address_);
    switch (region) {
      case Region::kNullPage:
        null_page();
        break;
      case Region::kErrorPointer: {
        const std::string name = error_pointer_name(address_);
        add("error-pointer", fmt::format("error pointer: ERR_PTR({}) taken for an address", name))
            .with("error", name);
        break;
      }
      case Region::kUser:
        per_cpu_pointer();
        add("user", "user-space address: what is there depends on the process");
        break;
      case Region::kNonCanonical:
        per_cpu_pointer();
        add("non-canonical",
            "non-canonical: no address at all; using it raises a general protection fault, not a page fault");
        one_bit_off();
        break;
      default:
        kernel_address(region);
        break;
    }
    return std::move(report_);
  }

  /// Only what makes an address worth naming, for one_bit_off(): an allocated object or a symbol.
  std::optional<std::string> live(bool exact) {
    const Region region = book_.map.region(address_);
    if (region == Region::kKernelImage) {
      if (const auto symbol = kernel_.symbols().at(address_);
          symbol && (!exact || symbol->address == address_) && address_ - symbol->address <= symbol->size)
        symbol_fact(*symbol);
    } else if (region == Region::kModules) {
      module_facts();
    } else if (region == Region::kDirectMap) {
      const auto object = book_.slabs.object_at(address_);
      if (object.has_value() && *object && (*object)->inside && (!exact || (*object)->offset == 0) &&
          (*object)->state.is(SlabObject::State::kAllocated))
        object_facts(**object);
    } else if (region == Region::kVmalloc && !exact) {
      stack_facts();
    }
    if (report_.facts.empty()) return std::nullopt;
    std::vector<std::string> words;
    for (const AddressFact& fact : report_.facts) words.push_back(fact.words);
    return fmt::format("{}", fmt::join(words, "; "));
  }

 private:
  AddressFact& add(std::string kind, std::string words) {
    report_.facts.push_back({std::move(kind), std::move(words), {}});
    return report_.facts.back();
  }
  void note(const Unread& unread) {
    const auto same = [&](const Unread& other) {
      return other.path == unread.path && other.address == unread.address;
    };
    if (std::ranges::none_of(report_.unread, same)) report_.unread.push_back(unread);
  }
  /// The value; what cannot be read is noted.
  template <typename T>
  std::optional<T> take(const Reading<T>& reading) {
    if (reading.has_value()) return *reading;
    note(reading.unread());
    return std::nullopt;
  }

  void no_symbol() {
    note({UnreadReason::kNoSymbol, address_, fmt::format("symbol of {:#x}", address_),
          "the symbol table has none there, or this part of it is not in the dump"});
  }

  void null_page() {
    if (address_ == 0) {
      add("null-page", "NULL");
      return;
    }
    add("null-page", fmt::format("NULL plus {0} ({0:#x}): the member at that offset of what a NULL pointer "
                                 "should have led to",
                                 address_))
        .with("offset", static_cast<int64_t>(address_));
  }

  /// A value that per_cpu_ptr() takes: low numbers up to 6.14, anything for allocated memory.
  void per_cpu_pointer() {
    if (book_.cpus().empty()) return;
    const int cpu = book_.cpus().front();
    const auto offset = kernel_.per_cpu_offset(cpu);
    if (!offset.has_value()) return;
    std::vector<Unread> ignored;
    const auto place = book_.per_cpu.find(address_ + *offset, &ignored);
    if (!place || place->cpu != cpu) return;
    const std::string name = per_cpu_name(*place);
    if (place->fixed && name.empty()) return;
    if (place->allocation && !place->allocation->allocated) return;
    add("per-cpu-pointer",
        fmt::format("as a per-CPU pointer: {}; add __per_cpu_offset[cpu] for the address on a CPU",
                    name.empty() ? "allocated per-CPU memory" : name))
        .with("name", name);
  }

  void kernel_address(Region region) {
    switch (region) {
      case Region::kKernelImage:
        if (const auto symbol = kernel_.symbols().at(address_))
          symbol_fact(*symbol);
        else
          no_symbol();
        break;
      case Region::kModules:
        if (!module_facts()) vmalloc_facts();
        break;
      case Region::kDirectMap:
        direct_map_facts();
        break;
      case Region::kVmalloc:
        per_cpu_facts();
        stack_facts();
        vmalloc_facts();
        break;
      case Region::kVmemmap:
        vmemmap_facts();
        break;
      case Region::kCpuEntryArea:
        cpu_entry_facts();
        break;
      default:
        // Without its bases the map cannot tell the regions apart; per-CPU areas and stacks are known
        // otherwise.
        for (const auto* base : {&book_.map.direct_map(), &book_.map.vmalloc(), &book_.map.vmemmap()})
          take(*base);
        per_cpu_facts();
        stack_facts();
        break;
    }
    const bool nothing = report_.facts.empty();
    const auto byte = read_value<uint8_t>(kernel_.memory(), address_);
    if (!byte.has_value()) {
      if (nothing && byte.unread().reason == UnreadReason::kNotMapped) one_bit_off();
      add("unreadable", fmt::format("not readable in this dump: {}", to_string(byte.unread().reason)))
          .with("reason", std::string(to_string(byte.unread().reason)));
    }
    AddressFact& fact = add("region", fmt::format("in the {}", to_string(region)));
    fact.with("region", std::string(to_string(region)));
    if (region != Region::kDirectMap) return;
    const uint64_t physical = address_ - *book_.map.direct_map();
    fact.words += fmt::format(": physical address {:#x}{}", physical,
                              no_memory_ ? ", where there is no memory (no struct page)" : "");
    fact.with("physical", physical).with("memory", !no_memory_);
  }

  // ---- types ----

  /// The member at an offset of a type, its name written behind `prefix`; false for types without members.
  bool member_fact(const Type* type, uint64_t offset, const std::string& prefix) {
    std::vector<std::string> paths = TypeSource::members_at(type, offset);
    if (paths.empty()) return false;
    std::erase_if(paths, [](const std::string& path) { return path.empty(); });
    if (paths.empty()) return false;
    const size_t all = paths.size();
    if (paths.size() > kMaxAlternatives) paths.resize(kMaxAlternatives);
    const auto location = TypeSource::find_member(type, paths.front());
    std::string of_type;
    uint64_t within = 0;
    if (location && location->type) {
      of_type = declare(location->type, "");
      within = offset - std::min(offset, location->byte_offset());
    }
    std::vector<std::string> names;
    for (const std::string& path : paths)
      names.push_back(path.starts_with('[') ? prefix + path : prefix + "." + path);
    std::string words = fmt::format("{}", fmt::join(names, " or "));
    if (all > paths.size()) words += fmt::format(" or {} others", all - paths.size());
    if (!of_type.empty()) words += fmt::format(" ({})", of_type);
    if (within) words += fmt::format(", byte {} of it", within);
    AddressFact& fact = add("member", std::move(words));
    fact.with("name", names.front())
        .with("struct", declare(type, ""))
        .with("path", paths.front())
        .with("type", of_type)
        .with("offset", static_cast<int64_t>(offset));
    return true;
  }

  // ---- the kernel image and modules ----

  void symbol_fact(const Symbol& symbol) {
    const uint64_t offset = address_ - symbol.address;
    const std::string_view section = section_of(kernel_.symbols(), address_);
    const bool code = is_function(symbol, section);
    if (symbol.name == "init_stack" || symbol.name == "init_thread_union") stack_facts();
    if (!code) {
      const Object variable = kernel_.variable(symbol.name);
      const auto at = variable.address();
      // Of several variables of one name another one may be meant.
      if (variable.type() && at.has_value() && *at == symbol.address && offset < variable.type()->size &&
          !member_fact(variable.type(), offset, symbol.name))
        add("variable", fmt::format("variable {}", declare(variable.type(), symbol.name)))
            .with("name", symbol.name)
            .with("type", declare(variable.type(), ""));
    }
    AddressFact& fact =
        add("symbol", fmt::format("{} {}{}{}", code ? "function" : "symbol", symbol.name,
                                  offset ? fmt::format("+{:#x}", offset) : "",
                                  symbol.size ? fmt::format(" of {:#x} bytes", symbol.size) : ""));
    fact.with("name", symbol.name)
        .with("offset", static_cast<int64_t>(offset))
        .with("symbol_address", symbol.address);
    if (symbol.size) fact.with("size", static_cast<int64_t>(symbol.size));
    if (section.empty()) return;
    fact.words += fmt::format(", kernel {}", section);
    fact.with("section", std::string(section));
  }

  bool module_facts() {
    const auto [module, part] = book_.modules.holding(address_);
    if (!module) return false;
    const bool text = book_.modules.at(address_) == module;
    const auto* symbol =
        text ? book_.modules.symbol_at(*module, address_) : book_.modules.data_symbol_at(*module, address_);
    if (symbol && symbol->address >= part->range.begin) {
      const uint64_t offset = address_ - symbol->address;
      add("symbol", fmt::format("{} {}{} of module {}", text ? "function" : "symbol", symbol->name,
                                offset ? fmt::format("+{:#x}", offset) : "", module->name))
          .with("name", symbol->name)
          .with("offset", static_cast<int64_t>(offset))
          .with("symbol_address", symbol->address)
          .with("module", module->name);
    }
    AddressFact& fact = add("module", fmt::format("module {}: {}, {:#x} from its start", module->name,
                                                  part->name, address_ - part->range.begin));
    fact.with("module", module->name)
        .with("section", part->name)
        .with("offset", static_cast<int64_t>(address_ - part->range.begin));
    if (const auto address = module->object.address(); address.has_value())
      fact.with("struct_module", *address);
    return true;
  }

  // ---- per-CPU areas ----

  /// The variable or owner of a place: "cpu_hw_events+0x10", "perf_ibs_op.pcpu", empty when not known.
  std::string per_cpu_name(const PerCpuPlace& place, const Type** type = nullptr,
                           uint64_t* offset = nullptr) {
    if (place.fixed) {
      const auto symbol = kernel_.symbols().per_cpu_at(place.pointer);
      if (!symbol) {
        no_symbol();
        return "";
      }
      const uint64_t in = place.pointer - symbol->address;
      if (type) {
        *type = kernel_.per_cpu(symbol->name, place.cpu).type();
        *offset = in;
      }
      return in ? fmt::format("{}+{:#x}", symbol->name, in) : symbol->name;
    }
    for (ModuleText::Module& module : book_.modules.all()) {
      const auto begin = module.object.member("percpu").u64();
      const auto size = module.object.member("percpu_size").u64();
      if (begin.has_value() && size.has_value() && *begin != 0 && place.pointer - *begin < *size)
        return fmt::format("per-CPU variables of module {}+{:#x}", module.name, place.pointer - *begin);
    }
    if (!place.allocation || !place.allocation->allocated) return "";
    const uint64_t in = place.pointer - place.allocation->begin;
    const auto owned_by = [&](const Object& pointer) {
      if (!pointer.u64().is(place.allocation->begin)) return false;
      const Type* target = pointer.type() ? pointer.type()->strip()->target() : nullptr;
      if (type && target) {
        *type = target;
        *offset = in;
      }
      return true;
    };
    const auto named = [&](const std::string& name) { return in ? fmt::format("{}+{:#x}", name, in) : name; };
    for (const char* ibs : {"perf_ibs_fetch", "perf_ibs_op"})
      if (owned_by(kernel_.variable(ibs).member("pcpu"))) return named(fmt::format("{}.pcpu", ibs));
    struct Owner {
      const char* list;
      const char* type;
      const char* link;
      std::vector<const char*> members;
    };
    const Owner owners[] = {
        {"pmus", "struct pmu", "entry", {"pmu_cpu_context", "cpu_pmu_context", "pmu_disable_count"}},
        {"slab_caches", "struct kmem_cache", "list", {"cpu_slab", "cpu_sheaves"}},
    };
    for (const Owner& owner : owners)
      for (const Symbol& symbol : kernel_.symbols().find_all(owner.list)) {
        const ListWalk walk = list_entries(kernel_.object("struct list_head", symbol.address), owner.type,
                                           owner.link, kMaxListed);
        for (const Object& entry : walk.entries)
          for (const char* member : owner.members) {
            if (!entry.has_member(member) || !owned_by(entry.member(member))) continue;
            const auto name = entry.member("name").string(64);
            return named(fmt::format("{} of {} \"{}\"", member, owner.type, name.has_value() ? *name : "?"));
          }
      }
    return "";
  }

  bool per_cpu_facts() {
    std::vector<Unread> unread;
    const auto place = book_.per_cpu.find(address_, &unread);
    if (!place) return false;
    for (const Unread& item : unread) note(item);
    const Type* type = nullptr;
    uint64_t offset = 0;
    const std::string name = per_cpu_name(*place, &type, &offset);
    if (type && offset < type->size) {
      const size_t plus = name.rfind('+');
      const std::string bare = name.substr(0, plus);
      member_fact(type, offset, place->fixed ? fmt::format("per_cpu({}, {})", bare, place->cpu) : bare);
    }
    std::string words = place->fixed
                            ? fmt::format("per-CPU variable {} of {}", name.empty() ? "without a name" : name,
                                          cpu_words(place->cpu))
                            : fmt::format("per-CPU memory of {}", cpu_words(place->cpu));
    if (!place->fixed) {
      words += name.empty() ? "" : ": " + name;
      if (!place->allocation)
        words += ", whether it is allocated is undetermined";
      else if (!place->allocation->allocated)
        words += ", free";
      else
        words += fmt::format(", {} bytes allocated as per-CPU pointer {:#x}", place->allocation->size,
                             place->allocation->begin);
    }
    AddressFact& fact = add("per-cpu", std::move(words));
    fact.with("cpu", static_cast<int64_t>(place->cpu))
        .with("pointer", place->pointer)
        .with("fixed", place->fixed);
    if (!name.empty()) fact.with("name", name);
    if (place->chunk) fact.with("chunk", place->chunk);
    if (place->allocation)
      fact.with("allocated", place->allocation->allocated)
          .with("allocation", place->allocation->begin)
          .with("allocation_size", static_cast<int64_t>(place->allocation->size));
    return true;
  }

  // ---- slabs and pages ----

  void direct_map_facts() {
    const bool is_per_cpu = per_cpu_facts();
    const auto page = book_.slabs.page_of(address_);
    if (!page.has_value()) {
      no_memory_ = page.unread().reason == UnreadReason::kNotMapped;
      if (!no_memory_) note(page.unread());
    }
    if (page.has_value() && page->slab) {
      const auto object = take(book_.slabs.object_at(address_));
      if (object && *object) object_facts(**object);
    } else if (!is_per_cpu) {
      image_alias();
      stack_facts();
    }
    if (page.has_value()) page_fact(*page);
  }

  void object_facts(const SlabObject& object) {
    const Type* type = book_.slabs.type_of(object);
    if (type && object.inside) {
      member_fact(type, object.offset, declare(type, ""));
      identity(type, object);
    }
    if (object.index >= object.count) {
      add("slab-object", fmt::format("slab of cache {}, behind its last object", object.cache_name))
          .with("cache", object.cache_name)
          .with("cache_address", object.cache);
      return;
    }
    std::string state = "undetermined";
    std::string state_words = "whether it is free is undetermined";
    if (object.state.has_value()) {
      state = *object.state == SlabObject::State::kFree ? "free" : "allocated";
      state_words = state == "free" ? fmt::format("free ({})", object.where) : "allocated";
    } else {
      note(object.state.unread());
    }
    std::string words =
        fmt::format("slab cache {}{}: object {} of {} at {:#x} ({} bytes), {}", object.cache_name,
                    object.merged ? " (shared by caches of that size)" : "", object.index, object.count,
                    object.object, object.object_size, state_words);
    if (object.inside)
      words += object.offset ? fmt::format("; {:#x} bytes into it", object.offset) : "; its start";
    else
      words += "; the address is in the space between objects";
    AddressFact& fact = add("slab-object", std::move(words));
    fact.with("cache", object.cache_name)
        .with("cache_address", object.cache)
        .with("slab", object.slab)
        .with("object", object.object)
        .with("object_size", static_cast<int64_t>(object.object_size))
        .with("offset", static_cast<int64_t>(object.offset))
        .with("index", static_cast<int64_t>(object.index))
        .with("objects", static_cast<int64_t>(object.count))
        .with("inside", object.inside)
        .with("merged", object.merged)
        .with("state", state);
    if (!object.where.empty()) fact.with("where", object.where);
  }

  /// Who an object is, where its type has a name for it.
  void identity(const Type* type, const SlabObject& object) {
    if (type->name != "task_struct" || !object.state.is(SlabObject::State::kAllocated)) return;
    const Object task = kernel_.object(type, object.object);
    task_fact(task, "task");
  }

  AddressFact& task_fact(const Object& task, const std::string& kind, const std::string& prefix = "") {
    const auto comm = take(task.member("comm").string());
    const auto pid = take(task.member("pid").s64());
    AddressFact& fact = add(kind, fmt::format("{}task {} (PID {})", prefix, comm.value_or("?"),
                                              pid ? fmt::format("{}", *pid) : "not read"));
    if (comm) fact.with("comm", *comm);
    if (pid) fact.with("pid", *pid);
    if (const auto address = task.address(); address.has_value()) fact.with("task", *address);
    return fact;
  }

  void page_fact(const PageInfo& page) {
    std::string words = fmt::format("page frame {:#x}", page.pfn);
    if (page.head != page.page)
      words += fmt::format(" of a compound page that starts at {:#x}", page.head_address);
    if (page.type_name == "buddy")
      words += ": free";
    else
      words += fmt::format(": {}{}{}", page.type_name.empty() ? "" : "type " + page.type_name + ", ",
                           page.refcount ? fmt::format("refcount {}", *page.refcount) : "refcount not read",
                           page.flag_names.empty() ? "" : ", flags " + page.flag_names);
    AddressFact& fact = add("page", std::move(words));
    fact.with("pfn", page.pfn)
        .with("struct_page", page.page)
        .with("head", page.head)
        .with("flags", page.flags);
    fact.with("flag_names", page.flag_names).with("type", page.type_name);
    if (page.refcount) fact.with("refcount", *page.refcount);
  }

  /// The direct map shows the kernel image a second time.
  void image_alias() {
    const auto phys_base = kernel_.vmcoreinfo().number("phys_base");
    const auto begin = kernel_.symbols().find("_text");
    const auto end = kernel_.symbols().find("_end");
    if (!phys_base || !begin || !end) return;
    const uint64_t image =
        address_ - *book_.map.direct_map() - static_cast<uint64_t>(*phys_base) + 0xffffffff80000000;
    if (image < begin->address || image >= end->address) return;
    const auto symbol = kernel_.symbols().at(image);
    add("symbol", fmt::format("second mapping of the kernel image: {:#x}{}", image,
                              symbol ? fmt::format(", {}+{:#x}", symbol->name, image - symbol->address) : ""))
        .with("image_address", image)
        .with("name", symbol ? symbol->name : "");
  }

  void vmemmap_facts() {
    const Type* type = kernel_.type("struct page");
    const auto base = take(book_.map.vmemmap());
    if (!type || type->size == 0 || !base) return;
    const uint64_t pfn = (address_ - *base) / type->size;
    const uint64_t offset = (address_ - *base) % type->size;
    member_fact(type, offset, "struct page");
    AddressFact& fact = add("struct-page", fmt::format("struct page of page frame {:#x}", pfn));
    fact.with("pfn", pfn).with("struct_page", address_ - offset);
    if (const auto direct = book_.map.direct_map(); direct.has_value()) {
      fact.words += fmt::format(", which is mapped at {:#x}", *direct + pfn * kPageSize);
      fact.with("memory", *direct + pfn * kPageSize);
    }
    if (const auto page = take(book_.slabs.page(pfn))) page_fact(*page);
  }

  // ---- stacks and mappings ----

  /// Which part of a stack the address is in, by the frames that were found on it.
  void frame_words(const Stack& walk, const StackArea& stack, AddressFact* fact) {
    const Frame* owner = nullptr;
    uint64_t lowest = stack.end;
    for (const Frame& frame : walk.frames) {
      if (frame.inlined || !stack.contains(frame.sp)) continue;
      lowest = std::min(lowest, frame.sp);
      if (frame.sp <= address_ && (!owner || frame.sp > owner->sp)) owner = &frame;
    }
    if (walk.frames.empty() || (lowest == stack.end && !walk.reached_user && !walk.reached_end)) {
      fact->words += ", whether a live frame is there is undetermined";
      fact->with("live", std::string("undetermined"));
      return;
    }
    fact->with("live", std::string(owner ? "live" : "dead"));
    if (!owner) {
      fact->words += lowest == stack.end
                         ? ", dead area: no frame is on this stack"
                         : fmt::format(", dead area: {:#x} bytes below the last frame", lowest - address_);
      return;
    }
    fact->words += fmt::format(", in the frame of {}",
                               owner->function.empty() ? fmt::format("{:#x}", owner->ip) : owner->function);
    fact->with("function", owner->function).with("frame_sp", owner->sp);
  }

  void place_in(const StackArea& stack, AddressFact* fact) {
    fact->with("stack", stack.begin).with("stack_end", stack.end);
    fact->with("offset", static_cast<int64_t>(address_ - stack.begin));
  }

  Stack stack_of_cpu(int cpu) {
    const CpuStatus* status = kernel_.status_of(cpu);
    return status ? book_.unwinder().unwind(status->registers, cpu) : Stack{};
  }

  bool stack_facts() {
    const uint64_t size = kernel_stack_size(kernel_);
    for (const Task& task : book_.tasks()) {
      const StackArea stack{task.stack, task.stack + size, StackArea::Kind::kTask, ""};
      if (!stack.contains(address_)) continue;
      AddressFact& fact = task_fact(task.task, "task-stack", "kernel stack of ");
      place_in(stack, &fact);
      const auto address = task.task.address();
      const auto running = std::ranges::find_if(book_.cpus(), [&](int cpu) {
        const auto current = kernel_.current_task(cpu).address();
        return current.has_value() && address.has_value() && *current == *address;
      });
      if (running != book_.cpus().end()) {
        fact.words += fmt::format(", on {}", cpu_words(*running));
        fact.with("cpu", static_cast<int64_t>(*running));
        frame_words(stack_of_cpu(*running), stack, &fact);
      } else {
        frame_words(book_.unwinder().unwind_task(task.task), stack, &fact);
      }
      return true;
    }
    if (book_.tasks_unread) note(*book_.tasks_unread);
    return cpu_stack_facts();
  }

  /// IRQ and exception stacks.
  bool cpu_stack_facts() {
    for (const int cpu : book_.cpus())
      for (const StackArea& stack : stacks_of_cpu(kernel_, cpu, nullptr)) {
        if (stack.kind == StackArea::Kind::kTask || !stack.contains(address_)) continue;
        const bool irq = stack.kind == StackArea::Kind::kIrq;
        const std::string name = irq ? "IRQ stack" : stack.name.substr(0, stack.name.find('_')) + " stack";
        AddressFact& fact =
            add(irq ? "irq-stack" : "exception-stack", fmt::format("{} of {}", name, cpu_words(cpu)));
        fact.with("name", name).with("cpu", static_cast<int64_t>(cpu));
        place_in(stack, &fact);
        frame_words(stack_of_cpu(cpu), stack, &fact);
        return true;
      }
    return false;
  }

  void cpu_entry_facts() {
    cpu_stack_facts();
    const Type* type = kernel_.type("struct cpu_entry_area");
    const auto stacks = type ? TypeSource::find_member(type, "estacks") : std::nullopt;
    if (stacks)
      for (const int cpu : book_.cpus()) {
        const auto pointer = take(kernel_.per_cpu("cea_exception_stacks", cpu).u64());
        if (!pointer) continue;
        const uint64_t begin = *pointer - stacks->byte_offset();
        if (address_ < begin || address_ - begin >= type->size) continue;
        const auto paths = TypeSource::members_at(type, address_ - begin);
        std::string path = paths.empty() ? "" : paths.front();
        path = path.substr(0, path.find('['));
        const bool guard = path.ends_with("guard");
        add("cpu-entry-area",
            fmt::format("CPU entry area of {}{}{}", cpu_words(cpu), path.empty() ? "" : ": " + path,
                        guard ? " (a guard page: a stack has overflowed into it)" : ""))
            .with("cpu", static_cast<int64_t>(cpu))
            .with("member", path)
            .with("begin", begin);
        return;
      }
    if (address_ - kCpuEntryAreaBegin < kPageSize)
      add("cpu-entry-area", fmt::format("interrupt descriptor table (read-only mapping), vector {}",
                                        (address_ - kCpuEntryAreaBegin) / 16))
          .with("vector", static_cast<int64_t>((address_ - kCpuEntryAreaBegin) / 16));
  }

  void vmalloc_facts() {
    for (const int cpu : book_.cpus()) {
      const Object cached = kernel_.per_cpu("cached_stacks", cpu);
      for (int i = 0; i < 2; i++) {
        const auto pointer = cached.index(i).u64();
        if (!pointer.has_value() || *pointer == 0) continue;
        const Object area = cached.index(i).deref();
        const auto begin = area.member("addr").u64();
        const auto size = area.member("size").u64();
        if (!begin.has_value() || !size.has_value() || address_ - *begin >= *size) continue;
        add("task-stack",
            fmt::format("kernel stack of a task that is gone, kept by {} for the next one", cpu_words(cpu)))
            .with("cpu", static_cast<int64_t>(cpu))
            .with("live", std::string("dead"))
            .with("stack", *begin);
      }
    }
    const auto found = take(find_vmalloc_area(kernel_, address_));
    if (!found || !*found) return;
    const VmallocArea& area = **found;
    std::string words = fmt::format("mapping {:#x}-{:#x}", area.begin, area.end);
    if (area.freed) words += ", freed";
    if (!area.flag_names.empty()) words += fmt::format(", {}", area.flag_names);
    const auto caller = area.caller ? kernel_.symbols().at(area.caller) : std::nullopt;
    if (caller) words += fmt::format(", made by {}", caller->name);
    const bool guard = area.size > kPageSize && address_ - area.begin >= area.size - kPageSize &&
                       area.size == area.end - area.begin && !(area.flags & 0x40);
    if (guard) words += "; the address is in its guard page";
    AddressFact& fact = add("vmalloc-area", std::move(words));
    fact.with("begin", area.begin).with("end", area.end).with("freed", area.freed).with("guard", guard);
    fact.with("flags", area.flag_names);
    if (area.vm) fact.with("vm_struct", area.vm);
    if (caller) fact.with("caller", caller->name);
    if (area.physical) fact.with("physical", area.physical);
  }

  // ---- what it may have been ----

  void one_bit_off() {
    for (int bit = 0; bit < 64; bit++) {
      const uint64_t candidate = address_ ^ (uint64_t{1} << bit);
      // A flip of a low bit stays near: only the start of something is more than a coincidence.
      const bool exact = bit < static_cast<int>(kFirstNonCanonicalFlip);
      const auto what = Describer(book_, candidate).live(exact);
      if (!what) continue;
      add("one-bit-off", fmt::format("with bit {} flipped it would be {:#x}: {}", bit, candidate, *what))
          .with("bit", static_cast<int64_t>(bit))
          .with("would_be", candidate)
          .with("what", *what);
    }
  }

  Impl& book_;
  Kernel& kernel_;
  uint64_t address_;
  bool no_memory_ = false;  // an address of the direct map that has no struct page
  AddressReport report_;
};

AddressBook::AddressBook(Kernel& kernel) : impl_(std::make_unique<Impl>(kernel)) {}
AddressBook::~AddressBook() = default;

AddressMap& AddressBook::map() {
  return impl_->map;
}

AddressReport AddressBook::describe(uint64_t address) {
  return Impl::Describer(*impl_, address).describe();
}

Reading<uint64_t> address_of_expression(Kernel& kernel, std::string_view expression) {
  const auto number = [](std::string_view digits) -> std::optional<uint64_t> {
    const bool prefixed = digits.starts_with("0x") || digits.starts_with("0X");
    if (prefixed) digits.remove_prefix(2);
    if (!prefixed && digits.size() < 8) return std::nullopt;
    uint64_t value = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
    if (digits.empty() || error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
    return value;
  };
  if (const auto value = number(expression)) return *value;
  // NAME, or NAME+0xOFFSET/0xSIZE as in a stack trace; names of static functions have dots.
  const size_t plus = std::min(expression.find('+'), expression.size());
  const std::string_view name = expression.substr(0, plus);
  const bool is_name = !name.empty() && name.find_first_of("()[]&*->,\" ") == std::string_view::npos;
  if (is_name) {
    const auto symbol = kernel.symbols().find(name);
    std::string_view rest = plus < expression.size() ? expression.substr(plus + 1) : "0x0";
    rest = rest.substr(0, rest.find('/'));
    const auto offset = number(rest);
    if (symbol && offset && is_function(*symbol, section_of(kernel.symbols(), symbol->address)))
      return symbol->address + *offset;
  }
  const Object object = evaluate(kernel, expression);
  if (const Unread* unread = object.unread()) {
    // A variable whose type is not known has an address all the same.
    if (is_name && plus == expression.size())
      if (const auto symbol = kernel.symbols().find(name)) return symbol->address;
    return *unread;
  }
  const Type* type = object.type() ? object.type()->strip() : nullptr;
  if (type && type->kind == TypeKind::kPointer) return object.u64();
  const auto address = object.address();
  return address.has_value() ? address : object.u64();
}

}  // namespace perfcore
