// SPDX-License-Identifier: LGPL-2.1-or-later
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <initializer_list>
#include <limits>
#include <nlohmann/json.hpp>

#include "analyzers/catalogue.h"

namespace perfcore {
namespace {

using Json = nlohmann::json;

constexpr Certainty kCertainties[] = {Certainty::kSource,    Certainty::kBinary, Certainty::kReproduced,
                                      Certainty::kChangelog, Certainty::kPublic, Certainty::kExpert,
                                      Certainty::kUnknown};

/// Reads one file. Every mistake is an error with the line where it stands: of what is not JSON the place
/// where parsing stopped, of a wrong key or value the line of its first appearance.
class EntryReader {
 public:
  EntryReader(std::string_view file, std::string_view text) : file_(file), text_(text) {}

  CatalogueEntry read() {
    Json json;
    try {
      json = Json::parse(text_, nullptr, true, true);
    } catch (const Json::parse_error& error) {
      fail_at(error.byte, error.what());
    }
    if (!json.is_object()) fail_at(0, "the file must hold one object");
    only(json, {"id", "title", "summary", "why", "certainty", "source", "vendor", "match", "checks",
                "affected", "kernels", "references", "remedy", "examples"});
    CatalogueEntry entry;
    entry.file = file_;
    entry.id = string(json, "id");
    if (!file_.starts_with(entry.id + "-"))
      fail(entry.id, fmt::format("the file's name must begin with its id, \"{}-\"", entry.id));
    entry.title = string(json, "title");
    entry.summary = string(json, "summary");
    entry.why = string(json, "why");
    entry.certainty = certainty(json);
    entry.source = string(json, "source");
    entry.vendor = optional_string(json, "vendor");
    if (!entry.vendor.empty() && entry.vendor != "AuthenticAMD" && entry.vendor != "GenuineIntel")
      fail(entry.vendor, "\"vendor\" is AuthenticAMD or GenuineIntel");
    for (const Json& one : list(json, "match", true)) entry.match.push_back(signature(one));
    for (const Json& one : list(json, "checks", false)) entry.checks.push_back(check(one));
    for (const Json& one : list(json, "affected", false)) entry.affected.push_back(range(one));
    for (const Json& one : list(json, "kernels", true)) entry.kernels.push_back(fact(one));
    for (const Json& one : list(json, "references", true)) entry.references.push_back(reference(one));
    // A class of crash and log lines say too little; without a part of the code, memory must say it.
    const bool by_state = std::any_of(entry.checks.begin(), entry.checks.end(),
                                      [](const StateCheck& check) { return check.required; });
    for (const CrashSignature& signature : entry.match)
      if (!signature.names_code() && !by_state)
        fail("match",
             "a match must ask for functions or for frames of the stack, or the entry must have a "
             "required check");
    entry.remedy = strings(json, "remedy", true);
    for (const Json& one : list(json, "examples", true)) entry.examples.push_back(example(one));
    return entry;
  }

 private:
  [[noreturn]] void fail_at(size_t byte, std::string_view what) const {
    const auto end = text_.begin() + static_cast<std::ptrdiff_t>(std::min(byte, text_.size()));
    throw CatalogueError(fmt::format("{}:{}: {}", file_, 1 + std::count(text_.begin(), end, '\n'), what));
  }
  [[noreturn]] void fail(std::string_view token, std::string_view what) const {
    // As JSON writes it; a string with escapes in it is not found and gives line 1.
    const size_t at = text_.find(fmt::format("\"{}\"", token));
    fail_at(at == std::string_view::npos ? 0 : at, what);
  }

  void only(const Json& object, std::initializer_list<std::string_view> keys) const {
    for (const auto& [key, value] : object.items())
      if (std::find(keys.begin(), keys.end(), key) == keys.end())
        fail(key, fmt::format("\"{}\" is not known here", key));
  }

  const Json& object(const Json& json, std::string_view what) const {
    if (!json.is_object()) fail(what, fmt::format("each of \"{}\" must be an object", what));
    return json;
  }

  std::string string(const Json& object, const char* key) const {
    if (!object.contains(key)) fail_at(0, fmt::format("\"{}\" is missing in {}", key, shortened(object)));
    std::string text = optional_string(object, key);
    if (text.empty()) fail(key, fmt::format("\"{}\" must not be empty", key));
    return text;
  }
  std::string optional_string(const Json& object, const char* key) const {
    if (!object.contains(key)) return "";
    if (!object[key].is_string()) fail(key, fmt::format("\"{}\" must be a string", key));
    return object[key].get<std::string>();
  }
  static std::string shortened(const Json& json) {
    constexpr size_t kShown = 60;
    const std::string text = json.dump();
    return text.size() <= kShown ? text : text.substr(0, kShown) + "...";
  }

  Json list(const Json& object, const char* key, bool required) const {
    if (!object.contains(key)) {
      if (required) fail_at(0, fmt::format("\"{}\" is missing in {}", key, shortened(object)));
      return Json::array();
    }
    const Json& value = object[key];
    if (!value.is_array()) fail(key, fmt::format("\"{}\" must be a list", key));
    if (value.empty()) fail(key, fmt::format("\"{}\" must not be empty", key));
    return value;
  }
  std::vector<std::string> strings(const Json& object, const char* key, bool required) const {
    std::vector<std::string> texts;
    for (const Json& one : list(object, key, required)) {
      if (!one.is_string() || one.get_ref<const std::string&>().empty())
        fail(key, fmt::format("\"{}\" must hold strings that are not empty", key));
      texts.push_back(one.get<std::string>());
    }
    return texts;
  }

