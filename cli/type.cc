// SPDX-License-Identifier: LGPL-2.1-or-later
#include "type.h"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

#include "commands.h"
#include "exit_codes.h"
#include "json_value.h"
#include "session.h"

namespace perfcore::cli {
namespace {

constexpr size_t kIndent = 4;
constexpr size_t kCommentColumn = 60;  // where the offsets stand, unless a declaration is longer

std::string_view word_of(TypeKind kind) {
  switch (kind) {
    case TypeKind::kStruct:
      return "struct";
    case TypeKind::kUnion:
      return "union";
    case TypeKind::kEnum:
      return "enum";
    case TypeKind::kInt:
      return "integer";
    case TypeKind::kFloat:
      return "floating-point number";
    case TypeKind::kPointer:
      return "pointer";
    case TypeKind::kArray:
      return "array";
    case TypeKind::kVoid:
      return "void";
    case TypeKind::kFunction:
      return "function";
    default:
      return "incomplete type";
  }
}

std::string plural(uint64_t count, std::string_view noun) {
  return fmt::format("{} {}{}", count, noun, count == 1 ? "" : "s");
}

// ---- JSON ----

Json to_json_value(const LayoutEntry& entry) {
  if (entry.kind != LayoutEntry::Kind::kMember)
    return {{"kind", entry.kind == LayoutEntry::Kind::kHole ? "hole" : "padding"},
            {"bit_offset", entry.bit_offset},
            {"bit_size", entry.bit_size}};
  Json json = {{"kind", "member"},         {"name", text(entry.name)}, {"type", declare(entry.type, "")},
               {"offset", entry.offset()}, {"size", entry.size()},     {"bit_field", nullptr}};
  if (entry.bit_field) json["bit_field"] = {{"bit", entry.bit_offset % 8}, {"bits", entry.bit_size}};
  json["members"] = nullptr;
  if (!entry.members.empty()) {
    json["members"] = Json::array();
    for (const LayoutEntry& inner : entry.members) json["members"].push_back(to_json_value(inner));
  }
  return json;
}

Json to_json_value(const TypeAnswer& answer) {
  const Layout& layout = answer.layout;
  Json json = {{"name", answer.named.name}, {"type", declare(answer.named.outer, "")}, {"member", nullptr}};
  if (!answer.named.member.empty()) {
    const MemberLocation& location = answer.named.location;
    json["member"] = {{"path", answer.named.member},
                      {"type", declare(location.type, "")},
                      {"offset", location.byte_offset()},
                      {"bit_field", nullptr}};
    if (location.bit_size)
      json["member"]["bit_field"] = {{"bit", location.bit_offset % 8}, {"bits", location.bit_size}};
  }
  json["kind"] = layout.type ? std::string(word_of(layout.type->kind)) : "incomplete type";
  json["size"] = layout.size;
  json["entries"] = Json::array();
  for (const LayoutEntry& entry : layout.entries) json["entries"].push_back(to_json_value(entry));
  json["enumerators"] = Json::array();
  if (layout.type)
    for (const Enumerator& enumerator : layout.type->enumerators())
      json["enumerators"].push_back({{"name", enumerator.name}, {"value", enumerator.value}});
  json["cache_lines"] = layout.cache_lines();
  json["members"] = layout.members;
  json["holes"] = {{"count", layout.holes}, {"bytes", layout.hole_bytes}};
  json["bit_holes"] = {{"count", layout.bit_holes}, {"bits", layout.bit_hole_bits}};
  json["padding"] = layout.padding_bytes;
  return json;
}

// ---- text ----

/// Writes a layout as C with the offsets behind it.
class LayoutWriter {
 public:
  LayoutWriter(TextWriter& out, const Layout& layout) : out_(out), layout_(layout) {
    column_ = std::min(widest(layout.entries, 1) + 2, kCommentColumn);
  }

  void write() {
    put(fmt::format("{} {{", declare(layout_.type, "")), "offset    hex  size", Style::kStrong);
    write(layout_.entries, 1);
    out_.line("};");
  }

 private:
  static std::string declaration(const LayoutEntry& entry) {
    std::string text = declare(entry.type, entry.name);
    if (entry.bit_field) text += fmt::format(":{}", entry.bit_size);
    return text + ";";
  }

