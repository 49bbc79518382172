// SPDX-License-Identifier: LGPL-2.1-or-later
#include "format.h"

#include <fmt/format.h>

#include <optional>
#include <utility>

#include "bindings.h"
#include "perfcore/kernel.h"

namespace perfcore::python {
namespace {

/// Corrupt debug information could nest without end, or make a struct of a million members.
constexpr int kMaxDepth = 32;
constexpr size_t kMaxText = 64 << 20;
constexpr size_t kMaxString = 4096;
/// Where the kernel image and its modules are linked (Documentation/arch/x86/x86_64/mm.rst).
constexpr uint64_t kKernelImage = 0xffffffff80000000;

std::string tag_of(const Type& type) {
  const char* keyword = type.kind == TypeKind::kStruct  ? "struct"
                        : type.kind == TypeKind::kUnion ? "union"
                        : type.kind == TypeKind::kEnum  ? "enum"
                        : type.declared_union           ? "union"
                                                        : "struct";
  return fmt::format("{} {}", keyword, type.name.empty() ? "<anonymous>" : type.name);
}

/// The compiler's names of integers, as the kernel's source writes them.
std::string integer_name(const std::string& name) {
  constexpr std::pair<std::string_view, std::string_view> kNames[] = {
      {"long int", "long"},           {"long unsigned int", "unsigned long"},
      {"short int", "short"},         {"short unsigned int", "unsigned short"},
      {"long long int", "long long"}, {"long long unsigned int", "unsigned long long"},
  };
  for (const auto& [compiler, source] : kNames)
    if (name == compiler) return std::string(source);
  return name;
}

/// A declaration as C writes it: what stands around the name, from the inside out.
std::string declare(const Type* type, std::string declarator, int depth = 0) {
  const auto joined = [&](const std::string& base) {
    return declarator.empty() ? base : base + " " + declarator;
  };
  if (!type || depth > kMaxDepth) return joined("<unknown type>");
  switch (type->kind) {
    case TypeKind::kPointer: {
      const Type* target = type->target();
      const bool parentheses =
          target && (target->kind == TypeKind::kArray || target->kind == TypeKind::kFunction);
      return declare(target, parentheses ? "(*" + declarator + ")" : "*" + declarator, depth + 1);
    }
    case TypeKind::kArray:
      return declare(type->target(),
                     declarator + (type->count ? fmt::format("[{}]", type->count) : std::string("[]")),
                     depth + 1);
    case TypeKind::kConst:
    case TypeKind::kVolatile:
    case TypeKind::kRestrict: {
      const std::string qualifier = type->kind == TypeKind::kConst      ? "const"
                                    : type->kind == TypeKind::kVolatile ? "volatile"
                                                                        : "restrict";
      const Type* target = type->target();
      if (target && target->kind == TypeKind::kPointer)
        return declare(target, declarator.empty() ? qualifier : qualifier + " " + declarator, depth + 1);
      return qualifier + " " + declare(target, std::move(declarator), depth + 1);
    }
    case TypeKind::kFunction: {
      const auto signature = type->source->signature(*type);
      std::string parameters;
      if (signature) {
        for (const Type* parameter : signature->parameters)
          parameters += (parameters.empty() ? "" : ", ") + declare(parameter, "", depth + 1);
        if (parameters.empty()) parameters = "void";
      }
      const std::string inner = declarator + "(" + parameters + ")";
      return signature ? declare(signature->result, inner, depth + 1) : "<unknown type> " + inner;
    }
    case TypeKind::kVoid:
      return joined("void");
    case TypeKind::kStruct:
    case TypeKind::kUnion:
    case TypeKind::kEnum:
    case TypeKind::kForward:
      return joined(tag_of(*type));
    case TypeKind::kInt:
      return joined(integer_name(type->name));
    default:
      return joined(type->name.empty() ? "<unknown type>" : type->name);
  }
}

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\')
      out += {'\\', c};
    else if (c == '\n')
      out += "\\n";
    else if (c == '\t')
      out += "\\t";
    else if (byte < 0x20 || byte >= 0x7f)
      out += fmt::format("\\x{:02x}", byte);
    else
      out += c;
  }
  return out + "\"";
}

