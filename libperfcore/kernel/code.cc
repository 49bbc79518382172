// SPDX-License-Identifier: LGPL-2.1-or-later
#include "perfcore/code.h"

#include <Zydis/Zydis.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "kernel/code_decode.h"

namespace perfcore {
namespace {

constexpr size_t kMaxInstruction = ZYDIS_MAX_INSTRUCTION_LENGTH;

Reg to_reg(ZydisRegister reg) {
  if (reg == ZYDIS_REGISTER_RIP) return Reg::kRip;
  const ZydisRegister full = ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, reg);
  if (full < ZYDIS_REGISTER_RAX || full > ZYDIS_REGISTER_R15) return Reg::kNone;
  // Both enumerations follow the encoding's order.
  return static_cast<Reg>(static_cast<int>(Reg::kRax) + (full - ZYDIS_REGISTER_RAX));
}

/// Names that Intel and AT&T tools write differently.
struct Rename {
  std::string_view intel, att;
};
constexpr Rename kRenames[] = {
    {"jz", "je"},         {"jnz", "jne"},       {"jnb", "jae"},       {"jnbe", "ja"},
    {"jnl", "jge"},       {"jnle", "jg"},       {"setz", "sete"},     {"setnz", "setne"},
    {"setnb", "setae"},   {"setnbe", "seta"},   {"setnl", "setge"},   {"setnle", "setg"},
    {"cmovz", "cmove"},   {"cmovnz", "cmovne"}, {"cmovnb", "cmovae"}, {"cmovnbe", "cmova"},
    {"cmovnl", "cmovge"}, {"cmovnle", "cmovg"}, {"cwde", "cwtl"},     {"cdqe", "cltq"},
    {"cdq", "cltd"},      {"cqo", "cqto"},
};

std::string_view rename(std::string_view mnemonic) {
  for (const Rename& entry : kRenames)
    if (entry.intel == mnemonic) return entry.att;
  return mnemonic;
}

char size_suffix(uint16_t bits) {
  switch (bits) {
    case 8:
      return 'b';
    case 16:
      return 'w';
    case 32:
      return 'l';
    default:
      return 'q';
  }
}

class Disassembler {
 public:
  Disassembler() {
    ZydisDecoderInit(&decoder_, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    ZydisFormatterInit(&formatter_, ZYDIS_FORMATTER_STYLE_ATT);
    const auto set = [&](ZydisFormatterProperty property, ZyanUPointer value) {
      ZydisFormatterSetProperty(&formatter_, property, value);
    };
    set(ZYDIS_FORMATTER_PROP_FORCE_SCALE_ONE, ZYAN_TRUE);
    set(ZYDIS_FORMATTER_PROP_FORCE_RELATIVE_RIPREL, ZYAN_TRUE);
    set(ZYDIS_FORMATTER_PROP_HEX_UPPERCASE, ZYAN_FALSE);
    set(ZYDIS_FORMATTER_PROP_ADDR_PADDING_ABSOLUTE, ZYDIS_PADDING_DISABLED);
    set(ZYDIS_FORMATTER_PROP_DISP_PADDING, ZYDIS_PADDING_DISABLED);
    set(ZYDIS_FORMATTER_PROP_IMM_PADDING, ZYDIS_PADDING_DISABLED);
    set(ZYDIS_FORMATTER_PROP_IMM_SIGNEDNESS, ZYDIS_SIGNEDNESS_UNSIGNED);
  }

  std::optional<Instruction> decode(std::span<const std::byte> bytes, uint64_t address, bool with_text) const;

 private:
  std::string text_of(const ZydisDecodedInstruction& decoded, const ZydisDecodedOperand* operands,
                      uint64_t address) const;

  ZydisDecoder decoder_;
  ZydisFormatter formatter_;
};

const Disassembler& disassembler() {
  static const Disassembler instance;
  return instance;
}

void set_memory(const ZydisDecodedOperand& operand, Instruction* out) {
  MemoryOperand memory;
  memory.base = to_reg(operand.mem.base);
  memory.index = to_reg(operand.mem.index);
  memory.scale = memory.index == Reg::kNone ? 1 : operand.mem.scale;
  memory.displacement = operand.mem.disp.has_displacement ? operand.mem.disp.value : 0;
  memory.gs = operand.mem.segment == ZYDIS_REGISTER_GS;
  if (operand.mem.type == ZYDIS_MEMOP_TYPE_MEM) {
    memory.size = static_cast<uint16_t>(operand.size / 8);
    memory.read = (operand.actions & ZYDIS_OPERAND_ACTION_MASK_READ) != 0;
    memory.written = (operand.actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) != 0;
  }
  out->memory = memory;
}

std::optional<Instruction> Disassembler::decode(std::span<const std::byte> bytes, uint64_t address,
                                                bool with_text) const {
  ZydisDecodedInstruction decoded;
  ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
  if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder_, bytes.data(), bytes.size(), &decoded, operands)))
    return std::nullopt;
  Instruction out;
  out.address = address;
  out.length = decoded.length;
  const bool string = decoded.meta.category == ZYDIS_CATEGORY_STRINGOP;
  out.mnemonic = rename(ZydisMnemonicGetString(decoded.mnemonic));
  for (size_t i = 0; i < decoded.operand_count; i++) {
    const ZydisDecodedOperand& operand = operands[i];
    // movs, stos and the like name no operands, but what they access is fixed.
    const bool explicit_operand =
        i < decoded.operand_count_visible || (string && operands[i].type == ZYDIS_OPERAND_TYPE_MEMORY);
    const bool read = (operand.actions & ZYDIS_OPERAND_ACTION_MASK_READ) != 0;
    const bool written = (operand.actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) != 0;
    if (i == 0) out.width = static_cast<uint8_t>(std::min<size_t>(operand.size / 8, 64));
    if (operand.type == ZYDIS_OPERAND_TYPE_REGISTER) {
      const Reg reg = to_reg(operand.reg.value);
      if (written && reg != Reg::kNone && reg != Reg::kRip) out.written |= 1U << static_cast<unsigned>(reg);
      if (!explicit_operand) continue;
      if (i == 0 && written) out.destination = reg;
      if (read && (i > 0 || !written)) out.source = reg;
    } else if (operand.type == ZYDIS_OPERAND_TYPE_MEMORY) {
      const bool flat = operand.mem.segment != ZYDIS_REGISTER_FS;
      if (explicit_operand && flat && !out.memory) set_memory(operand, &out);
    } else if (operand.type == ZYDIS_OPERAND_TYPE_IMMEDIATE && explicit_operand) {
      if (operand.imm.is_relative)
        out.target = address + decoded.length + static_cast<uint64_t>(operand.imm.value.s);
      else
        out.immediate = operand.imm.value.s;
    }
  }
  const ZydisInstructionCategory category = decoded.meta.category;
  out.is_call = category == ZYDIS_CATEGORY_CALL;
  out.is_conditional = category == ZYDIS_CATEGORY_COND_BR;
  out.is_jump = out.is_conditional || category == ZYDIS_CATEGORY_UNCOND_BR;
  out.is_return = category == ZYDIS_CATEGORY_RET || category == ZYDIS_CATEGORY_SYSRET;
  if (with_text) out.text = text_of(decoded, operands, address);
  return out;
}

