// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// Types and inlined calls out of a vmlinux's DWARF, by libdwarf. The only file that uses libdwarf.
///
/// libdwarf never sees the file. It gets, through its object-access interface, one unit at a time as if that
/// were the whole .debug_info: opening unit k the plain way makes it set up every unit before k, and on a
/// kernel linked with
/// --emit-relocs it would load and apply hundreds of megabytes of relocations that the linker has applied
/// already. Offsets that libdwarf gives and takes are therefore relative to the unit; Type::id and everything
/// outside class Slice count from the start of .debug_info.
#include <elf.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <libdwarf/dwarf.h>
#include <libdwarf/libdwarf.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <functional>
#include <unordered_map>

#include "perfcore/reading.h"
#include "perfcore/types.h"
#include "types/dwarf_file.h"
#include "types/dwarf_inlined.h"
#include "types/dwarf_unit.h"

namespace perfcore {
namespace {

/// Longer names are damage; no C identifier comes near.
constexpr size_t kMaxName = 4096;
/// Typedefs of qualifiers of arrays of typedefs: no kernel nests deeper. Damaged references can form chains
/// without end.
constexpr int kMaxAliasDepth = 64;
/// Named things in all units kept open, some 100 bytes each. A triage needs about 50,000.
constexpr size_t kMaxOpenEntries = 1'000'000;
/// Type::id of inner dimensions of an array: the number of the dimension is above the DIE's offset.
constexpr unsigned kDimensionShift = 56;
constexpr uint64_t kOffsetMask = (uint64_t{1} << kDimensionShift) - 1;
constexpr uint64_t kMaxDimensions = 32;
/// Units that promise a name and do not have it after all, in one search: not in a good file.
constexpr int kMaxDisappointments = 16;
constexpr uint64_t kMinWorkLimit = 64 << 20;
constexpr size_t kMaxUnits = 1'000'000;  // Debian's 7.2 kernel has 2744
constexpr uint64_t kMinUnitLength = 8;
constexpr size_t kMaxCodeRanges = 1'000'000;
/// Type::id of void, which has no DIE; no DIE is at offset 0, where a unit header is.
constexpr uint64_t kVoidId = 0;

/// A unit of the kernel known to define what triage asks for, reached by the address of a function in it:
/// walking to it over all units before it costs more than everything else. Functions that keep their name and
/// file for many releases.
struct Anchor {
  std::string_view function;
  std::string_view file;   ///< end of the unit's name, for compilers that write no .debug_aranges
  std::string_view names;  ///< types and variables to look for here first, separated by spaces
};
constexpr Anchor kAnchors[] = {
    // cpu_hw_events is also a struct of other units, equal but without the variables.
    {"x86_pmu_enable", "arch/x86/events/core.c",
     "cpu_hw_events x86_pmu perf_event hw_perf_event event_constraint pmu perf_event_context task_struct "
     "module"},
    {"schedule", "kernel/sched/core.c", "rq runqueues cfs_rq init_task"},
    {"prb_reserve", "kernel/printk/printk_ringbuffer.c",
     "printk_info printk_ringbuffer prb_desc prb_desc_ring prb_data_ring prb_data_blk_lpos"},
    {"vprintk_emit", "kernel/printk/printk.c",
     "prb printk_ringbuffer printk_info prb_desc prb_desc_ring prb_data_ring printk_log log_buf log_buf_len "
     "log_first_idx "
     "log_next_idx clear_seq"},
    // kernel/module.c before 5.19 (cfc1d277891e, "module: Move all into module/")
    {"load_module", "kernel/module/main.c", "modules mod_tree module_memory module_layout mod_kallsyms"},
    {"copy_thread", "arch/x86/kernel/process.c", "inactive_task_frame fork_frame"},
    {"uts_proc_notify", "kernel/utsname_sysctl.c", "uts_namespace"},
    {"update_vsyscall", "kernel/time/vsyscall.c", "timekeeper"},
    {"timekeeping_notify", "kernel/time/timekeeping.c", "tk_data timekeeper_data tk_core shadow_timekeeper"},
    {"init_hypervisor_platform", "arch/x86/kernel/cpu/hypervisor.c", "x86_hypervisor_type x86_hyper_type"},
    {"perf_output_begin", "kernel/events/ring_buffer.c", "perf_buffer perf_output_handle"},
    {"perf_event_create_kernel_counter", "kernel/events/core.c",
     "perf_cpu_context perf_cpu_pmu_context perf_event_pmu_context pmus pmu_idr pmu_bus "
     "perf_swevent_enabled"},
    {"perf_ibs_nmi_handler", "arch/x86/events/amd/ibs.c",
     "perf_ibs cpu_perf_ibs ibs_states perf_ibs_op perf_ibs_fetch"},
    {"__register_nmi_handler", "arch/x86/kernel/nmi.c", "nmi_desc nmi_state nmi_stats nmi_cr2 nmi_dr7"},
    {"intel_pt_interrupt", "arch/x86/events/intel/pt.c", "pt pt_buffer pt_pmu pt_ctx"},
    {"kmem_cache_free", "mm/slub.c", "kmem_cache slab kmem_cache_cpu kmem_cache_node slab_caches"},
    {"poll_initwait", "fs/select.c", "poll_wqueues poll_table_entry poll_table_struct"},
    {"do_epoll_ctl", "fs/eventpoll.c", "eventpoll epitem eppoll_entry"},
    {"hrtimer_interrupt", "kernel/time/hrtimer.c", "hrtimer_sleeper hrtimer_cpu_base"},
};

bool has_word(std::string_view words, std::string_view word) {
  for (size_t at = words.find(word); at != std::string_view::npos; at = words.find(word, at + 1)) {
    const size_t end = at + word.size();
    if ((at == 0 || words[at - 1] == ' ') && (end == words.size() || words[end] == ' ')) return true;
  }
  return false;
}

/// An attribute, freed when it goes.
class Attribute {
 public:
  explicit Attribute(Dwarf_Attribute handle = nullptr) : handle_(handle) {}
  ~Attribute() {
    if (handle_) dwarf_dealloc_attribute(handle_);
  }
  Attribute(const Attribute&) = delete;
  Attribute& operator=(const Attribute&) = delete;
  explicit operator bool() const { return handle_ != nullptr; }
  Dwarf_Attribute get() const { return handle_; }