bool is_character(const Type* type) {
  const Type* plain = type ? type->strip() : nullptr;
  return plain && plain->kind == TypeKind::kInt && plain->size == 1 && plain->name.ends_with("char");
}

std::string reason_of(const Unread& unread) {
  return fmt::format("<{}>", to_string(unread.reason));
}

/// True when all bytes of an element were read and are 0: such elements at the end of an array are left out.
bool is_zero(const Object& object) {
  const auto bytes = object.bytes();
  if (!bytes.has_value()) return false;
  for (const std::byte byte : *bytes)
    if (byte != std::byte{0}) return false;
  return true;
}

class Printer {
 public:
  explicit Printer(Kernel& kernel) : kernel_(kernel) {}

  /// The value without its type.
  std::string body(const Object& object, int indent, int depth) {
    if (const Unread* unread = object.unread()) return reason_of(*unread);
    const Type* type = object.type()->strip();
    if (!type || depth > kMaxDepth || budget_ == 0) return "<...>";
    --budget_;
    switch (type->kind) {
      case TypeKind::kStruct:
      case TypeKind::kUnion:
        return aggregate(object, type, indent, depth);
      case TypeKind::kArray:
        return array(object, type, indent, depth);
      case TypeKind::kEnum:
        return enumeration(object, type);
      case TypeKind::kPointer:
        return pointer(object, type);
      case TypeKind::kInt:
        return integer(object, type);
      default: {
        const auto address = object.address();
        return address.has_value() ? fmt::format("{:#x}", *address) : reason_of(address.unread());
      }
    }
  }

  std::string with_type(const Object& object, int indent, int depth) {
    if (const Unread* unread = object.unread()) return reason_of(*unread);
    return "(" + type_name(*object.type()) + ")" + body(object, indent, depth);
  }

  /// "0x..." or "symbol+0x0 = 0x..."
  std::pair<std::string, bool> location(uint64_t address) {
    if (address >= kKernelImage)
      if (const auto symbol = kernel_.symbols().at(address))
        return {fmt::format("{}+{:#x} = {:#x}", symbol->name, address - symbol->address, address), true};
    return {fmt::format("{:#x}", address), false};
  }

 private:
  static std::string integer(const Object& object, const Type* type) {
    const Reading<uint64_t> raw = object.u64();
    if (!raw.has_value()) return reason_of(raw.unread());
    if (type->encoding == IntEncoding::kBool) return *raw ? "true" : "false";
    if (type->encoding == IntEncoding::kUnsigned) return fmt::format("{}", *raw);
    return fmt::format("{}", *object.s64());
  }

  static std::string enumeration(const Object& object, const Type* type) {
    const Reading<int64_t> value = object.s64();
    if (!value.has_value()) return reason_of(value.unread());
    for (const Enumerator& candidate : type->enumerators())
      if (candidate.value == *value) return candidate.name;
    return fmt::format("{}", *value);
  }

  std::string pointer(const Object& object, const Type* type) {
    const Reading<uint64_t> value = object.u64();
    if (!value.has_value()) return reason_of(value.unread());
    std::string text = location(*value).first;
    if (*value && is_character(type->target())) {
      const Reading<std::string> string = object.string(kMaxString);
      if (string.has_value()) text += " = " + quoted(*string);
    }
    return text;
  }

  std::string aggregate(const Object& object, const Type* type, int indent, int depth) {
    std::string text;
    members(object, type, indent + 1, depth, &text);
    if (text.empty()) return "{}";
    return "{\n" + text + std::string(static_cast<size_t>(indent), '\t') + "}";
  }

