// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// Text, symbols and ORC tables of loaded modules (struct module, include/linux/module.h).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "kernel/unwind_orc.h"
#include "perfcore/kernel.h"

namespace perfcore {

/// Loaded modules by the addresses of their text. Reads the list of modules when it is first asked. One
/// thread at a time.
class ModuleText {
 public:
  explicit ModuleText(Kernel& kernel) : kernel_(kernel) {}

  struct Range {
    uint64_t begin = 0;
    uint64_t end = 0;
  };
  struct FunctionSymbol {
    std::string name;
    uint64_t address = 0;
  };
  struct Module {
    Object object;  ///< struct module lvalue
    std::string name;
    std::vector<Range> text;
    bool symbols_loaded = false;
    std::vector<FunctionSymbol> symbols;  ///< ascending
  };

  /// The module whose text holds the address, nullptr when there is none.
  Module* at(uint64_t address);
  /// The function of the module's kallsyms that the address lies in; nullptr when there is none or they
  /// cannot be read.
  const FunctionSymbol* symbol_at(Module& module, uint64_t address);
  /// The module's ORC entry for an address.
  Reading<OrcEntry> orc_entry(Module& module, OrcTables& tables, uint64_t ip);

 private:
  void load();
  void load_symbols(Module& module);

  Kernel& kernel_;
  bool loaded_ = false;
  std::vector<Module> modules_;
};

}  // namespace perfcore
