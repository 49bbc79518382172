// SPDX-License-Identifier: LGPL-2.1-or-later
#include "kernel/code_facts.h"

#include <algorithm>

#include "kernel/variables.h"

namespace perfcore {
namespace {

/// Per-CPU variables whose contents code reaches through %gs or this_cpu_off.
constexpr std::string_view kPerCpuVariables[] = {"cpu_hw_events", "current_task", "pcpu_hot", "runqueues"};

/// No per-CPU variable named above is larger.
constexpr uint64_t kMaxVariableSize = 32768;

/// What tracers put at the start of functions (arch/x86/kernel/ftrace_64.S).
constexpr std::string_view kHooks[] = {"__fentry__", "ftrace_caller", "ftrace_regs_caller"};

/// Functions that do not return, as far as they occur between code that does.
constexpr std::string_view kNoReturn[] = {
    "__stack_chk_fail", "__fortify_panic",           "panic", "__ubsan_handle_out_of_bounds_abort", "do_exit",
    "make_task_dead",   "rewind_stack_and_make_dead"};

/// A per-CPU variable's address as code has it: without a CPU's offset.
std::optional<uint64_t> per_cpu_address(Kernel& kernel, std::string_view name) {
  if (const auto symbol = kernel.symbols().find(name)) return symbol->address;
  // Without CONFIG_KALLSYMS_ALL there are no data symbols; BTF places them. Not worth a search of all types.
  if (!kernel.types().percpu_offset(name)) return std::nullopt;
  const auto address = kernel.per_cpu(name, 0).address();
  const auto offset = kernel.per_cpu_offset(0);
  if (!address.has_value() || !offset.has_value()) return std::nullopt;
  return *address - *offset;
}

}  // namespace

std::vector<Value> parameters_of(Kernel& kernel, const Symbol& function) {
  std::vector<Value> values;
  if (function.name.find('.') != std::string::npos) return values;
  const auto prototype = kernel.types().prototype(function.name, function.address - kernel.kaslr_offset());
  if (!prototype) return values;
  for (const Type* type : prototype->parameters) {
    const Type* bare = type ? type->strip() : nullptr;
    // Structs and floating point are passed otherwise; what follows them is not where it seems.
    const bool in_register =
        bare &&
        (bare->kind == TypeKind::kInt || bare->kind == TypeKind::kEnum || bare->kind == TypeKind::kPointer) &&
        bare->size <= 8;
    if (!in_register) break;
    values.push_back(bare->kind == TypeKind::kPointer ? value_of_type(bare) : Value{});
  }
  return values;
}

KernelFacts::KernelFacts(Kernel& kernel, std::vector<Value> parameters)
    : kernel_(kernel), parameters_(std::move(parameters)) {
  this_cpu_offset_ = per_cpu_address(kernel, "this_cpu_off");
  if (const auto symbol = kernel.symbols().find("__per_cpu_offset")) per_cpu_offsets_ = symbol->address;
  for (std::string_view name : kPerCpuVariables)
    if (const auto address = per_cpu_address(kernel, name)) per_cpu_.push_back({*address, name});
  std::sort(per_cpu_.begin(), per_cpu_.end(),
            [](const PerCpuVariable& a, const PerCpuVariable& b) { return a.address < b.address; });
}

Value KernelFacts::per_cpu_variable(uint64_t address) const {
  const auto after = std::upper_bound(per_cpu_.begin(), per_cpu_.end(), address,
                                      [](uint64_t a, const PerCpuVariable& b) { return a < b.address; });
  if (after == per_cpu_.begin()) return {};
  const PerCpuVariable& variable = *std::prev(after);
  // Types are costly to find: only that of the nearest variable is asked for, and only if it can reach here.
  if (address - variable.address >= kMaxVariableSize) return {};
  const Type* type = kernel_.type(known_variable_type(variable.name));
  if (!type || address - variable.address >= type->size) return {};
  return Value::pointer(type, static_cast<int64_t>(address - variable.address));
}

Value KernelFacts::global_variable(uint64_t address) const {
  const auto symbol = kernel_.symbols().at(address);
  if (!symbol) return {};
  const std::string_view name = known_variable_type(symbol->name);
  const Type* type = name.empty() ? nullptr : kernel_.type(name);
  return type ? Value::pointer(type, static_cast<int64_t>(address - symbol->address)) : Value{};
}

bool KernelFacts::is_this_cpu_offset(uint64_t address) const {
  return this_cpu_offset_ == address;
}

bool KernelFacts::is_per_cpu_offsets(uint64_t address) const {
  return per_cpu_offsets_ == address;
}

bool KernelFacts::is_one_of(uint64_t target, std::span<const std::string_view> names) const {
  const auto symbol = kernel_.symbols().at(target);
  return symbol && symbol->address == target &&
         std::find(names.begin(), names.end(), symbol->name) != names.end();
}

bool KernelFacts::keeps_registers(uint64_t target) const {
  return is_one_of(target, kHooks);
}

bool KernelFacts::returns(uint64_t target) const {
  return !is_one_of(target, kNoReturn);
}

Value KernelFacts::result_of(uint64_t target) const {
  const auto known = results_.find(target);
  return known == results_.end() ? FlowFacts::result_of(target) : known->second;
}

bool KernelFacts::learn_result_of(uint64_t target) {
  const auto symbol = kernel_.symbols().at(target);
  if (!symbol || symbol->address != target) return false;
  const auto prototype = kernel_.types().prototype(symbol->name, target - kernel_.kaslr_offset());
  const Value value = prototype ? value_of_type(prototype->result) : Value{};
  results_[target] = value;
  return value.known();
}

std::optional<uint64_t> KernelFacts::jump_table_entry(uint64_t address) const {
  const auto entry = read_value<uint64_t>(kernel_.memory(), address);
  return entry.has_value() ? std::optional(*entry) : std::nullopt;
}

}  // namespace perfcore
