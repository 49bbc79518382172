// SPDX-License-Identifier: LGPL-2.1-or-later
#include "help.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "perfcore/version.h"
#include "text_writer.h"

namespace perfcore::cli {
namespace {

constexpr size_t kWidth = 100;
constexpr size_t kOptionColumn = 24;
constexpr std::string_view kTagline = "says why a Linux x86-64 kernel died, from its vmcore";
constexpr std::string_view kEnvironment =
    "NO_COLOR: no colours, whatever the terminal. COLUMNS: width of the text; default 100 when it goes "
    "elsewhere than "
    "to a terminal.";

std::string usage_of(const Command& command) {
  return fmt::format("perfcore {} [OPTION]... {}", command.name, command.arguments);
}

/// "-o, --output FILE".
std::string head_of(const Option& option) {
  std::string head(option.names);
  if (const size_t comma = head.find(','); comma != std::string::npos) head.replace(comma, 1, ", ");
  if (!option.value.empty()) head += fmt::format(" {}", option.value);
  return head;
}

void put_options(TextWriter& out, std::span<const Option> options) {
  for (const Option& option : options) {
    const std::string head = head_of(option);
    if (head.size() + 2 > kOptionColumn) {
      out.line(head, 2);
      out.paragraph(option.help, 2 + kOptionColumn);
    } else {
      out.field(head, option.help, kOptionColumn, 2);
    }
  }
  out.field("-h, --help", "Print this help and exit.", kOptionColumn, 2);
}

void put_exit_codes(TextWriter& out, std::span<const int> codes) {
  out.heading("Exit codes");
  for (const int code : codes) out.field(fmt::format("{}", code), meaning_of(code), 4, 2);
}

std::vector<int> all_codes() {
  std::vector<int> codes;
  for (const ExitCode& known : exit_codes()) codes.push_back(known.code);
  return codes;
}

// ---- troff ----

/// Text as troff takes it literally.
std::string troff(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\\')
      out += "\\e";
    else if (c == '-')
      out += "\\-";
    else if (c == '\'')
      out += "\\(aq";
    else
      out += c;
  }
  return !out.empty() && out[0] == '.' ? "\\&" + out : out;
}

std::string man_title(std::string_view name) {
  std::string upper;
  for (const char c : name) upper += static_cast<char>(toupper(c));
  return fmt::format(".TH {} 1 \"\" \"perfcore {}\" \"User Commands\"\n", troff(upper), version());
}

std::string man_options(std::span<const Option> options) {
  std::string out = ".SH OPTIONS\n";
  for (const Option& option : options)
    out += fmt::format(".TP\n.B {}\n{}\n", troff(head_of(option)), troff(option.help));
  return out + ".TP\n.B \\-h, \\-\\-help\nPrint a short help and exit.\n";
}

std::string man_exit_codes(std::span<const int> codes) {
  std::string out = ".SH EXIT STATUS\n";
  for (const int code : codes) out += fmt::format(".TP\n.B {}\n{}\n", code, troff(meaning_of(code)));
  return out;
}

/// "--color auto always never" as words of a case in the completion script.
std::string choices_case(std::span<const Option> options) {
  std::string out;
  for (const Option& option : options) {
    if (option.value.empty()) continue;
    std::string pattern(option.names);
    for (size_t at = 0; (at = pattern.find(',', at)) != std::string::npos;) pattern.replace(at, 1, "|");
    if (!option.choices.empty())
      out += fmt::format("    {}) COMPREPLY=($(compgen -W '{}' -- \"$word\")); return ;;\n", pattern,
                         fmt::join(option.choices, " "));
    else if (option.value == "FILE" || option.value == "PATH" || option.value == "MINI")
      out += fmt::format("    {}) COMPREPLY=($(compgen -f -- \"$word\")); return ;;\n", pattern);
    else
      out += fmt::format("    {}) return ;;\n", pattern);
  }
  return out;
}

std::string option_words(std::span<const Option> options) {
  std::string out;
  for (const Option& option : options) {
    std::string names(option.names);
    for (char& c : names)
      if (c == ',') c = ' ';
    out += names + " ";
  }
  return out + "--help";
}

}  // namespace

