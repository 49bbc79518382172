// SPDX-License-Identifier: LGPL-2.1-or-later
#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "kernel/code_decode.h"
#include "kernel/code_facts.h"
#include "kernel/code_flow.h"
#include "perfcore/code.h"

namespace perfcore {
namespace {

/// Accesses below this come from a member of a NULL struct, not from a bad pointer (the first page is never
/// mapped in the kernel).
constexpr uint64_t kSmall = kPageSize;
constexpr uint64_t kMaxErrno = 4095;
/// Calls whose result's type is asked for until the base register's is known.
constexpr int kMaxResults = 4;
constexpr int kMaxNesting = 32;

/// Values that the kernel writes to show misuse (include/linux/poison.h).
std::string_view poison_name(uint64_t value) {
  switch (value) {
    case 0xdead000000000100:
      return "LIST_POISON1, what list_del() leaves in next";
    case 0xdead000000000122:
    case 0xdead000000000200:  // before 4.19 (8a5776a5f498)
      return "LIST_POISON2, what list_del() leaves in prev";
    case 0xdead000000000300:
      return "TIMER_ENTRY_STATIC";
    case 0x6b6b6b6b6b6b6b6b:
      return "POISON_FREE, memory freed to its slab";
    case 0xa56b6b6b6b6b6b6b:
      return "POISON_FREE and POISON_END, memory freed to its slab";
    case 0x5a5a5a5a5a5a5a5a:
      return "POISON_INUSE, slab memory never written";
    case 0xaaaaaaaaaaaaaaaa:
      return "PAGE_POISON or an automatic variable never written";
    case 0xcccccccccccccccc:
      return "POISON_FREE_INITMEM, freed init memory";
    default:
      break;
  }
  // A member's offset may have been added to it.
  if (value >> 16 == 0xdead00000000) return "near LIST_POISON1 or LIST_POISON2";
  if (value >> 32 == 0x6b6b6b6b) return "near POISON_FREE, memory freed to its slab";
  if (value >> 32 == 0x5a5a5a5a) return "near POISON_INUSE, slab memory never written";
  return {};
}

bool is_canonical(uint64_t address) {
  // Five-level paging has 57 bits; what 4 levels refuse beyond 48 is refused by either in the middle.
  const int64_t top = static_cast<int64_t>(address) >> 56;
  return top == 0 || top == -1;
}

/// A member that covers a byte of a struct.
struct Leaf {
  std::string path;
  uint64_t begin = 0;  ///< byte offset in the outermost struct
  uint64_t size = 0;
  uint64_t bit_begin = 0;
  uint32_t bits = 0;    ///< not 0: a bit-field of so many bits
  bool certain = true;  ///< false when the instruction takes more bits than this bit-field's
};

void collect_leaves(const Type* type, uint64_t base, uint64_t offset, const std::string& path, int depth,
                    std::vector<Leaf>* out) {
  type = type ? type->strip() : nullptr;
  if (type && type->kind == TypeKind::kForward) type = type->source->complete(type);
  if (!type || depth > kMaxNesting) return;
  if (type->kind == TypeKind::kArray) {
    const Type* element = type->target();
    if (!element || element->size == 0) return;
    const uint64_t index = (offset - base) / element->size;
    collect_leaves(element, base + index * element->size, offset, fmt::format("{}[{}]", path, index),
                   depth + 1, out);
    return;
  }
  if (!type->is_aggregate()) {
    out->push_back({path, base, type->size, 0, 0, true});
    return;
  }
  for (const Member& member : type->members()) {
    const Type* member_type = type->member_type(member);
    if (!member_type) continue;
    std::string name = path;
    if (!member.name.empty()) name += (path.empty() ? "" : ".") + member.name;
    if (member.bit_size != 0) {
      const uint64_t first = base * 8 + member.bit_offset;
      if (offset * 8 + 8 > first && offset * 8 < first + member.bit_size)
        out->push_back({name, first / 8, (member.bit_size + 7) / 8, first, member.bit_size, true});
      continue;
    }
    const uint64_t begin = base + member.bit_offset / 8;
    if (offset >= begin && offset < begin + member_type->size)
      collect_leaves(member_type, begin, offset, name, depth + 1, out);
  }
}

/// The member that an access of `size` bytes at `offset` is about; of those that share its place in unions
/// the one that fits best, else the first. \param mask  bits that the instruction tests or changes, 0 for all
std::optional<Leaf> member_at(const Type* type, uint64_t offset, uint64_t size, uint64_t mask) {
  std::vector<Leaf> leaves;
  collect_leaves(type, 0, offset, "", 0, &leaves);
  if (leaves.empty()) return std::nullopt;
  const uint64_t bit = offset * 8 + static_cast<uint64_t>(mask ? std::countr_zero(mask) : 0);
  if (mask && bit >= offset * 8 + 8) {
    std::vector<Leaf> later;
    collect_leaves(type, 0, bit / 8, "", 0, &later);
    if (!later.empty() && later.front().bits) leaves = later;
  }
  const auto rank = [&](const Leaf& leaf) {
    if (leaf.bits) return mask && bit >= leaf.bit_begin && bit < leaf.bit_begin + leaf.bits ? 0 : 3;
    if (leaf.begin != offset) return 2;
    return leaf.size == size ? 0 : 1;
  };
  Leaf best = *std::min_element(leaves.begin(), leaves.end(),
                                [&](const Leaf& a, const Leaf& b) { return rank(a) < rank(b); });
  best.certain = !best.bits || rank(best) == 0;
  return best;
}

/// The operand that the access is about: the explicit one, or that of a string instruction that hit.
std::optional<MemoryOperand> accessed_operand(const Instruction& instruction, const Registers& registers,
                                              std::optional<uint64_t> fault_address) {
  if (!instruction.memory || instruction.memory->size == 0) return std::nullopt;
  MemoryOperand operand = *instruction.memory;
  const bool copies = instruction.mnemonic.starts_with("movs") || instruction.mnemonic.starts_with("cmps");
  if (copies && instruction.destination == Reg::kNone && fault_address) {
    for (Reg reg : {Reg::kRdi, Reg::kRsi}) {
      if (value_of(registers, reg) != fault_address) continue;
      operand.base = reg;
      operand.read = reg == Reg::kRsi;
      operand.written = reg == Reg::kRdi && instruction.mnemonic.starts_with("movs");
    }
  }
  return operand;
}

/// The pointer that an operand's address is made from.
struct Origin {
  const Type* type = nullptr;  ///< what it points to; nullptr when not known
  uint64_t pointer = 0;        ///< its value
  uint64_t offset = 0;         ///< of the access behind it
};

/// Follows the function's code to what the operand's registers hold at the instruction.
std::optional<Origin> find_origin(Kernel& kernel, const Instruction& instruction,
                                  const MemoryOperand& operand, const Registers& registers,
                                  std::string_view function) {
  auto symbol = kernel.symbols().at(instruction.address);
  if (!symbol) symbol = kernel.symbols().find(function);
  if (!symbol) return std::nullopt;
  const auto code = decode_whole_function(kernel, &*symbol);
  if (!code.has_value()) return std::nullopt;
  KernelFacts facts(kernel, parameters_of(kernel, *symbol));
  const CodeGraph graph(*code, symbol->address, facts);
  const auto index = graph.index_of(instruction.address);
  if (!index) return std::nullopt;

  // Without the index, so that its real value tells the element.
  MemoryOperand base_only = operand;
  base_only.index = Reg::kNone;
  base_only.displacement = 0;
  Value base;
  for (int round = 0; round <= kMaxResults; round++) {
    const ValueFlow flow(graph, facts);
    const FlowState state = flow.before(*index);
    base = address_of(instruction, base_only, state);
    if (base.kind == Value::Kind::kPerCpu && base.stride == 0)
      base = facts.per_cpu_variable(static_cast<uint64_t>(base.offset));
    if (base.kind != Value::Kind::kResult) break;
    if (!facts.learn_result_of(static_cast<uint64_t>(base.offset))) break;
  }
  const auto address = effective_address(instruction, operand, registers);
  const auto value = value_of(registers, operand.base);
  if (base.kind != Value::Kind::kPointer || base.stride != 0 || !address || !value) return std::nullopt;
  Origin origin;
  origin.type = base.type;
  origin.pointer = *value - static_cast<uint64_t>(base.offset);
  origin.offset = *address - origin.pointer;
  return origin;
}

std::string hex(uint64_t value) {
  return value ? fmt::format("{:#x}", value) : "0";
}

/// "r15 = 0", or "rax = 0x..., rbx = 0x3".
std::string registers_of(const MemoryOperand& operand, const Registers& registers) {
  std::string text;
  for (Reg reg : {operand.base, operand.index}) {
    const auto value = value_of(registers, reg);
    if (value) text += fmt::format("{}{} = {}", text.empty() ? "" : ", ", to_string(reg), hex(*value));
  }
  return text;
}

/// The operand in AT&T syntax.
std::string operand_text(const MemoryOperand& operand) {
  std::string text = operand.gs ? "%gs:" : "";
  if (operand.displacement < 0)
    text += fmt::format("-{:#x}", -static_cast<uint64_t>(operand.displacement));
  else if (operand.displacement > 0 || operand.base == Reg::kNone)
    text += fmt::format("{:#x}", operand.displacement);
  if (operand.base == Reg::kNone && operand.index == Reg::kNone) return text;
  text += "(";
  if (operand.base != Reg::kNone) text += fmt::format("%{}", to_string(operand.base));
  if (operand.index != Reg::kNone) text += fmt::format(",%{},{}", to_string(operand.index), operand.scale);
  return text + ")";
}

/// What is odd about a pointer's value; empty for one that looks sound.
std::string oddity(uint64_t pointer) {
  if (pointer == 0) return "a NULL pointer";
  if (const auto poison = poison_name(pointer); !poison.empty())
    return fmt::format("the poison value {:#x} ({})", pointer, poison);
  if (pointer > ~kMaxErrno) return fmt::format("the error pointer {:#x} (-{})", pointer, ~pointer + 1);
  if (!is_canonical(pointer)) return fmt::format("{:#x}, which is no canonical address", pointer);
  if (pointer < kSmall) return fmt::format("{:#x}, a small number and no pointer", pointer);
  return {};
}

std::string access_verb(const MemoryOperand& operand) {
  if (operand.read && operand.written) return "changes";
  return operand.written ? "writes" : "reads";
}

std::string describe(const FaultExplanation& explanation, const MemoryOperand& operand,
                     const std::optional<Origin>& origin, const std::optional<Leaf>& leaf,
                     const Registers& registers) {
  const auto base = value_of(registers, operand.base);
  if (origin && leaf) {
    const std::string type = origin->type->to_string();
    const std::string member =
        fmt::format("`{}`{}", leaf->path, leaf->certain ? "" : " or a bit-field next to it");
    if (origin->pointer == 0) return fmt::format("{} of a NULL `{} *`", member, type);
    const std::string odd = oddity(origin->pointer);
    if (!odd.empty()) return fmt::format("{} of a `{} *` that is {}", member, type, odd);
    return fmt::format("{} of the `{}` at {:#x}", member, type, origin->pointer);
  }
  const std::string what =
      fmt::format("{} {} byte{}", access_verb(operand), operand.size, operand.size == 1 ? "" : "s");
  if (origin && origin->type->is_aggregate()) {
    // container_of() and the like: the code knows what is around the struct, its type does not.
    const auto offset = static_cast<int64_t>(origin->offset);
    const std::string odd = oddity(origin->pointer);
    return fmt::format("{} at offset {}{:#x} of a `{} *`{}, in what contains that struct", what,
                       offset < 0 ? "-" : "", offset < 0 ? -origin->offset : origin->offset,
                       origin->type->to_string(),
                       odd.empty() ? fmt::format(" {:#x}", origin->pointer) : " that is " + odd);
  }
  const auto address = effective_address(explanation.instruction, operand, registers);
  const bool constant = operand.base == Reg::kNone && operand.index == Reg::kNone;
  if (explanation.null_pointer && address && (constant || base == uint64_t{0}))
    return fmt::format("{} at offset {:#x} of a NULL pointer", what, *address);
  if (base && !oddity(*base).empty()) return fmt::format("{} through {}", what, oddity(*base));
  if (constant && address && !oddity(*address).empty())
    return fmt::format("{} at {}", what, oddity(*address));
  return address ? fmt::format("{} at {:#x}", what, *address) : what;
}

FaultExplanation explain_fetch(uint64_t ip) {
  FaultExplanation explanation;
  explanation.instruction.address = ip;
  explanation.null_pointer = ip < kSmall;
  const std::string odd = oddity(ip);
  explanation.sentence =
      fmt::format("the CPU could not fetch an instruction at {:#x}: a call, jump or return to {}", ip,
                  odd.empty() ? "memory that is not code" : odd);
  return explanation;
}

/// For instructions that access no memory.
std::string explain_other(const Instruction& instruction, const Registers& registers) {
  const std::string& name = instruction.mnemonic;
  if (name == "ud2") return "`ud2`, which BUG() and WARN() are made of";
  const auto divisor = value_of(registers, instruction.source);
  if ((name == "div" || name == "idiv") && divisor) {
    const uint64_t mask =
        instruction.width >= 8 ? ~uint64_t{0} : (uint64_t{1} << (instruction.width * 8)) - 1;
    return fmt::format("`{}` with {} = {}: {}", instruction.text, to_string(instruction.source),
                       hex(*divisor),
                       (*divisor & mask) == 0 ? "divides by zero" : "the quotient does not fit");
  }
  return fmt::format("`{}`", instruction.text);
}

}  // namespace

Reading<FaultExplanation> explain_fault(Kernel& kernel, const Registers& registers,
                                        std::optional<uint64_t> fault_address, std::string_view function) {
  if (fault_address == registers.ip) return explain_fetch(registers.ip);
  FaultExplanation explanation;
  auto instruction = decode_at(kernel, registers.ip);
  if (!instruction.has_value()) {
    if (oddity(registers.ip).empty()) return instruction.unread();
    return explain_fetch(registers.ip);
  }
  explanation.instruction = std::move(instruction).value();
  const auto operand = accessed_operand(explanation.instruction, registers, fault_address);
  if (!operand) {
    explanation.sentence = explain_other(explanation.instruction, registers);
    return explanation;
  }

  const std::string values = registers_of(*operand, registers);
  explanation.operand = operand_text(*operand) + (values.empty() ? "" : " with " + values);
  const auto address = effective_address(explanation.instruction, *operand, registers);
  const auto base = value_of(registers, operand->base);
  const bool same_place =
      !fault_address || !address || (*fault_address - *address < std::max<uint64_t>(operand->size, 1));
  const auto origin = find_origin(kernel, explanation.instruction, *operand, registers, function);
  // A constant address has no register; compilers that know of a NULL pointer write it so.
  const bool constant = operand->base == Reg::kNone && operand->index == Reg::kNone;
  const bool small = base ? *base < kSmall : constant && address && *address < kSmall;
  explanation.null_pointer = same_place && (origin ? origin->pointer == 0 : small);

  std::optional<Leaf> leaf;
  if (origin && origin->type->is_aggregate()) {
    // `test $4,member` names one bit of it; other immediates are values.
    const std::string& name = explanation.instruction.mnemonic;
    const bool masks = name == "test" || name == "or" || name == "and";
    const auto mask = masks && explanation.instruction.immediate
                          ? static_cast<uint64_t>(*explanation.instruction.immediate)
                          : 0;
    leaf = member_at(origin->type, origin->offset, operand->size, name == "and" ? ~mask : mask);
    if (leaf) {
      explanation.type = origin->type->name;
      explanation.member = leaf->path;
    }
  }
  explanation.sentence =
      fmt::format("`{}`{}{}: {}", explanation.instruction.text, values.empty() ? "" : " with ", values,
                  describe(explanation, *operand, origin, leaf, registers));
  if (!same_place)
    explanation.sentence += fmt::format(
        "; that is {:#x}, not the fault's address {:#x}: these registers are not of this access, or another "
        "operand faulted",
        *address, *fault_address);
  return explanation;
}

}  // namespace perfcore