  size_t widest(const std::vector<LayoutEntry>& entries, size_t depth) const {
    size_t width = columns_of(declare(layout_.type, "")) + 2;
    for (const LayoutEntry& entry : entries) {
      width = std::max(width, depth * kIndent + columns_of(declaration(entry)));
      if (!entry.members.empty()) width = std::max(width, widest(entry.members, depth + 1));
    }
    return width;
  }

  void put(const std::string& text, const std::string& comment, Style style = Style::kPlain) {
    const size_t used = columns_of(text);
    const std::string space(used < column_ ? column_ - used : 1, ' ');
    out_.line(Text{{text, style}, {fmt::format("{}/* {} */", space, comment), Style::kFaint}});
  }

  static std::string place(const LayoutEntry& entry) {
    std::string text = fmt::format("{:>6} {:>#6x} {:>5}", entry.offset(), entry.offset(), entry.size());
    if (!entry.bit_field) return text;
    const uint64_t first = entry.bit_offset % 8;
    return text + (entry.bit_size == 1 ? fmt::format(", bit {}", first)
                                       : fmt::format(", bits {}-{}", first, first + entry.bit_size - 1));
  }

  void write(const std::vector<LayoutEntry>& entries, size_t depth) {
    const std::string indent(depth * kIndent, ' ');
    for (const LayoutEntry& entry : entries) {
      mark_cache_line(entry, indent);
      if (entry.kind != LayoutEntry::Kind::kMember) {
        write_gap(entry, indent);
      } else if (entry.members.empty()) {
        put(indent + declaration(entry), place(entry));
      } else {
        put(fmt::format("{}{} {{", indent, declare(entry.type->strip(), "")), place(entry));
        write(entry.members, depth + 1);
        out_.line(fmt::format("{}}}{}{};", indent, entry.name.empty() ? "" : " ", entry.name));
      }
    }
  }

  void write_gap(const LayoutEntry& gap, const std::string& indent) {
    const bool hole = gap.kind == LayoutEntry::Kind::kHole;
    const bool bytes = gap.bit_offset % 8 == 0 && gap.bit_size % 8 == 0;
    const std::string size = bytes ? plural(gap.bit_size / 8, "byte") : plural(gap.bit_size, "bit");
    const std::string at = bytes ? "" : fmt::format(" from bit {}", gap.bit_offset % 8);
    out_.line(Text{{fmt::format("{}/* {}: {} at {} ({:#x}){} */", indent, hole ? "hole" : "padding", size,
                                gap.offset(), gap.offset(), at),
                    Style::kWarn}});
  }

  /// Lines are marked where the first member behind their start begins; members of a union begin over and
  /// over.
  void mark_cache_line(const LayoutEntry& entry, const std::string& indent) {
    const uint64_t line = entry.offset() / kCacheLine;
    if (line <= last_line_) return;
    last_line_ = line;
    const uint64_t start = line * kCacheLine;
    const std::string back = entry.offset() == start
                                 ? ""
                                 : fmt::format(", {} before this", plural(entry.offset() - start, "byte"));
    out_.line(Text{
        {fmt::format("{}/* -- cache line {} starts at {} ({:#x}){} -- */", indent, line, start, start, back),
         Style::kFaint}});
  }