 private:
  Dwarf_Attribute handle_;
};

/// Where libdwarf puts its error object, freed when it goes. What went wrong in libdwarf helps nobody here:
/// the answer to the caller is "not there".
class Error {
 public:
  explicit Error(Dwarf_Debug debug) : debug_(debug) {}
  ~Error() {
    if (error_) dwarf_dealloc_error(debug_, error_);
  }
  Error(const Error&) = delete;
  Error& operator=(const Error&) = delete;
  operator Dwarf_Error*() { return &error_; }  // NOLINT: passed to every call

 private:
  Dwarf_Debug debug_;
  Dwarf_Error error_ = nullptr;
};

class Slice;

/// A debugging information entry of a slice, freed when it goes. Getters say nullopt for what is absent or
/// malformed.
class Die {
 public:
  Die(const Slice& slice, Dwarf_Die handle) : slice_(&slice), handle_(handle) {}
  ~Die() {
    if (handle_) dwarf_dealloc_die(handle_);
  }
  Die(Die&& other) noexcept : slice_(other.slice_), handle_(std::exchange(other.handle_, nullptr)) {}
  Die& operator=(Die&& other) noexcept {
    std::swap(slice_, other.slice_);
    std::swap(handle_, other.handle_);
    return *this;
  }

  uint16_t tag() const;
  std::string_view name() const;
  bool has(Dwarf_Half name) const { return static_cast<bool>(attribute(name)); }
  bool flag(Dwarf_Half attribute) const;
  std::optional<uint64_t> number(Dwarf_Half attribute) const;
  std::optional<int64_t> signed_number(Dwarf_Half attribute) const;
  /// Bytes into the containing struct.
  std::optional<uint64_t> member_location() const;
  /// What a reference refers to, from the start of .debug_info.
  std::optional<uint64_t> reference(Dwarf_Half attribute) const;
  /// Calls visit(child) for each child.
  template <typename F>
  void for_each_child(F&& visit) const;

 private:
  Attribute attribute(Dwarf_Half attribute) const;
  uint16_t form(const Attribute& attribute) const;
  std::optional<uint64_t> number_of(const Attribute& attribute) const;

  const Slice* slice_;
  Dwarf_Die handle_;
};

/// What a slice asks of the file around it.
class SliceContext {
 public:
  virtual ~SliceContext() = default;
  virtual const DwarfSections& sections() const = 0;
  /// The type DIE of the type unit with this signature.
  virtual std::optional<uint64_t> type_by_signature(uint64_t signature) = 0;
};

/// libdwarf over one unit.
class Slice {
 public:
  Slice(SliceContext& context, const Unit& unit) : context_(context), unit_(unit) {
    const DwarfSections& all = context.sections();
    const UnitHeader& header = unit.header;
    sections_ = {{{"", {}},
                  {".debug_info", all.info.subspan(header.begin, header.end - header.begin)},
                  {".debug_abbrev", all.abbrev},
                  {".debug_str", all.str},
                  {".debug_line_str", all.line_str},
                  {".debug_str_offsets", all.str_offsets},
                  {".debug_addr", all.addr}}};
    interface_.object = this;
    interface_.methods = &kMethods;
    Dwarf_Error error = nullptr;
    if (dwarf_object_init_b(&interface_, nullptr, nullptr, DW_GROUPNUMBER_ANY, &debug_, &error) !=
        DW_DLV_OK) {
      if (error) dwarf_dealloc_error(debug_, error);
      debug_ = nullptr;
    }
  }
  ~Slice() {
    Dwarf_Error error = nullptr;
    if (debug_) dwarf_object_finish(debug_, &error);
  }
  Slice(const Slice&) = delete;
  Slice& operator=(const Slice&) = delete;

  SliceContext& context() const { return context_; }
  const Unit& unit() const { return unit_; }
  Dwarf_Debug debug() const { return debug_; }

  /// The DIE at an offset from the start of .debug_info.
  std::optional<Die> die(uint64_t offset) const {
    if (!debug_ || !unit_.has_die(offset)) return std::nullopt;
    Error error(debug_);
    Dwarf_Die handle = nullptr;
    if (dwarf_offdie_b(debug_, offset - unit_.header.begin, true, &handle, error) != DW_DLV_OK)
      return std::nullopt;
    return Die(*this, handle);
  }

 private:
  struct Section {
    const char* name = "";
    ByteSpan bytes;
  };

  static int section_info(void* object, Dwarf_Half index, Dwarf_Obj_Access_Section* out, int*) {
    const auto& sections = static_cast<Slice*>(object)->sections_;
    if (index >= sections.size()) return DW_DLV_NO_ENTRY;
    *out = {};
    out->name = sections[index].name;
    out->size = sections[index].bytes.size();
    out->type = index == 0 ? SHT_NULL : SHT_PROGBITS;
    return DW_DLV_OK;
  }
  static Dwarf_Endianness byte_order(void*) { return DW_OBJECT_LSB; }
  static Dwarf_Small length_size(void*) { return 4; }
  static Dwarf_Small pointer_size(void*) { return 8; }
  static Dwarf_Unsigned section_count(void* object) { return static_cast<Slice*>(object)->sections_.size(); }
  static int load_section(void* object, Dwarf_Half index, Dwarf_Small** out, int*) {
    const auto& sections = static_cast<Slice*>(object)->sections_;
    if (index >= sections.size() || sections[index].bytes.empty()) return DW_DLV_NO_ENTRY;
    // libdwarf takes a pointer to mutable bytes and reads them.
    *out = reinterpret_cast<Dwarf_Small*>(const_cast<std::byte*>(sections[index].bytes.data()));
    return DW_DLV_OK;
  }
  static constexpr Dwarf_Obj_Access_Methods kMethods = {
      section_info, byte_order, length_size, pointer_size, section_count, load_section, nullptr};

