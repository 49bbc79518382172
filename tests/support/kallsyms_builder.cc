// SPDX-License-Identifier: LGPL-2.1-or-later
#include "support/kallsyms_builder.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <numeric>

namespace perfcore::test {
namespace {

template <typename T>
std::string bytes_of(T value) {
  return {reinterpret_cast<const char*>(&value), sizeof(value)};
}

/// 256 tokens: characters that occur stand for themselves, the free codes for longer strings.
std::array<std::string, 256> make_tokens(const std::vector<BuiltSymbol>& symbols) {
  std::array<std::string, 256> tokens;
  const auto single = [&](char c) { tokens[static_cast<unsigned char>(c)] = std::string(1, c); };
  for (char c = '0'; c <= '9'; c++) single(c);
  for (const BuiltSymbol& symbol : symbols) {
    single(symbol.kind);
    for (char c : symbol.name) single(c);
  }
  const std::vector<std::string> longer = {"filler_", "Tfiller", "perf_",  "x86_", "Tx86", "tp",
                                           "__",      "D__",     "_start", "er",   "long_"};
  size_t next = 0;
  for (std::string& token : tokens)
    if (token.empty()) token = longer[next++ % longer.size()];
  return tokens;
}

/// The longest token at each place.
std::string compress(std::string_view text, const std::array<std::string, 256>& tokens) {
  std::string codes;
  while (!text.empty()) {
    size_t best = 0;
    for (size_t code = 1; code < tokens.size(); code++)
      if (text.starts_with(tokens[code]) &&
          (!text.starts_with(tokens[best]) || tokens[code].size() > tokens[best].size()))
        best = code;
    codes.push_back(static_cast<char>(best));
    text.remove_prefix(tokens[best].size());
  }
  return codes;
}

}  // namespace

std::string BuiltKallsyms::vmcoreinfo(uint64_t stext, bool with_kallsyms) const {
  std::string text = fmt::format("SYMBOL(_stext)={:x}\n", stext);
  if (!with_kallsyms) return text;
  for (const auto& [name, address] : tables)
    if (name != "kallsyms_markers" && name != "kallsyms_seqs_of_names")
      text += fmt::format("SYMBOL({})={:x}\n", name, address);
  return text;
}

BuiltKallsyms build_kallsyms(std::vector<BuiltSymbol> symbols, const KallsymsOptions& options) {
  std::stable_sort(symbols.begin(), symbols.end(),
                   [](const BuiltSymbol& a, const BuiltSymbol& b) { return a.address < b.address; });
  BuiltKallsyms built;
  uint64_t at = options.tables;
  const auto put = [&](const std::string& name, const std::string& bytes) {
    at = (at + options.alignment - 1) / options.alignment * options.alignment;
    built.tables[name] = at;
    built.memory.write(at, bytes);
    at += bytes.size();
  };

  const auto put_offsets = [&] {
    at = (at + options.alignment - 1) / options.alignment * options.alignment;
    std::string offsets;
    for (const BuiltSymbol& symbol : symbols) {
      uint64_t offset = 0;
      switch (options.form) {
        case KallsymsForm::kAbsolutePerCpu:
          offset = symbol.address < options.base ? symbol.address : options.base - 1 - symbol.address;
          break;
        case KallsymsForm::kFromBase:
          offset = symbol.address - options.base;
          break;
        case KallsymsForm::kFromEntry:
          offset = symbol.address - (at + offsets.size());
          break;
      }
      offsets += bytes_of(static_cast<uint32_t>(offset));
    }
    put("kallsyms_offsets", offsets);
    if (options.form != KallsymsForm::kFromEntry) put("kallsyms_relative_base", bytes_of(options.base));
  };

  const auto tokens = make_tokens(symbols);
  std::string names, markers;
  for (size_t i = 0; i < symbols.size(); i++) {
    if (i % 256 == 0) markers += bytes_of(static_cast<uint32_t>(names.size()));
    const std::string codes = compress(symbols[i].kind + symbols[i].name, tokens);
    if (codes.size() < 0x80) {
      names.push_back(static_cast<char>(codes.size()));
    } else {
      names.push_back(static_cast<char>((codes.size() & 0x7f) | 0x80));
      names.push_back(static_cast<char>(codes.size() >> 7));
    }
    names += codes;
  }
  std::string table, index;
  for (const std::string& token : tokens) {
    index += bytes_of(static_cast<uint16_t>(table.size()));
    table += token + '\0';
  }
  std::vector<uint32_t> order(symbols.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](uint32_t a, uint32_t b) { return symbols[a].name < symbols[b].name; });
  std::string seqs;
  for (uint32_t seq : order)
    for (int shift : {16, 8, 0}) seqs.push_back(static_cast<char>(seq >> shift));

  if (!options.tables_behind_tokens) put_offsets();
  put("kallsyms_num_syms", bytes_of(static_cast<uint32_t>(symbols.size())));
  put("kallsyms_names", names);
  put("kallsyms_markers", markers);
  if (options.seqs && !options.tables_behind_tokens) put("kallsyms_seqs_of_names", seqs);
  put("kallsyms_token_table", table);
  put("kallsyms_token_index", index);
  if (options.tables_behind_tokens) put_offsets();
  if (options.seqs && options.tables_behind_tokens) put("kallsyms_seqs_of_names", seqs);
  built.end = at;
  // The rest of the last page, and what a kernel has behind it.
  built.memory.poke(at, uint32_t{0xcccccccc});
  return built;
}

}  // namespace perfcore::test
