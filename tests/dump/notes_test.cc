// SPDX-License-Identifier: LGPL-2.1-or-later
#include "dump/notes.h"

#include <gtest/gtest.h>

#include "support/dump_builder.h"

namespace perfcore {
namespace {

using test::DumpBuilder;

TEST(Notes, TheKernelsGsBaseIsTheOneInTheUpperHalf) {
  constexpr uint64_t kKernel = 0xffff888000100000, kUser = 0x7f0000001000;
  DumpBuilder builder;
  for (int i = 0; i < 4; i++) builder.add_cpu(0, 0, 0x10, 9);
  builder.add_qemu_cpu(0x10, kKernel, kUser, 0x1000, 0);  // in the kernel
  builder.add_qemu_cpu(0x33, kUser, kKernel, 0x1000, 0);  // in user mode: swapped
  builder.add_qemu_cpu(0x10, kUser, kKernel, 0x1000, 0);  // in the kernel, before swapgs
  builder.add_qemu_cpu(0x10, kKernel, 0, 0x1000, 0);      // a kernel thread
  const Notes notes = parse_notes(builder.notes());
  ASSERT_EQ(notes.cpus.size(), 4u);
  for (const CpuStatus& cpu : notes.cpus) {
    EXPECT_EQ(cpu.gs_base, kKernel) << cpu.cpu;
    EXPECT_EQ(cpu.pid, 0) << "QEMU's numbers are not PIDs";
  }
  EXPECT_EQ(notes.malformed, 0u);
}

TEST(Notes, RegistersKeepTheirPlaces) {
  DumpBuilder builder;
  builder.add_cpu(0x1111, 0x2222, 0x33, -5, 0x4444);
  const Notes notes = parse_notes(builder.notes());
  ASSERT_EQ(notes.cpus.size(), 1u);
  const CpuStatus& cpu = notes.cpus.front();
  EXPECT_EQ(cpu.registers.ip, 0x1111u);
  EXPECT_EQ(cpu.registers.sp, 0x2222u);
  EXPECT_EQ(cpu.registers.cs, 0x33u);
  EXPECT_EQ(cpu.gs_base, 0x4444u);
  EXPECT_EQ(cpu.pid, -5);
}

TEST(Notes, ACutNoteIsCountedAndNotRead) {
  DumpBuilder builder;
  builder.add_cpu(1, 2, 3, 4);
  const std::string whole = builder.notes();
  for (size_t size = 0; size < whole.size(); size++) {
    const Notes notes = parse_notes(std::string_view(whole).substr(0, size));
    EXPECT_LE(notes.cpus.size(), 1u);
  }
  EXPECT_EQ(parse_notes(std::string_view(whole).substr(0, 100)).malformed, 1u);
}

TEST(Notes, HugeSizesDoNotReachBehindTheText) {
  std::string raw(12, '\xff');
  EXPECT_EQ(parse_notes(raw).malformed, 1u);
  raw = make_note("VMCOREINFO", 0, "A=1\n");
  raw[4] = '\x7f';  // n_descsz
  EXPECT_TRUE(parse_notes(raw).vmcoreinfo.empty());
}

TEST(Notes, PaddingOfZerosEndsNothing) {
  const std::string raw = std::string(24, '\0') + make_note("VMCOREINFO", 0, "A=1\n");
  EXPECT_EQ(parse_notes(raw).vmcoreinfo, "A=1\n");
}

TEST(Notes, MadeNotesCanBeReadAgain) {
  for (size_t size = 0; size < 9; size++) {
    const std::string content(size, 'x');
    std::vector<std::string> seen;
    EXPECT_TRUE(
        for_each_note(make_note("abc", 7, content) + make_note("defg", 8, "y"), [&](const Note& note) {
          seen.push_back(std::string(note.name) + std::to_string(note.type) + std::string(note.content));
        }));
    EXPECT_EQ(seen, (std::vector<std::string>{"abc7" + content, "defg8y"}));
  }
}

}  // namespace
}  // namespace perfcore
