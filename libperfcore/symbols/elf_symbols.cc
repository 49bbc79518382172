// SPDX-License-Identifier: LGPL-2.1-or-later
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <bitset>
#include <cstring>
#include <map>
#include <vector>

#include "perfcore/symbols.h"
#include "symbols/aliases.h"
#include "symbols/elf_file.h"

namespace perfcore {
namespace {

constexpr uint64_t kKernelImageStart = 0xffffffff80000000;  // __START_KERNEL_map

/// Symbol numbers in buckets of equal address ranges, found by counting: no sorting.
class AddressIndex {
 public:
  explicit AddressIndex(const ElfFile& file)
      // Labels such as _end stand at the end itself.
      : span_(file.image_end() < kKernelImageStart ? 0 : file.image_end() - kKernelImageStart + 1),
        // Few symbols a bucket and few buckets: 60 MB of kernel image make 30 thousand buckets of 2 KB.
        shift_(std::max(static_cast<int>(std::bit_width(span_)) - 15, 0)),
        starts_((span_ >> shift_) + 2),
        buckets_(file.symbol_count(), kNoBucket) {}

  /// Takes note of a symbol; all of them come before finish().
  void add(uint32_t symbol, uint64_t address) {
    const uint64_t offset = address - kKernelImageStart;
    if (offset >= span_) return;
    const uint64_t bucket = offset >> shift_;
    starts_[bucket + 1]++;
    buckets_[symbol] = static_cast<uint16_t>(bucket);
  }
  void finish() {
    for (size_t i = 1; i < starts_.size(); i++) starts_[i] += starts_[i - 1];
    symbols_.resize(starts_.back());
    std::vector<uint32_t> next(starts_.begin(), starts_.end() - 1);
    for (uint32_t i = 0; i < buckets_.size(); i++)
      if (buckets_[i] != kNoBucket) symbols_[next[buckets_[i]]++] = i;
    buckets_ = {};
  }

  /// True for link-time addresses that can have a symbol.
  bool covers(uint64_t address) const { return address - kKernelImageStart < span_; }
  /// The bucket of a link-time address that is covered.
  size_t bucket_of(uint64_t address) const { return (address - kKernelImageStart) >> shift_; }
  std::span<const uint32_t> bucket(size_t i) const {
    return std::span(symbols_).subspan(starts_[i], starts_[i + 1] - starts_[i]);
  }

 private:
  static constexpr uint16_t kNoBucket = UINT16_MAX;  // there are at most 2^15 buckets

  uint64_t span_;  // offsets from kKernelImageStart that are covered
  int shift_;
  std::vector<uint32_t> starts_;  // of each bucket in symbols_, and the end
  std::vector<uint32_t> symbols_;
  std::vector<uint16_t> buckets_;  // of each symbol, until finish()
};

class ElfSymbols : public SymbolTable {
 public:
  ElfSymbols(const std::string& path, uint64_t slide) : file_(path), slide_(slide) {}

  bool empty() const { return file_.symbol_count() == 0; }

  std::string_view source() const override { return "elf"; }

  void prefetch(std::span<const std::string_view> names) override {
    std::vector<std::string_view> wanted;
    for (std::string_view name : names)
      if (!known_.contains(name)) wanted.push_back(name);
    if (wanted.empty()) return;
    // The first characters nearly always decide: compare only with wanted names that start like that.
    std::vector<std::vector<Wanted>> slots(size_t{1} << kFilterBits);
    std::bitset<1 << kFilterBits> filter;
    for (std::string_view name : wanted) {
      const auto [entry, is_new] = known_.try_emplace(std::string(name));
      if (!is_new) continue;  // asked for twice
      filter.set(filter_slot(name));
      slots[filter_slot(name)].push_back({entry->first, &entry->second});
    }
    // The first pass over the symbols, which every look-up begins with, serves look-ups by address too.
    std::optional<AddressIndex> index;
    if (!index_) index.emplace(file_);
    file_.for_each_symbol([&](uint32_t i, std::string_view bytes, uint64_t address) {
      if (index) index->add(i, address);
      const size_t slot = filter_slot(bytes);
      if (!filter[slot]) return;
      for (const Wanted& name : slots[slot])
        if (bytes.size() > name.text.size() && bytes.starts_with(name.text) &&
            bytes[name.text.size()] == '\0')
          name.entries->push_back(i);
    });
    if (index) {
      index->finish();
      index_ = std::move(index);
    }
    file_.forget_pages();  // 12 MB of symbols and names, of which hardly any is looked at again
  }

  std::optional<Symbol> find(std::string_view name) override {
    std::optional<ElfSymbol> best;
    for (const ElfSymbol& symbol : find_entries(name))
      if (!best || preference(symbol) > preference(*best)) best = symbol;
    if (!best) return std::nullopt;
    return run_time(*best);
  }

