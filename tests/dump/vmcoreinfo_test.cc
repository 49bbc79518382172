// SPDX-License-Identifier: LGPL-2.1-or-later
#include <gtest/gtest.h>

#include "perfcore/dump.h"

namespace perfcore {
namespace {

TEST(VmcoreInfo, ReadsSymbolsNumbersAndText) {
  const VmcoreInfo info(
      "OSRELEASE=6.12.117\nSYMBOL(_stext)=ffffffff89800000\nNUMBER(phys_base)=-683671552\n"
      "NUMBER(VMALLOC_START)=0xffffd21140000000\nKERNELOFFSET=8800000\nCRASHTIME=1");
  EXPECT_EQ(info.get("OSRELEASE"), "6.12.117");
  EXPECT_EQ(info.symbol("_stext"), 0xffffffff89800000u);
  EXPECT_EQ(info.number("phys_base"), -683671552);
  EXPECT_EQ(static_cast<uint64_t>(info.number("VMALLOC_START").value()), 0xffffd21140000000u);
  EXPECT_EQ(info.kernel_offset(), 0x8800000u);
  EXPECT_EQ(info.get("CRASHTIME"), "1");
}

TEST(VmcoreInfo, DamagedValuesAreAbsentAndNotZero) {
  const VmcoreInfo info(
      "SYMBOL(a)=zz\nSYMBOL(b)=\nNUMBER(c)=1x\nNUMBER(d)=99999999999999999999\n=x\nnonsense\nSYMBOL(e)=12 ");
  EXPECT_FALSE(info.symbol("a"));
  EXPECT_FALSE(info.symbol("b"));
  EXPECT_FALSE(info.number("c"));
  EXPECT_FALSE(info.number("d"));
  EXPECT_FALSE(info.symbol("e"));
  EXPECT_FALSE(info.get("nonsense"));
  EXPECT_FALSE(info.kernel_offset());
}

TEST(VmcoreInfo, EndsAtNulAndAt64Kilobytes) {
  EXPECT_FALSE(VmcoreInfo(std::string("A=1\n\0B=2\n", 9)).get("B"));
  EXPECT_TRUE(VmcoreInfo(std::string(1 << 20, 'x')).text().size() <= 64 * 1024);
  EXPECT_TRUE(VmcoreInfo("").empty());
}

}  // namespace
}  // namespace perfcore
