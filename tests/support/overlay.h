// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// Real dumps with a few bytes changed or pages taken away: what rules are tested with.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "perfcore/diagnosis.h"
#include "perfcore/dump.h"
#include "perfcore/kernel.h"
#include "perfcore/memory.h"

namespace perfcore::test {

/// Memory with changes laid over another one. One thread.
class OverlayMemory : public Memory {
 public:
  explicit OverlayMemory(Memory& inner) : inner_(inner) {}

  void write(uint64_t address, const void* bytes, size_t size);
  template <typename T>
  void poke(uint64_t address, T value) {
    write(address, &value, sizeof value);
  }
  /// Puts zeros at [address, address + size), where the dump may have nothing.
  void provide(uint64_t address, size_t size);
  /// Makes [address, address + size) unreadable.
  void take_away(uint64_t address, size_t size);

  std::optional<Unread> read(uint64_t address, std::span<std::byte> out) override;

 private:
  Memory& inner_;
  std::map<uint64_t, std::byte> bytes_;
  std::map<uint64_t, uint64_t> gaps_;      // begin -> end
  std::map<uint64_t, uint64_t> provided_;  // begin -> end
};

/// A kernel from a bundled dump, whose memory can be changed before rules look at it.
class PatchedKernel {
 public:
  explicit PatchedKernel(const std::string& path);

  OverlayMemory& memory() { return *overlay_; }
  /// Gives the patched kernel a symbol that it lacks.
  void add_symbol(Symbol symbol) { added_symbols_.push_back(std::move(symbol)); }
  /// Gives the patched kernel the types of this BTF, in place of its own of the same names.
  void set_types(std::vector<std::byte> btf) { added_types_ = std::move(btf); }
  /// For finding out where to patch: the kernel as the dump has it.
  Kernel& original() { return *original_; }
  /// The patched kernel; made anew on each call.
  Kernel& patched();

 private:
  std::unique_ptr<Dump> dump_;
  std::unique_ptr<Kernel> original_;
  OverlayMemory* overlay_ = nullptr;
  std::unique_ptr<OverlayMemory> owned_overlay_;
  std::unique_ptr<Kernel> patched_;
  std::vector<Symbol> added_symbols_;
  std::vector<std::byte> added_types_;
};

/// Path of a bundled dump; the test skips when it is missing.
std::string bundled(const std::string& name);

/// The finding of one rule; fails the test when it is not there.
const Finding& finding_of(const std::vector<Finding>& findings, std::string_view rule);

}  // namespace perfcore::test
