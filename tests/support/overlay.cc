// SPDX-License-Identifier: LGPL-2.1-or-later
#include "support/overlay.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace perfcore::test {
namespace {

/// Hands reads on to a memory that somebody else owns.
class BorrowedMemory : public Memory {
 public:
  explicit BorrowedMemory(Memory& inner) : inner_(inner) {}
  std::optional<Unread> read(uint64_t address, std::span<std::byte> out) override {
    return inner_.read(address, out);
  }

 private:
  Memory& inner_;
};

/// The symbols of a dump and a few more.
class MoreSymbols : public SymbolTable {
 public:
  MoreSymbols(std::unique_ptr<SymbolTable> base, std::vector<Symbol> more)
      : base_(std::move(base)), more_(std::move(more)) {}
  std::string_view source() const override { return base_->source(); }
  void prefetch(std::span<const std::string_view> names) override { base_->prefetch(names); }
  std::optional<Symbol> find(std::string_view name) override {
    for (const Symbol& symbol : more_)
      if (symbol.name == name) return symbol;
    return base_->find(name);
  }
  std::vector<Symbol> find_all(std::string_view name) override { return base_->find_all(name); }
  std::optional<Symbol> at(uint64_t address) override { return base_->at(address); }

 private:
  std::unique_ptr<SymbolTable> base_;
  std::vector<Symbol> more_;
};

/// Types of two sources, those of the first one before the others.
class MoreTypes : public TypeSource {
 public:
  MoreTypes(std::unique_ptr<TypeSource> first, std::unique_ptr<TypeSource> base)
      : first_(std::move(first)), base_(std::move(base)) {}
  std::string_view source() const override { return base_->source(); }
  const Type* find(TypeKind kind, std::string_view name) override {
    const Type* found = first_->find(kind, name);
    return found ? found : base_->find(kind, name);
  }
  const Type* variable(std::string_view name) override { return base_->variable(name); }
  std::optional<uint64_t> percpu_offset(std::string_view name) override { return base_->percpu_offset(name); }
  const Type* resolve(uint64_t id) override { return base_->resolve(id); }

 protected:
  // Types ask the source that made them.
  std::vector<Member> load_members(const Type&) override { return {}; }
  std::vector<Enumerator> load_enumerators(const Type&) override { return {}; }

 private:
  std::unique_ptr<TypeSource> first_, base_;
};

std::unique_ptr<Kernel> kernel_over(Memory& memory, Dump& dump, std::vector<Symbol> more_symbols = {},
                                    std::vector<std::byte> more_types = {}) {
  Unread why;
  auto symbols = open_kallsyms(memory, dump.vmcoreinfo(), &why);
  EXPECT_NE(symbols, nullptr) << why.message();
  if (!symbols) return nullptr;
  const auto start = symbols->find("__start_BTF");
  const auto stop = symbols->find("__stop_BTF");
  EXPECT_TRUE(start && stop);
  if (!start || !stop) return nullptr;
  auto types = open_btf(memory, start->address, stop->address, &why);
  EXPECT_NE(types, nullptr) << why.message();
  if (!more_symbols.empty())
    symbols = std::make_unique<MoreSymbols>(std::move(symbols), std::move(more_symbols));
  if (!more_types.empty()) {
    auto first = open_btf(std::move(more_types), &why);
    EXPECT_NE(first, nullptr) << why.message();
    if (first) types = std::make_unique<MoreTypes>(std::move(first), std::move(types));
  }
  return std::make_unique<Kernel>(std::make_unique<BorrowedMemory>(memory), dump.vmcoreinfo(),
                                  dump.cpu_status(), std::move(symbols), std::move(types));
}

}  // namespace

void OverlayMemory::write(uint64_t address, const void* bytes, size_t size) {
  for (size_t i = 0; i < size; i++) bytes_[address + i] = static_cast<const std::byte*>(bytes)[i];
}

void OverlayMemory::provide(uint64_t address, size_t size) {
  provided_[address] = address + size;
}

void OverlayMemory::take_away(uint64_t address, size_t size) {
  gaps_[address] = address + size;
}

std::optional<Unread> OverlayMemory::read(uint64_t address, std::span<std::byte> out) {
  for (const auto& [begin, end] : gaps_)
    if (address < end && begin < address + out.size())
      return Unread{UnreadReason::kExcluded, std::max(begin, address), "", ""};
  const bool provided = std::any_of(provided_.begin(), provided_.end(), [&](const auto& range) {
    return address >= range.first && address + out.size() <= range.second;
  });
  if (provided)
    std::fill(out.begin(), out.end(), std::byte{0});
  else if (auto unread = inner_.read(address, out))
    return unread;
  for (auto it = bytes_.lower_bound(address); it != bytes_.end() && it->first < address + out.size(); ++it)
    out[it->first - address] = it->second;
  return std::nullopt;
}

PatchedKernel::PatchedKernel(const std::string& path)
    : dump_(Dump::open({path})), original_(kernel_over(dump_->memory(), *dump_)) {
  owned_overlay_ = std::make_unique<OverlayMemory>(dump_->memory());
  overlay_ = owned_overlay_.get();
}

Kernel& PatchedKernel::patched() {
  patched_ = kernel_over(*overlay_, *dump_, added_symbols_, added_types_);
  return *patched_;
}

std::string bundled(const std::string& name) {
  return std::string(PERFCORE_TESTDATA) + "/" + name;
}

const Finding& finding_of(const std::vector<Finding>& findings, std::string_view rule) {
  const auto found =
      std::find_if(findings.begin(), findings.end(), [&](const Finding& f) { return f.rule == rule; });
  if (found != findings.end()) return *found;
  ADD_FAILURE() << "no finding of rule " << rule;
  static const Finding kNone;
  return kNone;
}

}  // namespace perfcore::test
