// SPDX-License-Identifier: LGPL-2.1-or-later
#include "support/overlay.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace perfcore::test {
namespace {

/// Hands reads on to a memory that somebody else owns.
class BorrowedMemory : public Memory {
 public:
  explicit BorrowedMemory(Memory& inner) : inner_(inner) {}
  std::optional<Unread> read(uint64_t address, std::span<std::byte> out) override {
    return inner_.read(address, out);
  }

 private:
  Memory& inner_;
};

std::unique_ptr<Kernel> kernel_over(Memory& memory, Dump& dump) {
  Unread why;
  auto symbols = open_kallsyms(memory, dump.vmcoreinfo(), &why);
  EXPECT_NE(symbols, nullptr) << why.message();
  if (!symbols) return nullptr;
  const auto start = symbols->find("__start_BTF");
  const auto stop = symbols->find("__stop_BTF");
  EXPECT_TRUE(start && stop);
  if (!start || !stop) return nullptr;
  auto types = open_btf(memory, start->address, stop->address, &why);
  EXPECT_NE(types, nullptr) << why.message();
  return std::make_unique<Kernel>(std::make_unique<BorrowedMemory>(memory), dump.vmcoreinfo(),
                                  dump.cpu_status(), std::move(symbols), std::move(types));
}

}  // namespace

void OverlayMemory::write(uint64_t address, const void* bytes, size_t size) {
  for (size_t i = 0; i < size; i++) bytes_[address + i] = static_cast<const std::byte*>(bytes)[i];
}

void OverlayMemory::take_away(uint64_t address, size_t size) {
  gaps_[address] = address + size;
}

std::optional<Unread> OverlayMemory::read(uint64_t address, std::span<std::byte> out) {
  for (const auto& [begin, end] : gaps_)
    if (address < end && begin < address + out.size())
      return Unread{UnreadReason::kExcluded, std::max(begin, address), "", ""};
  if (auto unread = inner_.read(address, out)) return unread;
  for (auto it = bytes_.lower_bound(address); it != bytes_.end() && it->first < address + out.size(); ++it)
    out[it->first - address] = it->second;
  return std::nullopt;
}

PatchedKernel::PatchedKernel(const std::string& path)
    : dump_(Dump::open({path})), original_(kernel_over(dump_->memory(), *dump_)) {
  owned_overlay_ = std::make_unique<OverlayMemory>(dump_->memory());
  overlay_ = owned_overlay_.get();
}

Kernel& PatchedKernel::patched() {
  patched_ = kernel_over(*overlay_, *dump_);
  return *patched_;
}

std::string bundled(const std::string& name) {
  return std::string(PERFCORE_TESTDATA) + "/" + name;
}

const Finding& finding_of(const std::vector<Finding>& findings, std::string_view rule) {
  const auto found =
      std::find_if(findings.begin(), findings.end(), [&](const Finding& f) { return f.rule == rule; });
  if (found != findings.end()) return *found;
  ADD_FAILURE() << "no finding of rule " << rule;
  static const Finding kNone;
  return kNone;
}

}  // namespace perfcore::test
