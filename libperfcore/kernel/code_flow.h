// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// Control flow and data flow of one function's machine code: which instruction can follow which, and what
/// its registers hold as far as the code before tells.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "perfcore/code.h"
#include "perfcore/types.h"

namespace perfcore {

/// What a register, a stack slot or an address is known to be, whatever path led there.
struct Value {
  enum class Kind : uint8_t {
    kUnknown,
    kConstant,  ///< offset
    kStack,     ///< the stack pointer at the function's entry plus offset
    kPerCpu,    ///< the address of a CPU's per-CPU area plus offset
    kPointer,   ///< the address of an object of `type` plus offset
    kScalar,    ///< the value of what lies at offset in an object of `type`, and no pointer
    kResult,    ///< what the function at address `offset` returned, or something reached from that
  };
  Kind kind = Kind::kUnknown;
  uint32_t stride = 0;  ///< not 0: plus an unknown multiple of it (kConstant, kPerCpu, kPointer)
  int64_t offset = 0;
  const Type* type = nullptr;

  static Value constant(int64_t value) { return {Kind::kConstant, 0, value, nullptr}; }
  static Value per_cpu(int64_t offset) { return {Kind::kPerCpu, 0, offset, nullptr}; }
  static Value pointer(const Type* type, int64_t offset = 0) { return {Kind::kPointer, 0, offset, type}; }

  bool known() const { return kind != Kind::kUnknown; }
  bool is_constant(int64_t value) const { return kind == Kind::kConstant && stride == 0 && offset == value; }
  bool operator==(const Value&) const = default;
};

/// What a pointer's loads give: the value of type `type` that lies `offset` bytes (plus a multiple of
/// `stride`) into an object, when `size` bytes are read. Unknown where unions or strides leave a choice.
Value load_from(const Type* type, int64_t offset, uint32_t stride, uint64_t size);

/// The value of a variable of this type: a pointer for pointers to something with a size, else a scalar.
Value value_of_type(const Type* type);

/// What the flow needs to know of the kernel around the function. The default knows nothing.
class FlowFacts {
 public:
  virtual ~FlowFacts() = default;
  /// The address of a per-CPU variable, as a pointer to its type. \param address as in Symbol::address
  virtual Value per_cpu_variable(uint64_t address) const;
  /// The address of a global variable.
  virtual Value global_variable(uint64_t address) const;
  /// True for the per-CPU variable this_cpu_off, which holds the address of its CPU's area.
  virtual bool is_this_cpu_offset(uint64_t address) const;
  /// True for the array __per_cpu_offset.
  virtual bool is_per_cpu_offsets(uint64_t address) const;
  /// Parameters in order, as the function's prototype says; empty when it is not known.
  virtual std::vector<Value> parameters() const;
  /// What a function returns. By default a kResult: once it is known that a question depends on it, facts
  /// that know more can be asked.
  virtual Value result_of(uint64_t target) const;
  /// True for what is called at a function's start by tracers: it changes no registers.
  virtual bool keeps_registers(uint64_t target) const;
  /// False for functions that never return.
  virtual bool returns(uint64_t target) const;
  /// The entry of a jump table at this address; nullopt when it is not readable.
  virtual std::optional<uint64_t> jump_table_entry(uint64_t address) const;
};

/// Which instruction can follow which. Instructions are named by their index.
class CodeGraph {
 public:
  /// \param code   ascending; parts need not adjoin (a function and its .cold part). Must outlive the graph.
  /// \param entry  address where the function is entered
  CodeGraph(std::span<const Instruction> code, uint64_t entry, const FlowFacts& facts);

  std::span<const Instruction> code() const { return code_; }
  /// The instruction at which the function is entered; the first one if there is none at that address.
  size_t entry() const { return entry_; }
  const std::vector<size_t>& successors(size_t i) const { return successors_[i]; }
  std::optional<size_t> index_of(uint64_t address) const;
  /// False when it has jumps whose targets are not known.
  bool complete() const { return complete_; }
  /// True if control can leave the function at this instruction (return, tail call). A trap leaves nothing.
  bool leaves(size_t i) const { return leaves_[i]; }

  /// All that can run after the instructions in `from` (these included only where a path comes back),
  /// without passing one of `stop`: those are reached, but nothing behind them.
  std::vector<bool> reachable(const std::vector<size_t>& from, const std::vector<bool>& stop) const;

 private:
  void add_jump_table(size_t i, const FlowFacts& facts);

  std::span<const Instruction> code_;
  size_t entry_ = 0;
  std::vector<std::vector<size_t>> successors_;
  std::vector<bool> leaves_;
  bool complete_ = true;
};

/// Registers and stack slots at one point.
struct FlowState {
  std::array<Value, 17> registers{};  ///< by Reg; [0] is not used
  std::map<int64_t, Value> slots;     ///< 8-byte slots by offset from the entry's stack pointer
  /// The lowest stack offset whose address was taken: callees may write there and above.
  int64_t escaped = INT64_MAX;

  const Value& operator[](Reg reg) const { return registers[static_cast<size_t>(reg)]; }
  Value& operator[](Reg reg) { return registers[static_cast<size_t>(reg)]; }
  bool operator==(const FlowState&) const = default;
};

/// The address that an operand names, given the registers.
Value address_of(const Instruction& instruction, const MemoryOperand& operand, const FlowState& state);

/// Solves the data flow forwards. States of instructions that nothing is known to lead to are all unknown.
class ValueFlow {
 public:
  ValueFlow(const CodeGraph& graph, const FlowFacts& facts);

  /// Calls f(index, state before it) for every instruction, in order.
  void for_each(const std::function<void(size_t, const FlowState&)>& f) const;
  /// The state before one instruction.
  FlowState before(size_t i) const;
  /// The value that a memory operand reads, pointers to variables resolved.
  Value load(const Value& address, uint64_t size) const;

 private:
  void solve(size_t start, const FlowState& entry);
  void apply(size_t i, FlowState* state) const;
  void apply_call(size_t i, FlowState* state) const;
  bool apply_arithmetic(const Instruction& instruction, FlowState* state) const;
  void store(const Value& address, uint64_t size, const Value& value, FlowState* state) const;
  Value load(const Value& address, uint64_t size, const FlowState& state) const;
  Value source_value(const Instruction& instruction, const FlowState& state) const;

  const CodeGraph& graph_;
  const FlowFacts& facts_;
  std::vector<bool> leader_;  // a state is kept for it
  std::vector<bool> solved_;
  std::map<size_t, FlowState> states_;  // at leaders
};

}  // namespace perfcore