std::string help_text() {
  TextWriter out(false, kWidth);
  out.paragraph(fmt::format("perfcore {}", kTagline));
  out.heading("Usage");
  out.line("perfcore COMMAND [OPTION]... DUMP...", 2);
  out.paragraph(
      "DUMP: a vmcore (ELF or kdump-compressed, flattened or split ones too), or a directory such as "
      "/var/crash/202611200419.",
      2, 6);
  out.heading("Commands");
  for (const Command& command : commands()) out.field(command.name, command.summary, 10, 2);
  out.paragraph("perfcore COMMAND --help tells more.", 2);
  out.heading("Options");
  put_options(out, global_options());
  put_exit_codes(out, all_codes());
  return out.text();
}

std::string help_text(const Command& command) {
  TextWriter out(false, kWidth);
  out.paragraph(fmt::format("Usage: {}", usage_of(command)), 0, 4);
  out.blank();
  out.paragraph(command.description);
  out.heading("Options");
  put_options(out, options_of(command));
  out.heading("Examples");
  for (const Example& example : command.examples) {
    out.line(example.command, 2);
    out.paragraph(example.meaning, 6);
  }
  put_exit_codes(out, command.exit_codes);
  return out.text();
}

std::string man_page() {
  std::string out = man_title("perfcore");
  out += fmt::format(".SH NAME\nperfcore \\- {}\n", troff(kTagline));
  out += ".SH SYNOPSIS\n.B perfcore\n.I COMMAND\n[OPTION]... DUMP...\n";
  out += fmt::format(
      ".SH DESCRIPTION\n{}\n.SH COMMANDS\n",
      troff("DUMP is a vmcore (ELF or kdump-compressed, flattened or split ones too), or a directory such as "
            "/var/crash/202611200419. The dump alone is enough; a matching vmlinux is used when there is "
            "one."));
  for (const Command& command : commands())
    out += fmt::format(".TP\n.BR perfcore\\-{} (1)\n{}\n", command.name, troff(command.summary));
  out += man_options(global_options());
  out += man_exit_codes(all_codes());
  out += fmt::format(".SH ENVIRONMENT\n{}\n", troff(kEnvironment));
  return out;
}

std::string man_page(const Command& command) {
  std::string out = man_title(fmt::format("perfcore-{}", command.name));
  out += fmt::format(".SH NAME\nperfcore\\-{} \\- {}\n", command.name, troff(command.summary));
  out += fmt::format(".SH SYNOPSIS\n{}\n", troff(usage_of(command)));
  out += fmt::format(".SH DESCRIPTION\n{}\n", troff(command.description));
  out += man_options(options_of(command));
  out += ".SH EXAMPLES\n";
  for (const Example& example : command.examples)
    out += fmt::format(".TP\n.B {}\n{}\n", troff(example.command), troff(example.meaning));
  out += man_exit_codes(command.exit_codes);
  out += fmt::format(".SH ENVIRONMENT\n{}\n.SH SEE ALSO\n.BR perfcore (1)\n", troff(kEnvironment));
  return out;
}

std::string bash_completion() {
  std::string names, cases;
  for (const Command& command : commands()) {
    names += fmt::format("{}{}", names.empty() ? "" : " ", command.name);
    const std::vector<Option> options = options_of(command);
    cases += fmt::format("  {})\n    case \"$before\" in\n", command.name);
    cases += choices_case(options);
    cases += fmt::format("    esac\n    options='{}'\n    ;;\n", option_words(options));
  }
  return fmt::format(
      R"(# bash completion for perfcore {0}; made by: perfcore --completion bash
_perfcore() {{
  local word="${{COMP_WORDS[COMP_CWORD]}}" before="${{COMP_WORDS[COMP_CWORD-1]}}" options=
  COMPREPLY=()
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W '{1} {2}' -- "$word"))
    return
  fi
  case "${{COMP_WORDS[1]}}" in
{3}  esac
  case "$word" in
  -*) COMPREPLY=($(compgen -W "$options" -- "$word")) ;;
  *) COMPREPLY=($(compgen -f -- "$word")) ;;
  esac
}}
complete -o filenames -F _perfcore perfcore
)",
      version(), names, option_words(global_options()), cases);
}

}  // namespace perfcore::cli
