// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// Decorators that remember what was read of a kernel's memory and asked of its symbols and types.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

#include "dump/recorded_dump.h"
#include "perfcore/memory.h"
#include "perfcore/symbols.h"
#include "perfcore/types.h"

namespace perfcore {

class MemoryRecorder : public Memory {
 public:
  /// \param inner  not owned, must outlive this
  explicit MemoryRecorder(Memory& inner) : inner_(inner) {}
  std::optional<Unread> read(uint64_t address, std::span<std::byte> out) override;
  uint64_t unread_until(uint64_t address) override { return inner_.unread_until(address); }

  Memory& inner() { return inner_; }
  const RecordedRanges& recorded() const { return recorded_; }

 private:
  Memory& inner_;
  RecordedRanges recorded_;
};

/// Answers about symbols; nullopt and empty lists are answers.
struct SymbolAnswers {
  std::map<std::string, std::optional<Symbol>, std::less<>> by_name;
  std::map<std::string, std::vector<Symbol>, std::less<>> all_by_name;
  std::map<uint64_t, std::optional<Symbol>> by_address;
  std::map<uint64_t, std::optional<Symbol>> per_cpu_by_address;
};

class SymbolRecorder : public SymbolTable {
 public:
  explicit SymbolRecorder(std::unique_ptr<SymbolTable> inner) : inner_(std::move(inner)) {}
  std::string_view source() const override { return inner_->source(); }
  void prefetch(std::span<const std::string_view> names) override { inner_->prefetch(names); }
  std::optional<Symbol> find(std::string_view name) override;
  std::vector<Symbol> find_all(std::string_view name) override;
  std::optional<Symbol> at(uint64_t address) override;
  std::optional<Symbol> per_cpu_at(uint64_t address) override;
  std::optional<Unread> unknown(std::string_view name) override { return inner_->unknown(name); }

  const SymbolAnswers& answers() const { return answers_; }

 private:
  std::unique_ptr<SymbolTable> inner_;
  SymbolAnswers answers_;
};

/// Hands out types of its own, which ask it for what they refer to, so that nothing is asked behind its back.
class TypeRecorder : public DwarfSource {
 public:
  /// \param dwarf  `inner` where it is DWARF, else nullptr
  TypeRecorder(std::unique_ptr<TypeSource> inner, DwarfSource* dwarf)
      : inner_(std::move(inner)), dwarf_(dwarf) {}
  std::string_view source() const override { return inner_->source(); }
  std::optional<Unread> incomplete() const override { return inner_->incomplete(); }
  std::optional<Unread> unknown(TypeKind kind, std::string_view name) override {
    return inner_->unknown(kind, name);
  }
  std::optional<Unread> unknown_members(const Type& type) override;
  const Type* find(TypeKind kind, std::string_view name) override;
  const Type* variable(std::string_view name) override;
  std::optional<uint64_t> percpu_offset(std::string_view name) override;
  std::optional<Prototype> prototype(std::string_view name, uint64_t link_address) override;
  std::optional<Prototype> signature(const Type& function) override;
  void for_each_name(const std::function<void(TypeKind, std::string_view)>& visit) override {
    inner_->for_each_name(visit);
  }
  const Type* resolve(uint64_t id) override { return own(inner_->resolve(id)); }
  std::vector<InlinedCall> inlined_at(uint64_t link_address) override;

  /// Types that were asked for by name, and whether there are such.
  std::map<std::pair<TypeKind, std::string>, bool> asked_types() const;
  /// Direct members that were looked for, by the type's name ("struct perf_event"), and whether it has them.
  /// Types without a name are left out.
  const std::map<std::pair<std::string, std::string>, bool>& asked_members() const { return asked_members_; }
  /// A direct member was looked for in a type of this source.
  void note_member(const Type& type, std::string_view name, bool found);

  /// Writes the answers and the types that they need. \return how many types
  uint64_t write(RecordWriter& out);

 protected:
  std::vector<Member> load_members(const Type& type) override;
  std::vector<Enumerator> load_enumerators(const Type& type) override;

 private:
  using Answer = std::optional<uint64_t>;  // the number of a type, or that there is none
  struct Call {
    Answer result;
    std::vector<Answer> parameters;
  };

  /// The type of this source that stands for one of the inner source's.
  const Type* own(const Type* inner);
  const Type* inner_of(const Type& type) const { return inner_of_.at(&type); }
  static Answer answer(const Type* type) { return type ? Answer(type->id) : std::nullopt; }
  std::optional<Call> call(const std::optional<Prototype>& inner);
  static void write(RecordWriter& out, const std::optional<Call>& call);

  std::unique_ptr<TypeSource> inner_;
  DwarfSource* dwarf_;
  std::deque<Type> types_;
  std::unordered_map<const Type*, const Type*> own_of_, inner_of_;
  std::set<const Type*> looked_into_;  // inner types whose members or enumerators were asked for
  std::map<std::pair<TypeKind, std::string>, Answer> found_;
  std::map<std::string, Answer, std::less<>> variables_;
  std::map<std::string, std::optional<uint64_t>, std::less<>> per_cpu_offsets_;
  std::map<std::pair<std::string, uint64_t>, std::optional<Call>> prototypes_;
  std::map<uint64_t, std::optional<Call>> signatures_;
  std::map<uint64_t, std::vector<InlinedCall>> inlined_;
  std::map<std::pair<std::string, std::string>, bool> asked_members_;
};

/// What one kernel was asked.
class Recorder {
 public:
  explicit Recorder(Memory& inner) : memory(inner) {}
  MemoryRecorder memory;
  SymbolRecorder* symbols = nullptr;  ///< the kernel's
  TypeRecorder* types = nullptr;      ///< the kernel's
};

/// The parts of a recording that a kernel is made of.
struct RecordedTables {
  std::string vmlinux;
  std::vector<std::string> remarks;
  std::unique_ptr<SymbolTable> symbols;
  std::unique_ptr<TypeSource> types;
  DwarfSource* dwarf = nullptr;  ///< types, where they were DWARF
};
void write_symbol_answers(RecordWriter& out, std::string_view source, const SymbolAnswers& answers);
/// Throws InputError when the tables are corrupt.
RecordedTables read_recorded_tables(std::string_view bytes, const std::string& path);

}  // namespace perfcore
