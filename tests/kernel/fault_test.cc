// SPDX-License-Identifier: LGPL-2.1-or-later
#include <gtest/gtest.h>

#include "kernel/fake_kernel.h"
#include "perfcore/code.h"

namespace perfcore {
namespace {

using test::FakeKernel;

constexpr uint64_t kText = 0xffffffff81000000;
constexpr uint64_t kGetEvent = 0xffffffff81000240;

/// struct widget { ulong flags; struct gadget *gadget; ulong count; ulong left; on: 2, mode: 2 }, of 0x28
/// bytes; struct gadget { ulong a, b, c; int level }.
class ExplainFault : public testing::Test {
 protected:
  ExplainFault() {
    test::FakeTypes& types = *fake_.types;
    const Type* word = types.integer("unsigned long", 8);
    const Type* number = types.integer("int", 4);
    gadget_ = types.aggregate(TypeKind::kStruct, "gadget", 0x20);
    types.member(gadget_, "a", 0, word);
    types.member(gadget_, "b", 8, word);
    types.member(gadget_, "c", 16, word);
    types.member(gadget_, "level", 24, number);
    widget_ = types.aggregate(TypeKind::kStruct, "widget", 0x28);
    types.member(widget_, "flags", 0, word);
    types.member(widget_, "gadget", 8, types.pointer(gadget_));
    types.member(widget_, "count", 16, word);
    types.member(widget_, "left", 24, number);
    types.bit_field(widget_, "on", 28 * 8, 10, number);
    types.bit_field(widget_, "mode", 28 * 8 + 10, 2, number);
    // What the kernel calls cpu_hw_events; the name makes it a variable that perfcore knows.
    const Type* per_cpu = types.aggregate(TypeKind::kStruct, "cpu_hw_events", 0x400);
    types.member(per_cpu, "list", 0x40, types.array(types.pointer(widget_), 64));
    fake_.symbols->add("cpu_hw_events", 0x2000, 0x400, 'D');
    fake_.symbols->add("this_cpu_off", 0x1000, 8, 'D');
    fake_.function("get_event", kGetEvent, {0xc3});
    types.prototype("get_event", types.pointer(widget_), {});
  }

  /// A function `struct widget *` is given to; explains what faults `offset` bytes into it.
  FaultExplanation explain(const std::vector<uint8_t>& code, uint64_t address, uint64_t offset,
                           Registers registers, std::optional<uint64_t> fault_address = std::nullopt,
                           const std::string& name = "handler") {
    fake_.function(name, address, code);
    fake_.types->prototype(name, nullptr, {fake_.types->pointer(widget_)});
    registers.ip = address + offset;
    return explain_fault(*fake_.kernel, registers, fault_address, name).value();
  }

