// SPDX-License-Identifier: LGPL-2.1-or-later
#include "kernel/unwind_orc.h"

#include <gtest/gtest.h>

namespace perfcore {
namespace {

using Bytes = std::array<uint8_t, kOrcEntrySize>;

const OrcFormat& headerless(uint8_t end_of_stack) {
  for (const OrcFormat& format : orc_formats())
    if (format.hash.empty() && format.end_of_stack == end_of_stack) return format;
  throw std::logic_error("no such format");
}

void expect_entry(const OrcFormat& format, const Bytes& bytes, OrcType type, OrcRegister sp, OrcRegister bp,
                  int16_t sp_offset, bool signal) {
  const OrcEntry entry = format.decode(bytes);
  EXPECT_EQ(entry.type, type);
  EXPECT_EQ(entry.sp_reg, sp);
  EXPECT_EQ(entry.bp_reg, bp);
  EXPECT_EQ(entry.sp_offset, sp_offset);
  EXPECT_EQ(entry.signal, signal);
}

// The bytes are from the tables of Debian's 6.1.192, 6.12.117 and 7.2.12.
TEST(OrcFormat, BeforeTheSignalBit) {
  const OrcFormat& format = headerless(0x4);
  expect_entry(format, {16, 0, 0xf0, 0xff, 0x15, 0x00}, OrcType::kCall, OrcRegister::kSp,
               OrcRegister::kPrevSp, 16, false);
  expect_entry(format, {0, 0, 0, 0, 0x05, 0x01}, OrcType::kRegs, OrcRegister::kSp, OrcRegister::kUndefined, 0,
               true);
  expect_entry(format, {8, 0, 0, 0, 0x05, 0x02}, OrcType::kRegsPartial, OrcRegister::kSp,
               OrcRegister::kUndefined, 8, true);
  expect_entry(format, {0, 0, 0, 0, 0x00, 0x04}, OrcType::kEndOfStack, OrcRegister::kUndefined,
               OrcRegister::kUndefined, 0, false);
  expect_entry(format, {0, 0, 0, 0, 0x00, 0x00}, OrcType::kUndefined, OrcRegister::kUndefined,
               OrcRegister::kUndefined, 0, false);
}

TEST(OrcFormat, SignalBitBeforeTheEndBit) {
  const OrcFormat& format = headerless(0x8);
  expect_entry(format, {8, 0, 0, 0, 0x05, 0x06}, OrcType::kRegsPartial, OrcRegister::kSp,
               OrcRegister::kUndefined, 8, true);
  expect_entry(format, {8, 0, 0, 0, 0x05, 0x02}, OrcType::kRegsPartial, OrcRegister::kSp,
               OrcRegister::kUndefined, 8, false);
  expect_entry(format, {0, 0, 0, 0, 0x00, 0x08}, OrcType::kEndOfStack, OrcRegister::kUndefined,
               OrcRegister::kUndefined, 0, false);
}

TEST(OrcFormat, ThreeBitType) {
  const OrcFormat* format = orc_format_by_hash("fe5d32bf581bd63b2ca9a5c65ba5a625eab3fe24");
  ASSERT_NE(format, nullptr);
  expect_entry(*format, {16, 0, 0xf0, 0xff, 0x15, 0x02}, OrcType::kCall, OrcRegister::kSp,
               OrcRegister::kPrevSp, 16, false);
  expect_entry(*format, {0, 0, 0xf8, 0xff, 0x48, 0x02}, OrcType::kCall, OrcRegister::kBpIndirect,
               OrcRegister::kBp, 0, false);
  expect_entry(*format, {0, 0, 0, 0, 0x05, 0x0b}, OrcType::kRegs, OrcRegister::kSp, OrcRegister::kUndefined,
               0, true);
  expect_entry(*format, {0, 0, 0, 0, 0x05, 0x04}, OrcType::kRegsPartial, OrcRegister::kSp,
               OrcRegister::kUndefined, 0, false);
  expect_entry(*format, {0, 0, 0, 0, 0x00, 0x01}, OrcType::kEndOfStack, OrcRegister::kUndefined,
               OrcRegister::kUndefined, 0, false);
}

TEST(OrcFormat, RenumberedRegisters) {
  const OrcFormat* format = orc_format_by_hash("137c36ad7627c4dd55932176bb0ecdbd5041fc82");
  ASSERT_NE(format, nullptr);
  expect_entry(*format, {16, 0, 0xf0, 0xff, 0x83, 0x02}, OrcType::kCall, OrcRegister::kSp,
               OrcRegister::kPrevSp, 16, false);
  expect_entry(*format, {0, 0, 0xf8, 0xff, 0x4a, 0x02}, OrcType::kCall, OrcRegister::kBpIndirect,
               OrcRegister::kBp, 0, false);
  EXPECT_EQ(format->decode(Bytes{0, 0, 0, 0, 0x0f, 0x02}).sp_reg, OrcRegister::kInvalid);
}

TEST(OrcFormat, UnknownHashesAreNotGuessed) {
  EXPECT_EQ(orc_format_by_hash("0000000000000000000000000000000000000000"), nullptr);
  EXPECT_EQ(orc_format_by_hash(""), nullptr);
}

}  // namespace
}  // namespace perfcore