  std::vector<Symbol> find_all(std::string_view name) override {
    std::vector<Symbol> symbols;
    for (const ElfSymbol& symbol : find_entries(name)) symbols.push_back(run_time(symbol));
    return symbols;
  }

  std::optional<Symbol> at(uint64_t address) override {
    if (address - slide_ < kKernelImageStart || address < slide_) return std::nullopt;
    const uint64_t link_address = address - slide_;
    if (!index_) {
      index_.emplace(file_);
      file_.for_each_symbol([&](uint32_t i, std::string_view, uint64_t value) { index_->add(i, value); });
      index_->finish();
      file_.forget_pages();
    }
    if (!index_->covers(link_address)) return std::nullopt;
    size_t bucket = index_->bucket_of(link_address);
    std::optional<uint64_t> start;
    for (;; bucket--) {
      for (uint32_t i : index_->bucket(bucket)) {
        const uint64_t value = file_.symbol_address(i);
        if (value <= link_address && (!start || value > *start)) start = value;
      }
      if (start || bucket == 0) break;
    }
    if (!start) return std::nullopt;
    std::optional<ElfSymbol> best;
    for (uint32_t i : index_->bucket(bucket)) {
      if (file_.symbol_address(i) != *start) continue;
      const auto symbol = file_.symbol(i);
      if (symbol && (!best || names_better(symbol->name, symbol->kind, best->name, best->kind)))
        best = symbol;
    }
    if (!best) return std::nullopt;
    if (is_end_label(best->name) && link_address != *start) return std::nullopt;
    return run_time(*best);
  }

  /// Zero-based ones are not in the index: they are asked for by people, once.
  std::optional<Symbol> per_cpu_at(uint64_t address) override {
    if (address >= kKernelImageStart) return at(address);
    std::optional<ElfSymbol> best;
    for (uint32_t i = 0; i < file_.symbol_count(); i++) {
      const uint64_t value = file_.symbol_address(i);
      if (value > address || (best && value < best->address)) continue;
      const auto symbol = file_.symbol(i);
      if (!symbol || (best && value == best->address &&
                      !names_better(symbol->name, symbol->kind, best->name, best->kind)))
        continue;
      best = symbol;
    }
    file_.forget_pages();
    if (!best || (is_end_label(best->name) && address != best->address)) return std::nullopt;
    return run_time(*best);
  }

 private:
  static constexpr int kFilterBits = 12;
  struct Wanted {
    std::string_view text;
    std::vector<uint32_t>* entries = nullptr;
  };

  /// Of the first eight characters, or of fewer and the NUL.
  static size_t filter_slot(std::string_view name) {
    uint64_t head = 0;
    if (name.size() >= sizeof(head))
      std::memcpy(&head, name.data(), sizeof(head));
    else if (!name.empty())
      std::memcpy(&head, name.data(), name.size());
    // The lowest bit of this is in the first byte that is zero: what follows is the next name.
    const uint64_t zero = (head - 0x0101010101010101) & ~head & 0x8080808080808080;
    if (zero != 0) head &= (zero & (~zero + 1)) - 1;
    return head * 0x9e3779b97f4a7c15 >> (64 - kFilterBits);
  }

  static int preference(const ElfSymbol& symbol) {
    return (is_global(symbol.kind) ? 2 : 0) + (symbol.typed ? 1 : 0);
  }

  /// Entries of this name by address.
  std::vector<ElfSymbol> find_entries(std::string_view name) {
    prefetch(std::span(&name, 1));
    std::vector<ElfSymbol> symbols;
    for (uint32_t i : known_.find(name)->second) symbols.push_back(*file_.symbol(i));
    std::stable_sort(symbols.begin(), symbols.end(),
                     [](const ElfSymbol& a, const ElfSymbol& b) { return a.address < b.address; });
    return symbols;
  }

  Symbol run_time(const ElfSymbol& symbol) const {
    const uint64_t address = symbol.address >= kKernelImageStart ? symbol.address + slide_ : symbol.address;
    return {std::string(symbol.name), address, symbol.size, symbol.kind};
  }

  ElfFile file_;
  uint64_t slide_;
  std::map<std::string, std::vector<uint32_t>, std::less<>> known_;  // entries by name; empty: there is none
  std::optional<AddressIndex> index_;
};

}  // namespace

std::unique_ptr<SymbolTable> open_elf_symbols(const std::string& vmlinux, uint64_t slide) {
  auto symbols = std::make_unique<ElfSymbols>(vmlinux, slide);
  if (symbols->empty())
    throw InputError(
        fmt::format("{}: has no symbol table (.symtab); give the vmlinux of the kernel's debug package, not "
                    "a stripped one",
                    vmlinux));
  return symbols;
}

}  // namespace perfcore