  FakeKernel fake_;
  const Type* widget_;
  const Type* gadget_;
};

// mov %rdi,%rbx; mov 0x10(%rbx),%rax; ret
const std::vector<uint8_t> kThroughMove = {0x48, 0x89, 0xfb, 0x48, 0x8b, 0x43, 0x10, 0xc3};

TEST_F(ExplainFault, ParameterThroughRegister) {
  const auto fault = explain(kThroughMove, kText, 3, {}, 0x10);
  EXPECT_EQ(fault.sentence, "`mov 0x10(%rbx),%rax` with rbx = 0: `count` of a NULL `struct widget *`");
  EXPECT_EQ(fault.operand, "0x10(%rbx) with rbx = 0");
  EXPECT_EQ(fault.type, "widget");
  EXPECT_EQ(fault.member, "count");
  EXPECT_TRUE(fault.null_pointer);
}

TEST_F(ExplainFault, SaysWhenTheFaultIsElsewhere) {
  const auto fault = explain(kThroughMove, kText, 3, {}, 0x5000);
  EXPECT_FALSE(fault.null_pointer);
  EXPECT_NE(fault.sentence.find("not the fault's address 0x5000"), std::string::npos) << fault.sentence;
}

TEST_F(ExplainFault, NamesPoison) {
  Registers registers;
  registers.bx = 0x6b6b6b6b6b6b6b6b;
  EXPECT_EQ(explain(kThroughMove, kText, 3, registers).sentence,
            "`mov 0x10(%rbx),%rax` with rbx = 0x6b6b6b6b6b6b6b6b: `count` of a `struct widget *` that is the "
            "poison "
            "value 0x6b6b6b6b6b6b6b6b (POISON_FREE, memory freed to its slab)");
  registers.bx = 0xdead000000000122;
  EXPECT_NE(explain(kThroughMove, kText, 3, registers).sentence.find("LIST_POISON2"), std::string::npos);
  registers.bx = static_cast<uint64_t>(-12);
  EXPECT_NE(
      explain(kThroughMove, kText, 3, registers).sentence.find("the error pointer 0xfffffffffffffff4 (-12)"),
      std::string::npos);
  registers.bx = 0x00ff888812345678;
  EXPECT_EQ(explain(kThroughMove, kText, 3, registers).null_pointer, false);
  registers.bx = 0x7700888812345678;
  EXPECT_NE(explain(kThroughMove, kText, 3, registers).sentence.find("no canonical address"),
            std::string::npos);
}

TEST_F(ExplainFault, MemberOfWhatAMemberPointsTo) {
  // mov 0x8(%rdi),%rax; mov 0x18(%rax),%ecx; ret
  const auto fault = explain({0x48, 0x8b, 0x47, 0x08, 0x8b, 0x48, 0x18, 0xc3}, kText, 4, {}, 0x18);
  EXPECT_EQ(fault.sentence, "`mov 0x18(%rax),%ecx` with rax = 0: `level` of a NULL `struct gadget *`");
}

TEST_F(ExplainFault, ElementOfAPerCpuArray) {
  // mov %gs:0x1000,%rax; lea 0x2000(%rax),%rbx; movslq %esi,%rsi; mov 0x40(%rbx,%rsi,8),%r15; mov
  // 0x10(%r15),%rax
  const auto fault =
      explain({0x65, 0x48, 0x8b, 0x04, 0x25, 0x00, 0x10, 0x00, 0x00, 0x48, 0x8d, 0x98, 0x00, 0x20, 0x00,
               0x00, 0x48, 0x63, 0xf6, 0x4c, 0x8b, 0x7c, 0xf3, 0x40, 0x49, 0x8b, 0x47, 0x10, 0xc3},
              kText, 24, {}, 0x10);
  EXPECT_EQ(fault.sentence, "`mov 0x10(%r15),%rax` with r15 = 0: `count` of a NULL `struct widget *`");
}

TEST_F(ExplainFault, ResultOfACall) {
  // call get_event; mov 0x10(%rax),%rdx; ret
  const auto fault =
      explain({0xe8, 0x7b, 0x01, 0x00, 0x00, 0x48, 0x8b, 0x50, 0x10, 0xc3}, kText + 0xc0, 5, {}, 0x10);
  EXPECT_EQ(fault.sentence, "`mov 0x10(%rax),%rdx` with rax = 0: `count` of a NULL `struct widget *`");
}

TEST_F(ExplainFault, ParameterSavedOnTheStackAcrossACall) {
  // sub $0x18,%rsp; mov %rdi,0x8(%rsp); call get_event; mov 0x8(%rsp),%rdi; mov 0x10(%rdi),%rax; ret
  const auto fault = explain({0x48, 0x83, 0xec, 0x18, 0x48, 0x89, 0x7c, 0x24, 0x08, 0xe8, 0xf2, 0x00,
                              0x00, 0x00, 0x48, 0x8b, 0x7c, 0x24, 0x08, 0x48, 0x8b, 0x47, 0x10, 0xc3},
                             kText + 0x140, 19, {}, 0x10);
  EXPECT_EQ(fault.member, "count");
}

TEST_F(ExplainFault, PointerIntoAStruct) {
  // lea 0x10(%rdi),%rbx; mov 0x8(%rbx),%rax; ret
  Registers registers;
  registers.bx = 0x10;
  const auto fault =
      explain({0x48, 0x8d, 0x5f, 0x10, 0x48, 0x8b, 0x43, 0x08, 0xc3}, kText, 4, registers, 0x18);
  EXPECT_EQ(fault.sentence, "`mov 0x8(%rbx),%rax` with rbx = 0x10: `left` of a NULL `struct widget *`");
  EXPECT_TRUE(fault.null_pointer);
}

TEST_F(ExplainFault, BitField) {
  // testb $0x8,0x1d(%rdi): bit 11 behind byte 28 is the second of `mode`
  EXPECT_EQ(explain({0xf6, 0x47, 0x1d, 0x08, 0xc3}, kText, 0, {}, 0x1d).sentence,
            "`testb $0x8,0x1d(%rdi)` with rdi = 0: `mode` of a NULL `struct widget *`");
  // mov 0x1c(%rdi),%eax takes both
  EXPECT_EQ(explain({0x8b, 0x47, 0x1c, 0xc3}, kText + 0x100, 0, {}, 0x1c, "other").sentence,
            "`mov 0x1c(%rdi),%eax` with rdi = 0: `on` or a bit-field next to it of a NULL `struct widget *`");
}

TEST_F(ExplainFault, NoTypeWherePathsDisagree) {
  // test %edx,%edx; je 1f; mov %rsi,%rdi; 1: mov 0x10(%rdi),%rax; ret
  const auto fault =
      explain({0x85, 0xd2, 0x74, 0x03, 0x48, 0x89, 0xf7, 0x48, 0x8b, 0x47, 0x10, 0xc3}, kText, 7, {}, 0x10);
  EXPECT_EQ(fault.sentence,
            "`mov 0x10(%rdi),%rax` with rdi = 0: reads 8 bytes at offset 0x10 of a NULL pointer");
  EXPECT_EQ(fault.type, "");
  EXPECT_TRUE(fault.null_pointer);
}

TEST_F(ExplainFault, NoTypeForClones) {
  EXPECT_EQ(explain(kThroughMove, kText, 3, {}, 0x10, "handler.isra.0").type, "");
}

TEST_F(ExplainFault, MemberOfWhatContainsTheStruct) {
  // mov 0x100(%rdi),%rax; ret
  const auto fault = explain({0x48, 0x8b, 0x87, 0x00, 0x01, 0x00, 0x00, 0xc3}, kText, 0, {}, 0x100);
  EXPECT_EQ(fault.sentence,
            "`mov 0x100(%rdi),%rax` with rdi = 0: reads 8 bytes at offset 0x100 of a `struct widget *` that "
            "is a NULL "
            "pointer, in what contains that struct");
  EXPECT_EQ(fault.type, "");
}

TEST_F(ExplainFault, StringInstructionBySource) {
  Registers registers;
  registers.di = 0xffff888000001000;
  registers.si = 0x20;
  // rep movsq
  const auto fault = explain({0xf3, 0x48, 0xa5, 0xc3}, kText, 0, registers, 0x20);
  EXPECT_NE(fault.sentence.find("reads 8 bytes"), std::string::npos) << fault.sentence;
  EXPECT_NE(fault.sentence.find("rsi = 0x20"), std::string::npos) << fault.sentence;
  EXPECT_TRUE(fault.null_pointer);
}

TEST_F(ExplainFault, ConstantAddress) {
  // movq $0x5,0x48
  const auto null = explain({0x48, 0xc7, 0x04, 0x25, 0x48, 0x00, 0x00, 0x00, 0x05, 0x00, 0x00, 0x00, 0xc3},
                            kText, 0, {}, 0x48);
  EXPECT_EQ(null.sentence, "`movq $0x5,0x48`: writes 8 bytes at offset 0x48 of a NULL pointer");
  EXPECT_TRUE(null.null_pointer);
  // mov 0x6b6b6b6b6b6b6b83,%rax
  const auto poison = explain({0x48, 0xa1, 0x83, 0x6b, 0x6b, 0x6b, 0x6b, 0x6b, 0x6b, 0x6b, 0xc3},
                              kText + 0x100, 0, {}, std::nullopt, "other");
  EXPECT_NE(poison.sentence.find("near POISON_FREE"), std::string::npos) << poison.sentence;
  EXPECT_FALSE(poison.null_pointer);
}

TEST_F(ExplainFault, InstructionsWithoutMemory) {
  EXPECT_EQ(explain({0x0f, 0x0b, 0xc3}, kText, 0, {}).sentence, "`ud2`, which BUG() and WARN() are made of");
  Registers registers;
  registers.cx = 0xffffffff00000000;
  // div %ecx
  EXPECT_EQ(explain({0xf7, 0xf1, 0xc3}, kText + 0x100, 0, registers, std::nullopt, "other").sentence,
            "`div %ecx` with rcx = 0xffffffff00000000: divides by zero");
}

TEST_F(ExplainFault, JumpToNull) {
  Registers registers;
  const auto fault = explain_fault(*fake_.kernel, registers, 0, "").value();
  EXPECT_EQ(fault.sentence,
            "the CPU could not fetch an instruction at 0x0: a call, jump or return to a NULL pointer");
  EXPECT_TRUE(fault.null_pointer);
}

TEST_F(ExplainFault, UnreadableCodeIsUnread) {
  Registers registers;
  registers.ip = 0xffffffff82000000;
  EXPECT_FALSE(explain_fault(*fake_.kernel, registers, 0x10, "f").has_value());
}

}  // namespace
}  // namespace perfcore