  SliceContext& context_;
  const Unit& unit_;
  std::array<Section, 7> sections_;
  Dwarf_Obj_Access_Interface interface_{};
  Dwarf_Debug debug_ = nullptr;
};

uint16_t Die::tag() const {
  Error error(slice_->debug());
  Dwarf_Half value = 0;
  return dwarf_tag(handle_, &value, error) == DW_DLV_OK ? value : 0;
}

std::string_view Die::name() const {
  Error error(slice_->debug());
  char* text = nullptr;  // points into the mapped section, which ends with NUL
  if (dwarf_diename(handle_, &text, error) != DW_DLV_OK || !text) return {};
  const size_t length = strnlen(text, kMaxName + 1);
  return length <= kMaxName ? std::string_view(text, length) : std::string_view();
}

Attribute Die::attribute(Dwarf_Half attribute) const {
  Error error(slice_->debug());
  Dwarf_Attribute value = nullptr;
  return Attribute(dwarf_attr(handle_, attribute, &value, error) == DW_DLV_OK ? value : nullptr);
}

uint16_t Die::form(const Attribute& attribute) const {
  Error error(slice_->debug());
  Dwarf_Half value = 0;
  return attribute && dwarf_whatform(attribute.get(), &value, error) == DW_DLV_OK ? value : 0;
}

bool Die::flag(Dwarf_Half name) const {
  const Attribute attribute = this->attribute(name);
  Error error(slice_->debug());
  Dwarf_Bool value = 0;
  return attribute && dwarf_formflag(attribute.get(), &value, error) == DW_DLV_OK && value;
}

std::optional<uint64_t> Die::number_of(const Attribute& attribute) const {
  if (!attribute) return std::nullopt;
  Error error(slice_->debug());
  switch (form(attribute)) {
    case DW_FORM_sdata:
    case DW_FORM_implicit_const: {
      Dwarf_Signed value = 0;
      if (dwarf_formsdata(attribute.get(), &value, error) == DW_DLV_OK) return static_cast<uint64_t>(value);
      return std::nullopt;
    }
    default: {
      Dwarf_Unsigned value = 0;
      if (dwarf_formudata(attribute.get(), &value, error) == DW_DLV_OK) return value;
      return std::nullopt;
    }
  }
}

std::optional<uint64_t> Die::number(Dwarf_Half name) const {
  return number_of(attribute(name));
}

std::optional<uint64_t> Die::member_location() const {
  const Attribute attribute = this->attribute(DW_AT_data_member_location);
  if (!attribute) return std::nullopt;
  Error error(slice_->debug());
  ByteSpan expression;
  switch (form(attribute)) {
    case DW_FORM_exprloc: {
      Dwarf_Unsigned size = 0;
      Dwarf_Ptr bytes = nullptr;
      if (dwarf_formexprloc(attribute.get(), &size, &bytes, error) != DW_DLV_OK) return std::nullopt;
      expression = {static_cast<const std::byte*>(bytes), size};
      break;
    }
    case DW_FORM_block1:
    case DW_FORM_block2:
    case DW_FORM_block4:
    case DW_FORM_block: {
      Dwarf_Block* block = nullptr;
      if (dwarf_formblock(attribute.get(), &block, error) != DW_DLV_OK) return std::nullopt;
      expression = {static_cast<const std::byte*>(block->bl_data), block->bl_len};
      dwarf_dealloc(slice_->debug(), block, DW_DLA_BLOCK);
      break;
    }
    default:
      return number_of(attribute);
  }
  // DWARF 2 wrote every offset as an expression that adds a constant to the struct's address.
  ByteCursor cursor(expression);
  if (cursor.u8() != DW_OP_plus_uconst) return std::nullopt;
  const uint64_t offset = cursor.uleb();
  return cursor.failed() || !cursor.at_end() ? std::nullopt : std::optional(offset);
}

std::optional<uint64_t> Die::reference(Dwarf_Half name) const {
  const Attribute attribute = this->attribute(name);
  if (!attribute) return std::nullopt;
  Error error(slice_->debug());
  const UnitHeader& header = slice_->unit().header;
  switch (form(attribute)) {
    case DW_FORM_ref1:
    case DW_FORM_ref2:
    case DW_FORM_ref4:
    case DW_FORM_ref8:
    case DW_FORM_ref_udata: {
      Dwarf_Off offset = 0;
      if (dwarf_formref(attribute.get(), &offset, error) != DW_DLV_OK || offset >= header.end - header.begin)
        return std::nullopt;
      return header.begin + offset;
    }
    case DW_FORM_ref_addr: {
      // Into another unit (link-time optimisation, dwz): libdwarf has no other unit, so the value is read
      // here.
      Dwarf_Off at = 0;
      if (dwarf_attr_offset(handle_, attribute.get(), &at, error) != DW_DLV_OK) return std::nullopt;
      ByteCursor cursor(slice_->context().sections().info.first(header.end), header.begin + at);
      const uint64_t offset =
          cursor.unsigned_value(header.version == 2 ? header.address_size : header.offset_size);
      return cursor.failed() ? std::nullopt : std::optional(offset);
    }
    case DW_FORM_ref_sig8: {
      Dwarf_Sig8 signature{};
      if (dwarf_formsig8(attribute.get(), &signature, error) != DW_DLV_OK) return std::nullopt;
      uint64_t value = 0;
      std::memcpy(&value, signature.signature, sizeof value);
      return slice_->context().type_by_signature(value);
    }
    default:
      return std::nullopt;
  }
}

template <typename F>
void Die::for_each_child(F&& visit) const {
  Error error(slice_->debug());
  Dwarf_Die handle = nullptr;
  int result = dwarf_child(handle_, &handle, error);
  while (result == DW_DLV_OK) {
    const Die child(*slice_, handle);
    visit(child);
    Dwarf_Die next = nullptr;
    result = dwarf_siblingof_b(slice_->debug(), handle, true, &next, error);
    handle = next;
  }
}

/// What find() looks for.
bool tag_fits(uint16_t tag, TypeKind kind) {
  switch (kind) {
    case TypeKind::kStruct:
      return tag == DW_TAG_structure_type || tag == DW_TAG_class_type;
    case TypeKind::kUnion:
      return tag == DW_TAG_union_type;
    case TypeKind::kEnum:
      return tag == DW_TAG_enumeration_type;
    case TypeKind::kTypedef:
      return tag == DW_TAG_typedef;
    case TypeKind::kInt:
    case TypeKind::kFloat:
      return tag == DW_TAG_base_type;
    default:
      return false;
  }
}

/// Lets pages of the file go behind a walk over a section, so that the walk does not hold all of it in
/// memory.
class Sweep {
 public:
  Sweep(const DwarfFile& file, ByteSpan section) : file_(file), section_(section) {}
  ~Sweep() { forget(reached_); }
  Sweep(const Sweep&) = delete;
  Sweep& operator=(const Sweep&) = delete;

