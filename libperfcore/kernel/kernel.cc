// SPDX-License-Identifier: LGPL-2.1-or-later
#include "perfcore/kernel.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <numeric>

#include "kernel/recorder.h"
#include "kernel/synthetic_types.h"
#include "kernel/variables.h"
#include "kernel/without_data_symbols.h"
#include "perfcore/debuginfo.h"

namespace perfcore {
namespace {

/// How far from _stext a kernel's read-only data may lie.
constexpr uint64_t kImageSearchSize = 96 << 20;

/// CONFIG_NR_CPUS is at most 8192 on x86-64 (arch/x86/Kconfig, MAXSMP).
constexpr uint64_t kMaxCpus = 8192;

/// Symbols that opening a kernel and the common questions need; found in one pass where there is no index by
/// name.
constexpr std::string_view kCommonSymbols[] = {
    "__cpu_online_mask",
    "__cpu_possible_mask",
    "__cpu_present_mask",
    "__per_cpu_offset",
    "__per_cpu_start",
    "__start_BTF",
    "__start_orc_header",
    "__start_orc_unwind",
    "__start_orc_unwind_ip",
    "__stop_BTF",
    "__stop_orc_header",
    "__stop_orc_unwind",
    "__stop_orc_unwind_ip",
    "_einittext",
    "_end",
    "_etext",
    "_perf_event_enable",
    "_sinittext",
    "_stext",
    "boot_cpu_data",
    "cea_exception_stacks",
    "cpu_hw_events",
    "crashing_cpu",
    "current_task",
    "entry_SYSCALL_64",
    "ext_regs_buf",
    "hardirq_stack_ptr",
    "hrtimer_wakeup",
    "ibs_caps",
    "init_task",
    "init_uts_ns",
    "jiffies_64",
    "max_samples_per_tick",
    "modules",
    "nr_cpu_ids",
    "orc_lookup",
    "orc_lookup_end",
    "page_offset_base",
    "panic_cpu",
    "pcpu_hot",
    "perf_aux_output_begin",
    "perf_cpu_context",
    "perf_ibs_fetch",
    "perf_ibs_op",
    "perf_ibs_start",
    "perf_throttled_count",
    "perf_throttled_seq",
    "pmc_prev_left",
    "pmu",
    "pmus",
    "prb",
    "runqueues",
    "saved_command_line",
    "shadow_timekeeper",
    "tainted_mask",
    "this_cpu_off",
    "timekeeper_data",
    "tk_core",
    "vmalloc_base",
    "vmemmap_base",
    "x86_hyper_type",
    "x86_perf_event_set_period",
    "x86_pmu",
    "x86_pmu_enable",
    "x86_pmu_event_init",
    "x86_pmu_start",
    "x86_user_regs",
};

/// A kernel without symbols or types: every look-up fails and says so in the Unread that follows.
class NoSymbols : public SymbolTable {
 public:
  std::string_view source() const override { return "none"; }
  void prefetch(std::span<const std::string_view>) override {}
  std::optional<Symbol> find(std::string_view) override { return std::nullopt; }
  std::vector<Symbol> find_all(std::string_view) override { return {}; }
  std::optional<Symbol> at(uint64_t) override { return std::nullopt; }
};

class NoTypes : public TypeSource {
 public:
  std::string_view source() const override { return "none"; }
  const Type* find(TypeKind, std::string_view) override { return nullptr; }
  const Type* variable(std::string_view) override { return nullptr; }
  std::optional<uint64_t> percpu_offset(std::string_view) override { return std::nullopt; }
  const Type* resolve(uint64_t) override { return nullptr; }

