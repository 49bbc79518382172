// SPDX-License-Identifier: LGPL-2.1-or-later
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "perfcore/symbols.h"
#include "symbols/aliases.h"
#include "symbols/kallsyms_names.h"
#include "symbols/kallsyms_tables.h"
#include "symbols/paged_bytes.h"

namespace perfcore {
namespace {

constexpr uint64_t kKernelImageStart = 0xffffffff80000000;  // __START_KERNEL_map

/// Symbols at one address, or of one name, beyond which the table is taken for corrupt.
constexpr uint32_t kMaxAliases = 1024;

/// How kallsyms_offsets are to be read (kernel/kallsyms.c, kallsyms_sym_address()).
enum class OffsetForm {
  kAbsolutePerCpu,  ///< not negative: absolute; else relative_base - 1 - offset. Up to 6.14
                    ///< (CONFIG_KALLSYMS_ABSOLUTE_PERCPU)
  kFromBase,        ///< relative_base + unsigned offset. 6.15 to 6.19 (01157ddc58dc "kallsyms: Remove
                    ///< KALLSYMS_ABSOLUTE_PERCPU")
  kFromEntry,       ///< address of the entry + signed offset. Since 7.0
};

class Kallsyms : public SymbolTable {
 public:
  Kallsyms(Memory& memory, const KallsymsTables& tables)
      : names_(std::make_unique<KallsymsNames>(memory, tables)),
        offsets_(memory, tables.offsets, uint64_t{tables.count} * sizeof(int32_t)),
        relative_base_(tables.relative_base) {}

  std::string_view source() const override { return "kallsyms"; }

  /// Tells the form of the offsets by _stext, whose address VMCOREINFO gives. False when no form finds it.
  bool choose_form(uint64_t stext) {
    for (OffsetForm form : {OffsetForm::kAbsolutePerCpu, OffsetForm::kFromBase, OffsetForm::kFromEntry}) {
      if (form != OffsetForm::kFromEntry && !relative_base_) continue;
      form_ = form;
      const auto last = last_not_above(stext);
      if (!last) continue;
      KallsymsName name;
      for (uint32_t i = 0; i < kMaxAliases && i <= *last && address_of(*last - i) == stext; i++)
        if (names_->expand(*last - i, &name) && name.name() == "_stext") return true;
    }
    return false;
  }

  /// Takes the first place where kallsyms_seqs_of_names makes sense.
  void choose_seqs(Memory& memory, const std::vector<uint64_t>& candidates) {
    for (uint64_t candidate : candidates) {
      seqs_ = PagedBytes(memory, candidate, uint64_t{names_->count()} * 3);
      if (names_ascend()) return;
    }
    seqs_ = PagedBytes();
  }

  /// Takes over what another dump's kallsyms has read and found out about names: which symbols there are of a
  /// name depends on nothing but the pages that were read. False when a page of them differs here; the other
  /// one is spent either way.
  bool learn_from(Kallsyms& other, Memory& memory) {
    if (seqs_.size() != other.seqs_.size() || !other.names_->move_to(memory, *names_) ||
        (seqs_.size() != 0 && !other.seqs_.move_to(memory, seqs_.address())))
      return false;
    names_ = std::move(other.names_);
    seqs_ = std::move(other.seqs_);
    known_ = std::move(other.known_);
    return true;
  }

  void prefetch(std::span<const std::string_view> names) override {
    std::vector<std::string_view> wanted;
    for (std::string_view name : names)
      if (!known_.contains(name)) wanted.push_back(name);
    std::sort(wanted.begin(), wanted.end());
    wanted.erase(std::unique(wanted.begin(), wanted.end()), wanted.end());
    if (wanted.size() <= kMaxSearches)
      std::erase_if(wanted, [&](std::string_view name) { return search(name); });
    if (wanted.empty()) return;
    for (std::string_view name : wanted) known_.emplace(name, std::vector<uint32_t>{});
    for (const auto& [position, index] : names_->scan(wanted)) {
      auto& indices = known_.find(wanted[position])->second;
      if (indices.size() < kMaxAliases) indices.push_back(index);
    }
  }

  std::optional<Symbol> find(std::string_view name) override {
    std::optional<Symbol> best;
    for (Symbol& symbol : find_all(name))
      if (!best || (is_global(symbol.kind) && !is_global(best->kind))) best = std::move(symbol);
    return best;
  }

