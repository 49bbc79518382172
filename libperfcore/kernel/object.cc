// SPDX-License-Identifier: LGPL-2.1-or-later
#include "perfcore/object.h"

#include <fmt/format.h>

#include <cstring>
#include <unordered_set>

#include "kernel/synthetic_types.h"
#include "perfcore/kernel.h"
#include "perfcore/members.h"

namespace perfcore {
namespace {

constexpr uint64_t kMaxObjectBytes = 16 << 20;

/// The expression as the left side of a postfix operator: casts and unary operators bind less tightly than
/// "->".
std::string postfix_operand(const std::string& expression) {
  if (expression.empty()) return expression;
  if (std::string_view("*&-!~").find(expression.front()) != std::string_view::npos)
    return "(" + expression + ")";
  if (expression.front() != '(') return expression;
  size_t depth = 0;
  for (size_t i = 0; i < expression.size(); i++) {
    if (expression[i] == '(') depth++;
    if (expression[i] == ')' && --depth == 0) {
      const std::string_view rest = std::string_view(expression).substr(i + 1);
      const bool is_postfix =
          rest.empty() || rest.front() == '.' || rest.front() == '[' || rest.starts_with("->");
      return is_postfix ? expression : "(" + expression + ")";
    }
  }
  return "(" + expression + ")";
}

bool is_scalar(const Type* type) {
  return type->kind == TypeKind::kInt || type->kind == TypeKind::kEnum || type->kind == TypeKind::kPointer;
}

}  // namespace

Object::Object(Kernel& kernel, const Type* type, uint64_t address, std::string expression)
    : Object(kernel, type, Location{address, 0, 0, nullptr}, std::move(expression)) {}

Object::Object(Kernel& kernel, const Type* type, std::variant<Location, Value, Unread> place,
               std::string expression, std::string pointee_of)
    : kernel_(&kernel),
      type_(type),
      place_(std::move(place)),
      expression_(std::move(expression)),
      pointee_of_(std::move(pointee_of)) {}

Object Object::of_value(Kernel& kernel, const Type* type, uint64_t value, std::string expression) {
  return Object(kernel, type, Value{value}, std::move(expression));
}

Object Object::of_unread(Kernel& kernel, Unread unread) {
  std::string expression = unread.path;
  return Object(kernel, nullptr, std::move(unread), std::move(expression));
}

Object Object::fail(UnreadReason reason, std::string detail, uint64_t address) const {
  return of_unread(*kernel_, Unread{reason, address, expression_, std::move(detail)});
}

Reading<uint64_t> Object::address() const {
  if (const Unread* reason = unread()) return *reason;
  if (const auto* location = std::get_if<Location>(&place_)) return location->address;
  return Unread{UnreadReason::kNotMapped, 0, expression_, "a value has no address"};
}

Object Object::step(std::string_view name) const {
  if (unread()) return *this;
  const Type* type = type_->strip();
  if (type && type->kind == TypeKind::kPointer) return deref().step(name);
  const std::string path =
      pointee_of_.empty() ? postfix_operand(expression_) + "." : postfix_operand(pointee_of_) + "->";
  const auto found = find_member(*kernel_, type_, name);
  if (!found || !found->type) {
    if (const auto unknown = type ? type->source->unknown_members(*type) : std::nullopt)
      return of_unread(*kernel_, Unread{unknown->reason, 0, path + std::string(name), unknown->path});
    return of_unread(*kernel_, Unread{UnreadReason::kNoMember, 0, path + std::string(name),
                                      fmt::format("{} has no member {}", type_->to_string(), name)});
  }
  const auto* location = std::get_if<Location>(&place_);
  if (!location) return fail(UnreadReason::kNoMember, "a value has no members");
  const uint64_t bit = location->bit_offset + found->bit_offset;
  return Object(*kernel_, found->type,
                Location{location->address + bit / 8, static_cast<uint8_t>(bit % 8), found->bit_size,
                         location->snapshot},
                path + std::string(name));
}

Object Object::member(std::string_view path) const {
  Object here = *this;
  while (!path.empty()) {
    if (path.front() == '[') {
      const size_t close = path.find(']');
      if (close == std::string_view::npos || close > 10)
        return here.fail(UnreadReason::kNoMember, "bad index");
      here = here.index(std::atoll(std::string(path.substr(1, close - 1)).c_str()));
      path.remove_prefix(close + 1);
    } else {
      if (path.front() == '.') path.remove_prefix(1);
      const size_t end = std::min(path.find_first_of(".["), path.size());
      here = here.step(path.substr(0, end));
      path.remove_prefix(end);
    }
  }
  return here;
}

bool Object::has_member(std::string_view path) const {
  if (unread()) return false;
  const Type* type = type_->strip();
  if (type && type->kind == TypeKind::kPointer) type = type->target();
  return type && find_member(*kernel_, type, path).has_value();
}

Object Object::index(int64_t i) const {
  if (unread()) return *this;
  const Type* type = type_->strip();
  const Type* element = type ? type->target() : nullptr;
  const std::string expression =
      (pointee_of_.empty() ? postfix_operand(expression_) : "(" + expression_ + ")") + fmt::format("[{}]", i);
  if (!element || element->size == 0 ||
      (type->kind != TypeKind::kArray && type->kind != TypeKind::kPointer)) {
    return of_unread(
        *kernel_, Unread{UnreadReason::kNoMember, 0, expression, type_->to_string() + " cannot be indexed"});
  }
  const uint64_t offset = static_cast<uint64_t>(i) * element->size;
  if (type->kind == TypeKind::kPointer) {
    const Reading<uint64_t> pointer = u64();
    if (!pointer.has_value()) return of_unread(*kernel_, pointer.unread());
    if (*pointer == 0)
      return of_unread(*kernel_, Unread{UnreadReason::kNullPointer, 0, expression, expression_ + " is NULL"});
    return Object(*kernel_, element, Location{*pointer + offset, 0, 0, nullptr}, expression);
  }
  const auto* location = std::get_if<Location>(&place_);
  if (!location || i < 0 || (type->count && static_cast<uint64_t>(i) >= type->count)) {
    return of_unread(*kernel_, Unread{UnreadReason::kNoMember, 0, expression,
                                      fmt::format("index {} is outside {}", i, type_->to_string())});
  }
  return Object(*kernel_, element, Location{location->address + offset, 0, 0, location->snapshot},
                expression);
}

Object Object::deref() const {
  if (unread()) return *this;
  const Type* type = type_->strip();
  if (type && type->kind == TypeKind::kArray) return index(0);
  const Type* target = type && type->kind == TypeKind::kPointer ? type->target() : nullptr;
  if (!target) return fail(UnreadReason::kNoType, type_->to_string() + " is not a pointer");
  if (target->strip() && target->strip()->kind == TypeKind::kForward) {
    if (const Type* complete = target->source->complete(target->strip())) target = complete;
  }
  const Reading<uint64_t> pointer = u64();
  if (!pointer.has_value()) return of_unread(*kernel_, pointer.unread());
  if (*pointer == 0) return fail(UnreadReason::kNullPointer, expression_ + " is NULL");
  return Object(*kernel_, target, Location{*pointer, 0, 0, nullptr}, "*" + expression_, expression_);
}

Object Object::address_of() const {
  if (unread()) return *this;
  const auto* location = std::get_if<Location>(&place_);
  if (!location || location->bit_size) return fail(UnreadReason::kNotMapped, "has no address");
  return of_value(*kernel_, kernel_->synthetic_->pointer_to(type_), location->address,
                  pointee_of_.empty() ? "&" + postfix_operand(expression_) : pointee_of_);
}

Object Object::cast(const Type* type) const {
  if (unread()) return *this;
  const Type* target = type ? type->strip() : nullptr;
  if (!target) return fail(UnreadReason::kNoType, "cast to an unknown type");
  if (!is_scalar(target)) return fail(UnreadReason::kNoType, "cannot cast to " + type->to_string());
  const Reading<int64_t> value = s64();
  if (!value.has_value()) return of_unread(*kernel_, value.unread());
  uint64_t bits = static_cast<uint64_t>(*value);
  if (target->encoding == IntEncoding::kBool && target->kind == TypeKind::kInt)
    bits = bits != 0;
  else if (target->size < 8)
    bits &= (uint64_t{1} << (8 * target->size)) - 1;
  const bool simple =
      !expression_.empty() && expression_.find_first_of(" +-*/%&|^<>=!~(") == std::string::npos;
  return of_value(*kernel_, type, bits,
                  fmt::format("({}){}", type->to_string(), simple ? expression_ : "(" + expression_ + ")"));
}

Object Object::cast(std::string_view type_name) const {
  if (unread()) return *this;
  const Type* type = kernel_->type(type_name);
  if (!type) return fail(UnreadReason::kNoType, fmt::format("no type {}", type_name));
  return cast(type);
}

Object Object::container_of(std::string_view type_name, std::string_view path) const {
  if (unread()) return *this;
  const Type* type = kernel_->type(type_name);
  const auto member = type ? find_member(*kernel_, type, path) : std::nullopt;
  if (!member) return fail(UnreadReason::kNoMember, fmt::format("{} has no member {}", type_name, path));
  const Reading<uint64_t> pointer = u64();
  if (!pointer.has_value()) return of_unread(*kernel_, pointer.unread());
  const std::string expression = fmt::format("container_of({}, {}, {})", expression_, type_name, path);
  return Object(*kernel_, type, Location{*pointer - member->byte_offset(), 0, 0, nullptr}, "*" + expression,
                expression);
}

Object Object::per_cpu_ptr(int cpu) const {
  if (unread()) return *this;
  const Type* type = type_->strip();
  const Type* target = type && type->kind == TypeKind::kPointer ? type->target() : nullptr;
  if (!target) return fail(UnreadReason::kNoType, type_->to_string() + " is not a pointer");
  const Reading<uint64_t> pointer = u64();
  if (!pointer.has_value()) return of_unread(*kernel_, pointer.unread());
  if (*pointer == 0) return fail(UnreadReason::kNullPointer, expression_ + " is NULL");
  const Reading<uint64_t> offset = kernel_->per_cpu_offset(cpu);
  if (!offset.has_value()) return of_unread(*kernel_, offset.unread());
  const std::string expression = fmt::format("per_cpu_ptr({}, {})", expression_, cpu);
  return Object(*kernel_, target, Location{*pointer + *offset, 0, 0, nullptr}, "*" + expression, expression);
}

std::optional<Unread> Object::fetch(const Location& location, std::span<std::byte> out) const {
  std::optional<Unread> failure;
  if (location.snapshot) {
    const Snapshot& snapshot = *location.snapshot;
    const uint64_t offset = location.address - snapshot.address;
    if (offset <= snapshot.bytes.size() && out.size() <= snapshot.bytes.size() - offset) {
      if (const Snapshot::Gap* gap = snapshot.gap_in(offset, out.size()))
        failure = gap->unread;
      else
        std::memcpy(out.data(), snapshot.bytes.data() + offset, out.size());
      if (failure) failure->path = expression_;
      return failure;
    }
  }
  failure = kernel_->memory().read(location.address, out);
  if (failure) failure->path = expression_;
  return failure;
}

Reading<uint64_t> Object::scalar() const {
  if (const Unread* reason = unread()) return *reason;
  if (const auto* value = std::get_if<Value>(&place_)) return value->value;
  const Type* type = type_->strip();
  if (!type || !is_scalar(type) || type->size == 0 || type->size > 8)
    return Unread{UnreadReason::kNoType, 0, expression_, type_->to_string() + " is not a number"};
  const auto& location = std::get<Location>(place_);
  const uint64_t bits = location.bit_size ? location.bit_size : type->size * 8;
  if (bits > 64)
    return Unread{UnreadReason::kCorrupt, 0, expression_, fmt::format("bit-field of {} bits", bits)};
  std::byte raw[16] = {};
  if (auto failure = fetch(location, std::span(raw).first((location.bit_offset + bits + 7) / 8)))
    return std::move(*failure);
  // A bit-field may reach into a ninth byte.
  uint64_t low = 0;
  std::memcpy(&low, raw, sizeof low);
  uint64_t value = low >> location.bit_offset;
  if (location.bit_offset) value |= static_cast<uint64_t>(raw[8]) << (64 - location.bit_offset);
  return bits == 64 ? value : value & ((uint64_t{1} << bits) - 1);
}

Reading<uint64_t> Object::u64() const {
  return scalar();
}

Reading<int64_t> Object::s64() const {
  const Reading<uint64_t> raw = scalar();
  if (!raw.has_value()) return raw.unread();
  const Type* type = type_->strip();
  const bool is_signed = type->kind != TypeKind::kPointer &&
                         (type->encoding == IntEncoding::kSigned || type->encoding == IntEncoding::kChar);
  const auto* location = std::get_if<Location>(&place_);
  const uint64_t bits = location && location->bit_size ? location->bit_size : type->size * 8;
  if (!is_signed || bits >= 64) return static_cast<int64_t>(*raw);
  const uint64_t sign = uint64_t{1} << (bits - 1);
  return static_cast<int64_t>((*raw ^ sign) - sign);
}

Reading<bool> Object::truth() const {
  return scalar().map([](uint64_t value) { return value != 0; });
}

Reading<std::string> Object::string(size_t max_size) const {
  if (const Unread* reason = unread()) return *reason;
  const Type* type = type_->strip();
  if (type && type->kind == TypeKind::kPointer) {
    const Reading<uint64_t> pointer = u64();
    if (!pointer.has_value()) return pointer.unread();
    if (*pointer == 0) return Unread{UnreadReason::kNullPointer, 0, expression_, expression_ + " is NULL"};
    Reading<std::string> text = read_c_string(kernel_->memory(), *pointer, max_size);
    if (text.has_value()) return text;
    Unread failure = text.unread();
    failure.path = "*" + expression_;
    return failure;
  }
  const auto* location = std::get_if<Location>(&place_);
  if (!type || type->kind != TypeKind::kArray || !location)
    return Unread{UnreadReason::kNoType, 0, expression_, type_->to_string() + " is not a string"};
  std::string text(std::min<uint64_t>(type->size ? type->size : max_size, max_size), '\0');
  if (auto failure = fetch(*location, std::as_writable_bytes(std::span(text)))) return std::move(*failure);
  text.resize(std::min(text.find('\0'), text.size()));
  return text;
}

Reading<std::vector<std::byte>> Object::bytes() const {
  if (const Unread* reason = unread()) return *reason;
  const auto* location = std::get_if<Location>(&place_);
  if (!location) return Unread{UnreadReason::kNoType, 0, expression_, "a value has no bytes"};
  if (type_->size > kMaxObjectBytes)
    return Unread{UnreadReason::kLimit, location->address, expression_, fmt::format("{} bytes", type_->size)};
  std::vector<std::byte> raw(type_->size);
  if (auto failure = fetch(*location, raw)) return std::move(*failure);
  return raw;
}

Object Object::load() const {
  const auto* location = std::get_if<Location>(&place_);
  if (!location || location->bit_size || type_->size == 0 || type_->size > kMaxObjectBytes) return *this;
  Object copy = *this;
  std::get<Location>(copy.place_).snapshot =
      std::make_shared<const Snapshot>(take_snapshot(kernel_->memory(), location->address, type_->size));
  return copy;
}

ListWalk list_entries(const Object& head, std::string_view type_name, std::string_view link, size_t max) {
  ListWalk walk;
  Kernel& kernel = head.kernel();
  const Type* list_head = kernel.type("struct list_head");
  const Type* type = kernel.type(type_name);
  const auto member = type ? find_member(kernel, type, link) : std::nullopt;
  Object start = head;
  if (!head.unread() && head.type()->strip() && head.type()->strip()->kind == TypeKind::kPointer)
    start = head.deref();
  const Reading<uint64_t> end = start.address();
  if (!end.has_value()) {
    walk.incomplete = end.unread();
    return walk;
  }
  if (!list_head || !member) {
    walk.incomplete = Unread{UnreadReason::kNoMember, *end, start.expression(),
                             fmt::format("no struct list_head, or no {}.{}", type_name, link)};
    return walk;
  }
  const uint64_t offset = member->byte_offset();
  std::unordered_set<uint64_t> seen;
  // Both pointers are read at once, so that a recording of this walk can be walked from its end as well.
  const auto node_at = [&](uint64_t address) { return kernel.object(list_head, address).load(); };
  start = start.load();
  Object next = start.member("next");
  while (true) {
    const Reading<uint64_t> pointer = next.u64();
    if (!pointer.has_value()) {
      walk.incomplete = pointer.unread();
      break;
    }
    if (*pointer == *end) return walk;
    if (*pointer == 0) {
      walk.incomplete = Unread{UnreadReason::kNullPointer, 0, next.expression(), "list entry without next"};
      return walk;
    }
    if (!seen.insert(*pointer).second || walk.entries.size() >= max) {
      walk.incomplete =
          Unread{UnreadReason::kLimit, *pointer, start.expression(),
                 walk.entries.size() >= max ? fmt::format("more than {} entries", max)
                                            : fmt::format("cycle after {} entries", walk.entries.size())};
      return walk;
    }
    const Object entry = kernel.object(type, *pointer - offset);
    next = node_at(*pointer).member("next");
    walk.entries.push_back(entry);
  }
  // An entry in a page that was not saved hides those behind it from this side only: of a filtered dump's
  // tasks usually one is lost, not the rest of the list.
  std::vector<Object> from_end;
  for (Object previous = start.member("prev"); walk.entries.size() + from_end.size() < max;) {
    const Reading<uint64_t> pointer = previous.u64();
    if (!pointer.has_value() || *pointer == 0 || *pointer == *end || !seen.insert(*pointer).second) break;
    from_end.push_back(kernel.object(type, *pointer - offset));
    previous = node_at(*pointer).member("prev");
  }
  walk.entries.insert(walk.entries.end(), from_end.rbegin(), from_end.rend());
  return walk;
}

}  // namespace perfcore