  TextWriter& out_;
  const Layout& layout_;
  size_t column_ = 0;
  uint64_t last_line_ = 0;
};

std::string summary(const Layout& layout) {
  std::string text =
      fmt::format("{}, {}, {}", plural(layout.size, "byte"), plural(layout.cache_lines(), "cache line"),
                  plural(layout.members, "member"));
  if (layout.holes)
    text += fmt::format(", {} ({})", plural(layout.holes, "hole"), plural(layout.hole_bytes, "byte"));
  if (layout.bit_holes)
    text +=
        fmt::format(", {} ({})", plural(layout.bit_holes, "bit hole"), plural(layout.bit_hole_bits, "bit"));
  if (layout.padding_bytes)
    text += fmt::format(", {} of padding at the end", plural(layout.padding_bytes, "byte"));
  return text;
}

void render(TextWriter& out, const TypeAnswer& answer) {
  const Layout& layout = answer.layout;
  const NamedType& named = answer.named;
  const std::string type = declare(named.location.type, "");
  if (!named.member.empty()) {
    const MemberLocation& at = named.location;
    std::string place = fmt::format("offset {} ({:#x})", at.byte_offset(), at.byte_offset());
    if (at.bit_size)
      place += at.bit_size == 1
                   ? fmt::format(", bit {}", at.bit_offset % 8)
                   : fmt::format(", bits {}-{}", at.bit_offset % 8, at.bit_offset % 8 + at.bit_size - 1);
    out.paragraph(Text{{fmt::format("{}.{}: ", declare(named.outer, ""), named.member), Style::kStrong},
                       {fmt::format("{}, size {}, type {}", place, layout.size, type)}},
                  0, 2);
  } else if (named.outer->kind == TypeKind::kTypedef) {
    out.paragraph(
        Text{{fmt::format("{}: ", named.outer->name), Style::kStrong},
             {fmt::format("typedef of {}, size {}", declare(named.outer->target(), ""), layout.size)}},
        0, 2);
  }
  if (!layout.type) {
    out.paragraph("This kernel's types only declare it: nothing is known of its inside.", 0, 2);
    return;
  }
  if (layout.type->is_aggregate()) {
    out.paragraph(Text{{fmt::format("{}: ", declare(layout.type, "")), Style::kStrong}, {summary(layout)}}, 0,
                  2);
    LayoutWriter(out, layout).write();
  } else if (layout.type->kind == TypeKind::kEnum) {
    out.paragraph(Text{{fmt::format("{}: ", declare(layout.type, "")), Style::kStrong},
                       {fmt::format("{}, {}", plural(layout.size, "byte"),
                                    plural(layout.type->enumerators().size(), "enumerator"))}},
                  0, 2);
    for (const Enumerator& enumerator : layout.type->enumerators())
      out.line(enumerator.value < 10
                   ? fmt::format("{} = {},", enumerator.name, enumerator.value)
                   : fmt::format("{0} = {1}, /* {1:#x} */", enumerator.name, enumerator.value),
               kIndent);
  } else if (named.member.empty() && named.outer->kind != TypeKind::kTypedef) {
    out.paragraph(Text{{fmt::format("{}: ", type), Style::kStrong},
                       {fmt::format("{}, {}", word_of(layout.type->kind), plural(layout.size, "byte"))}},
                  0, 2);
  }
}

/// The shell splits "struct perf_event" when it is not quoted.
std::vector<std::string> joined_tags(std::vector<std::string> words) {
  std::vector<std::string> names;
  for (size_t i = 0; i < words.size(); i++) {
    const bool keyword = words[i] == "struct" || words[i] == "union" || words[i] == "enum";
    if (keyword && i + 1 < words.size()) {
      names.push_back(words[i] + " " + words[i + 1]);
      i++;
    } else {
      names.push_back(std::move(words[i]));
    }
  }
  return names;
}

}  // namespace

TypeReport make_type_report(Kernel& kernel, const std::vector<std::string>& names) {
  TypeReport report;
  for (const std::string& name : names) {
    TypeAnswer answer{find_named_type(kernel, name), {}};
    answer.layout = layout_of(answer.named.location.type);
    report.types.push_back(std::move(answer));
  }
  return report;
}

std::string to_json(const TypeReport& report) {
  Json types = Json::array();
  for (const TypeAnswer& answer : report.types) types.push_back(to_json_value(answer));
  return dump({{"schema", "perfcore.type/1"}, {"types", types}});
}

void render(TextWriter& out, const TypeReport& report) {
  for (size_t i = 0; i < report.types.size(); i++) {
    if (i > 0) out.blank();
    render(out, report.types[i]);
  }
}

int run_type(Session& session) {
  const auto& arguments = session.options().arguments;
  const auto kernel = session.open({arguments.front()});
  try {
    session.answer(make_type_report(*kernel, joined_tags({arguments.begin() + 1, arguments.end()})));
  } catch (const std::invalid_argument& error) {
    throw InputError(error.what());
  }
  return kExitDone;
}

}  // namespace perfcore::cli