  std::vector<Symbol> find_all(std::string_view name) override {
    prefetch(std::span(&name, 1));
    std::vector<Symbol> symbols;
    for (uint32_t index : known_.find(name)->second) {
      KallsymsName expanded;
      if (!names_->expand(index, &expanded)) continue;
      if (auto found = symbol(index, index, expanded)) symbols.push_back(std::move(*found));
    }
    return symbols;
  }

  std::optional<Symbol> at(uint64_t address) override {
    return address < kKernelImageStart ? std::nullopt : containing(address);
  }

  /// Zero-based ones stand before all others.
  std::optional<Symbol> per_cpu_at(uint64_t address) override { return containing(address); }

 private:
  std::optional<Symbol> containing(uint64_t address) {
    const auto last = last_not_above(address);
    if (!last) return std::nullopt;
    const auto start = address_of(*last);
    if (!start || (*start < kKernelImageStart) != (address < kKernelImageStart)) return std::nullopt;
    KallsymsName name, best;
    std::optional<uint32_t> best_index;
    for (uint32_t i = 0; i < kMaxAliases && i <= *last && address_of(*last - i) == start; i++) {
      if (!names_->expand(*last - i, &name)) continue;
      if (best_index && !names_better(name.name(), name.kind(), best.name(), best.kind())) continue;
      best = name;
      best_index = *last - i;
    }
    if (!best_index) return std::nullopt;
    const bool at_end = *last + 1 == names_->count() || is_end_label(best.name());
    if (at_end && address != *start) return std::nullopt;
    return symbol(*best_index, *last, best);
  }

  /// Up to this many names are searched for one by one; more cost less in a pass over all names.
  static constexpr size_t kMaxSearches = 100;

  std::optional<uint64_t> address_of(uint32_t index) {
    const uint64_t at = uint64_t{index} * sizeof(int32_t);
    const auto offset = offsets_.value<int32_t>(at);
    if (!offset) return std::nullopt;
    const auto extended = static_cast<uint64_t>(int64_t{*offset});
    switch (form_) {
      case OffsetForm::kAbsolutePerCpu:
        return *offset >= 0 ? extended : *relative_base_ - 1 - extended;
      case OffsetForm::kFromBase:
        return *relative_base_ + static_cast<uint32_t>(*offset);
      case OffsetForm::kFromEntry:
        return offsets_.address() + at + extended;
    }
    return std::nullopt;
  }

  /// The number of the last symbol at or below the address.
  std::optional<uint32_t> last_not_above(uint64_t address) {
    uint32_t low = 0, high = names_->count();
    while (low < high) {
      const uint32_t middle = low + (high - low) / 2;
      const auto value = address_of(middle);
      if (!value) return std::nullopt;
      if (*value <= address)
        low = middle + 1;
      else
        high = middle;
    }
    if (low == 0) return std::nullopt;
    return low - 1;
  }

  /// \param last_alias a symbol of the same address, behind which to look for the next address
  std::optional<Symbol> symbol(uint32_t index, uint32_t last_alias, const KallsymsName& name) {
    const auto address = address_of(index);
    if (!address) return std::nullopt;
    Symbol result{std::string(name.name()), *address, 0, name.kind()};
    for (uint32_t next = last_alias + 1; next < names_->count() && next - last_alias <= kMaxAliases; next++) {
      const auto end = address_of(next);
      if (!end || *end < *address) break;
      result.size = *end - *address;
      if (result.size != 0) break;
    }
    return result;
  }

  /// The number of the symbol at a position in the order of names.
  std::optional<uint32_t> seq(uint32_t position) {
    const uint8_t* bytes = seqs_.at(uint64_t{position} * 3, 3);
    if (!bytes) return std::nullopt;
    const uint32_t index = uint32_t{bytes[0]} << 16 | uint32_t{bytes[1]} << 8 | bytes[2];
    if (index >= names_->count()) return std::nullopt;
    return index;
  }

  bool name_at(uint32_t position, KallsymsName* name) {
    const auto index = seq(position);
    return index && names_->expand(*index, name);
  }

