// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// Kernel symbols: from a vmlinux's ELF symbol table or from kallsyms in the dump's memory.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "perfcore/dump.h"
#include "perfcore/memory.h"

namespace perfcore {

struct Symbol {
  std::string name;
  /// Run-time address (KASLR slide included). Per-CPU symbols: the zero-based offset up to 6.14, an address
  /// inside the kernel image since 6.15; add __per_cpu_offset[cpu] to either.
  uint64_t address = 0;
  uint64_t size = 0;  ///< bytes; for kallsyms the distance to the next symbol, 0 where unknown
  char kind = '?';    ///< as nm(1) prints it: 't', 'T', 'd', 'D', 'b', 'A', ...
};

/// Symbols by name and by address. Lookups never throw. One thread at a time.
class SymbolTable {
 public:
  virtual ~SymbolTable() = default;

  /// "elf" or "kallsyms".
  virtual std::string_view source() const = 0;

  /// Tells the table which names will be asked for, so that tables without an index by name find them in one
  /// pass.
  virtual void prefetch(std::span<const std::string_view> names) = 0;

  /// The symbol of this name; of several with one name the global one, else the first by address. Data
  /// symbols can be missing from kallsyms (CONFIG_KALLSYMS_ALL off).
  virtual std::optional<Symbol> find(std::string_view name) = 0;
  /// All symbols of this name by address (static functions and variables may share one).
  virtual std::vector<Symbol> find_all(std::string_view name) = 0;

  /// The symbol that contains the address: the last one at or below it. None below the first symbol, beyond
  /// the kernel image or the text in it (_etext), or for per-CPU offsets. Of aliases at one address functions
  /// go before labels of the linker script, strong before weak, global before local, those with fewer leading
  /// underscores before others, as in the kernel's own reports; both sources of symbols name every address
  /// alike.
  virtual std::optional<Symbol> at(uint64_t address) = 0;

  /// The per-CPU symbol that contains an address of the kind per-CPU symbols have: __per_cpu_offset[cpu]
  /// subtracted from that of the variable. None where the table cannot tell.
  virtual std::optional<Symbol> per_cpu_at(uint64_t) { return std::nullopt; }

  /// Why the table cannot tell whether the kernel has a symbol of this name: a recording, in whose making
  /// nobody asked for it. find() has no answer then.
  virtual std::optional<Unread> unknown(std::string_view) { return std::nullopt; }
};

/// kallsyms of the dumped kernel, read from its memory page by page as far as questions need it; symbols of
/// modules are not in it. Its tables are found by VMCOREINFO's SYMBOL(kallsyms_*) (since 6.0), or by
/// searching the kernel image for the token table. The form of the offsets (absolute-percpu up to 6.14; base
/// + unsigned 6.15-6.19; relative to the entry since 7.0) is told apart by _stext, so that tables which do
/// not belong to this kernel are never used.
/// \param memory  not owned, must outlive the result
/// \param why     set when the result is nullptr
/// \param alike   tables of other dumps, perhaps of the same kernel. What the first of them has read that fits is
///                taken over, at no loss of truth: only when all of it is the same in this dump. All of them are
///                spent then and must not be asked any more.
std::unique_ptr<SymbolTable> open_kallsyms(Memory& memory, const VmcoreInfo& info, Unread* why,
                                           std::span<SymbolTable* const> alike = {});

/// .symtab of a vmlinux. `slide` is the KASLR offset in bytes, added to every address inside the kernel image
/// and not to zero-based per-CPU symbols. Throws InputError when the file is not a usable ELF file.
std::unique_ptr<SymbolTable> open_elf_symbols(const std::string& vmlinux, uint64_t slide);

}  // namespace perfcore
