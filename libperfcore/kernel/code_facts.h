// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// What code_flow.h needs to know of a kernel: its variables and functions with their types.
#pragma once

#include <map>
#include <optional>
#include <string_view>
#include <vector>

#include "kernel/code_flow.h"
#include "perfcore/kernel.h"

namespace perfcore {

/// Parameters of a function as its prototype has them; empty for clones (foo.isra.0), which may take
/// something else.
std::vector<Value> parameters_of(Kernel& kernel, const Symbol& function);

/// Facts of one kernel for one function. Looks things up when they are asked for. One thread at a time.
class KernelFacts : public FlowFacts {
 public:
  /// \param parameters  of the function; empty where they do not matter or are not known
  explicit KernelFacts(Kernel& kernel, std::vector<Value> parameters = {});

  Value per_cpu_variable(uint64_t address) const override;
  Value global_variable(uint64_t address) const override;
  bool is_this_cpu_offset(uint64_t address) const override;
  bool is_per_cpu_offsets(uint64_t address) const override;
  std::vector<Value> parameters() const override { return parameters_; }
  Value result_of(uint64_t target) const override;
  bool keeps_registers(uint64_t target) const override;
  bool returns(uint64_t target) const override;
  std::optional<uint64_t> jump_table_entry(uint64_t address) const override;

  /// From now on result_of() tells the type that this function returns; false when it is not known.
  bool learn_result_of(uint64_t target);

 private:
  bool is_one_of(uint64_t target, std::span<const std::string_view> names) const;

  struct PerCpuVariable {
    uint64_t address = 0;
    std::string_view name;
  };

  Kernel& kernel_;
  std::vector<Value> parameters_;
  std::vector<PerCpuVariable> per_cpu_;
  std::map<uint64_t, Value> results_;
  std::optional<uint64_t> this_cpu_offset_, per_cpu_offsets_;
};

}  // namespace perfcore