  /// True when names taken at even distances ascend.
  bool names_ascend() {
    constexpr uint32_t kProbes = 8;
    KallsymsName name;
    std::string before;
    for (uint32_t i = 0; i < kProbes; i++) {
      const uint64_t position = uint64_t{names_->count() - 1} * i / (kProbes - 1);
      if (!name_at(static_cast<uint32_t>(position), &name) || name.name() < before) return false;
      before = name.name();
    }
    return true;
  }

  /// A position in the order of names for a binary search to look at: near the middle, and where the name and
  /// its place in the order have been read already, if possible. A page of a compressed dump costs more than
  /// some steps of the search: this saves a third of the pages.
  uint32_t choose_middle(uint32_t low, uint32_t high) {
    constexpr uint32_t kMaxDistance = 32;
    const uint32_t middle = low + (high - low) / 2;
    const uint32_t limit = std::min((high - low) / 4, kMaxDistance);
    const auto is_read = [&](uint32_t position) {
      if (!seqs_.is_read(uint64_t{position} * 3, 3)) return false;
      const auto index = seq(position);
      return index && names_->is_read(*index);
    };
    for (uint32_t distance = 0; distance <= limit; distance++) {
      if (is_read(middle - distance)) return middle - distance;
      if (is_read(middle + distance) && middle + distance < high) return middle + distance;
    }
    return middle;
  }

  /// Looks for a name by kallsyms_seqs_of_names and remembers what was found. False when there is no such
  /// table or it contradicts itself or cannot be read where it matters: then only a pass over all names can
  /// tell.
  bool search(std::string_view wanted) {
    if (seqs_.size() == 0) return false;
    uint32_t low = 0, high = names_->count();
    std::string above, below;  // the names next to [low, high), for the check that the table is in order
    KallsymsName name;
    while (low < high) {
      const uint32_t middle = choose_middle(low, high);
      if (!name_at(middle, &name)) return false;
      if ((low > 0 && name.name() < below) || (high < names_->count() && name.name() > above)) return false;
      if (name.name() < wanted) {
        low = middle + 1;
        below = name.name();
      } else {
        high = middle;
        above = name.name();
      }
    }
    // Names of equal rank follow. Kernels built by clang with LTO sort "x.llvm.123" as "x" (6.2 to 6.10).
    std::vector<uint32_t> indices;
    for (uint32_t position = low; position < names_->count() && indices.size() < kMaxAliases; position++) {
      if (!name_at(position, &name)) return false;
      if (name.name() == wanted)
        indices.push_back(*seq(position));
      else if (!name.name().starts_with(wanted) || name.name()[wanted.size()] != '.')
        break;
    }
    std::sort(indices.begin(), indices.end());
    known_.emplace(wanted, std::move(indices));
    return true;
  }

  std::unique_ptr<KallsymsNames> names_;
  PagedBytes offsets_;
  PagedBytes seqs_;
  std::optional<uint64_t> relative_base_;
  OffsetForm form_ = OffsetForm::kAbsolutePerCpu;
  std::map<std::string, std::vector<uint32_t>, std::less<>> known_;  // symbols by name; empty: there is none
};

}  // namespace

std::unique_ptr<SymbolTable> open_kallsyms(Memory& memory, const VmcoreInfo& info, Unread* why,
                                           std::span<SymbolTable* const> alike) {
  const auto stext = info.symbol("_stext");
  if (!stext) {
    *why = {UnreadReason::kNoSymbol, 0, "kallsyms",
            "VMCOREINFO lacks SYMBOL(_stext), by which the tables are checked"};
    return nullptr;
  }
  auto tables = locate_kallsyms(memory, info, why);
  if (!tables && why->reason == UnreadReason::kNoSymbol) tables = search_kallsyms(memory, *stext, why);
  if (!tables) return nullptr;
  auto kallsyms = std::make_unique<Kallsyms>(memory, *tables);
  if (!kallsyms->choose_form(*stext)) {
    *why = {UnreadReason::kCorrupt, tables->offsets, "kallsyms",
            fmt::format("none of the known forms of its offsets gives _stext at {:#x}", *stext)};
    return nullptr;
  }
  kallsyms->choose_seqs(memory, tables->seqs_candidates);
  for (SymbolTable* table : alike)
    if (auto* other = dynamic_cast<Kallsyms*>(table); other && kallsyms->learn_from(*other, memory)) break;
  return kallsyms;
}

}  // namespace perfcore
