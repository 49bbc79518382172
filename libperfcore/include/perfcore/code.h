// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// Machine code of the dumped kernel: read from the dump, never from a vmlinux, since the kernel patches
/// itself.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "perfcore/kernel.h"

namespace perfcore {

/// General registers as the decoder names them, for operands; kRip and kNone included.
enum class Reg : uint8_t {
  kNone,
  kRax,
  kRcx,
  kRdx,
  kRbx,
  kRsp,
  kRbp,
  kRsi,
  kRdi,
  kR8,
  kR9,
  kR10,
  kR11,
  kR12,
  kR13,
  kR14,
  kR15,
  kRip
};
std::string_view to_string(Reg reg);  ///< "rax"; "" for kNone
/// Value of a register; nullopt for kNone and kRip.
std::optional<uint64_t> value_of(const Registers& registers, Reg reg);

struct MemoryOperand {
  Reg base = Reg::kNone;
  Reg index = Reg::kNone;
  uint8_t scale = 1;
  int64_t displacement = 0;
  uint16_t size = 0;  ///< bytes accessed; 0 for lea and the like
  bool gs = false;    ///< %gs-relative: a per-CPU access
  bool read = false;
  bool written = false;
};

/// One decoded instruction. Registers are 64-bit names whatever the operand's width.
struct Instruction {
  uint64_t address = 0;
  uint8_t length = 0;
  /// "mov", "test", "bts", "jne", ...: lower case, without prefixes and size suffixes; the moves that extend
  /// are "movzx", "movsx" and "movsxd".
  std::string mnemonic;
  std::string text;                     ///< AT&T syntax as the kernel's own tools print it
  /// The explicit memory operand; of string instructions (movs, stos, ...) the first of the fixed ones.
  std::optional<MemoryOperand> memory;
  Reg destination = Reg::kNone;         ///< register written by the first operand
  Reg source = Reg::kNone;              ///< register read by the (last) register source operand
  uint8_t width = 0;                      ///< bytes of the first operand
  uint32_t written = 0;  ///< one bit per Reg: general registers changed in any way, implied ones included
  std::optional<int64_t> immediate;
  std::optional<uint64_t> target;  ///< direct branch or call target
  bool is_call = false;
  bool is_jump = false;  ///< conditional or not
  bool is_conditional = false;
  bool is_return = false;  ///< ret, iret, sysret. A jump to __x86_return_thunk and its kin is none: see is_jump
};

/// The instruction at an address. Unread when its bytes are (kCorrupt when they are no instruction).
Reading<Instruction> decode_at(Kernel& kernel, uint64_t address);

/// All instructions of a function in address order, its .cold part not included. At most 64 KiB of code.
/// Bytes that are no instruction end the list: compare the last one's end with the symbol's size.
Reading<std::vector<Instruction>> decode_function(Kernel& kernel, std::string_view name);

/// Effective address of an operand with these registers; nullopt for gs-relative or when a register is
/// unknown.
std::optional<uint64_t> effective_address(const Instruction& instruction, const MemoryOperand& operand,
                                          const Registers& registers);

/// What a faulting instruction did, in words.
struct FaultExplanation {
  Instruction instruction;
  std::string operand;  ///< "0x208(%r15) with r15 = 0x0"
  std::string
      sentence;  ///< "`mov 0x208(%r15),%rax` with r15 = 0: `hw.last_period` of a NULL `struct perf_event *`"
  std::string type;    ///< "perf_event" when the struct is known, else empty
  std::string member;  ///< "hw.last_period" when known, else empty
  bool null_pointer =
      false;  ///< the base register is 0 (or tiny) and the fault address is base + displacement
};

/// Decodes the instruction at registers.ip and explains the access to `fault_address` (CR2; nullopt when
/// unknown). The type behind the base register is inferred from the function's parameters and from what is
/// known of the function.
Reading<FaultExplanation> explain_fault(Kernel& kernel, const Registers& registers,
                                        std::optional<uint64_t> fault_address, std::string_view function);

/// Result of probe P-NULLEV: which generation of x86_pmu_start()/x86_pmu_enable() this kernel's text is.
enum class NullEventsCode {
  kG0,  ///< x86_pmu_start() stores events[idx] itself: before 7e772a93eb61 (6.19-rc1) and its backports
  kG1,  ///< vulnerable: x86_pmu_enable() stores it only after the PERF_HES_ARCH test (7e772a93eb61)
  kG2,  ///< 8d5fae601126: stored before the test; a stopped event that moved is not programmed
  kG3,  ///< and f1cac6ac62d2: it is programmed
  kUndecided,   ///< the code was read and does not answer
  kUnreadable,  ///< the code could not be read
};
std::string_view to_string(NullEventsCode code);  ///< "G0" ... "undecided", "unreadable"

struct NullEventsProbe {
  NullEventsCode code = NullEventsCode::kUndecided;
  uint64_t address = 0;     ///< of the instruction that proves it; 0 when none
  std::string location;     ///< "x86_pmu_enable+0x2c1"
  std::string instruction;  ///< its text
  std::string reason;       ///< one sentence for people
};

/// Decodes x86_pmu_start() and x86_pmu_enable() in the dump; offsets of struct members come from the types.
NullEventsProbe probe_null_events(Kernel& kernel);

}  // namespace perfcore
