// SPDX-License-Identifier: LGPL-2.1-or-later
#include <fmt/format.h>

#include <algorithm>
#include <tuple>

#include "kernel/recorder.h"

namespace perfcore {
namespace {

void write_symbol(RecordWriter& out, const Symbol& symbol) {
  out.text(symbol.name);
  out.number(symbol.address);
  out.number(symbol.size);
  out.number(static_cast<unsigned char>(symbol.kind));
}

Symbol read_symbol(RecordReader& in) {
  Symbol symbol;
  symbol.name = in.text();
  symbol.address = in.number();
  symbol.size = in.number();
  symbol.kind = static_cast<char>(in.number(0xff));
  return symbol;
}

void write_symbol(RecordWriter& out, const std::optional<Symbol>& symbol) {
  out.number(symbol.has_value());
  if (symbol) write_symbol(out, *symbol);
}

std::optional<Symbol> read_symbol_answer(RecordReader& in) {
  return in.flag() ? std::optional(read_symbol(in)) : std::nullopt;
}

/// Symbols as far as somebody asked for them.
class RecordedSymbols : public SymbolTable {
 public:
  explicit RecordedSymbols(RecordReader& in) : source_(in.text()) {
    for (uint64_t left = in.count(); left != 0; left--) {
      const std::string name(in.text());
      answers_.by_name[name] = read_symbol_answer(in);
    }
    for (uint64_t left = in.count(); left != 0; left--) {
      auto& symbols = answers_.all_by_name[std::string(in.text())];
      for (uint64_t each = in.count(); each != 0; each--) symbols.push_back(read_symbol(in));
    }
    for (auto* by_address : {&answers_.by_address, &answers_.per_cpu_by_address})
      for (uint64_t left = in.count(); left != 0; left--) {
        const uint64_t address = in.number();
        (*by_address)[address] = read_symbol_answer(in);
      }
    for (const auto& [address, symbol] : answers_.by_address)
      if (symbol) containing_.emplace(symbol->address, *symbol);
  }

  std::string_view source() const override { return source_; }
  void prefetch(std::span<const std::string_view>) override {}

  std::optional<Symbol> find(std::string_view name) override {
    const auto found = answers_.by_name.find(name);
    if (found != answers_.by_name.end()) return found->second;
    const auto all = answers_.all_by_name.find(name);
    if (all != answers_.all_by_name.end() && all->second.size() == 1) return all->second.front();
    return std::nullopt;
  }

  std::vector<Symbol> find_all(std::string_view name) override {
    const auto found = answers_.all_by_name.find(name);
    return found == answers_.all_by_name.end() ? std::vector<Symbol>{} : found->second;
  }

  std::optional<Symbol> at(uint64_t address) override {
    const auto found = answers_.by_address.find(address);
    if (found != answers_.by_address.end()) return found->second;
    // Somebody asked for another address in the same symbol.
    const auto after = containing_.upper_bound(address);
    if (after == containing_.begin()) return std::nullopt;
    const Symbol& symbol = std::prev(after)->second;
    return address - symbol.address < symbol.size ? std::optional(symbol) : std::nullopt;
  }

  std::optional<Symbol> per_cpu_at(uint64_t address) override {
    const auto found = answers_.per_cpu_by_address.find(address);
    return found == answers_.per_cpu_by_address.end() ? std::nullopt : found->second;
  }

  std::optional<Unread> unknown(std::string_view name) override {
    if (answers_.by_name.contains(name) || answers_.all_by_name.contains(name)) return std::nullopt;
    return Unread{UnreadReason::kNotRecorded, 0, fmt::format("symbol {}", name), ""};
  }

