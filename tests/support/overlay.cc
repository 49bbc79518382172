// SPDX-License-Identifier: LGPL-2.1-or-later
#include "support/overlay.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "kernel/recorder.h"
#include "perfcore/tasks.h"

namespace perfcore::test {
namespace {

/// Hands reads on to a memory that somebody else owns.
class BorrowedMemory : public Memory {
 public:
  explicit BorrowedMemory(Memory& inner) : inner_(inner) {}
  std::optional<Unread> read(uint64_t address, std::span<std::byte> out) override {
    return inner_.read(address, out);
  }
  uint64_t unread_until(uint64_t address) override { return inner_.unread_until(address); }

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

struct Tables {
  std::unique_ptr<SymbolTable> symbols;
  std::unique_ptr<TypeSource> types;
};

/// Symbols and types from the dump itself.
Tables tables_of(Memory& memory, Dump& dump) {
  if (!dump.recorded_tables().empty()) {
    RecordedTables recorded = read_recorded_tables(dump.recorded_tables(), dump.path());
    return {std::move(recorded.symbols), std::move(recorded.types)};
  }
  Unread why;
  auto symbols = open_kallsyms(memory, dump.vmcoreinfo(), &why);
  EXPECT_NE(symbols, nullptr) << why.message();
  if (!symbols) return {};
  const auto start = symbols->find("__start_BTF");
  const auto stop = symbols->find("__stop_BTF");
  EXPECT_TRUE(start && stop);
  if (!start || !stop) return {};
  auto types = open_btf(memory, start->address, stop->address, &why);
  EXPECT_NE(types, nullptr) << why.message();
  return {std::move(symbols), std::move(types)};
}

/// The direct mapping of physical memory, and all that points into it, some bytes further up.
class MovedDirectMap : public Memory {
 public:
  MovedDirectMap(Memory& inner, uint64_t begin, uint64_t by) : inner_(inner), begin_(begin), by_(by) {}

  std::optional<Unread> read(uint64_t address, std::span<std::byte> out) override {
    // Pointers are aligned: whole words are read, so that one of which only a part is wanted is moved as
    // well.
    const uint64_t from = original(address) & ~uint64_t{7};
    const uint64_t lead = original(address) - from;
    std::vector<std::byte> words((lead + out.size() + 7) & ~size_t{7});
    if (inner_.read(from, words)) {
      auto unread = inner_.read(original(address), out);
      if (unread && is_direct(unread->address)) unread->address += by_;
      return unread;
    }
    for (size_t at = 0; at < words.size(); at += 8) {
      uint64_t value;
      std::memcpy(&value, &words[at], 8);
      if (!is_direct(value)) continue;
      value += by_;
      std::memcpy(&words[at], &value, 8);
    }
    std::copy_n(words.begin() + static_cast<ptrdiff_t>(lead), out.size(), out.begin());
    return std::nullopt;
  }
  uint64_t unread_until(uint64_t address) override {
    const uint64_t until = inner_.unread_until(original(address));
    return is_direct(until) ? until + by_ : until;
  }

 private:
  static constexpr uint64_t kSize = uint64_t{64}
                                    << 40;  // of the direct mapping with four levels of page tables
  bool is_direct(uint64_t address) const { return address - begin_ < kSize; }
  uint64_t original(uint64_t address) const { return is_direct(address - by_) ? address - by_ : address; }

