// SPDX-License-Identifier: LGPL-2.1-or-later
#include <fmt/format.h>

#include <algorithm>

#include "perfcore/kernel.h"
#include "perfcore/object.h"

namespace perfcore {
namespace {

std::string unread_text(const Unread& unread) {
  std::string text = fmt::format("<{}", to_string(unread.reason));
  if (!unread.detail.empty()) text += ": " + unread.detail;
  return text + ">";
}

std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\')
      out += std::string("\\") + c;
    else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    else
      out += c;
  }
  return out + "\"";
}

class Printer {
 public:
  Printer(Kernel& kernel, const PrintOptions& options) : kernel_(kernel), options_(options) {}

  std::string print(const Object& object, int indent, int depth, bool with_type) {
    if (const Unread* unread = object.unread()) return unread_text(*unread);
    const Type* type = object.type()->strip();
    const std::string prefix = with_type ? "(" + object.type()->to_string() + ")" : "";
    if (!type) return prefix + "<unknown type>";
    switch (type->kind) {
      case TypeKind::kStruct:
      case TypeKind::kUnion:
        return prefix + (depth > options_.max_depth ? "{ ... }" : aggregate(object, type, indent, depth));
      case TypeKind::kArray:
        return prefix + (depth > options_.max_depth ? "{ ... }" : array(object, type, indent, depth));
      case TypeKind::kEnum:
        return prefix + enumeration(object, type);
      case TypeKind::kPointer:
        return prefix + pointer(object, type);
      case TypeKind::kInt:
        return prefix + integer(object, type);
      default:
        return prefix + "<" + type->to_string() + ">";
    }
  }

 private:
  std::string integer(const Object& object, const Type* type) {
    const Reading<uint64_t> raw = object.u64();
    if (!raw.has_value()) return unread_text(raw.unread());
    if (type->encoding == IntEncoding::kBool) return *raw ? "true" : "false";
    if (options_.hex_integers) return fmt::format("{:#x}", *raw);
    const Reading<int64_t> value = object.s64();
    if (type->encoding != IntEncoding::kUnsigned) return fmt::format("{}", *value);
    return *raw > 0xffffffff ? fmt::format("{:#x}", *raw) : fmt::format("{}", *raw);
  }

  std::string enumeration(const Object& object, const Type* type) {
    const Reading<int64_t> value = object.s64();
    if (!value.has_value()) return unread_text(value.unread());
    for (const Enumerator& candidate : type->enumerators())
      if (candidate.value == *value) return candidate.name;
    return fmt::format("{}", *value);
  }

  std::string pointer(const Object& object, const Type* type) {
    const Reading<uint64_t> value = object.u64();
    if (!value.has_value()) return unread_text(value.unread());
    std::string text = fmt::format("{:#x}", *value);
    if (*value == 0) return text;
    const Type* target = type->target() ? type->target()->strip() : nullptr;
    if (target && target->kind == TypeKind::kInt && target->encoding == IntEncoding::kChar) {
      const Reading<std::string> string = object.string(256);
      if (string.has_value()) text += " " + quoted(*string);
      return text;
    }
    if (*value >= 0xffffffff80000000) {
      if (const auto symbol = kernel_.symbols().at(*value)) {
        const uint64_t offset = *value - symbol->address;
        text +=
            offset ? fmt::format(" <{}+{:#x}>", symbol->name, offset) : fmt::format(" <{}>", symbol->name);
      }
    }
    return text;
  }

  std::string aggregate(const Object& object, const Type* type, int indent, int depth) {
    const std::string margin(static_cast<size_t>(indent) + 8, ' ');
    std::string text = "{\n";
    members(object, type, indent, depth, &text);
    return text + std::string(margin.begin() + 8, margin.end()) + "}";
  }

  /// Anonymous structs and unions are printed as members of the outer type, as C names them.
  void members(const Object& object, const Type* type, int indent, int depth, std::string* text) {
    for (const Member& member : type->members()) {
      if (member.name.empty()) {
        const Type* inner = type->member_type(member) ? type->member_type(member)->strip() : nullptr;
        if (inner && inner->is_aggregate() && depth < 64) members(object, inner, indent, depth + 1, text);
        continue;
      }
      const Object value = object.member(member.name);
      *text += fmt::format("{:{}}.{} = {},\n", "", indent + 8, member.name,
                           print(value, indent + 8, depth + 1, value.unread() == nullptr));
    }
  }

  std::string array(const Object& object, const Type* type, int indent, int depth) {
    const Type* element = type->target() ? type->target()->strip() : nullptr;
    if (!element) return "{ ? }";
    if (element->kind == TypeKind::kInt && element->encoding == IntEncoding::kChar && type->count) {
      const Reading<std::string> string = object.string();
      return string.has_value() ? quoted(*string) : unread_text(string.unread());
    }
    std::string text = "{";
    const bool wide = element->is_aggregate() || element->kind == TypeKind::kArray;
    uint64_t shown = 0;
    uint64_t zeros = 0;
    for (uint64_t i = 0; i < type->count; i++) {
      const Object value = object.index(static_cast<int64_t>(i));
      if (!wide && value.u64().is(uint64_t{0})) {
        zeros++;
        continue;
      }
      if (++shown > options_.max_array) {
        text += fmt::format(" ... {} more", type->count - i);
        break;
      }
      const std::string designator = wide || zeros ? fmt::format("[{}] = ", i) : "";
      text += (wide ? fmt::format("\n{:{}}", "", indent + 8) : std::string(" ")) + designator +
              print(value, indent + 8, depth + 1, false) + ",";
    }
    if (wide && shown) return text + fmt::format("\n{:{}}}}", "", indent);
    return text + " }";
  }

  Kernel& kernel_;
  const PrintOptions& options_;
};

}  // namespace

std::string format_object(const Object& object, const PrintOptions& options) {
  return Printer(object.kernel(), options).print(object, options.indent, 0, true);
}

}  // namespace perfcore