 protected:
  std::vector<Member> load_members(const Type&) override { return {}; }
  std::vector<Enumerator> load_enumerators(const Type&) override { return {}; }
};

}  // namespace

Kernel::Kernel() : synthetic_(std::make_unique<SyntheticTypes>()) {}

Kernel::Kernel(std::unique_ptr<Memory> memory, VmcoreInfo info, std::vector<CpuStatus> cpu_status,
               std::unique_ptr<SymbolTable> symbols, std::unique_ptr<TypeSource> types)
    : own_memory_(std::move(memory)),
      memory_(own_memory_.get()),
      own_info_(std::move(info)),
      info_(&own_info_),
      own_cpu_status_(std::move(cpu_status)),
      cpu_status_(&own_cpu_status_),
      symbols_(std::move(symbols)),
      types_(std::move(types)),
      synthetic_(std::make_unique<SyntheticTypes>()) {
  if (!symbols_) symbols_ = std::make_unique<NoSymbols>();
  if (!types_) types_ = std::make_unique<NoTypes>();
  identify();
}

Kernel::~Kernel() = default;

std::unique_ptr<Kernel> Kernel::open(std::unique_ptr<Dump> dump, const KernelOptions& options) {
  std::unique_ptr<Kernel> kernel(new Kernel());
  kernel->memory_ = &dump->memory();
  kernel->info_ = &dump->vmcoreinfo();
  kernel->cpu_status_ = &dump->cpu_status();
  kernel->dump_ = std::move(dump);
  kernel->identify();
  if (!options.debuginfo.empty() || !kernel->use_recorded_tables()) kernel->choose_debug_info(options);
  kernel->prefetch_symbols();
  if (options.record) kernel->start_recorder();
  return kernel;
}

std::unique_ptr<Kernel> Kernel::open(std::unique_ptr<Memory> memory, VmcoreInfo info,
                                     std::vector<CpuStatus> cpu_status, const KernelOptions& options) {
  std::unique_ptr<Kernel> kernel(new Kernel());
  kernel->own_memory_ = std::move(memory);
  kernel->memory_ = kernel->own_memory_.get();
  kernel->own_info_ = std::move(info);
  kernel->info_ = &kernel->own_info_;
  kernel->own_cpu_status_ = std::move(cpu_status);
  kernel->cpu_status_ = &kernel->own_cpu_status_;
  kernel->identify();
  kernel->choose_debug_info(options);
  kernel->prefetch_symbols();
  return kernel;
}

void Kernel::prefetch_symbols() {
  std::vector<std::string_view> names(std::begin(kCommonSymbols), std::end(kCommonSymbols));
  // The units that types are looked for in first are found by functions in them.
  if (dwarf_) names.insert(names.end(), dwarf_anchors().begin(), dwarf_anchors().end());
  symbols_->prefetch(names);
}

bool Kernel::use_recorded_tables() {
  const std::string_view bytes = dump_->recorded_tables();
  if (bytes.empty()) return false;
  RecordedTables tables = read_recorded_tables(bytes, dump_->path());
  vmlinux_ = std::move(tables.vmlinux);
  remarks_ = std::move(tables.remarks);
  symbols_ = std::move(tables.symbols);
  types_ = std::move(tables.types);
  dwarf_ = tables.dwarf;
  return true;
}

void Kernel::start_recorder() {
  recorder_ = std::make_unique<Recorder>(*memory_);
  memory_ = &recorder_->memory;
  auto symbols = std::make_unique<SymbolRecorder>(std::move(symbols_));
  recorder_->symbols = symbols.get();
  symbols_ = std::move(symbols);
  auto types = std::make_unique<TypeRecorder>(std::move(types_), dwarf_);
  recorder_->types = types.get();
  if (dwarf_) dwarf_ = types.get();
  types_ = std::move(types);
}

void Kernel::identify() {
  if (const auto release = info_->get("OSRELEASE")) release_ = *release;
  if (const auto build_id = info_->get("BUILD-ID")) build_id_ = *build_id;
  if (const auto offset = info_->kernel_offset()) kaslr_offset_ = *offset;
}

void Kernel::choose_debug_info(const KernelOptions& options) {
  if (!options.debuginfo.empty() || options.search_debuginfo) {
    const VmlinuxSearch search =
        find_vmlinux(options.debuginfo, release_, build_id_, options.search_debuginfo);
    remarks_.insert(remarks_.end(), search.remarks.begin(), search.remarks.end());
    if (!search.path.empty()) {
      vmlinux_ = search.path;
      symbols_ = open_elf_symbols(vmlinux_, kaslr_offset_);
      try {
        auto dwarf = open_dwarf(vmlinux_, [this](std::string_view function) -> std::optional<uint64_t> {
          const auto symbol = symbols_->find(function);
          return symbol ? std::optional(symbol->address - kaslr_offset_) : std::nullopt;
        });
        dwarf_ = dwarf.get();
        types_ = std::move(dwarf);
      } catch (const InputError& error) {
        remarks_.push_back(error.what());
      }
    }
  }
  Unread why;
  std::vector<SymbolTable*> alike_symbols;
  std::vector<std::unique_ptr<TypeSource>*> alike_types;
  for (Kernel* kernel : options.alike) {
    alike_symbols.push_back(kernel->symbols_.get());
    alike_types.push_back(&kernel->types_);
  }
  if (!symbols_) symbols_ = open_kallsyms(*memory_, *info_, &why, alike_symbols);
  if (!symbols_) {
    remarks_.push_back("no symbols: " + why.message());
    symbols_ = std::make_unique<NoSymbols>();
  }
  if (types_) return;
  std::optional<std::pair<uint64_t, uint64_t>> btf;
  const auto start = symbols_->find("__start_BTF");
  const auto stop = symbols_->find("__stop_BTF");
  if (start && stop) {
    btf = {start->address, stop->address};
  } else if (const auto text = info_->symbol("_stext")) {
    const auto end_of_text = symbols_->find("_etext");
    btf = find_btf(*memory_, end_of_text ? end_of_text->address : *text, *text + kImageSearchSize);
  }
  if (btf) {
    why = {};
    types_ = open_btf(*memory_, btf->first, btf->second, &why, alike_types);
    if (!types_) remarks_.push_back("no types: " + why.message());
    read_own_types_ = types_ && std::all_of(alike_types.begin(), alike_types.end(),
                                            [](const auto* types) { return *types != nullptr; });
  } else {
    remarks_.push_back(fmt::format(
        "no types: the kernel has no BTF, and no vmlinux of {} was found; install its debug package (Debian: "
        "linux-image-{}-dbg) or give --debuginfo",
        release_, release_));
  }
  if (!types_) types_ = std::make_unique<NoTypes>();
}

const Type* Kernel::parse_type(std::string_view c_name) {
  const auto trim = [&] {
    while (!c_name.empty() && c_name.front() == ' ') c_name.remove_prefix(1);
    while (!c_name.empty() && c_name.back() == ' ') c_name.remove_suffix(1);
  };
  const auto skip = [&](std::string_view word) {
    trim();
    if (!c_name.starts_with(word)) return false;
    c_name.remove_prefix(word.size());
    return true;
  };
  trim();
  if (c_name.ends_with(']')) {
    const size_t open = c_name.rfind('[');
    if (open == std::string_view::npos) return nullptr;
    const std::string count(c_name.substr(open + 1, c_name.size() - open - 2));
    const Type* element = parse_type(c_name.substr(0, open));
    return element ? synthetic_->array_of(element, std::strtoull(count.c_str(), nullptr, 0)) : nullptr;
  }
  if (c_name.ends_with('*')) {
    const Type* target = parse_type(c_name.substr(0, c_name.size() - 1));
    return target ? synthetic_->pointer_to(target) : nullptr;
  }
  while (skip("const ") || skip("volatile ")) {
  }
  for (const auto& [keyword, kind] : {std::pair<std::string_view, TypeKind>{"struct ", TypeKind::kStruct},
                                      {"union ", TypeKind::kUnion},
                                      {"enum ", TypeKind::kEnum}}) {
    if (skip(keyword)) {
      trim();
      return types_->find(kind, c_name);
    }
  }
  for (TypeKind kind : {TypeKind::kInt, TypeKind::kVoid})
    if (const Type* type = synthetic_->find(kind, c_name)) return type;
  return types_->find(TypeKind::kTypedef, c_name);
}

const Type* Kernel::type(std::string_view c_name) {
  return parse_type(c_name);
}

const Type* Kernel::variable_type(std::string_view name) {
  if (const std::string_view known = known_variable_type(name); !known.empty())
    if (const Type* found = type(known)) return found;
  return types_->variable(name);
}

Object Kernel::variable(std::string_view name) {
  const auto symbol = symbols_->find(name);
  if (!symbol) {
    const bool recorded = !symbols_->unknown(name);
    return Object::of_unread(*this, {recorded ? UnreadReason::kNoSymbol : UnreadReason::kNotRecorded, 0,
                                     std::string(name), recorded ? "" : "its symbol"});
  }
  const Type* found = variable_type(name);
  if (!found) {
    return Object::of_unread(*this,
                             {UnreadReason::kNoType, symbol->address, std::string(name),
                              fmt::format("the type of this variable is not in {}", types_->source())});
  }
  return Object(*this, found, symbol->address, std::string(name));
}

Object Kernel::per_cpu(std::string_view name, int cpu) {
  const std::string expression = fmt::format("per_cpu({}, {})", name, cpu);
  const Type* found = variable_type(name);
  if (!found)
    return Object::of_unread(*this, {UnreadReason::kNoType, 0, expression, "no such per-CPU variable"});
  std::optional<uint64_t> base;
  if (const auto symbol = symbols_->find(name)) {
    base = symbol->address;
  } else if (const auto offset = types_->percpu_offset(name)) {
    // BTF places per-CPU variables in their section, which starts at 0 up to 6.14 and at __per_cpu_start
    // since 6.15 (9d7de2aa8b41 "x86/percpu/64: Use relative percpu offsets").
    if (const PerCpuLayout* layout = per_cpu_layout()) base = layout->section + *offset;
  }
  if (!base) {
    const bool recorded = !symbols_->unknown(name);
    return Object::of_unread(*this, {recorded ? UnreadReason::kNoSymbol : UnreadReason::kNotRecorded, 0,
                                     expression, recorded ? "" : "its symbol"});
  }
  const Reading<uint64_t> offset = per_cpu_offset(cpu);
  if (!offset.has_value()) {
    Unread failure = offset.unread();
    failure.path = expression;
    return Object::of_unread(*this, std::move(failure));
  }
  return Object(*this, found, *base + *offset, expression);
}

Object Kernel::object(std::string_view type_name, uint64_t address) {
  const Type* found = type(type_name);
  if (!found) {
    return Object::of_unread(
        *this, {UnreadReason::kNoType, address, fmt::format("*({} *){:#x}", type_name, address), ""});
  }
  return object(found, address);
}

Object Kernel::object(const Type* type, uint64_t address) {
  std::string pointer = fmt::format("({} *){:#x}", type->to_string(), address);
  return Object(*this, type, Object::Location{address, 0, 0, nullptr}, "*" + pointer, std::move(pointer));
}

const Type* Kernel::pointer_to(const Type* target) {
  return synthetic_->pointer_to(target);
}

Object Kernel::constant(uint64_t value, std::string_view c_type) {
  const Type* found = type(c_type);
  const bool small = value < 4096;
  return Object::of_value(*this, found ? found : synthetic_->find(TypeKind::kInt, "unsigned long"), value,
                          small ? fmt::format("{}", value) : fmt::format("{:#x}", value));
}

std::optional<int64_t> Kernel::enumerator(std::string_view enum_name, std::string_view name) {
  const Type* found = types_->find(TypeKind::kEnum, enum_name);
  if (!found) return std::nullopt;
  for (const Enumerator& candidate : found->enumerators())
    if (candidate.name == name) return candidate.value;
  return std::nullopt;
}

const PerCpuLayout* Kernel::per_cpu_layout() {
  if (!per_cpu_layout_sought_) {
    per_cpu_layout_sought_ = true;
    if (const auto found = find_per_cpu_layout(*this)) {
      per_cpu_layout_ = std::make_unique<PerCpuLayout>(*found);
      remarks_.push_back(
          fmt::format("the kernel lists no data symbols (CONFIG_KALLSYMS_ALL is off): per-CPU memory of {} "
                      "CPUs was found "
                      "by the kernel's code",
                      found->cpus));
    }
  }
  return per_cpu_layout_.get();
}

Reading<uint64_t> Kernel::nr_cpu_ids() {
  if (!symbols_->find("nr_cpu_ids")) {
    // A constant with CONFIG_FORCE_NR_CPUS (6f9c07be9d02, 6.1): no CPU beyond the last possible one matters.
    const Object mask = variable("__cpu_possible_mask").unread() ? variable("__cpu_present_mask")
                                                                 : variable("__cpu_possible_mask");
    const Reading<uint64_t> address = mask.address();
    const uint64_t words = mask.type() ? std::min<uint64_t>(mask.type()->size, kMaxCpus / 8) / 8 : 0;
    if (address.has_value() && words) {
      const auto bits = read_array<uint64_t>(*memory_, *address, words);
      if (!bits.has_value()) return bits.unread();
      for (size_t i = words; i-- > 0;)
        if ((*bits)[i]) return i * 64 + static_cast<uint64_t>(std::bit_width((*bits)[i]));
    }
    if (const PerCpuLayout* layout = per_cpu_layout()) return layout->cpus;
  }
  const Reading<uint64_t> number = variable("nr_cpu_ids").u64();
  if (!number.has_value() || (*number >= 1 && *number <= kMaxCpus)) return number;
  return Unread{UnreadReason::kCorrupt, 0, "nr_cpu_ids",
                fmt::format("{} is not in 1..{}", *number, kMaxCpus)};
}

Reading<uint64_t> Kernel::per_cpu_offset(int cpu) {
  const std::string path = fmt::format("__per_cpu_offset[{}]", cpu);
  const Reading<uint64_t> number = nr_cpu_ids();
  if (!number.has_value()) return number.unread();
  if (cpu < 0 || static_cast<uint64_t>(cpu) >= *number) {
    return Unread{UnreadReason::kNotMapped, 0, path, fmt::format("this kernel has CPUs 0..{}", *number - 1)};
  }
  if (!per_cpu_offsets_) {
    // One read for all CPUs; element by element where a page of a large array is missing.
    Object array = variable("__per_cpu_offset");
    if (const PerCpuLayout* layout = array.unread() ? per_cpu_layout() : nullptr)
      array = Object(*this, type("unsigned long []"), layout->offset_array, "__per_cpu_offset");
    const Reading<uint64_t> address = array.address();
    if (!address.has_value()) return address.unread();
    auto offsets = read_array<uint64_t>(*memory_, *address, *number);
    if (!offsets.has_value()) return array.index(cpu).u64();
    per_cpu_offsets_ = std::move(offsets).value();
  }
  return (*per_cpu_offsets_)[static_cast<size_t>(cpu)];
}

Reading<std::vector<int>> Kernel::cpu_mask(std::string_view name) {
  const Reading<uint64_t> number = nr_cpu_ids();
  if (!number.has_value()) return number.unread();
  const Object mask = variable(name);
  const Reading<uint64_t> address = mask.address();
  if (const PerCpuLayout* layout = mask.unread() ? per_cpu_layout() : nullptr) {
    // Without the masks: the CPUs that have a per-CPU area.
    std::vector<int> cpus(layout->cpus);
    std::iota(cpus.begin(), cpus.end(), 0);
    return cpus;
  }
  if (!address.has_value()) return address.unread();
  const auto words = read_array<uint64_t>(*memory_, *address, (*number + 63) / 64);
  if (!words.has_value()) {
    Unread failure = words.unread();
    failure.path = name;
    return failure;
  }
  std::vector<int> cpus;
  for (uint64_t cpu = 0; cpu < *number; cpu++)
    if ((*words)[cpu / 64] >> (cpu % 64) & 1) cpus.push_back(static_cast<int>(cpu));
  return cpus;
}

Reading<std::vector<int>> Kernel::possible_cpus() {
  return cpu_mask("__cpu_possible_mask");
}
Reading<std::vector<int>> Kernel::present_cpus() {
  return cpu_mask("__cpu_present_mask");
}
Reading<std::vector<int>> Kernel::online_cpus() {
  return cpu_mask("__cpu_online_mask");
}

Object Kernel::current_task(int cpu) {
  // e57ef2ed97c1 "x86: Put hot per CPU variables into a struct" (6.2) moved it into pcpu_hot; 9d7de2aa8b41's
  // series (6.15) moved it back out.
  const Object hot = symbols_->find("pcpu_hot") ? per_cpu("pcpu_hot", cpu).member("current_task")
                                                : per_cpu("current_task", cpu);
  return hot.deref();
}

const CpuStatus* Kernel::status_of(int cpu) const {
  for (const CpuStatus& status : *cpu_status_)
    if (status.cpu == cpu) return &status;
  return nullptr;
}

}  // namespace perfcore
