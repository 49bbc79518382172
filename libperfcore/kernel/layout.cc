// SPDX-License-Identifier: LGPL-2.1-or-later
#include "perfcore/layout.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <set>
#include <stdexcept>

namespace perfcore {
namespace {

/// Bounds against damaged debug information; the largest types of the kernel have some hundred members.
constexpr int kMaxDepth = 32;
constexpr size_t kMaxEntries = 20000;
constexpr size_t kSuggestions = 5;

constexpr std::pair<std::string_view, TypeKind> kKeywords[] = {
    {"struct ", TypeKind::kStruct}, {"union ", TypeKind::kUnion}, {"enum ", TypeKind::kEnum}};

const Type* completed(const Type* type) {
  type = type ? type->strip() : nullptr;
  return type && type->kind == TypeKind::kForward ? type->source->complete(type) : type;
}

/// Types that C declares where they are used.
bool is_nameless(const Type* type) {
  return type && type->is_aggregate() && type->name.empty();
}

class Builder {
 public:
  explicit Builder(Layout& layout) : layout_(layout) {}

  std::vector<LayoutEntry> entries_of(const Type* type, uint64_t base, int depth) {
    std::vector<LayoutEntry> entries;
    uint64_t end = base;  // in bits, of the members so far
    for (const Member& member : type->members()) {
      if (++count_ > kMaxEntries) return entries;
      LayoutEntry entry;
      entry.name = member.name;
      entry.type = type->member_type(member);
      entry.bit_offset = base + member.bit_offset;
      entry.bit_field = member.bit_size != 0;
      const Type* whole = completed(entry.type);
      entry.bit_size = entry.bit_field ? member.bit_size : (whole ? whole->size * 8 : 0);
      if (type->kind == TypeKind::kStruct && entry.bit_offset > end)
        add_gap(end, entry.bit_offset, LayoutEntry::Kind::kHole, &entries);
      end = std::max(end, entry.bit_offset + entry.bit_size);
      if (!entry.name.empty()) layout_.members++;
      // Only a tagless type that is a member itself is written out: one behind a pointer or array has no
      // place of its own. A member without a name may have a type with a tag (-fms-extensions, since 6.19).
      if (depth < kMaxDepth && whole && whole->is_aggregate() &&
          (entry.name.empty() || is_nameless(entry.type)))
        entry.members = entries_of(whole, entry.bit_offset, depth + 1);
      entries.push_back(std::move(entry));
    }
    const uint64_t size_end = base + type->size * 8;
    if (size_end > end && !type->members().empty()) {
      add_gap(end, size_end, LayoutEntry::Kind::kPadding, &entries);
      if (depth == 0) layout_.padding_bytes = (size_end - end) / 8;
    }
    return entries;
  }

 private:
  /// Bits up to the next byte, whole bytes, and bits before a bit-field that does not start a byte.
  void add_gap(uint64_t begin, uint64_t end, LayoutEntry::Kind kind, std::vector<LayoutEntry>* entries) {
    const auto add = [&](uint64_t from, uint64_t to) {
      if (to <= from) return;
      LayoutEntry gap;
      gap.kind = kind;
      gap.bit_offset = from;
      gap.bit_size = to - from;
      entries->push_back(std::move(gap));
      if (kind != LayoutEntry::Kind::kHole) return;
      if ((to - from) % 8 == 0 && from % 8 == 0) {
        layout_.holes++;
        layout_.hole_bytes += (to - from) / 8;
      } else {
        layout_.bit_holes++;
        layout_.bit_hole_bits += to - from;
      }
    };
    const uint64_t first_byte = std::min((begin + 7) / 8 * 8, end);
    const uint64_t last_byte = std::max(end / 8 * 8, first_byte);
    add(begin, first_byte);
    add(first_byte, last_byte);
    add(last_byte, end);
  }