 private:
  std::string source_;
  SymbolAnswers answers_;
  std::map<uint64_t, Symbol> containing_;  // by the address of the symbol
};

/// Types as far as somebody asked for them.
class RecordedTypes : public DwarfSource {
 public:
  explicit RecordedTypes(RecordReader& in) : source_(in.text()), dwarf_(in.flag()) {
    for (uint64_t left = in.count(); left != 0; left--) read_type(in);
    for (uint64_t left = in.count(); left != 0; left--) {
      const auto kind = static_cast<TypeKind>(in.number(static_cast<uint64_t>(TypeKind::kUnknown)));
      std::string name(in.text());
      found_[{kind, std::move(name)}] = read_answer(in);
    }
    for (uint64_t left = in.count(); left != 0; left--) {
      const std::string name(in.text());
      variables_[name] = read_answer(in);
    }
    for (uint64_t left = in.count(); left != 0; left--) {
      const std::string name(in.text());
      per_cpu_offsets_[name] = read_answer(in);
    }
    for (uint64_t left = in.count(); left != 0; left--) {
      std::string name(in.text());
      const uint64_t address = in.number();
      prototypes_[{std::move(name), address}] = read_call(in);
    }
    for (uint64_t left = in.count(); left != 0; left--) {
      const uint64_t function = in.number();
      signatures_[function] = read_call(in);
    }
    for (uint64_t left = in.count(); left != 0; left--) {
      auto& calls = inlined_[in.number()];
      for (uint64_t each = in.count(); each != 0; each--) calls.push_back({std::string(in.text())});
    }
  }

  bool is_dwarf() const { return dwarf_; }
  std::string_view source() const override { return source_; }
  std::optional<Unread> incomplete() const override {
    return Unread{UnreadReason::kNotRecorded, 0, "types", "a recording has those that were used"};
  }

  std::optional<Unread> unknown(TypeKind kind, std::string_view name) override {
    if (found_.contains({kind, std::string(name)}) || by_name(kind, name)) return std::nullopt;
    return Unread{UnreadReason::kNotRecorded, 0, fmt::format("type {}", name), ""};
  }
  std::optional<Unread> unknown_members(const Type& type) override {
    if (!type.is_aggregate() || inside_.contains(type.id)) return std::nullopt;
    return Unread{UnreadReason::kNotRecorded, 0, fmt::format("members of {}", type.to_string()), ""};
  }

  const Type* find(TypeKind kind, std::string_view name) override {
    const auto found = found_.find({kind, std::string(name)});
    if (found == found_.end()) return by_name(kind, name);
    return found->second ? resolve(*found->second) : nullptr;
  }
  const Type* variable(std::string_view name) override {
    const auto found = variables_.find(name);
    return found != variables_.end() && found->second ? resolve(*found->second) : nullptr;
  }
  std::optional<uint64_t> percpu_offset(std::string_view name) override {
    const auto found = per_cpu_offsets_.find(name);
    return found == per_cpu_offsets_.end() ? std::nullopt : found->second;
  }
  std::optional<Prototype> prototype(std::string_view name, uint64_t link_address) override {
    const auto found = prototypes_.find({std::string(name), link_address});
    return found == prototypes_.end() ? std::nullopt : prototype_of(found->second);
  }
  std::optional<Prototype> signature(const Type& function) override {
    const auto found = signatures_.find(function.id);
    return found == signatures_.end() ? std::nullopt : prototype_of(found->second);
  }
  void for_each_name(const std::function<void(TypeKind, std::string_view)>& visit) override {
    for (const auto& [question, type] : names_) visit(question.first, question.second);
  }
  const Type* resolve(uint64_t id) override {
    const auto found = types_.find(id);
    return found == types_.end() ? nullptr : &found->second;
  }
  std::vector<InlinedCall> inlined_at(uint64_t link_address) override {
    const auto found = inlined_.find(link_address);
    return found == inlined_.end() ? std::vector<InlinedCall>{} : found->second;
  }

 protected:
  std::vector<Member> load_members(const Type& type) override {
    const auto found = inside_.find(type.id);
    return found == inside_.end() ? std::vector<Member>{} : found->second.members;
  }
  std::vector<Enumerator> load_enumerators(const Type& type) override {
    const auto found = inside_.find(type.id);
    return found == inside_.end() ? std::vector<Enumerator>{} : found->second.enumerators;
  }

 private:
  using Answer = std::optional<uint64_t>;
  struct Call {
    Answer result;
    std::vector<Answer> parameters;
  };
  struct Inside {
    std::vector<Member> members;
    std::vector<Enumerator> enumerators;
  };

  static Answer read_answer(RecordReader& in) { return in.flag() ? Answer(in.number()) : std::nullopt; }

  static std::optional<Call> read_call(RecordReader& in) {
    if (!in.flag()) return std::nullopt;
    Call call;
    call.result = read_answer(in);
    for (uint64_t left = in.count(); left != 0; left--) call.parameters.push_back(read_answer(in));
    return call;
  }

