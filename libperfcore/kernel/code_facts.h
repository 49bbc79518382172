// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// What code_flow.h needs to know of a kernel: its variables and functions with their types.
#pragma once

#include <optional>
#include <vector>

#include "kernel/code_flow.h"
#include "perfcore/kernel.h"

namespace perfcore {

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
  bool returns(uint64_t target) const override;
  std::optional<uint64_t> jump_table_entry(uint64_t address) const override;

 private:
  struct PerCpuVariable {
    uint64_t address = 0;
    std::string_view name;
  };

  Kernel& kernel_;
  std::vector<Value> parameters_;
  std::vector<PerCpuVariable> per_cpu_;
  std::optional<uint64_t> this_cpu_offset_, per_cpu_offsets_;
};

}  // namespace perfcore
