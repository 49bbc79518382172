// SPDX-License-Identifier: LGPL-2.1-or-later
#include "kernel/code_flow.h"

#include <algorithm>
#include <deque>
#include <numeric>

namespace perfcore {
namespace {

using Kind = Value::Kind;

constexpr int kMaxNesting = 32;
constexpr size_t kMaxTableEntries = 512;
/// Times that a block's state may change before its registers are given up; real functions need a few.
constexpr int kMaxVisits = 64;
/// Stack slots remembered per state.
constexpr size_t kMaxSlots = 256;

/// Registers that a call may change (System V ABI).
constexpr Reg kCallerSaved[] = {Reg::kRax, Reg::kRcx, Reg::kRdx, Reg::kRsi, Reg::kRdi,
                                Reg::kR8,  Reg::kR9,  Reg::kR10, Reg::kR11};
constexpr Reg kParameters[] = {Reg::kRdi, Reg::kRsi, Reg::kRdx, Reg::kRcx, Reg::kR8, Reg::kR9};

/// What lies between blocks for alignment.
bool is_filler(const Instruction& instruction) {
  return instruction.mnemonic == "nop" || instruction.mnemonic == "int3";
}

const Type* resolved(const Type* type) {
  type = type ? type->strip() : nullptr;
  if (type && type->kind == TypeKind::kForward) {
    const Type* complete = type->source->complete(type);
    type = complete ? complete->strip() : nullptr;
  }
  return type;
}

/// Collects what reading `size` bytes at an offset can give, one value per union alternative.
void collect_loads(const Type* type, int64_t offset, uint32_t stride, uint64_t size, int depth,
                   std::vector<Value>* out) {
  type = resolved(type);
  if (!type || depth > kMaxNesting || offset < 0) return;
  if (type->kind == TypeKind::kArray) {
    const Type* element = type->target();
    if (!element || element->size == 0) return;
    const auto element_size = static_cast<int64_t>(element->size);
    // A compiler may count in smaller steps than it scales by; the first element's type is every element's.
    const bool fits = stride == 0 || stride % element_size == 0 || element->size == size;
    if (fits) collect_loads(element, offset % element_size, 0, size, depth + 1, out);
    return;
  }
  if (type->is_aggregate()) {
    for (const Member& member : type->members()) {
      const Type* member_type = resolved(type->member_type(member));
      if (!member_type) continue;
      const auto begin = static_cast<int64_t>(member.bit_offset / 8);
      const bool flexible = member_type->kind == TypeKind::kArray && member_type->size == 0;
      const auto end = begin + static_cast<int64_t>(member_type->size);
      if (offset < begin || (offset >= end && !flexible)) continue;
      collect_loads(member_type, offset - begin, stride, size, depth + 1, out);
    }
    return;
  }
  if (stride != 0) return;
  if (type->kind == TypeKind::kPointer && offset == 0 && size == 8)
    out->push_back(value_of_type(type));
  else
    out->push_back({Kind::kScalar, 0, 0, nullptr});
}

Value join(const Value& a, const Value& b) {
  if (a == b) return a;
  // NULL is a value that any pointer may have.
  if (a.is_constant(0) && b.kind == Kind::kPointer) return b;
  if (b.is_constant(0) && a.kind == Kind::kPointer) return a;
  const bool steps = a.kind == Kind::kConstant || a.kind == Kind::kPerCpu || a.kind == Kind::kPointer;
  if (a.kind != b.kind || a.type != b.type || !steps) return {};
  const int64_t difference = b.offset - a.offset;
  if (difference < 0 && a.stride != 0) return {};
  const int64_t distance = difference < 0 ? -difference : difference;
  if (distance > INT32_MAX) return {};
  Value joined = a;
  joined.offset = std::min(a.offset, b.offset);
  joined.stride = std::gcd(std::gcd(a.stride, b.stride), static_cast<uint32_t>(distance));
  return joined;
}

/// True if the state changed.
bool join_into(const FlowState& from, FlowState* into) {
  FlowState before = *into;
  for (size_t i = 0; i < into->registers.size(); i++)
    into->registers[i] = join(into->registers[i], from.registers[i]);
  for (auto slot = into->slots.begin(); slot != into->slots.end();) {
    const auto other = from.slots.find(slot->first);
    slot->second = other == from.slots.end() ? Value{} : join(slot->second, other->second);
    slot = slot->second.known() ? std::next(slot) : into->slots.erase(slot);
  }
  into->escaped = std::min(into->escaped, from.escaped);
  return before != *into;
}

Value plus(const Value& value, int64_t amount) {
  if (value.kind == Kind::kUnknown || value.kind == Kind::kScalar) return {};
  if (value.kind == Kind::kResult) return value;
  Value sum = value;
  sum.offset = static_cast<int64_t>(static_cast<uint64_t>(value.offset) + static_cast<uint64_t>(amount));
  return sum;
}

/// a + scale * b.
Value plus(const Value& a, const Value& b, uint8_t scale) {
  if (a.kind == Kind::kResult) return a;
  if (b.kind == Kind::kConstant && b.stride == 0)
    return plus(a, static_cast<int64_t>(static_cast<uint64_t>(b.offset) * scale));
  if (a.kind == Kind::kConstant && a.stride == 0 && scale == 1 && b.kind != Kind::kScalar)
    return plus(b, a.offset);
  if (a.kind != Kind::kConstant && a.kind != Kind::kPerCpu && a.kind != Kind::kPointer) return {};
  if (b.kind == Kind::kStack || b.kind == Kind::kPerCpu || b.kind == Kind::kPointer) return {};
  Value sum = a;
  const uint32_t step = b.kind == Kind::kConstant ? b.stride * scale : scale;
  if (b.kind == Kind::kConstant)
    sum.offset =
        static_cast<int64_t>(static_cast<uint64_t>(a.offset) + static_cast<uint64_t>(b.offset) * scale);
  sum.stride = std::gcd(a.stride, step);
  return sum;
}

}  // namespace

Value value_of_type(const Type* type) {
  type = resolved(type);
  if (!type) return {};
  if (type->kind != TypeKind::kPointer) return {Kind::kScalar, 0, 0, nullptr};
  const Type* target = resolved(type->target());
  if (!target || target->size == 0) return {};
  return Value::pointer(target);
}

Value load_from(const Type* type, int64_t offset, uint32_t stride, uint64_t size) {
  const Type* object = resolved(type);
  if (!object) return {};
  // Steps of whole objects lead to another one of the same type.
  if (stride != 0 && object->size != 0 && stride % object->size == 0) stride = 0;
  std::vector<Value> loads;
  collect_loads(object, offset, stride, size, 0, &loads);
  if (loads.empty()) return {};
  for (const Value& load : loads)
    if (!(load == loads.front())) return {};
  if (loads.front().kind == Kind::kScalar) return {Kind::kScalar, 0, offset, object};
  return loads.front();
}

Value FlowFacts::per_cpu_variable(uint64_t) const {
  return {};
}
Value FlowFacts::global_variable(uint64_t) const {
  return {};
}
bool FlowFacts::is_this_cpu_offset(uint64_t) const {
  return false;
}
bool FlowFacts::is_per_cpu_offsets(uint64_t) const {
  return false;
}
std::vector<Value> FlowFacts::parameters() const {
  return {};
}
Value FlowFacts::result_of(uint64_t target) const {
  return {Value::Kind::kResult, 0, static_cast<int64_t>(target), nullptr};
}
bool FlowFacts::keeps_registers(uint64_t) const {
  return false;
}
bool FlowFacts::returns(uint64_t) const {
  return true;
}
std::optional<uint64_t> FlowFacts::jump_table_entry(uint64_t) const {
  return std::nullopt;
}

CodeGraph::CodeGraph(std::span<const Instruction> code, uint64_t entry, const FlowFacts& facts)
    : code_(code), successors_(code.size()), leaves_(code.size()) {
  entry_ = index_of(entry).value_or(0);
  for (size_t i = 0; i < code.size(); i++) {
    const Instruction& instruction = code[i];
    const bool adjoins =
        i + 1 < code.size() && code[i + 1].address == instruction.address + instruction.length;
    bool falls_through = true;
    if (instruction.is_return) {
      falls_through = false;
      leaves_[i] = true;
    } else if (instruction.mnemonic == "int3" || instruction.mnemonic == "ud1") {
      falls_through = false;  // padding that is never run; what UBSAN traps by
    } else if (instruction.mnemonic == "ud2") {
      // WARN() goes on behind it, a trap has nothing there.
      falls_through = adjoins && !is_filler(code[i + 1]) && code[i + 1].mnemonic != "ud2";
    } else if (instruction.is_call) {
      falls_through = !instruction.target || facts.returns(*instruction.target);
    } else if (instruction.is_jump) {
      falls_through = instruction.is_conditional;
      if (!instruction.target) {
        add_jump_table(i, facts);
      } else if (const auto to = index_of(*instruction.target)) {
        successors_[i].push_back(*to);
      } else {
        leaves_[i] = true;
      }
    }
    if (falls_through && adjoins)
      successors_[i].push_back(i + 1);
    else if (falls_through)
      leaves_[i] = true;
  }
}

std::optional<size_t> CodeGraph::index_of(uint64_t address) const {
  const auto at = std::lower_bound(code_.begin(), code_.end(), address,
                                   [](const Instruction& a, uint64_t b) { return a.address < b; });
  if (at == code_.end() || at->address != address) return std::nullopt;
  return static_cast<size_t>(at - code_.begin());
}

/// jmp *table(,%reg,8): the table's entries are addresses in this function, as many as there are.
void CodeGraph::add_jump_table(size_t i, const FlowFacts& facts) {
  const auto& memory = code_[i].memory;
  const bool table =
      memory && memory->base == Reg::kNone && memory->index != Reg::kNone && memory->scale == 8;
  for (size_t entry = 0; table && entry < kMaxTableEntries; entry++) {
    const auto target = facts.jump_table_entry(static_cast<uint64_t>(memory->displacement) + entry * 8);
    const auto to = target ? index_of(*target) : std::nullopt;
    if (!to) break;
    if (std::find(successors_[i].begin(), successors_[i].end(), *to) == successors_[i].end())
      successors_[i].push_back(*to);
  }
  if (!successors_[i].empty()) return;
  leaves_[i] = true;
  complete_ = false;
}

std::vector<bool> CodeGraph::reachable(const std::vector<size_t>& from, const std::vector<bool>& stop) const {
  std::vector<bool> reached(code_.size());
  std::vector<size_t> work = from;
  while (!work.empty()) {
    const size_t i = work.back();
    work.pop_back();
    for (size_t next : successors_[i]) {
      if (reached[next]) continue;
      reached[next] = true;
      if (!stop[next]) work.push_back(next);
    }
  }
  return reached;
}

Value address_of(const Instruction& instruction, const MemoryOperand& operand, const FlowState& state) {
  Value address = Value::constant(operand.displacement);
  if (operand.base == Reg::kRip)
    address.offset += static_cast<int64_t>(instruction.address + instruction.length);
  if (operand.gs) address.kind = Kind::kPerCpu;
  if (operand.base != Reg::kNone && operand.base != Reg::kRip) {
    const Value& base = state[operand.base];
    // An unknown base is not an index: nothing is known of the sum.
    if (!base.known() || base.kind == Kind::kScalar) return {};
    address = plus(address, base, 1);
  }
  if (operand.index == Reg::kNone) return address;
  const Value& index = state[operand.index];
  if (operand.scale == 1 && (index.kind == Kind::kPointer || index.kind == Kind::kPerCpu))
    return plus(index, address, 1);
  return plus(address, index, operand.scale);
}

ValueFlow::ValueFlow(const CodeGraph& graph, const FlowFacts& facts)
    : graph_(graph), facts_(facts), leader_(graph.code().size()), solved_(graph.code().size()) {
  const size_t count = graph.code().size();
  if (count == 0) return;
  std::vector<int> predecessors(count);
  for (size_t i = 0; i < count; i++)
    for (size_t next : graph.successors(i)) predecessors[next]++;
  for (size_t i = 0; i < count; i++) {
    const auto& next = graph.successors(i);
    const bool straight = next.size() == 1 && next[0] == i + 1;
    if (i + 1 < count && !straight) leader_[i + 1] = true;
    for (size_t to : next)
      if (to != i + 1 || predecessors[to] > 1) leader_[to] = true;
  }
  FlowState entry;
  entry[Reg::kRsp] = {Kind::kStack, 0, 0, nullptr};
  const auto parameters = facts.parameters();
  for (size_t i = 0; i < parameters.size() && i < std::size(kParameters); i++)
    entry[kParameters[i]] = parameters[i];

  solve(graph.entry(), entry);
  // What nothing is seen to lead to (exception fixups, targets of jumps not understood) starts with nothing
  // known, and tells nothing to the rest: it is entered from the same function with the same variables.
  for (size_t i = 0; i < count; i++) {
    if (!solved_[i] && !is_filler(graph.code()[i])) solve(i, FlowState{});
  }
}

void ValueFlow::solve(size_t start, const FlowState& entry) {
  const std::vector<bool> before = solved_;
  std::deque<size_t> work{start};
  std::map<size_t, int> visits;
  leader_[start] = true;
  states_.emplace(start, entry);
  while (!work.empty()) {
    size_t i = work.front();
    work.pop_front();
    FlowState state = states_.at(i);
    for (;; i++) {
      solved_[i] = true;
      apply(i, &state);
      const auto& next = graph_.successors(i);
      const bool goes_on = next.size() == 1 && next[0] == i + 1 && !leader_[i + 1];
      if (goes_on) continue;
      for (size_t to : next) {
        if (before[to]) continue;
        const auto [at, first] = states_.try_emplace(to, state);
        if (!first && !join_into(state, &at->second)) continue;
        if (++visits[to] > kMaxVisits) at->second = FlowState{};
        if (visits[to] <= kMaxVisits + 1) work.push_back(to);
      }
      break;
    }
  }
}

void ValueFlow::for_each(const std::function<void(size_t, const FlowState&)>& f) const {
  FlowState state;
  for (size_t i = 0; i < graph_.code().size(); i++) {
    if (leader_[i]) {
      const auto known = states_.find(i);
      state = known == states_.end() ? FlowState{} : known->second;
    }
    f(i, state);
    apply(i, &state);
  }
}

FlowState ValueFlow::before(size_t i) const {
  size_t start = i;
  while (start > 0 && !leader_[start]) start--;
  const auto known = states_.find(start);
  FlowState state = known == states_.end() ? FlowState{} : known->second;
  for (; start < i; start++) apply(start, &state);
  return state;
}

Value ValueFlow::load(const Value& address, uint64_t size) const {
  if (address.kind == Kind::kResult) return address;
  const auto at = static_cast<uint64_t>(address.offset);
  Value from = address;
  if (address.kind == Kind::kConstant) {
    if (facts_.is_per_cpu_offsets(at)) return Value::per_cpu(0);
    from = facts_.global_variable(at);
  } else if (address.kind == Kind::kPerCpu) {
    if (address.stride == 0 && facts_.is_this_cpu_offset(at)) return Value::per_cpu(0);
    from = facts_.per_cpu_variable(at);
  }
  if (from.kind != Kind::kPointer) return {};
  return load_from(from.type, from.offset, std::max(from.stride, address.stride), size);
}

Value ValueFlow::load(const Value& address, uint64_t size, const FlowState& state) const {
  if (address.kind != Kind::kStack) return load(address, size);
  const auto slot = state.slots.find(address.offset);
  return slot == state.slots.end() || size != 8 ? Value{} : slot->second;
}

void ValueFlow::store(const Value& address, uint64_t size, const Value& value, FlowState* state) const {
  if (address.kind != Kind::kStack) return;
  const auto end = address.offset + static_cast<int64_t>(std::max<uint64_t>(size, 1));
  for (auto slot = state->slots.lower_bound(address.offset - 7);
       slot != state->slots.end() && slot->first < end;)
    slot = state->slots.erase(slot);
  if (size == 8 && value.known() && state->slots.size() < kMaxSlots) state->slots[address.offset] = value;
}

Value ValueFlow::source_value(const Instruction& instruction, const FlowState& state) const {
  if (instruction.immediate) return Value::constant(*instruction.immediate);
  if (instruction.source != Reg::kNone) return state[instruction.source];
  if (instruction.memory)
    return load(address_of(instruction, *instruction.memory, state), instruction.memory->size, state);
  return {};
}

void ValueFlow::apply_call(size_t i, FlowState* state) const {
  const Instruction& instruction = graph_.code()[i];
  if (instruction.target && facts_.keeps_registers(*instruction.target)) return;
  state->slots.erase(state->slots.lower_bound(state->escaped), state->slots.end());
  for (Reg reg : kCallerSaved) (*state)[reg] = {};
  if (instruction.target) (*state)[Reg::kRax] = facts_.result_of(*instruction.target);
}

/// mov, lea, add and the like; false for what it does not know.
bool ValueFlow::apply_arithmetic(const Instruction& instruction, FlowState* state) const {
  const std::string& name = instruction.mnemonic;
  const Reg to = instruction.destination;
  const bool full = instruction.width == 8;
  const Value source = source_value(instruction, *state);
  const Value old = (*state)[to];
  Value result;
  if (name == "mov") {
    if (full) {
      result = source;
    } else if (instruction.width == 4) {
      // The upper half becomes zero: pointers are lost, small numbers are not.
      if (source.kind == Kind::kConstant && source.stride == 0)
        result = Value::constant(static_cast<int64_t>(static_cast<uint32_t>(source.offset)));
      else if (source.kind == Kind::kScalar)
        result = source;
    }
  } else if (name == "movsxd" || name == "movsx" || name == "movzx") {
    if (source.kind == Kind::kScalar) result = source;
  } else if (name == "lea") {
    if (full) result = address_of(instruction, *instruction.memory, *state);
  } else if (name == "xor" || name == "sub") {
    if (instruction.source == to && !instruction.memory && instruction.width >= 4)
      result = Value::constant(0);
    else if (name == "sub" && full && source.kind == Kind::kConstant && source.stride == 0)
      result = plus(old, -source.offset);
  } else if (name == "add") {
    const bool sum = full && old.known() && source.known();
    if (sum && old.kind == Kind::kConstant && source.kind == Kind::kPerCpu)
      result = plus(source, old, 1);
    else if (sum)
      result = plus(old, source, 1);
  } else if (name == "inc" || name == "dec") {
    if (full) result = plus(old, name == "inc" ? 1 : -1);
  } else if (name.starts_with("cmov")) {
    if (full) result = join(old, source);
  } else {
    return false;
  }
  (*state)[to] = result;
  if (result.kind == Kind::kStack && to != Reg::kRsp && to != Reg::kRbp)
    state->escaped = std::min(state->escaped, result.offset);
  return true;
}

void ValueFlow::apply(size_t i, FlowState* state) const {
  const Instruction& instruction = graph_.code()[i];
  const std::string& name = instruction.mnemonic;
  if (instruction.is_call) return apply_call(i, state);
  Value& stack = (*state)[Reg::kRsp];
  if (name == "push") {
    const Value value = source_value(instruction, *state);
    stack = plus(stack, -8);
    store(stack, 8, value, state);
    return;
  }
  if (name == "pop" && instruction.destination != Reg::kNone) {
    (*state)[instruction.destination] = load(stack, 8, *state);
    stack = plus(stack, 8);
    return;
  }
  if (name == "leave") {
    const Value frame = (*state)[Reg::kRbp];
    (*state)[Reg::kRbp] = load(frame, 8, *state);
    stack = plus(frame, 8);
    return;
  }
  if (name == "mov" && instruction.memory && instruction.memory->written) {
    store(address_of(instruction, *instruction.memory, *state), instruction.memory->size,
          source_value(instruction, *state), state);
    return;
  }
  const bool understood = instruction.destination != Reg::kNone && apply_arithmetic(instruction, state);
  for (size_t reg = 1; reg < state->registers.size(); reg++) {
    const bool kept = understood && reg == static_cast<size_t>(instruction.destination);
    if ((instruction.written >> reg & 1) && !kept) state->registers[reg] = {};
  }
  if (instruction.memory && instruction.memory->written)
    store(address_of(instruction, *instruction.memory, *state), instruction.memory->size, {}, state);
}

}  // namespace perfcore
