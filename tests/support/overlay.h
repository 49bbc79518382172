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
  /// The pages that were read from so far, by the address of their first byte.
  const std::set<uint64_t>& pages_read() const { return pages_read_; }

  std::optional<Unread> read(uint64_t address, std::span<std::byte> out) override;
  uint64_t unread_until(uint64_t address) override;

 private:
  Memory& inner_;
  std::map<uint64_t, std::byte> bytes_;
  std::map<uint64_t, uint64_t> gaps_;      // begin -> end
  std::map<uint64_t, uint64_t> provided_;  // begin -> end
  std::set<uint64_t> pages_read_;
};

/// A kernel from a dump or a recording, whose memory can be changed before rules look at it.
class PatchedKernel {
 public:
  explicit PatchedKernel(const std::string& path);

  OverlayMemory& memory() { return *overlay_; }
  /// Gives the patched kernel a symbol that it lacks.
  void add_symbol(Symbol symbol) { added_symbols_.push_back(std::move(symbol)); }
  /// Gives the patched kernel the types of this BTF, in place of its own of the same names.
  void set_types(std::vector<std::byte> btf) { added_types_ = std::move(btf); }
  /// Makes two CPUs change places: each gets the other's per-CPU memory, events, tasks and registers.
  void swap_cpus(int a, int b);
  /// Moves the kernel's direct mapping of physical memory, and all that points into it, by so many bytes.
  void move_direct_map(uint64_t by);
  /// For finding out where to patch: the kernel as the dump has it.
  Kernel& original() { return *original_; }
  /// The patched kernel; made anew on each call.
  Kernel& patched();

 private:
  std::unique_ptr<Dump> dump_;
  std::unique_ptr<Kernel> original_;
  std::unique_ptr<Memory> moved_;
  std::unique_ptr<OverlayMemory> overlay_;
  std::unique_ptr<Kernel> patched_;
  std::vector<Symbol> added_symbols_;
  std::vector<std::byte> added_types_;
  std::vector<CpuStatus> cpu_status_;
};

/// Path of a bundled dump.
std::string bundled(const std::string& name);
/// Path of a recording of a bundled dump, made by the tool anew for every process. Fails the test, and gives
/// an empty path, when it cannot be made.
std::string recorded(const std::string& name);

/// The finding of one rule; fails the test when it is not there.
const Finding& finding_of(const std::vector<Finding>& findings, std::string_view rule);

}  // namespace perfcore::test