std::string Disassembler::text_of(const ZydisDecodedInstruction& decoded, const ZydisDecodedOperand* operands,
                                  uint64_t address) const {
  char buffer[256];
  if (!ZYAN_SUCCESS(ZydisFormatterFormatInstruction(&formatter_, &decoded, operands,
                                                    decoded.operand_count_visible, buffer, sizeof(buffer),
                                                    address, nullptr)))
    return ZydisMnemonicGetString(decoded.mnemonic);
  // Zydis keeps Intel's names with AT&T's operands.
  std::string text = buffer;
  const std::string intel = ZydisMnemonicGetString(decoded.mnemonic);
  const size_t at = text.find(intel);
  if (at != std::string::npos) {
    if (intel == "movzx" || intel == "movsx" || intel == "movsxd") {
      std::string att = intel == "movzx" ? "movz" : "movs";
      att += size_suffix(operands[1].size);
      att += size_suffix(operands[0].size);
      text.replace(at, std::min(text.find(' ', at), text.size()) - at, att);
    } else {
      text.replace(at, intel.size(), rename(intel));
    }
  }
  for (size_t comma = text.find(", "); comma != std::string::npos; comma = text.find(", ", comma))
    text.erase(comma + 1, 1);
  return text;
}

}  // namespace

std::vector<Instruction> decode_bytes(std::span<const std::byte> bytes, uint64_t address, bool with_text) {
  std::vector<Instruction> instructions;
  size_t at = 0;
  while (at < bytes.size()) {
    auto instruction = disassembler().decode(bytes.subspan(at), address + at, with_text);
    if (!instruction) break;
    at += instruction->length;
    instructions.push_back(std::move(*instruction));
  }
  return instructions;
}

Reading<std::vector<Instruction>> decode_range(Kernel& kernel, uint64_t address, uint64_t size,
                                               bool with_text) {
  if (size == 0 || size > kMaxCodeSize)
    return Unread{UnreadReason::kLimit, address, "code",
                  fmt::format("{} bytes; at most {} are decoded", size, kMaxCodeSize)};
  const auto bytes = read_array<std::byte>(kernel.memory(), address, size);
  if (!bytes.has_value()) return bytes.unread();
  return decode_bytes(*bytes, address, with_text);
}