  Layout& layout_;
  size_t count_ = 0;
};

std::string tag_of(const Type* type, std::string_view keyword) {
  return type->name.empty() ? std::string(keyword) : fmt::format("{} {}", keyword, type->name);
}

/// C's declarators grow from the name outwards.
std::string declare_from(const Type* type, std::string inner, int depth) {
  const auto with = [&](const std::string& specifier) {
    return inner.empty() ? specifier : fmt::format("{} {}", specifier, inner);
  };
  if (!type || depth > kMaxDepth) return with("?");
  switch (type->kind) {
    case TypeKind::kPointer: {
      const Type* target = type->target();
      const bool binds_tighter =
          target && (target->kind == TypeKind::kArray || target->kind == TypeKind::kFunction);
      return declare_from(target, binds_tighter ? fmt::format("(*{})", inner) : "*" + inner, depth + 1);
    }
    case TypeKind::kArray: {
      uint64_t count = type->count;
      const Type* element = type->target();
      for (int i = 0; i < kMaxDepth && element && element->kind == TypeKind::kArray; i++) {
        count *= element->count;
        element = element->target();
      }
      return declare_from(element, count ? fmt::format("{}[{}]", inner, count) : inner + "[]", depth + 1);
    }
    case TypeKind::kFunction: {
      const auto signature = type->source->signature(*type);
      std::vector<std::string> parameters;
      if (signature)
        for (const Type* parameter : signature->parameters)
          parameters.push_back(declare_from(parameter, "", depth + 1));
      if (parameters.empty()) parameters.push_back(signature ? "void" : "");
      return declare_from(signature ? signature->result : nullptr,
                          fmt::format("{}({})", inner, fmt::join(parameters, ", ")), depth + 1);
    }
    case TypeKind::kConst:
    case TypeKind::kVolatile:
    case TypeKind::kRestrict: {
      const std::string_view word = type->kind == TypeKind::kConst      ? "const"
                                    : type->kind == TypeKind::kVolatile ? "volatile"
                                                                        : "restrict";
      const Type* target = type->target();
      // A qualifier of a pointer stands behind its asterisk.
      if (target && target->kind == TypeKind::kPointer)
        return declare_from(target, inner.empty() ? std::string(word) : fmt::format("{} {}", word, inner),
                            depth + 1);
      return fmt::format("{} {}", word, declare_from(target, std::move(inner), depth + 1));
    }
    case TypeKind::kStruct:
      return with(tag_of(type, "struct"));
    case TypeKind::kUnion:
      return with(tag_of(type, "union"));
    case TypeKind::kEnum:
      return with(tag_of(type, "enum"));
    case TypeKind::kForward:
      return with(tag_of(type, type->declared_union ? "union" : "struct"));
    case TypeKind::kVoid:
      return with("void");
    default:
      return with(type->name.empty() ? "?" : type->name);
  }
}

/// Edits between two names, or `limit` when they are more.
size_t edit_distance(std::string_view a, std::string_view b, size_t limit) {
  if (a.size() > b.size()) std::swap(a, b);
  if (b.size() - a.size() >= limit) return limit;
  std::vector<size_t> row(a.size() + 1);
  for (size_t i = 0; i < row.size(); i++) row[i] = i;
  for (size_t j = 1; j <= b.size(); j++) {
    size_t diagonal = row[0];
    row[0] = j;
    size_t least = j;
    for (size_t i = 1; i <= a.size(); i++) {
      const size_t change = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[i];
      row[i] = std::min({row[i] + 1, row[i - 1] + 1, change});
      least = std::min(least, row[i]);
    }
    if (least >= limit) return limit;
  }
  return row.back();
}

/// Keeps the names nearest to a wanted one.
class Nearest {
 public:
  explicit Nearest(std::string_view wanted)
      : wanted_(wanted), limit_(std::max<size_t>(3, wanted.size() / 3)) {}

  void offer(std::string_view name, std::string_view shown) {
    size_t distance = edit_distance(wanted_, name, limit_);
    // A part of a name that was given right tells more than a few letters.
    if (distance == limit_ && wanted_.size() >= 4 && name.find(wanted_) != std::string_view::npos)
      distance = limit_ + name.size() - wanted_.size();
    else if (distance == limit_)
      return;
    if (best_.size() >= kSuggestions && distance > std::prev(best_.end())->first) return;
    best_.emplace(distance, shown);
    if (best_.size() > kSuggestions) best_.erase(std::prev(best_.end()));
  }
  std::string text() const {
    std::vector<std::string> names;
    for (const auto& [distance, name] : best_) names.push_back(name);
    return fmt::format("{}", fmt::join(names, ", "));
  }

