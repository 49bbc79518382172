// SPDX-License-Identifier: LGPL-2.1-or-later
#include "kernel/recorder.h"

#include <algorithm>

namespace perfcore {

std::optional<Unread> MemoryRecorder::read(uint64_t address, std::span<std::byte> out) {
  auto unread = inner_.read(address, out);
  if (!unread) {
    recorded_.add(address, address + out.size());
    return unread;
  }
  const uint64_t good = std::min<uint64_t>(unread->address - address, out.size());
  recorded_.add(address, address + good);
  const uint64_t failed = address + good;
  const uint64_t end_of_page = failed | (kPageSize - 1);
  // Pages are left out and mapped as a whole; behind other gaps of it there may be what can be read.
  const bool whole_page =
      unread->reason == UnreadReason::kExcluded || unread->reason == UnreadReason::kNotMapped;
  const uint64_t end = (whole_page ? end_of_page : std::min(address + out.size() - 1, end_of_page)) + 1;
  if (good < out.size()) {
    auto& failure = recorded_.failures.try_emplace(failed, end, *unread).first->second;
    failure.first = std::max(failure.first, end);
  }
  return unread;
}

std::optional<Symbol> SymbolRecorder::find(std::string_view name) {
  auto symbol = inner_->find(name);
  if (!inner_->unknown(name)) answers_.by_name.try_emplace(std::string(name), symbol);
  return symbol;
}

std::vector<Symbol> SymbolRecorder::find_all(std::string_view name) {
  auto symbols = inner_->find_all(name);
  if (!inner_->unknown(name)) answers_.all_by_name.try_emplace(std::string(name), symbols);
  return symbols;
}

std::optional<Symbol> SymbolRecorder::at(uint64_t address) {
  auto symbol = inner_->at(address);
  answers_.by_address.try_emplace(address, symbol);
  return symbol;
}

std::optional<Symbol> SymbolRecorder::per_cpu_at(uint64_t address) {
  auto symbol = inner_->per_cpu_at(address);
  answers_.per_cpu_by_address.try_emplace(address, symbol);
  return symbol;
}

const Type* TypeRecorder::own(const Type* inner) {
  if (!inner) return nullptr;
  const Type*& own = own_of_[inner];
  if (!own) {
    Type& type = types_.emplace_back();
    type.kind = inner->kind;
    type.name = inner->name;
    type.size = inner->size;
    type.encoding = inner->encoding;
    type.count = inner->count;
    type.declared_union = inner->declared_union;
    type.target_id = inner->target_id;
    type.id = inner->id;
    type.source = this;
    own = &type;
    inner_of_[own] = inner;
  }
  return own;
}

std::optional<Unread> TypeRecorder::unknown_members(const Type& type) {
  return inner_->unknown_members(*inner_of(type));
}

const Type* TypeRecorder::find(TypeKind kind, std::string_view name) {
  const Type* found = inner_->find(kind, name);
  if (!inner_->unknown(kind, name)) found_.try_emplace({kind, std::string(name)}, answer(found));
  // Who asks for a type by name wants to look into it, or will.
  if (found) looked_into_.insert(found);
  return own(found);
}

const Type* TypeRecorder::variable(std::string_view name) {
  const Type* found = inner_->variable(name);
  variables_.try_emplace(std::string(name), answer(found));
  return own(found);
}

std::optional<uint64_t> TypeRecorder::percpu_offset(std::string_view name) {
  const auto offset = inner_->percpu_offset(name);
  per_cpu_offsets_.try_emplace(std::string(name), offset);
  return offset;
}

std::optional<TypeRecorder::Call> TypeRecorder::call(const std::optional<Prototype>& inner) {
  if (!inner) return std::nullopt;
  Call call{answer(inner->result), {}};
  for (const Type* parameter : inner->parameters) call.parameters.push_back(answer(parameter));
  return call;
}

std::optional<Prototype> TypeRecorder::prototype(std::string_view name, uint64_t link_address) {
  auto found = inner_->prototype(name, link_address);
  prototypes_.try_emplace({std::string(name), link_address}, call(found));
  if (found) {
    found->result = own(found->result);
    for (const Type*& parameter : found->parameters) parameter = own(parameter);
  }
  return found;
}

std::optional<Prototype> TypeRecorder::signature(const Type& function) {
  auto found = inner_->signature(*inner_of(function));
  signatures_.try_emplace(function.id, call(found));
  if (found) {
    found->result = own(found->result);
    for (const Type*& parameter : found->parameters) parameter = own(parameter);
  }
  return found;
}

std::vector<InlinedCall> TypeRecorder::inlined_at(uint64_t link_address) {
  auto calls = dwarf_ ? dwarf_->inlined_at(link_address) : std::vector<InlinedCall>{};
  inlined_.try_emplace(link_address, calls);
  return calls;
}

std::map<std::pair<TypeKind, std::string>, bool> TypeRecorder::asked_types() const {
  std::map<std::pair<TypeKind, std::string>, bool> asked;
  for (const auto& [name, found] : found_) asked[name] = found.has_value();
  return asked;
}

void TypeRecorder::note_member(const Type& type, std::string_view name, bool found) {
  const bool aggregate = type.kind == TypeKind::kStruct || type.kind == TypeKind::kUnion;
  if (aggregate && !type.name.empty())
    asked_members_.try_emplace({type.to_string(), std::string(name)}, found);
}

std::vector<Member> TypeRecorder::load_members(const Type& type) {
  const Type* inner = inner_of(type);
  looked_into_.insert(inner);
  return inner->members();
}

std::vector<Enumerator> TypeRecorder::load_enumerators(const Type& type) {
  const Type* inner = inner_of(type);
  looked_into_.insert(inner);
  return inner->enumerators();
}

namespace {

/// The types that a recording needs: those that were asked for, and for each aggregate that was looked into
/// all that lies within it. Of what is only pointed to, name and size are kept.
class Closure {
 public:
  void add(const Type* start, bool inside) {
    pending_.push_back({start, inside});
    while (!pending_.empty()) {
      const auto [type, whole] = pending_.back();
      pending_.pop_back();
      if (type) visit(type, whole);
    }
  }
  /// By number; true: with members and enumerators.
  const std::map<uint64_t, std::pair<const Type*, bool>>& types() const { return types_; }

