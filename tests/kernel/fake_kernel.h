// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// A kernel made up in a test: bytes, symbols and types.
#pragma once

#include <algorithm>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "kernel/fake_types.h"
#include "perfcore/kernel.h"

namespace perfcore::test {

class FakeMemory : public Memory {
 public:
  void write(uint64_t address, const void* bytes, size_t size) {
    for (size_t i = 0; i < size; i++) bytes_[address + i] = static_cast<const std::byte*>(bytes)[i];
  }
  template <typename T>
  void poke(uint64_t address, T value) {
    write(address, &value, sizeof value);
  }
  std::optional<Unread> read(uint64_t address, std::span<std::byte> out) override {
    for (size_t i = 0; i < out.size(); i++) {
      const auto byte = bytes_.find(address + i);
      if (byte == bytes_.end()) return Unread{UnreadReason::kNotMapped, address + i, "", ""};
      out[i] = byte->second;
    }
    return std::nullopt;
  }

 private:
  std::map<uint64_t, std::byte> bytes_;
};

class FakeSymbols : public SymbolTable {
 public:
  void add(std::string name, uint64_t address, uint64_t size = 0, char kind = 't') {
    symbols_.push_back({std::move(name), address, size, kind});
  }
  std::string_view source() const override { return "fake"; }
  void prefetch(std::span<const std::string_view>) override {}
  std::optional<Symbol> find(std::string_view name) override {
    for (const Symbol& symbol : symbols_)
      if (symbol.name == name) return symbol;
    return std::nullopt;
  }
  std::vector<Symbol> find_all(std::string_view name) override {
    const auto symbol = find(name);
    return symbol ? std::vector<Symbol>{*symbol} : std::vector<Symbol>{};
  }
  std::optional<Symbol> at(uint64_t address) override {
    for (const Symbol& symbol : symbols_)
      if (address >= symbol.address && address < symbol.address + symbol.size) return symbol;
    return std::nullopt;
  }

 private:
  std::vector<Symbol> symbols_;
};

/// The kernel with handles on its parts.
struct FakeKernel {
  explicit FakeKernel(VmcoreInfo info = VmcoreInfo()) {
    auto own_memory = std::make_unique<FakeMemory>();
    auto own_symbols = std::make_unique<FakeSymbols>();
    auto own_types = std::make_unique<FakeTypes>();
    memory = own_memory.get();
    symbols = own_symbols.get();
    types = own_types.get();
    kernel = std::make_unique<Kernel>(std::move(own_memory), std::move(info), std::vector<CpuStatus>(),
                                      std::move(own_symbols), std::move(own_types));
  }
  /// Puts a function there, with a symbol.
  void function(const std::string& name, uint64_t address, const std::vector<uint8_t>& code) {
    memory->write(address, code.data(), code.size());
    symbols->add(name, address, code.size());
  }

  FakeMemory* memory;
  FakeSymbols* symbols;
  FakeTypes* types;
  std::unique_ptr<Kernel> kernel;
};

}  // namespace perfcore::test
