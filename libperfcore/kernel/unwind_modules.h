// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// Text, symbols and ORC tables of loaded modules (struct module, include/linux/module.h).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
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
  /// A part of a module's memory.
  struct Part {
    Range range;
    std::string name;  ///< "text", "data", "ro_after_init", ...
  };
  struct Module {
    Object object;  ///< struct module lvalue
    std::string name;
    std::vector<Range> text;
    std::vector<Part> parts;  ///< all memory, text included
    bool symbols_loaded = false;
    std::vector<FunctionSymbol> symbols;  ///< of text, ascending
    std::vector<FunctionSymbol> data;     ///< of other parts, ascending
  };

  /// The module whose text holds the address, nullptr when there is none.
  Module* at(uint64_t address);
  /// The module, and which part of it, that the address lies in; {nullptr, nullptr} when there is none.
  std::pair<Module*, const Part*> holding(uint64_t address);
  /// All loaded modules.
  std::vector<Module>& all();
  /// The function of the module's kallsyms that the address lies in; nullptr when there is none or they
  /// cannot be read.
  const FunctionSymbol* symbol_at(Module& module, uint64_t address);
  /// The variable at or below an address, likewise.
  const FunctionSymbol* data_symbol_at(Module& module, uint64_t address);
  /// The module's ORC entry for an address.
  Reading<OrcEntry> orc_entry(Module& module, OrcTables& tables, uint64_t ip);

 private:
  void load();
  void add_parts(Module& module);
  void load_symbols(Module& module);

  Kernel& kernel_;
  bool loaded_ = false;
  std::vector<Module> modules_;
};

}  // namespace perfcore