 private:
  std::string wanted_;
  size_t limit_;
  std::set<std::pair<size_t, std::string>> best_;
};

std::string keyword_of(TypeKind kind) {
  for (const auto& [keyword, keyword_kind] : kKeywords)
    if (kind == keyword_kind) return std::string(keyword);
  return "";
}

[[noreturn]] void no_such_type(Kernel& kernel, std::string_view name, std::string_view bare) {
  if (const Object variable = kernel.variable(bare); variable.type())
    throw std::invalid_argument(
        fmt::format("there is no type \"{}\", but a variable of type {}: ask for that", name,
                    variable.type()->to_string()));
  Nearest nearest(bare);
  bool any = false;
  size_t unread = 0;
  kernel.types().for_each_name([&](TypeKind kind, std::string_view known) {
    any = true;
    // BTF stands in for names that could not be read; no C name is like it.
    unread += known.starts_with('<');
    nearest.offer(known, keyword_of(kind) + std::string(known));
  });
  std::string message =
      fmt::format("there is no type \"{}\" in this kernel's types ({})", name, kernel.types().source());
  if (!any)
    message = fmt::format("there are no types to find \"{}\" in: give a vmlinux by --debuginfo", name);
  else if (const std::string names = nearest.text(); !names.empty())
    message += "; the nearest are: " + names;
  if (const auto incomplete = kernel.types().incomplete())
    message += fmt::format("; not all types could be read ({}): a vmlinux by --debuginfo has them",
                           incomplete->message());
  else if (unread)
    message +=
        fmt::format("; {} names of types could not be read: a vmlinux by --debuginfo has them", unread);
  throw std::invalid_argument(message);
}

void offer_members(const Type* type, Nearest* nearest, int depth) {
  type = completed(type);
  if (!type || !type->is_aggregate() || depth > kMaxDepth) return;
  for (const Member& member : type->members()) {
    if (member.name.empty())
      offer_members(type->member_type(member), nearest, depth + 1);
    else
      nearest->offer(member.name, member.name);
  }
}

[[noreturn]] void no_such_member(const Type* outer, std::string_view path) {
  // How much of the path leads somewhere?
  const Type* here = outer;
  std::string_view rest = path;
  std::string_view good;
  for (size_t end = 0; end < path.size();) {
    end = std::min(path.find_first_of(".[", end + 1), path.size());
    const auto found = TypeSource::find_member(outer, path.substr(0, end));
    if (!found) break;
    here = found->type;
    good = path.substr(0, end);
    rest = path.substr(end);
  }
  const Type* bare = completed(here);
  const std::string place =
      good.empty() ? outer->to_string() : fmt::format("{}.{}", outer->to_string(), good);
  if (bare && bare->kind == TypeKind::kPointer)
    throw std::invalid_argument(fmt::format("{} is a pointer ({}): ask for \"{}{}\" of what it points to",
                                            place, declare(here, ""), declare(bare->target(), ""), rest));
  if (!bare || !bare->is_aggregate())
    throw std::invalid_argument(
        fmt::format("{} is of type {}: there is no \"{}\" in it", place, declare(here, ""), rest));
  if (rest.starts_with('.')) rest.remove_prefix(1);
  const std::string_view first = rest.substr(0, rest.find_first_of(".["));
  Nearest nearest(first);
  offer_members(bare, &nearest, 0);
  const std::string names = nearest.text();
  throw std::invalid_argument(fmt::format("{} has no member \"{}\"{}{}", place, first,
                                          names.empty() ? "" : "; the nearest are: ", names));
}

std::string_view trimmed(std::string_view text) {
  while (text.starts_with(' ')) text.remove_prefix(1);
  while (text.ends_with(' ')) text.remove_suffix(1);
  return text;
}

const Type* find_type(Kernel& kernel, std::string_view name) {
  if (name.empty()) return nullptr;
  const auto sized = [](const Type* type) {
    return type && type->kind != TypeKind::kUnknown ? type : nullptr;
  };
  for (const auto& [keyword, kind] : kKeywords)
    if (name.starts_with(keyword))
      return sized(kernel.types().find(kind, trimmed(name.substr(keyword.size()))));
  // Typedefs of this kernel that end in _t have no namesake among tags: do not search all tags for them.
  std::array<TypeKind, 4> order = {TypeKind::kStruct, TypeKind::kTypedef, TypeKind::kUnion, TypeKind::kEnum};
  if (name.ends_with("_t")) std::swap(order[0], order[1]);
  for (const TypeKind kind : order)
    if (const Type* type = sized(kernel.types().find(kind, name))) return type;
  return sized(kernel.type(name));
}

}  // namespace

Layout layout_of(const Type* type) {
  Layout layout;
  layout.type = completed(type);
  if (!layout.type) return layout;
  layout.size = layout.type->size;
  if (layout.type->is_aggregate()) layout.entries = Builder(layout).entries_of(layout.type, 0, 0);
  return layout;
}

std::string declare(const Type* type, std::string_view name) {
  return declare_from(type, std::string(name), 0);
}

NamedType find_named_type(Kernel& kernel, std::string_view name) {
  name = trimmed(name);
  NamedType result;
  const size_t end = std::min(name.find_first_of(".["), name.size());
  const std::string_view bare = trimmed(name.substr(0, end));
  result.name = std::string(bare);
  result.outer = find_type(kernel, bare);
  if (!result.outer) {
    std::string_view untagged = bare;
    for (const auto& [keyword, kind] : kKeywords)
      if (untagged.starts_with(keyword)) untagged = trimmed(untagged.substr(keyword.size()));
    no_such_type(kernel, bare, untagged);
  }
  std::string_view path = name.substr(end);
  if (path.starts_with('.')) path.remove_prefix(1);
  result.member = std::string(path);
  result.location = {result.outer, 0, 0};
  if (path.empty()) return result;
  const auto found = TypeSource::find_member(result.outer, path);
  if (!found || !found->type) no_such_member(result.outer, path);
  result.location = *found;
  return result;
}

}  // namespace perfcore