Reading<std::vector<Instruction>> decode_function(Kernel& kernel, std::string_view name) {
  const auto symbol = kernel.symbols().find(name);
  if (!symbol)
    return Unread{UnreadReason::kNoSymbol, 0, std::string(name), "the kernel has no such function"};
  auto instructions = decode_range(kernel, symbol->address, symbol->size, true);
  if (!instructions.has_value()) {
    Unread unread = instructions.unread();
    unread.path = fmt::format("code of {}", name);
    return unread;
  }
  return instructions;
}

namespace {

constexpr std::string_view kCold = ".cold";

/// The .cold part of a function: where one of its jumps goes. A look-up by name could find that of another
/// function of the same name, and of most functions that have none it would search all symbols.
std::optional<Symbol> find_cold_part(Kernel& kernel, const Symbol& function,
                                     std::span<const Instruction> code) {
  const std::string name = fmt::format("{}{}", function.name, kCold);
  for (const Instruction& instruction : code) {
    if (!instruction.is_jump || !instruction.target) continue;
    const uint64_t target = *instruction.target;
    if (target - function.address < function.size) continue;
    if (auto symbol = kernel.symbols().at(target); symbol && symbol->name == name) return symbol;
  }
  return std::nullopt;
}

/// All instructions of a symbol; unread when any of them is.
Reading<std::vector<Instruction>> decode_part(Kernel& kernel, const Symbol& part) {
  auto code = decode_range(kernel, part.address, part.size, false);
  if (!code.has_value()) {
    Unread unread = code.unread();
    unread.path = fmt::format("code of {}", part.name);
    return unread;
  }
  const uint64_t end = code->empty() ? part.address : code->back().address + code->back().length;
  if (end < part.address + part.size)
    return Unread{UnreadReason::kCorrupt, end, fmt::format("code of {}", part.name), "no instruction"};
  return code;
}

}  // namespace

Reading<std::vector<Instruction>> decode_whole_function(Kernel& kernel, Symbol* function) {
  const size_t suffix = function->name.rfind(kCold);
  if (suffix != std::string::npos)
    if (auto whole = kernel.symbols().find(function->name.substr(0, suffix))) *function = std::move(*whole);
  auto code = decode_part(kernel, *function);
  const auto cold = code.has_value() ? find_cold_part(kernel, *function, *code) : std::nullopt;
  if (!cold) return code;
  auto more = decode_part(kernel, *cold);
  if (!more.has_value()) return more;
  std::vector<Instruction> whole = *code;
  whole.insert(cold->address < function->address ? whole.begin() : whole.end(), more->begin(), more->end());
  return whole;
}

Reading<Instruction> decode_at(Kernel& kernel, uint64_t address) {
  // The longest instruction may reach into a page that was not saved while this one does not.
  std::array<std::byte, kMaxInstruction> bytes;
  std::span<std::byte> readable(bytes);
  std::optional<Unread> unread = kernel.memory().read(address, readable);
  if (unread) {
    unread->path = "code";
    const uint64_t size = unread->address - address;
    if (size == 0 || size >= kMaxInstruction) return std::move(*unread);
    readable = readable.first(size);
    if (auto again = kernel.memory().read(address, readable)) return std::move(*again);
  }
  if (auto instruction = disassembler().decode(readable, address, true)) return std::move(*instruction);
  if (unread) return std::move(*unread);
  std::string text;
  for (std::byte byte : readable) text += fmt::format(" {:02x}", static_cast<unsigned>(byte));
  return Unread{UnreadReason::kCorrupt, address, "code", "no instruction:" + text};
}

std::string_view to_string(Reg reg) {
  static constexpr std::string_view kNames[] = {"",   "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                                "r8", "r9",  "r10", "r11", "r12", "r13", "r14", "r15", "rip"};
  return kNames[static_cast<size_t>(reg)];
}

std::optional<uint64_t> value_of(const Registers& registers, Reg reg) {
  static constexpr uint64_t Registers::*kMembers[] = {
      &Registers::ax,  &Registers::cx,  &Registers::dx,  &Registers::bx, &Registers::sp,  &Registers::bp,
      &Registers::si,  &Registers::di,  &Registers::r8,  &Registers::r9, &Registers::r10, &Registers::r11,
      &Registers::r12, &Registers::r13, &Registers::r14, &Registers::r15};
  if (reg == Reg::kNone || reg == Reg::kRip) return std::nullopt;
  return registers.*kMembers[static_cast<size_t>(reg) - static_cast<size_t>(Reg::kRax)];
}

std::optional<uint64_t> effective_address(const Instruction& instruction, const MemoryOperand& operand,
                                          const Registers& registers) {
  if (operand.gs) return std::nullopt;
  auto address = static_cast<uint64_t>(operand.displacement);
  if (operand.base == Reg::kRip)
    address += instruction.address + instruction.length;
  else if (operand.base != Reg::kNone)
    address += *value_of(registers, operand.base);
  if (operand.index != Reg::kNone) address += *value_of(registers, operand.index) * operand.scale;
  return address;
}

}  // namespace perfcore