  Memory& inner_;
  const uint64_t begin_, by_;
};

std::unique_ptr<Kernel> kernel_over(Memory& memory, Dump& dump, std::vector<CpuStatus> cpu_status,
                                    std::vector<Symbol> more_symbols = {},
                                    std::vector<std::byte> more_types = {}) {
  auto [symbols, types] = tables_of(memory, dump);
  if (!symbols || !types) return nullptr;
  Unread why;
  if (!more_symbols.empty())
    symbols = std::make_unique<MoreSymbols>(std::move(symbols), std::move(more_symbols));
  if (!more_types.empty()) {
    auto first = open_btf(std::move(more_types), &why);
    EXPECT_NE(first, nullptr) << why.message();
    if (first) types = std::make_unique<MoreTypes>(std::move(first), std::move(types));
  }
  return std::make_unique<Kernel>(std::make_unique<BorrowedMemory>(memory), dump.vmcoreinfo(),
                                  std::move(cpu_status), std::move(symbols), std::move(types));
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
  for (uint64_t page = address & ~(kPageSize - 1); page < address + out.size(); page += kPageSize)
    pages_read_.insert(page);
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

uint64_t OverlayMemory::unread_until(uint64_t address) {
  for (const auto& [begin, end] : gaps_)
    if (address >= begin && address < end) return end;
  return inner_.unread_until(address);
}

PatchedKernel::PatchedKernel(const std::string& path)
    : dump_(Dump::open({path})),
      original_(kernel_over(dump_->memory(), *dump_, dump_->cpu_status())),
      overlay_(std::make_unique<OverlayMemory>(dump_->memory())),
      cpu_status_(dump_->cpu_status()) {}

void PatchedKernel::swap_cpus(int a, int b) {
  Kernel& kernel = *original_;
  const auto other = [&](int64_t cpu) { return cpu == a ? b : a; };
  const auto poke = [&](const Object& object, int64_t value) {
    const Reading<uint64_t> address = object.address();
    if (address.has_value() && object.u64().has_value())
      overlay_->write(*address, &value, object.type()->size);
  };
  const auto renumber = [&](const Object& object) {
    const Reading<int64_t> cpu = object.s64();
    if (cpu.is(a) || cpu.is(b)) poke(object, other(*cpu));
  };
  for (const int cpu : {a, b}) {
    poke(evaluate(kernel, "__per_cpu_offset[" + std::to_string(cpu) + "]"),
         static_cast<int64_t>(kernel.per_cpu_offset(other(cpu)).value()));
    for (const char* name : {"cpu_number", "pcpu_hot.cpu_number", "runqueues.cpu"}) {
      const std::string_view path = name;
      const Object variable = kernel.per_cpu(path.substr(0, path.find('.')), cpu);
      renumber(path.find('.') == path.npos ? variable : variable.member(path.substr(path.find('.') + 1)));
    }
  }
  renumber(kernel.variable("panic_cpu").member("counter"));
  renumber(kernel.variable("crashing_cpu"));
  Diagnosis diagnosis(kernel);
  for (const EventOrigin& origin : diagnosis.events().events) {
    const Object event = kernel.object("struct perf_event", origin.address);
    renumber(event.member("cpu"));
    renumber(event.member("oncpu"));
  }
  const auto renumber_task = [&](const Object& task) {
    for (const char* member : {"thread_info.cpu", "cpu"})
      if (task.has_member(member)) renumber(task.member(member));
  };
  for_each_task(kernel, renumber_task);
  for (const int cpu : {a, b}) renumber_task(kernel.current_task(cpu));
  for (CpuStatus& status : cpu_status_)
    if (status.cpu == a || status.cpu == b) status.cpu = other(status.cpu);
}

void PatchedKernel::move_direct_map(uint64_t by) {
  const uint64_t begin = original_->variable("page_offset_base").u64().value();
  moved_ = std::make_unique<MovedDirectMap>(dump_->memory(), begin, by);
  overlay_ = std::make_unique<OverlayMemory>(*moved_);
}

Kernel& PatchedKernel::patched() {
  patched_ = kernel_over(*overlay_, *dump_, cpu_status_, added_symbols_, added_types_);
  return *patched_;
}

std::string bundled(const std::string& name) {
  return std::string(PERFCORE_TESTDATA) + "/" + name;
}

std::string recorded(const std::string& name) {
  // One file per bundled dump, removed when the process ends.
  static struct Made {
    std::map<std::string, std::string> paths;
    ~Made() {
      for (const auto& [dump, path] : paths) std::filesystem::remove(path);
    }
  } made;
  auto& path = made.paths[name];
  if (!path.empty()) return path;
  path = testing::TempDir() + "/" + name + "." + std::to_string(getpid()) + ".rec";
  const std::string command = std::string(PERFCORE_TOOL) + " record --no-debuginfo '" + bundled(name) +
                              "' -o '" + path + "' >/dev/null";
  if (std::system(command.c_str()) == 0) return path;
  ADD_FAILURE() << command;
  path.clear();
  return path;
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