  /// Members of unnamed structs and unions are printed as the outer type's, as C names them.
  void members(const Object& object, const Type* type, int indent, int depth, std::string* text) {
    for (const Member& member : type->members()) {
      if (budget_ == 0 || text->size() > kMaxText) return;
      if (member.name.empty()) {
        const Type* inner = type->member_type(member) ? type->member_type(member)->strip() : nullptr;
        if (inner && inner->is_aggregate() && depth < kMaxDepth)
          members(object, inner, indent, depth + 1, text);
        continue;
      }
      *text += fmt::format("{}.{} = {},\n", std::string(static_cast<size_t>(indent), '\t'), member.name,
                           with_type(object.member(member.name), indent, depth + 1));
    }
  }

  std::string array(const Object& object, const Type* type, int indent, int depth) {
    const Type* element = type->target() ? type->target()->strip() : nullptr;
    if (!element) return "{}";
    if (type->count && is_character(element)) {
      const Reading<std::string> string = object.string(type->count);
      return string.has_value() ? quoted(*string) : reason_of(string.unread());
    }
    uint64_t count = type->count;
    while (count && is_zero(object.index(static_cast<int64_t>(count - 1)))) --count;
    const bool wide = element->is_aggregate() || element->kind == TypeKind::kArray;
    std::string text;
    for (uint64_t i = 0; i < count && budget_ && text.size() < kMaxText; i++) {
      const Object value = object.index(static_cast<int64_t>(i));
      if (wide)
        text +=
            std::string(static_cast<size_t>(indent) + 1, '\t') + body(value, indent + 1, depth + 1) + ",\n";
      else
        text += (i ? ", " : " ") + body(value, indent, depth + 1);
    }
    if (text.empty()) return "{}";
    return wide ? "{\n" + text + std::string(static_cast<size_t>(indent), '\t') + "}" : "{" + text + " }";
  }

  Kernel& kernel_;
  size_t budget_ = 1'000'000;  // values
};

}  // namespace

std::string type_name(const Type& type) {
  return declare(&type, "");
}

std::string format_value(const Object& object) {
  if (const Unread* unread = object.unread()) raise(*unread);
  const Type* type = object.type()->strip();
  Printer printer(object.kernel());
  if (type && (type->is_aggregate() || type->kind == TypeKind::kArray)) {
    const Object loaded = object.load();
    // Parts that are missing are named in their places; nothing at all is an error.
    if (type->size) {
      const auto bytes = loaded.bytes();
      const bool none = !bytes.has_value() && bytes.unread().address == *object.address();
      if (none && type->size <= kPageSize - (*object.address() % kPageSize)) raise(bytes.unread());
    }
    return printer.with_type(loaded, 0, 0);
  }
  if (!type || type->kind != TypeKind::kPointer) {
    if (type && type->kind == TypeKind::kInt) take(object.u64());
    if (type && type->kind == TypeKind::kEnum) take(object.u64());
    return printer.with_type(object, 0, 0);
  }
  const uint64_t value = take(object.u64());
  const Object target = object.deref();
  const Type* plain = target.unread() || !target.type() ? nullptr : target.type()->strip();
  const bool shown = plain && plain->size && !is_character(plain) && target.load().bytes().has_value();
  if (!shown) return printer.with_type(object, 0, 0);
  const auto [where, symbol] = printer.location(value);
  return fmt::format("*({}){} = {}", type_name(*object.type()), symbol ? "(" + where + ")" : where,
                     printer.body(target.load(), 0, 0));
}

std::string format_type(const Type& type) {
  std::string text;
  if (type.is_aggregate()) {
    text = tag_of(type) + " {\n";
    for (const Member& member : type.members()) {
      const Type* member_type = type.member_type(member);
      std::string declaration = declare(member_type, member.name);
      if (member.bit_size) declaration += fmt::format(" : {}", member.bit_size);
      text += "\t" + declaration + ";\n";
    }
    return text + "}";
  }
  if (type.kind == TypeKind::kEnum) {
    text = tag_of(type) + " {\n";
    for (const Enumerator& enumerator : type.enumerators())
      text += fmt::format("\t{} = {},\n", enumerator.name, enumerator.value);
    return text + "}";
  }
  if (type.kind == TypeKind::kTypedef) return "typedef " + declare(type.target(), type.name);
  return type_name(type);
}

}  // namespace perfcore::python