 private:
  void visit(const Type* type, bool whole) {
    const auto [it, added] = types_.try_emplace(type->id, type, whole);
    if (!added && (it->second.second || !whole)) return;
    it->second.second = whole;
    if (type->kind == TypeKind::kPointer)
      pending_.push_back({type->target(), false});
    else
      pending_.push_back({type->target(), whole});
    if (!whole) return;
    for (const Member& member : type->members()) pending_.push_back({type->member_type(member), true});
  }

  std::map<uint64_t, std::pair<const Type*, bool>> types_;
  std::vector<std::pair<const Type*, bool>> pending_;
};

void write_answer(RecordWriter& out, const std::optional<uint64_t>& answer) {
  out.number(answer.has_value());
  if (answer) out.number(*answer);
}

}  // namespace

void TypeRecorder::write(RecordWriter& out, const std::optional<Call>& call) {
  out.number(call.has_value());
  if (!call) return;
  write_answer(out, call->result);
  out.count(call->parameters.size());
  for (const Answer& parameter : call->parameters) write_answer(out, parameter);
}

uint64_t TypeRecorder::write(RecordWriter& out) {
  out.text(source());
  out.number(dwarf_ != nullptr);
  Closure closure;
  for (const Type& type : types_) closure.add(inner_of(type), false);
  for (const Type* type : looked_into_) closure.add(type, true);
  out.count(closure.types().size());
  for (const auto& [id, entry] : closure.types()) {
    const auto& [type, whole] = entry;
    out.number(id);
    out.number(static_cast<uint64_t>(type->kind));
    out.text(type->name);
    out.number(type->size);
    out.number(static_cast<uint64_t>(type->encoding));
    out.number(type->count);
    out.number(type->declared_union);
    out.number(type->target_id);
    const bool inside = whole && !inner_->unknown_members(*type);
    out.number(inside);
    if (!inside) continue;
    out.count(type->members().size());
    for (const Member& member : type->members()) {
      out.text(member.name);
      out.number(member.bit_offset);
      out.number(member.bit_size);
      out.number(member.type_id);
    }
    out.count(type->enumerators().size());
    for (const Enumerator& enumerator : type->enumerators()) {
      out.text(enumerator.name);
      out.number(static_cast<uint64_t>(enumerator.value));
    }
  }
  out.count(found_.size());
  for (const auto& [question, type] : found_) {
    out.number(static_cast<uint64_t>(question.first));
    out.text(question.second);
    write_answer(out, type);
  }
  out.count(variables_.size());
  for (const auto& [name, type] : variables_) {
    out.text(name);
    write_answer(out, type);
  }
  out.count(per_cpu_offsets_.size());
  for (const auto& [name, offset] : per_cpu_offsets_) {
    out.text(name);
    write_answer(out, offset);
  }
  out.count(prototypes_.size());
  for (const auto& [question, found] : prototypes_) {
    out.text(question.first);
    out.number(question.second);
    write(out, found);
  }
  out.count(signatures_.size());
  for (const auto& [function, found] : signatures_) {
    out.number(function);
    write(out, found);
  }
  out.count(inlined_.size());
  for (const auto& [address, calls] : inlined_) {
    out.number(address);
    out.count(calls.size());
    for (const InlinedCall& inlined : calls) out.text(inlined.function);
  }
  return closure.types().size();
}

}  // namespace perfcore
