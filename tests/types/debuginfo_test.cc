// SPDX-License-Identifier: LGPL-2.1-or-later
#include "perfcore/debuginfo.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "perfcore/reading.h"
#include "perfcore/types.h"

namespace perfcore {
namespace {

namespace fs = std::filesystem;

std::string fixture(const std::string& name) {
  return std::string(PERFCORE_FIXTURES) + "/" + name;
}

constexpr char kRelease[] = "5.4.0-fixture";
constexpr char kOtherId[] = "00112233445566778899aabbccddeeff00112233";

bool contains(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

class FindVmlinux : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = testing::TempDir() + "perfcore-debuginfo-" + std::to_string(getpid());
    fs::remove_all(directory_);
    fs::create_directories(directory_);
    build_id_ = elf_build_id(fixture("dwarf5"));
    ASSERT_EQ(build_id_.size(), 40u);
  }
  void TearDown() override { fs::remove_all(directory_); }

  /// A copy of a fixture under the test's directory.
  std::string place(const std::string& name, const std::string& path) {
    const fs::path to = fs::path(directory_) / path;
    fs::create_directories(to.parent_path());
    fs::copy_file(fixture(name), to);
    return to.string();
  }
  VmlinuxSearch find(const std::string& given) { return find_vmlinux({given}, kRelease, build_id_, false); }
  static std::string refusal(const std::string& given, const std::string& release,
                             const std::string& build_id) {
    try {
      find_vmlinux({given}, release, build_id, false);
    } catch (const InputError& error) {
      return error.what();
    }
    return "accepted";
  }

  std::string directory_, build_id_;
};

TEST_F(FindVmlinux, AcceptsTheFileWithTheDumpsBuildId) {
  const VmlinuxSearch search = find(fixture("dwarf5"));
  EXPECT_EQ(search.path, fixture("dwarf5"));
  EXPECT_TRUE(search.remarks.empty());
}

TEST_F(FindVmlinux, RefusesAFileOfAnotherBuildWithBothIds) {
  const std::string message = refusal(fixture("dwarf5"), kRelease, kOtherId);
  EXPECT_TRUE(contains(message, build_id_)) << message;
  EXPECT_TRUE(contains(message, kOtherId)) << message;
  EXPECT_TRUE(contains(message, "linux-image-5.4.0-fixture-dbg")) << message;
}

TEST_F(FindVmlinux, RefusesWhatCannotBeAVmlinux) {
  EXPECT_TRUE(contains(refusal(directory_ + "/nothing", kRelease, build_id_), "no such file"));
  const std::string fifo = directory_ + "/fifo";
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  EXPECT_TRUE(contains(refusal(fifo, kRelease, build_id_), "neither a regular file"));
}

TEST_F(FindVmlinux, FindsItInDirectoriesLaidOutLikeDebugPackages) {
  for (const std::string& path :
       {std::string("vmlinux"), std::string("vmlinux-5.4.0-fixture"), std::string("vmlinux.debug"),
        std::string("5.4.0-fixture/vmlinux"), std::string("usr/lib/debug/boot/vmlinux-5.4.0-fixture"),
        std::string("usr/lib/debug/lib/modules/5.4.0-fixture/vmlinux"),
        ".build-id/" + build_id_.substr(0, 2) + "/" + build_id_.substr(2) + ".debug"}) {
    const std::string placed = place("dwarf5", path);
    EXPECT_EQ(find(directory_).path, placed);
    fs::remove(placed);
  }
  const VmlinuxSearch search = find(directory_);
  EXPECT_EQ(search.path, "");
  ASSERT_EQ(search.remarks.size(), 1u);
  EXPECT_TRUE(contains(search.remarks[0], "no vmlinux of 5.4.0-fixture")) << search.remarks[0];
}

TEST_F(FindVmlinux, PassesOverOtherBuildsInDirectoriesAndSaysSo) {
  const std::string other = place("dwarf4", "vmlinux");
  const std::string right = place("dwarf5", "vmlinux-5.4.0-fixture");
  const VmlinuxSearch search = find(directory_);
  EXPECT_EQ(search.path, right);
  ASSERT_EQ(search.remarks.size(), 1u);
  EXPECT_TRUE(contains(search.remarks[0], other)) << search.remarks[0];
  EXPECT_TRUE(contains(search.remarks[0], elf_build_id(other))) << search.remarks[0];
  EXPECT_TRUE(contains(search.remarks[0], build_id_)) << search.remarks[0];
}

TEST_F(FindVmlinux, PrefersAFileWithDwarfToOneWithout) {
  const std::string stripped = place("stripped", "vmlinux");
  ASSERT_EQ(elf_build_id(stripped), build_id_);
  VmlinuxSearch search = find(directory_);
  EXPECT_EQ(search.path, stripped);
  ASSERT_EQ(search.remarks.size(), 1u);
  EXPECT_TRUE(contains(search.remarks[0], "no DWARF")) << search.remarks[0];
  const std::string full = place("dwarf5", "vmlinux.full");
  search = find(directory_);
  EXPECT_EQ(search.path, full);
  EXPECT_TRUE(search.remarks.empty());
}

TEST_F(FindVmlinux, TellsKernelsWithoutBuildIdByTheirBanner) {
  const VmlinuxSearch search = find_vmlinux({fixture("dwarf5")}, kRelease, "", false);
  EXPECT_EQ(search.path, fixture("dwarf5"));
  ASSERT_EQ(search.remarks.size(), 1u);
  EXPECT_TRUE(contains(search.remarks[0], "by its release 5.4.0-fixture")) << search.remarks[0];
  // A longer release that starts alike is another kernel.
  EXPECT_TRUE(contains(refusal(fixture("dwarf5"), "5.4.0", ""), "Linux version 5.4.0-fixture"));
  EXPECT_TRUE(contains(refusal(fixture("dwarf5"), "5.4.1-fixture", ""), "5.4.1-fixture"));
}

TEST_F(FindVmlinux, TakesTheUsersWordWhenTheDumpSaysNothing) {
  const VmlinuxSearch search = find_vmlinux({fixture("dwarf5")}, "", "", false);
  EXPECT_EQ(search.path, fixture("dwarf5"));
  ASSERT_EQ(search.remarks.size(), 1u);
  EXPECT_TRUE(contains(search.remarks[0], "on trust")) << search.remarks[0];
}

TEST_F(FindVmlinux, DoesNotLetTheDumpsWordsLeaveTheDirectory) {
  place("dwarf5", "outside/vmlinux");
  fs::create_directories(directory_ + "/inside");
  const VmlinuxSearch search =
      find_vmlinux({directory_ + "/inside"}, "../outside", std::string(build_id_), false);
  EXPECT_EQ(search.path, "");
  EXPECT_EQ(find_vmlinux({directory_ + "/inside"}, "", "../../outside/vmlinux", false).path, "");
}

}  // namespace
}  // namespace perfcore