  void done_up_to(uint64_t offset) {
    reached_ = offset;
    if (offset - forgotten_ >= kStep) forget(offset);
  }

 private:
  static constexpr uint64_t kStep = 4 << 20;
  void forget(uint64_t end) {
    if (end > forgotten_) file_.forget(section_.subspan(forgotten_, end - forgotten_));
    forgotten_ = end;
  }

  const DwarfFile& file_;
  ByteSpan section_;
  uint64_t forgotten_ = 0;
  uint64_t reached_ = 0;
};

/// False when no unit can have the name: it is in no string section, nor so short that compilers put it into
/// the DIE itself, which they do where a reference would not be shorter.
bool may_exist(const DwarfSections& sections, const std::string& name) {
  return name.size() < sizeof(uint64_t) ||
         memmem(sections.str.data(), sections.str.size(), name.c_str(), name.size() + 1) != nullptr;
}

/// A type or a variable by name.
struct Query {
  std::string name;
  bool variable = false;
  TypeKind kind = TypeKind::kUnknown;  ///< of types
  auto operator<=>(const Query&) const = default;

  bool fits(uint16_t tag) const { return variable ? tag == DW_TAG_variable : tag_fits(tag, kind); }
};

/// A unit that has been scanned, with libdwarf over it.
struct OpenUnit {
  struct Slot {
    size_t hash = 0;
    uint32_t entry = 0;
  };
  OpenUnit(SliceContext& context, Unit scanned) : unit(std::move(scanned)), slice(context, unit) {
    by_name.reserve(unit.entries.size());
    for (uint32_t i = 0; i < unit.entries.size(); i++)
      by_name.push_back({std::hash<std::string_view>()(unit.entries[i].name), i});
    std::sort(by_name.begin(), by_name.end(), [](const Slot& a, const Slot& b) {
      return a.hash != b.hash ? a.hash < b.hash : a.entry < b.entry;
    });
  }

  /// Calls visit(entry) for each entry of this name, in file order.
  template <typename F>
  void for_each(std::string_view name, F&& visit) const {
    const size_t hash = std::hash<std::string_view>()(name);
    auto slot = std::lower_bound(by_name.begin(), by_name.end(), hash,
                                 [](const Slot& a, size_t wanted) { return a.hash < wanted; });
    for (; slot != by_name.end() && slot->hash == hash; ++slot)
      if (unit.entries[slot->entry].name == name) visit(unit.entries[slot->entry]);
  }

  Unit unit;
  Slice slice;
  std::vector<Slot> by_name;  ///< sorted
};

class LibdwarfSource final : public DwarfSource, private SliceContext {
 public:
  LibdwarfSource(const std::string& path, FunctionAddress function_address);

  std::string_view source() const override { return "dwarf"; }
  const Type* find(TypeKind kind, std::string_view name) override;
  const Type* variable(std::string_view name) override;
  /// DWARF gives the address of a variable; what it means in a per-CPU section is the symbol table's to say.
  std::optional<uint64_t> percpu_offset(std::string_view) override { return std::nullopt; }
  std::optional<Prototype> prototype(std::string_view, uint64_t link_address) override;
  std::optional<Prototype> signature(const Type& function) override;
  void for_each_name(const std::function<void(TypeKind, std::string_view)>& visit) override;
  const Type* resolve(uint64_t id) override;
  std::vector<InlinedCall> inlined_at(uint64_t link_address) override;

 private:
  const DwarfSections& sections() const override { return sections_; }
  std::optional<uint64_t> type_by_signature(uint64_t signature) override;
  std::vector<Member> load_members(const Type& type) override;
  std::vector<Enumerator> load_enumerators(const Type& type) override;

  // Units.
  OpenUnit* open_unit(uint64_t begin);
  OpenUnit* unit_of_die(uint64_t offset);
  OpenUnit* anchor_unit(size_t index);
  std::optional<uint64_t> unit_of_address(uint64_t link_address);
  const std::vector<UnitRange>& code_ranges();
  const std::vector<uint64_t>& unit_list();

  // Names.
  const Type* look_up(const Query& query);
  const Type* search(const Query& query, const Type** incomplete);
  const Type* search_everywhere(const Query& query, const Type** incomplete);
  const Type* look_in(const OpenUnit& unit, const Query& query, const Type** incomplete);
  const Type* variable_type(const Die& variable);

  // Types.
  std::optional<Die> die(uint64_t offset);
  /// The DIE that has the type's members.
  std::optional<Die> definition(const Type& type);
  const Type* make_type(uint64_t id);
  void fill(Type& type, const Die& die, uint64_t dimension);
  void fill_array(Type& type, const Die& die, uint64_t dimension);
  void fill_enum(Type& type, const Die& die);
  uint64_t size_of(uint64_t id);

  // Code.
  const UnitCode* unit_code(uint64_t begin);
  /// The name of the function that a DIE is, or is an instance of.
  std::string function_name(const UnitCode* unit, uint64_t die);
  Prototype prototype_of(const Die& function);