  void read_type(RecordReader& in) {
    const uint64_t id = in.number();
    Type& type = types_[id];
    type.id = id;
    type.source = this;
    type.kind = static_cast<TypeKind>(in.number(static_cast<uint64_t>(TypeKind::kUnknown)));
    type.name = in.text();
    type.size = in.number(UINT32_MAX);
    type.encoding = static_cast<IntEncoding>(in.number(static_cast<uint64_t>(IntEncoding::kChar)));
    type.count = in.number();
    type.declared_union = in.flag();
    type.target_id = in.number();
    if (!in.flag()) return;
    Inside& inside = inside_[id];
    for (uint64_t left = in.count(); left != 0; left--) {
      Member member;
      member.name = in.text();
      member.bit_offset = in.number();
      member.bit_size = static_cast<uint32_t>(in.number(UINT32_MAX));
      member.type_id = in.number();
      inside.members.push_back(std::move(member));
    }
    for (uint64_t left = in.count(); left != 0; left--) {
      Enumerator enumerator;
      enumerator.name = in.text();
      enumerator.value = static_cast<int64_t>(in.number());
      inside.enumerators.push_back(std::move(enumerator));
    }
    if (!type.name.empty()) names_.try_emplace({type.kind, type.name}, id);
  }

  /// A type that nobody asked for by name, but that lies within one that was.
  const Type* by_name(TypeKind kind, std::string_view name) {
    const auto found = names_.find({kind, std::string(name)});
    return found == names_.end() ? nullptr : resolve(found->second);
  }

  std::optional<Prototype> prototype_of(const std::optional<Call>& call) {
    if (!call) return std::nullopt;
    Prototype prototype;
    prototype.result = call->result ? resolve(*call->result) : nullptr;
    if (call->result && !prototype.result) return std::nullopt;
    for (const Answer& parameter : call->parameters) {
      prototype.parameters.push_back(parameter ? resolve(*parameter) : nullptr);
      if (parameter && !prototype.parameters.back()) return std::nullopt;
    }
    return prototype;
  }

  std::string source_;
  bool dwarf_;
  std::unordered_map<uint64_t, Type> types_;
  std::unordered_map<uint64_t, Inside> inside_;
  std::map<std::pair<TypeKind, std::string>, uint64_t> names_;
  std::map<std::pair<TypeKind, std::string>, Answer> found_;
  std::map<std::string, Answer, std::less<>> variables_;
  std::map<std::string, Answer, std::less<>> per_cpu_offsets_;
  std::map<std::pair<std::string, uint64_t>, std::optional<Call>> prototypes_;
  std::unordered_map<uint64_t, std::optional<Call>> signatures_;
  std::unordered_map<uint64_t, std::vector<InlinedCall>> inlined_;
};

}  // namespace

void write_symbol_answers(RecordWriter& out, std::string_view source, const SymbolAnswers& answers) {
  out.text(source);
  out.count(answers.by_name.size());
  for (const auto& [name, symbol] : answers.by_name) {
    out.text(name);
    write_symbol(out, symbol);
  }
  out.count(answers.all_by_name.size());
  for (const auto& [name, symbols] : answers.all_by_name) {
    out.text(name);
    out.count(symbols.size());
    for (const Symbol& symbol : symbols) write_symbol(out, symbol);
  }
  for (const auto* by_address : {&answers.by_address, &answers.per_cpu_by_address}) {
    out.count(by_address->size());
    for (const auto& [address, symbol] : *by_address) {
      out.number(address);
      write_symbol(out, symbol);
    }
  }
}

RecordedTables read_recorded_tables(std::string_view bytes, const std::string& path) {
  RecordReader in(bytes, path);
  RecordedTables tables;
  tables.vmlinux = in.text();
  for (uint64_t left = in.count(); left != 0; left--) tables.remarks.emplace_back(in.text());
  tables.symbols = std::make_unique<RecordedSymbols>(in);
  auto types = std::make_unique<RecordedTypes>(in);
  if (types->is_dwarf()) tables.dwarf = types.get();
  tables.types = std::move(types);
  if (!in.rest().empty()) in.damaged(fmt::format("{} bytes follow its end", in.rest().size()));
  return tables;
}

}  // namespace perfcore
