// SPDX-License-Identifier: LGPL-2.1-or-later
#include "perfcore/code.h"

#include <gtest/gtest.h>

#include "kernel/code_decode.h"

namespace perfcore {
namespace {

constexpr uint64_t kAddress = 0xffffffff8100ed50;

Instruction decode(const std::vector<uint8_t>& bytes) {
  const auto code = decode_bytes(std::as_bytes(std::span(bytes)), kAddress, true);
  if (code.size() != 1) throw std::runtime_error("not one instruction");
  return code.front();
}

TEST(Decode, WritesAttSyntaxAsTheKernelsToolsDo) {
  EXPECT_EQ(decode({0x49, 0x8b, 0x87, 0x08, 0x02, 0x00, 0x00}).text, "mov 0x208(%r15),%rax");
  EXPECT_EQ(decode({0xc7, 0x83, 0xe0, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00}).text,
            "movl $0x0,0x1e0(%rbx)");
  EXPECT_EQ(decode({0xf6, 0x83, 0xf8, 0x01, 0x00, 0x00, 0x04}).text, "testb $0x4,0x1f8(%rbx)");
  EXPECT_EQ(decode({0x4c, 0x63, 0xa7, 0x8c, 0x01, 0x00, 0x00}).text, "movslq 0x18c(%rdi),%r12");
  EXPECT_EQ(decode({0x0f, 0xb6, 0x47, 0x10}).text, "movzbl 0x10(%rdi),%eax");
  EXPECT_EQ(decode({0x48, 0x0f, 0xbe, 0x07}).text, "movsbq (%rdi),%rax");
  EXPECT_EQ(decode({0x41, 0x83, 0xfc, 0xff}).text, "cmp $0xffffffff,%r12d");
  EXPECT_EQ(decode({0x8b, 0x8c, 0x2b, 0x28, 0x02, 0x00, 0x00}).text, "mov 0x228(%rbx,%rbp,1),%ecx");
  EXPECT_EQ(decode({0x75, 0x0e}).text, "jne 0xffffffff8100ed60");
  EXPECT_EQ(decode({0xf0, 0x48, 0x0f, 0xba, 0x28, 0x03}).text, "lock btsq $0x3,(%rax)");
  EXPECT_EQ(decode({0x65, 0x48, 0x8b, 0x05, 0xb3, 0xac, 0x00, 0x7f}).text, "mov %gs:0x7f00acb3(%rip),%rax");
  EXPECT_EQ(decode({0x48, 0x98}).text, "cltq");
}

TEST(Decode, TakesOperandsApart) {
  const Instruction store = decode({0x4a, 0x89, 0x5c, 0xe5, 0x00});  // mov %rbx,0x0(%rbp,%r12,8)
  ASSERT_TRUE(store.memory.has_value());
  EXPECT_EQ(store.memory->base, Reg::kRbp);
  EXPECT_EQ(store.memory->index, Reg::kR12);
  EXPECT_EQ(store.memory->scale, 8);
  EXPECT_EQ(store.memory->size, 8);
  EXPECT_TRUE(store.memory->written);
  EXPECT_FALSE(store.memory->read);
  EXPECT_EQ(store.source, Reg::kRbx);
  EXPECT_EQ(store.destination, Reg::kNone);

  const Instruction load =
      decode({0x65, 0x48, 0x8b, 0x04, 0x25, 0x00, 0x10, 0x00, 0x00});  // mov %gs:0x1000,%rax
  ASSERT_TRUE(load.memory.has_value());
  EXPECT_TRUE(load.memory->gs);
  EXPECT_EQ(load.memory->base, Reg::kNone);
  EXPECT_EQ(load.memory->displacement, 0x1000);
  EXPECT_EQ(load.destination, Reg::kRax);

  const Instruction lea = decode({0x48, 0x8d, 0xa8, 0x40, 0xa2, 0x01, 0x00});  // lea 0x1a240(%rax),%rbp
  EXPECT_EQ(lea.memory->size, 0);
  EXPECT_EQ(lea.destination, Reg::kRbp);

  const Instruction test = decode({0xa8, 0x04});  // test $0x4,%al
  EXPECT_EQ(test.source, Reg::kRax);
  EXPECT_EQ(test.immediate, 4);

  const Instruction call = decode({0xe8, 0xfb, 0xff, 0xff, 0xff});
  EXPECT_TRUE(call.is_call);
  EXPECT_EQ(call.target, kAddress);
}

TEST(Decode, ListsRegistersThatChange) {
  const auto bit = [](Reg reg) { return 1U << static_cast<unsigned>(reg); };
  EXPECT_EQ(decode({0x48, 0x87, 0xd8}).written, bit(Reg::kRax) | bit(Reg::kRbx));  // xchg %rbx,%rax
  EXPECT_EQ(decode({0x48, 0xf7, 0xe1}).written, bit(Reg::kRax) | bit(Reg::kRdx));  // mul %rcx
  EXPECT_EQ(decode({0x5b}).written, bit(Reg::kRbx) | bit(Reg::kRsp));              // pop %rbx
  EXPECT_EQ(decode({0x0f, 0x32}).written, bit(Reg::kRax) | bit(Reg::kRdx));        // rdmsr
  EXPECT_EQ(decode({0x48, 0x39, 0xd8}).written, 0U);                               // cmp %rbx,%rax
}

TEST(Decode, EndsAtBytesThatAreNoInstruction) {
  const std::vector<uint8_t> bytes = {0x90, 0x06, 0x90};
  const auto code = decode_bytes(std::as_bytes(std::span(bytes)), kAddress, true);
  ASSERT_EQ(code.size(), 1U);
  EXPECT_EQ(code[0].mnemonic, "nop");
}

TEST(Decode, ComputesAddresses) {
  Registers registers;
  registers.bp = 0xffff888000001000;
  registers.r12 = 3;
  const Instruction store = decode({0x4a, 0x89, 0x5c, 0xe5, 0x00});
  EXPECT_EQ(effective_address(store, *store.memory, registers), 0xffff888000001018);
  const Instruction relative = decode({0x8b, 0x05, 0x10, 0x00, 0x00, 0x00});  // mov 0x10(%rip),%eax
  EXPECT_EQ(effective_address(relative, *relative.memory, registers), kAddress + 6 + 0x10);
  const Instruction per_cpu = decode({0x65, 0x48, 0x8b, 0x04, 0x25, 0x00, 0x10, 0x00, 0x00});
  EXPECT_EQ(effective_address(per_cpu, *per_cpu.memory, registers), std::nullopt);
}

TEST(Registers, ByName) {
  Registers registers;
  registers.r15 = 15;
  registers.cx = 1;
  EXPECT_EQ(value_of(registers, Reg::kR15), 15U);
  EXPECT_EQ(value_of(registers, Reg::kRcx), 1U);
  EXPECT_EQ(value_of(registers, Reg::kNone), std::nullopt);
  EXPECT_EQ(to_string(Reg::kR15), "r15");
  EXPECT_EQ(to_string(Reg::kNone), "");
}

}  // namespace
}  // namespace perfcore