  Certainty certainty(const Json& object) const {
    const std::string word = string(object, "certainty");
    for (const Certainty one : kCertainties)
      if (to_string(one) == word) return one;
    fail(word, fmt::format("\"{}\" is no certainty", word));
  }

  void check_class(const std::string& word) const {
    if (std::find(std::begin(kCrashClasses), std::end(kCrashClasses), word) == std::end(kCrashClasses))
      fail(word, fmt::format("\"{}\" is no class of crash", word));
  }
  /// '*' only at the end, and behind enough of a name to be one subsystem's.
  void check_patterns(const std::vector<std::string>& patterns) const {
    constexpr size_t kShortest = 4;
    for (const std::string& pattern : patterns) {
      const size_t star = pattern.find('*');
      if (star != std::string::npos && (star + 1 != pattern.size() || star < kShortest))
        fail(pattern,
             fmt::format("\"{}\": '*' may only end a name of {} characters or more", pattern, kShortest));
    }
  }

  CrashSignature signature(const Json& json) const {
    only(object(json, "match"), {"classes", "functions", "stack_all", "stack_any", "log_any"});
    CrashSignature signature;
    signature.classes = strings(json, "classes", true);
    for (const std::string& word : signature.classes) check_class(word);
    signature.functions = strings(json, "functions", false);
    signature.stack_all = strings(json, "stack_all", false);
    signature.stack_any = strings(json, "stack_any", false);
    signature.log_any = strings(json, "log_any", false);
    for (const auto* patterns : {&signature.functions, &signature.stack_all, &signature.stack_any})
      check_patterns(*patterns);
    return signature;
  }

  StateCheck check(const Json& json) const {
    only(object(json, "checks"), {"claim", "expression", "over", "required"});
    StateCheck check;
    check.claim = string(json, "claim");
    check.expression = string(json, "expression");
    check.description = check.claim + ": " + check.expression;
    const std::string over = string(json, "over");
    constexpr std::array<std::pair<std::string_view, StateCheck::Over>, 4> kOver = {{
        {"kernel", StateCheck::Over::kKernel},
        {"crashed-cpu", StateCheck::Over::kCrashedCpu},
        {"any-cpu", StateCheck::Over::kAnyCpu},
        {"any-event", StateCheck::Over::kAnyEvent},
    }};
    const auto* found =
        std::find_if(kOver.begin(), kOver.end(), [&](const auto& one) { return one.first == over; });
    if (found == kOver.end()) fail(over, fmt::format("\"{}\": over what? See README.md", over));
    check.over = found->second;
    if (json.contains("required")) {
      if (!json["required"].is_boolean()) fail("required", "\"required\" must be true or false");
      check.required = json["required"].get<bool>();
    }
    return check;
  }

  ReleaseRange range(const Json& json) const {
    const bool open_ended = json.is_array() && json.size() == 1;
    if (!json.is_array() || json.size() > 2 || json.empty() || !json[0].is_string() ||
        (!open_ended && !json[1].is_string()))
      fail("affected", "each of \"affected\" must be [first release, first release that is not affected]");
    constexpr Release kNever = {std::numeric_limits<int>::max(), 0, 0};
    const ReleaseRange range{release(json[0].get<std::string>()),
                             open_ended ? kNever : release(json[1].get<std::string>())};
    if (!(range.first < range.end)) fail("affected", fmt::format("{} is empty", json.dump()));
    return range;
  }
  Release release(const std::string& text) const {
    const auto parsed = upstream_release(text, "");
    if (!parsed || parsed->to_string() != text) fail(text, fmt::format("\"{}\" is no release", text));
    return *parsed;
  }

  KnownFact fact(const Json& json) const {
    only(object(json, "kernels"), {"text", "certainty", "source"});
    return {string(json, "text"), certainty(json), optional_string(json, "source")};
  }

  KnownCommit reference(const Json& json) const {
    only(object(json, "references"), {"kind", "id", "title", "releases", "certainty", "source"});
    KnownCommit commit;
    commit.reference = {string(json, "kind"), string(json, "id"), string(json, "title")};
    const std::string& kind = commit.reference.kind;
    constexpr std::array<std::string_view, 6> kKinds = {"cve", "commit", "culprit", "fix", "link", "source"};
    if (std::find(kKinds.begin(), kKinds.end(), kind) == kKinds.end())
      fail(kind, fmt::format("\"{}\" is no kind of reference", kind));
    commit.releases = string(json, "releases");
    commit.certainty = certainty(json);
    commit.source = optional_string(json, "source");
    return commit;
  }

  CrashExample example(const Json& json) const {
    only(object(json, "examples"), {"class", "function", "stack", "log", "release", "also"});
    CrashExample example;
    example.crash_class = string(json, "class");
    check_class(example.crash_class);
    example.function = string(json, "function");
    example.stack = strings(json, "stack", true);
    example.log = strings(json, "log", false);
    example.release = optional_string(json, "release");
    example.also = strings(json, "also", false);
    return example;
  }

  std::string file_;
  std::string_view text_;
};

}  // namespace

CatalogueEntry parse_catalogue_entry(std::string_view file, std::string_view text) {
  return EntryReader(file, text).read();
}

}  // namespace perfcore
