// SPDX-License-Identifier: LGPL-2.1-or-later
#include "kernel/unwind_modules.h"

#include <elf.h>
#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cstring>

namespace perfcore {
namespace {

/// Bounds against corrupt lists and counts; distributions load some hundred modules of a few thousand
/// symbols.
constexpr size_t kMaxModules = 10000;
constexpr uint64_t kMaxSymbols = 1 << 18;
constexpr uint64_t kMaxStrings = 16 << 20;
constexpr size_t kMaxNameSize = 512;  // KSYM_NAME_LEN

void add_range(const Object& base, const Object& size, std::vector<ModuleText::Range>* out) {
  const auto begin = base.u64();
  const auto bytes = size.u64();
  if (begin.has_value() && bytes.has_value() && *begin && *bytes && *begin + *bytes > *begin)
    out->push_back({*begin, *begin + *bytes});
}

const ModuleText::FunctionSymbol* last_not_above(const std::vector<ModuleText::FunctionSymbol>& symbols,
                                                 uint64_t address) {
  const auto after =
      std::upper_bound(symbols.begin(), symbols.end(), address,
                       [](uint64_t a, const ModuleText::FunctionSymbol& b) { return a < b.address; });
  return after == symbols.begin() ? nullptr : &*std::prev(after);
}

}  // namespace

void ModuleText::load() {
  loaded_ = true;
  const Object head = kernel_.variable("modules");
  if (head.unread()) return;
  const auto text_index = kernel_.enumerator("mod_mem_type", "MOD_TEXT");
  const auto init_index = kernel_.enumerator("mod_mem_type", "MOD_INIT_TEXT");
  for (const Object& entry : list_entries(head, "struct module", "list", kMaxModules).entries) {
    Module module{entry, "", {}, {}, false, {}, {}};
    if (const auto name = entry.member("name").string(); name.has_value()) module.name = *name;
    if (entry.has_member("mem") && text_index && init_index) {
      // struct module_memory since ac3b43283923 ("module: replace module_layout with module_memory", 6.4).
      for (int64_t index : {*text_index, *init_index}) {
        const Object memory = entry.member("mem").index(index);
        add_range(memory.member("base"), memory.member("size"), &module.text);
      }
    } else {
      for (const char* layout : {"core_layout", "init_layout"})
        add_range(entry.member(layout).member("base"), entry.member(layout).member("text_size"),
                  &module.text);
    }
    add_parts(module);
    modules_.push_back(std::move(module));
  }
}

void ModuleText::add_parts(Module& module) {
  const auto add = [&](const Object& base, const Object& size, std::string name) {
    std::vector<Range> range;
    add_range(base, size, &range);
    if (!range.empty()) module.parts.push_back({range.front(), std::move(name)});
  };
  if (!module.object.has_member("mem")) {
    // Text comes first in a layout; what is behind it is not told apart.
    for (const auto& [layout, name] : {std::pair{"core_layout", "core"}, std::pair{"init_layout", "init"}}) {
      const Object memory = module.object.member(layout);
      add(memory.member("base"), memory.member("text_size"), std::string(name) + " text");
      add(memory.member("base"), memory.member("size"), std::string(name) + " data");
    }
    return;
  }
  const Type* kinds = kernel_.type("enum mod_mem_type");
  if (!kinds) return;
  const Object memory = module.object.member("mem");
  for (const Enumerator& kind : kinds->enumerators()) {
    if (!kind.name.starts_with("MOD_") || kind.value < 0 || memory.type() == nullptr ||
        static_cast<uint64_t>(kind.value) >= memory.type()->count)
      continue;
    std::string name = kind.name.substr(4);
    std::transform(name.begin(), name.end(), name.begin(),
                   [](unsigned char c) { return c == '_' ? ' ' : static_cast<char>(std::tolower(c)); });
    add(memory.index(kind.value).member("base"), memory.index(kind.value).member("size"), std::move(name));
  }
}

std::vector<ModuleText::Module>& ModuleText::all() {
  if (!loaded_) load();
  return modules_;
}

std::pair<ModuleText::Module*, const ModuleText::Part*> ModuleText::holding(uint64_t address) {
  for (Module& module : all())
    for (const Part& part : module.parts)
      if (address >= part.range.begin && address < part.range.end) return {&module, &part};
  return {nullptr, nullptr};
}

ModuleText::Module* ModuleText::at(uint64_t address) {
  if (!loaded_) load();
  for (Module& module : modules_)
    for (const Range& range : module.text)
      if (address >= range.begin && address < range.end) return &module;
  return nullptr;
}

void ModuleText::load_symbols(Module& module) {
  module.symbols_loaded = true;
  const Object kallsyms = module.object.member("kallsyms");
  const auto table = kallsyms.member("symtab").u64();
  const auto strings = kallsyms.member("strtab").u64();
  const auto count = kallsyms.member("num_symtab").u64();
  if (!table.has_value() || !strings.has_value() || !count.has_value() || *count > kMaxSymbols) return;
  const auto symbols = read_array<Elf64_Sym>(kernel_.memory(), *table, *count);
  if (!symbols.has_value()) return;
  uint32_t strings_size = 0;
  for (const Elf64_Sym& symbol : *symbols) strings_size = std::max(strings_size, symbol.st_name);
  if (strings_size > kMaxStrings) return;
  // A string table has no size of its own: the last name ends it.
  std::vector<char> names(strings_size + kMaxNameSize);
  const Snapshot snapshot = take_snapshot(kernel_.memory(), *strings, names.size());
  std::memcpy(names.data(), snapshot.bytes.data(), names.size());
  for (const Elf64_Sym& symbol : *symbols) {
    // Modules' symbols are absolute and their types rewritten to nm's letters, so only the address tells
    // whether it is text (kernel/module/kallsyms.c, add_kallsyms()).
    const bool in_text = std::any_of(module.text.begin(), module.text.end(), [&](const Range& range) {
      return symbol.st_value >= range.begin && symbol.st_value < range.end;
    });
    const bool in_data =
        !in_text && std::any_of(module.parts.begin(), module.parts.end(), [&](const Part& part) {
          return symbol.st_value >= part.range.begin && symbol.st_value < part.range.end;
        });
    if ((!in_text && !in_data) || symbol.st_shndx == SHN_UNDEF) continue;
    const char* name = names.data() + symbol.st_name;
    const size_t size = strnlen(name, kMaxNameSize);
    if (size == 0 || name[0] == '.' || name[0] == '$') continue;
    if (snapshot.gap_in(symbol.st_name, size + 1)) continue;
    (in_text ? module.symbols : module.data).push_back({std::string(name, size), symbol.st_value});
  }
  for (auto* symbols_by_address : {&module.symbols, &module.data})
    std::stable_sort(symbols_by_address->begin(), symbols_by_address->end(),
                     [](const FunctionSymbol& a, const FunctionSymbol& b) { return a.address < b.address; });
}

const ModuleText::FunctionSymbol* ModuleText::symbol_at(Module& module, uint64_t address) {
  if (!module.symbols_loaded) load_symbols(module);
  return last_not_above(module.symbols, address);
}

const ModuleText::FunctionSymbol* ModuleText::data_symbol_at(Module& module, uint64_t address) {
  if (!module.symbols_loaded) load_symbols(module);
  return last_not_above(module.data, address);
}

Reading<OrcEntry> ModuleText::orc_entry(Module& module, OrcTables& tables, uint64_t ip) {
  const Object arch = module.object.member("arch");
  const auto ips = arch.member("orc_unwind_ip").u64();
  const auto entries = arch.member("orc_unwind").u64();
  const auto count = arch.member("num_orcs").u64();
  for (const auto* value : {&ips, &entries, &count})
    if (!value->has_value()) return value->unread();
  if (*count == 0)
    return Unread{UnreadReason::kNoSymbol, ip, fmt::format("ORC table of module {}", module.name),
                  "the module has none"};
  return tables.find_in(ip, *ips, *entries, *count);
}

}  // namespace perfcore