  DwarfFile file_;
  FunctionAddress function_address_;
  DwarfSections sections_;
  std::map<uint64_t, std::unique_ptr<OpenUnit>> units_;  ///< by offset; nullptr for units that are damaged
  std::vector<OpenUnit*> opened_;                        ///< in the order they were opened
  size_t open_entries_ = 0;
  std::unordered_map<uint64_t, std::unique_ptr<UnitCode>> unit_codes_;  ///< by offset; nullptr: damaged
  std::array<bool, std::size(kAnchors)> anchor_tried_{};
  std::array<OpenUnit*, std::size(kAnchors)> anchor_units_{};
  std::optional<std::map<std::string, uint64_t, std::less<>>> anchor_addresses_;
  std::optional<std::vector<UnitRange>> code_ranges_;
  std::optional<std::vector<uint64_t>> unit_list_;
  std::optional<std::unordered_map<uint64_t, uint64_t>> signatures_;
  std::unordered_map<uint64_t, std::unique_ptr<Type>> types_;
  std::unordered_map<uint64_t, uint64_t> definitions_;  ///< declaration to definition in a type unit
  std::map<Query, const Type*> found_;
  int alias_depth_ = 0;
};

LibdwarfSource::LibdwarfSource(const std::string& path, FunctionAddress function_address)
    : file_(path), function_address_(std::move(function_address)) {
  // scan_unit() has checked the strings in place, and terminated() the string sections.
  dwarf_set_stringcheck(1);
  const auto terminated = [&](std::string_view name) {
    const ByteSpan bytes = file_.section(name);
    size_t size = bytes.size();
    while (size > 0 && bytes[size - 1] != std::byte{0}) size--;
    return bytes.first(size);
  };
  sections_.info = file_.section(".debug_info");
  sections_.abbrev = file_.section(".debug_abbrev");
  if (sections_.info.empty() || sections_.abbrev.empty())
    throw InputError(fmt::format(
        "{}: no DWARF debug information: .debug_info has {} bytes, .debug_abbrev {}. Its sections: {}. "
        "Install the kernel's "
        "debug package (Debian: linux-image-RELEASE-dbg, Ubuntu: linux-image-RELEASE-dbgsym, Fedora and "
        "RHEL: "
        "kernel-debuginfo) or use the vmlinux of a build with CONFIG_DEBUG_INFO",
        path, sections_.info.size(), sections_.abbrev.size(), fmt::join(file_.section_names(), " ")));
  sections_.str = terminated(".debug_str");
  sections_.line_str = terminated(".debug_line_str");
  sections_.str_offsets = file_.section(".debug_str_offsets");
  sections_.addr = file_.section(".debug_addr");
  sections_.ranges = file_.section(".debug_ranges");
  sections_.rnglists = file_.section(".debug_rnglists");
  if (!read_unit_header(sections_.info, 0)) {
    ByteCursor cursor(sections_.info);
    const uint64_t length = cursor.u32();
    throw InputError(fmt::format(
        "{}: .debug_info ({} bytes) does not start with a unit that perfcore can read: length {:#x}, "
        "version {} (known are 2 to 5, not split)",
        path, sections_.info.size(), length, cursor.u16()));
  }
}

// ---- units ----

OpenUnit* LibdwarfSource::open_unit(uint64_t begin) {
  if (auto known = units_.find(begin); known != units_.end()) return known->second.get();
  auto& slot = units_[begin];
  const auto header = read_unit_header(sections_.info, begin);
  auto unit = header ? scan_unit(sections_, *header, UnitScan::kAll) : std::nullopt;
  if (!unit) return nullptr;
  const size_t entries = unit->entries.size();
  if (entries > kMaxOpenEntries - open_entries_) return nullptr;
  open_entries_ += entries;
  SliceContext& context = *this;  // a private base: make_unique could not convert
  slot = std::make_unique<OpenUnit>(context, std::move(*unit));
  opened_.push_back(slot.get());
  return slot.get();
}

OpenUnit* LibdwarfSource::unit_of_die(uint64_t offset) {
  auto next = units_.upper_bound(offset);
  if (next != units_.begin()) {
    OpenUnit* before = std::prev(next)->second.get();
    if (before && offset < before->unit.header.end) return before;
  }
  // A reference into a unit that has not been needed so far.
  const auto& all = unit_list();
  const auto after = std::upper_bound(all.begin(), all.end(), offset);
  return after == all.begin() ? nullptr : open_unit(*std::prev(after));
}

const std::vector<uint64_t>& LibdwarfSource::unit_list() {
  if (unit_list_) return *unit_list_;
  unit_list_.emplace();
  Sweep sweep(file_, sections_.info);
  for (ByteCursor cursor(sections_.info); !cursor.at_end() && unit_list_->size() < kMaxUnits;) {
    const uint64_t begin = cursor.position();
    uint64_t length = cursor.u32();
    if (length == 0xffffffff) length = cursor.u64();
    cursor.skip(length);
    if (cursor.failed()) break;
    if (length >= kMinUnitLength) unit_list_->push_back(begin);
    sweep.done_up_to(cursor.position());
  }
  return *unit_list_;
}

std::optional<uint64_t> LibdwarfSource::type_by_signature(uint64_t signature) {
  if (!signatures_) {
    signatures_.emplace();
    Sweep sweep(file_, sections_.info);
    for (const uint64_t begin : unit_list()) {
      const auto header = read_unit_header(sections_.info, begin);
      if (header && header->unit_type == DW_UT_type)
        signatures_->emplace(header->type_signature, header->type_die);
      sweep.done_up_to(begin);
    }
  }
  const auto found = signatures_->find(signature);
  return found == signatures_->end() ? std::nullopt : std::optional(found->second);
}

const std::vector<UnitRange>& LibdwarfSource::code_ranges() {
  if (code_ranges_) return *code_ranges_;
  code_ranges_ = read_aranges(file_.section(".debug_aranges"));
  if (!code_ranges_->empty()) return *code_ranges_;
  // clang writes no .debug_aranges unless told to: ask each unit.
  Sweep sweep(file_, sections_.info);
  for (const uint64_t begin : unit_list()) {
    const auto header = read_unit_header(sections_.info, begin);
    const auto root = header ? read_unit_root(sections_, *header) : std::nullopt;
    if (root && root->ranges) {
      const auto ranges = read_ranges(sections_, *header, *root, *root->ranges);
      if (code_ranges_->size() + ranges.size() > kMaxCodeRanges) break;
      code_ranges_->insert(code_ranges_->end(), ranges.begin(), ranges.end());
    } else if (root && root->low_pc < root->high_pc) {
      code_ranges_->push_back({root->low_pc, root->high_pc, begin});
    }
    sweep.done_up_to(begin);
  }
  return *code_ranges_;
}

std::optional<uint64_t> LibdwarfSource::unit_of_address(uint64_t link_address) {
  for (const UnitRange& range : code_ranges())
    if (link_address >= range.begin && link_address < range.end) return range.unit;
  return std::nullopt;
}

OpenUnit* LibdwarfSource::anchor_unit(size_t index) {
  if (std::exchange(anchor_tried_[index], true)) return anchor_units_[index];
  const std::string_view function = kAnchors[index].function;
  std::optional<uint64_t> address;
  if (function_address_) {
    address = function_address_(function);
  } else {
    if (!anchor_addresses_) anchor_addresses_ = file_.function_addresses(dwarf_anchors());
    if (auto found = anchor_addresses_->find(function); found != anchor_addresses_->end())
      address = found->second;
  }
  const auto unit = address ? unit_of_address(*address) : std::nullopt;
  return anchor_units_[index] = unit ? open_unit(*unit) : nullptr;
}

// ---- names ----

const Type* LibdwarfSource::find(TypeKind kind, std::string_view name) {
  return look_up({std::string(name.substr(0, kMaxName + 1)), false, kind});
}

const Type* LibdwarfSource::variable(std::string_view name) {
  return look_up({std::string(name.substr(0, kMaxName + 1)), true, TypeKind::kUnknown});
}

const Type* LibdwarfSource::look_up(const Query& query) {
  if (query.name.empty() || query.name.size() > kMaxName) return nullptr;
  if (auto known = found_.find(query); known != found_.end()) return known->second;
  const Type* incomplete = nullptr;
  const Type* type = search(query, &incomplete);
  return found_[query] = type ? type : incomplete;
}

const Type* LibdwarfSource::search(const Query& query, const Type** incomplete) {
  for (size_t i = 0; i < std::size(kAnchors); i++)
    if (has_word(kAnchors[i].names, query.name))
      if (const OpenUnit* unit = anchor_unit(i))
        if (const Type* type = look_in(*unit, query, incomplete)) return type;
  // By index: looking may open further units.
  for (size_t i = 0; i < opened_.size(); i++)
    if (const Type* type = look_in(*opened_[i], query, incomplete)) return type;
  // Much that is asked for exists in other releases only.
  if (!may_exist(sections_, query.name)) return nullptr;
  for (size_t i = 0; i < std::size(kAnchors); i++)
    if (const OpenUnit* unit = anchor_tried_[i] ? nullptr : anchor_unit(i))
      if (const Type* type = look_in(*unit, query, incomplete)) return type;
  return search_everywhere(query, incomplete);
}

const Type* LibdwarfSource::search_everywhere(const Query& query, const Type** incomplete) {
  // Type units share an abbreviation table; a damaged file can make all units share a huge one.
  uint64_t work = 0;
  const uint64_t work_limit = 4 * (sections_.info.size() + sections_.abbrev.size()) + kMinWorkLimit;
  int disappointments = 0;
  Sweep sweep(file_, sections_.info);
  for (const uint64_t begin : unit_list()) {
    sweep.done_up_to(begin);
    if (units_.contains(begin)) continue;
    const auto header = read_unit_header(sections_.info, begin);
    const auto unit = header ? scan_unit(sections_, *header, UnitScan::kNames, &work) : std::nullopt;
    if (work > work_limit) return nullptr;
    const auto defines = [&](const UnitEntry& entry) {
      return !entry.declaration && query.fits(entry.tag) && entry.name == query.name;
    };
    if (!unit || std::none_of(unit->entries.begin(), unit->entries.end(), defines)) continue;
    const OpenUnit* opened = open_unit(begin);
    if (const Type* type = opened ? look_in(*opened, query, incomplete) : nullptr) return type;
    if (++disappointments >= kMaxDisappointments) return nullptr;
  }
  return nullptr;
}

const Type* LibdwarfSource::look_in(const OpenUnit& unit, const Query& query, const Type** incomplete) {
  const Type* found = nullptr;
  unit.for_each(query.name, [&](const UnitEntry& entry) {
    if (found || !query.fits(entry.tag)) return;
    if (!query.variable) {
      const Type* type = entry.declaration ? nullptr : resolve(entry.offset);
      if (type && type->kind == query.kind) found = type;
      return;
    }
    const auto die = unit.slice.die(entry.offset);
    const Type* type = die ? variable_type(*die) : nullptr;
    const Type* bare = type ? type->strip() : nullptr;
    if (!bare || bare->kind == TypeKind::kUnknown) return;
    // `extern` declarations do as well, but for arrays without bounds.
    const bool open_array = bare->kind == TypeKind::kArray && bare->count == 0;
    if (entry.declaration && (open_array || bare->kind == TypeKind::kForward))
      *incomplete = type;
    else
      found = type;
  });
  return found;
}

const Type* LibdwarfSource::variable_type(const Die& variable) {
  if (const auto id = variable.reference(DW_AT_type)) return resolve(*id);
  const auto declared = variable.reference(DW_AT_specification);
  const auto declaration = declared ? die(*declared) : std::nullopt;
  const auto id = declaration ? declaration->reference(DW_AT_type) : std::nullopt;
  return id ? resolve(*id) : nullptr;
}

// ---- types ----

std::optional<Die> LibdwarfSource::die(uint64_t offset) {
  const OpenUnit* unit = unit_of_die(offset);
  return unit ? unit->slice.die(offset) : std::nullopt;
}

std::optional<Die> LibdwarfSource::definition(const Type& type) {
  const auto found = definitions_.find(type.id);
  return die(found == definitions_.end() ? type.id : found->second);
}

const Type* LibdwarfSource::resolve(uint64_t id) {
  if (auto known = types_.find(id); known != types_.end()) return known->second.get();
  return make_type(id);
}

const Type* LibdwarfSource::make_type(uint64_t id) {
  std::optional<Die> found;
  if (id != kVoidId) {
    found = die(id & kOffsetMask);
    if (!found) return nullptr;
  }
  auto owned = std::make_unique<Type>();
  Type& type = *owned;
  type.source = this;
  type.id = id;
  // Known before it is filled: a damaged typedef may refer to itself.
  types_.emplace(id, std::move(owned));
  if (id == kVoidId) {
    type.kind = TypeKind::kVoid;
    type.name = "void";
  } else {
    fill(type, *found, id >> kDimensionShift);
  }
  return &type;
}

uint64_t LibdwarfSource::size_of(uint64_t id) {
  if (alias_depth_ >= kMaxAliasDepth) return 0;
  alias_depth_++;
  const Type* type = resolve(id);
  alias_depth_--;
  return type ? type->size : 0;
}

void LibdwarfSource::fill(Type& type, const Die& die, uint64_t dimension) {
  const auto target = [&](TypeKind kind) {
    type.kind = kind;
    type.target_id = die.reference(DW_AT_type).value_or(kVoidId);
    type.size = size_of(type.target_id);
  };
  const auto aggregate = [&](TypeKind kind) {
    type.kind = kind;
    const auto size = die.number(DW_AT_byte_size);
    type.size = size.value_or(0);
    if (size && !die.flag(DW_AT_declaration)) return;
    type.kind = TypeKind::kForward;
    type.declared_union = kind == TypeKind::kUnion;
    // -fdebug-types-section: the definition is in a unit of its own.
    const auto elsewhere = die.reference(DW_AT_signature);
    const auto definition = elsewhere ? this->die(*elsewhere) : std::nullopt;
    if (!definition || definition->tag() != die.tag() || !definition->has(DW_AT_byte_size)) return;
    definitions_[type.id] = *elsewhere;
    type.kind = kind;
    type.name = definition->name();
    type.size = definition->number(DW_AT_byte_size).value_or(0);
  };
  const uint16_t tag = die.tag();
  if (tag == DW_TAG_array_type) return fill_array(type, die, dimension);
  if (dimension != 0) return;
  type.name = die.name();
  switch (tag) {
    case DW_TAG_base_type:
      type.size = die.number(DW_AT_byte_size).value_or(0);
      switch (die.number(DW_AT_encoding).value_or(0)) {
        case DW_ATE_boolean:
          type.kind = TypeKind::kInt;
          type.encoding = IntEncoding::kBool;
          break;
        case DW_ATE_signed:
        case DW_ATE_signed_char:
          type.kind = TypeKind::kInt;
          type.encoding = type.name == "char" ? IntEncoding::kChar : IntEncoding::kSigned;
          break;
        case DW_ATE_unsigned:
        case DW_ATE_unsigned_char:
        case DW_ATE_UTF:
          type.kind = TypeKind::kInt;
          // 6.2 and later are built with -funsigned-char (3bc753c06dd0, "kbuild: treat char as always
          // unsigned")
          type.encoding = type.name == "char" ? IntEncoding::kChar : IntEncoding::kUnsigned;
          break;
        case DW_ATE_float:
          type.kind = TypeKind::kFloat;
          break;
        default:
          type.size = 0;
          break;
      }
      break;
    case DW_TAG_pointer_type:
    case DW_TAG_reference_type:
    case DW_TAG_rvalue_reference_type:
      type.kind = TypeKind::kPointer;
      type.size = die.number(DW_AT_byte_size).value_or(8);
      type.target_id = die.reference(DW_AT_type).value_or(kVoidId);
      break;
    case DW_TAG_structure_type:
    case DW_TAG_class_type:
      aggregate(TypeKind::kStruct);
      break;
    case DW_TAG_union_type:
      aggregate(TypeKind::kUnion);
      break;
    case DW_TAG_enumeration_type:
      aggregate(TypeKind::kEnum);
      if (type.kind == TypeKind::kEnum) fill_enum(type, die);
      break;
    case DW_TAG_typedef:
      target(TypeKind::kTypedef);
      break;
    case DW_TAG_const_type:
      target(TypeKind::kConst);
      break;
    case DW_TAG_volatile_type:
    case DW_TAG_atomic_type:
      target(TypeKind::kVolatile);
      break;
    case DW_TAG_restrict_type:
      target(TypeKind::kRestrict);
      break;
    case DW_TAG_subroutine_type:
    case DW_TAG_subprogram:
      type.kind = TypeKind::kFunction;
      break;
    default:
      break;  // kUnknown
  }
}

void LibdwarfSource::fill_array(Type& type, const Die& die, uint64_t dimension) {
  // int a[2][3] is one DIE with two subranges; here it is an array of 2 arrays of 3.
  uint64_t dimensions = 0;
  uint64_t total = 1;
  bool overflow = false;
  die.for_each_child([&](const Die& child) {
    if (child.tag() != DW_TAG_subrange_type && child.tag() != DW_TAG_enumeration_type) return;
    const uint64_t index = dimensions++;
    if (index < dimension) return;
    // Without a bound, or with the bound -1, it is a flexible array.
    uint64_t count = child.number(DW_AT_count).value_or(0);
    if (const auto upper = child.number(DW_AT_upper_bound))
      count = *upper + 1 - child.number(DW_AT_lower_bound).value_or(0);
    if (index == dimension) type.count = count;
    overflow |= __builtin_mul_overflow(total, count, &total);
  });
  if (dimension >= std::max<uint64_t>(dimensions, 1) || dimensions > kMaxDimensions) return;
  const uint64_t element = die.reference(DW_AT_type).value_or(kVoidId);
  if (overflow || __builtin_mul_overflow(total, size_of(element), &total)) return;
  type.kind = TypeKind::kArray;
  type.size = dimensions == 0 ? 0 : total;
  type.target_id = dimension + 1 < dimensions ? type.id + (uint64_t{1} << kDimensionShift) : element;
}

void LibdwarfSource::fill_enum(Type& type, const Die& die) {
  // gcc says the signedness (since version 8) directly or by the underlying type; else a negative value shows
  // it.
  std::optional<uint64_t> encoding = die.number(DW_AT_encoding);
  if (!encoding) {
    const auto underlying = die.reference(DW_AT_type);
    const auto base = underlying ? this->die(*underlying) : std::nullopt;
    if (base) encoding = base->number(DW_AT_encoding);
  }
  bool is_signed = encoding == uint64_t{DW_ATE_signed} || encoding == uint64_t{DW_ATE_signed_char};
  if (!encoding)
    for (const Enumerator& enumerator : load_enumerators(type)) is_signed |= enumerator.value < 0;
  type.encoding = is_signed ? IntEncoding::kSigned : IntEncoding::kUnsigned;
}

std::vector<Member> LibdwarfSource::load_members(const Type& type) {
  std::vector<Member> members;
  const auto aggregate = definition(type);
  if (!aggregate) return members;
  aggregate->for_each_child([&](const Die& child) {
    if (child.tag() != DW_TAG_member) return;
    const auto type_id = child.reference(DW_AT_type);
    const uint64_t bit_size = child.number(DW_AT_bit_size).value_or(0);
    if (!type_id || bit_size > 128) return;
    Member member{std::string(child.name()), 0, static_cast<uint32_t>(bit_size), *type_id};
    if (const auto bits = child.number(DW_AT_data_bit_offset)) {
      member.bit_offset = *bits;
    } else {
      const auto location = child.member_location();
      // Members of unions have none; one that is there and makes no sense is not offset 0.
      if (!location && (type.kind != TypeKind::kUnion && child.has(DW_AT_data_member_location))) return;
      uint64_t bit_offset = location.value_or(0) * 8;
      if (const auto from_top = child.number(DW_AT_bit_offset)) {
        // DWARF 2 and 3: counted from the most significant bit of a storage unit.
        const uint64_t storage = child.number(DW_AT_byte_size).value_or(size_of(*type_id)) * 8;
        if (*from_top > storage || bit_size > storage - *from_top) return;
        bit_offset += storage - *from_top - bit_size;
      }
      member.bit_offset = bit_offset;
    }
    if (member.bit_offset / 8 > type.size) return;
    members.push_back(std::move(member));
  });
  return members;
}

std::vector<Enumerator> LibdwarfSource::load_enumerators(const Type& type) {
  std::vector<Enumerator> enumerators;
  const auto enumeration = definition(type);
  if (!enumeration) return enumerators;
  enumeration->for_each_child([&](const Die& child) {
    if (child.tag() != DW_TAG_enumerator) return;
    if (const auto value = child.number(DW_AT_const_value))
      enumerators.push_back({std::string(child.name()), static_cast<int64_t>(*value)});
  });
  return enumerators;
}

// ---- code ----

const UnitCode* LibdwarfSource::unit_code(uint64_t begin) {
  auto [slot, is_new] = unit_codes_.try_emplace(begin);
  if (is_new) slot->second = UnitCode::open(sections_, begin);
  return slot->second.get();
}

std::string LibdwarfSource::function_name(const UnitCode* unit, uint64_t die) {
  // An inlined instance refers to the abstract function, which may refer to a declaration, or, with link-time
  // optimisation, to another unit.
  for (int hops = 0; hops < 4 && die != 0; hops++) {
    if (!unit || die < unit->header().begin || die >= unit->header().end) {
      const auto& all = unit_list();
      const auto after = std::upper_bound(all.begin(), all.end(), die);
      unit = after == all.begin() ? nullptr : unit_code(*std::prev(after));
      if (!unit || die >= unit->header().end) return {};
    }
    const UnitCode::Name name = unit->name_of(die);
    if (!name.text.empty()) return std::string(name.text);
    die = name.elsewhere;
  }
  return {};
}

std::vector<InlinedCall> LibdwarfSource::inlined_at(uint64_t link_address) {
  std::vector<InlinedCall> calls;
  const auto begin = unit_of_address(link_address);
  const UnitCode* unit = begin ? unit_code(*begin) : nullptr;
  if (!unit) return calls;
  for (const uint64_t origin : unit->inlined_at(link_address)) calls.push_back({function_name(unit, origin)});
  std::reverse(calls.begin(), calls.end());
  return calls;
}

std::optional<Prototype> LibdwarfSource::prototype(std::string_view, uint64_t link_address) {
  const auto begin = unit_of_address(link_address);
  const UnitCode* code = begin ? unit_code(*begin) : nullptr;
  const UnitCode::Function* function = code ? code->function_at(link_address) : nullptr;
  // Opened by its own offset: finding the unit of a DIE takes a walk over all units.
  if (!function || function->begin != link_address || !open_unit(*begin)) return std::nullopt;
  auto subprogram = die(function->die);
  // A function that is inlined elsewhere as well keeps its prototype in the abstract instance.
  const auto abstract = subprogram ? subprogram->reference(DW_AT_abstract_origin) : std::nullopt;
  if (abstract) subprogram = die(*abstract);
  if (!subprogram || subprogram->tag() != DW_TAG_subprogram) return std::nullopt;
  return prototype_of(*subprogram);
}

Prototype LibdwarfSource::prototype_of(const Die& function) {
  Prototype prototype;
  prototype.result = resolve(function.reference(DW_AT_type).value_or(kVoidId));
  function.for_each_child([&](const Die& child) {
    if (child.tag() != DW_TAG_formal_parameter) return;
    prototype.parameters.push_back(resolve(child.reference(DW_AT_type).value_or(kVoidId)));
  });
  return prototype;
}

std::optional<Prototype> LibdwarfSource::signature(const Type& function) {
  const auto found = function.kind == TypeKind::kFunction ? die(function.id) : std::nullopt;
  return found ? std::optional(prototype_of(*found)) : std::nullopt;
}

void LibdwarfSource::for_each_name(const std::function<void(TypeKind, std::string_view)>& visit) {
  static constexpr std::pair<uint16_t, TypeKind> kTags[] = {{DW_TAG_structure_type, TypeKind::kStruct},
                                                            {DW_TAG_union_type, TypeKind::kUnion},
                                                            {DW_TAG_enumeration_type, TypeKind::kEnum},
                                                            {DW_TAG_typedef, TypeKind::kTypedef}};
  uint64_t work = 0;
  const uint64_t work_limit = 4 * (sections_.info.size() + sections_.abbrev.size()) + kMinWorkLimit;
  Sweep sweep(file_, sections_.info);
  for (const uint64_t begin : unit_list()) {
    sweep.done_up_to(begin);
    const auto header = read_unit_header(sections_.info, begin);
    const auto unit = header ? scan_unit(sections_, *header, UnitScan::kNames, &work) : std::nullopt;
    if (work > work_limit) return;
    if (!unit) continue;
    for (const UnitEntry& entry : unit->entries)
      for (const auto& [tag, kind] : kTags)
        if (entry.tag == tag && !entry.declaration && !entry.name.empty()) visit(kind, entry.name);
  }
}

}  // namespace

std::span<const std::string_view> dwarf_anchors() {
  static const auto kNames = [] {
    std::array<std::string_view, std::size(kAnchors)> names;
    std::transform(std::begin(kAnchors), std::end(kAnchors), names.begin(),
                   [](const Anchor& a) { return a.function; });
    return names;
  }();
  return kNames;
}

std::unique_ptr<DwarfSource> open_dwarf(const std::string& vmlinux, FunctionAddress function_address) {
  return std::make_unique<LibdwarfSource>(vmlinux, std::move(function_address));
}

}  // namespace perfcore
