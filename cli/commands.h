// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// The one table of commands, options and exit codes. The parser, --help, the man pages and the shell
/// completion are all made from it.
#pragma once

#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace perfcore::cli {

/// What the user asked for.
struct Options {
  std::vector<std::string> arguments;  ///< positional ones, in order
  std::vector<std::string> debuginfo;
  std::vector<std::string> rules;  ///< of triage: directories with rules in Python
  bool no_debuginfo = false;
  std::string format = "text";
  std::string color = "auto";
  std::string output;
  bool verbose = false;
  double time_limit = 5;
  bool elf = false;
  bool redact = false;
  bool explain = false;
  bool jsonl = false;
  bool again = false;
  bool list = false;  ///< of batch
  bool dry_run = false;
  double jobs = std::numeric_limits<double>::quiet_NaN();  ///< then one per CPU
  std::string store;                                       ///< empty: the default one
  bool compat = false;                                     ///< of info
  bool version = false;                                    ///< without a command
  std::string man;         ///< without a command: the man page of this command
  std::string completion;  ///< without a command: "bash"

  bool json() const { return format == "json"; }
};

struct Option {
  std::string_view names;  ///< "-o,--output"
  std::string_view value;  ///< "FILE"; empty for a switch
  std::string_view help;
  std::variant<bool Options::*, double Options::*, std::string Options::*,
               std::vector<std::string> Options::*>
      target;
  std::vector<std::string_view> choices = {};  ///< allowed values; any when empty
  bool about_dump = false;                     ///< makes sense only for commands that read a dump
};

struct Example {
  std::string_view command;
  std::string_view meaning;
};

struct ExitCode {
  int code;
  std::string_view meaning;
};

class Session;

struct Command {
  std::string_view name;
  std::string_view arguments;  ///< "DUMP..."
  std::string_view summary;    ///< one line, no full stop
  std::string_view description;
  size_t min_arguments;
  std::string_view missing;     ///< what to say when there are fewer
  std::vector<Option> options;  ///< its own ones; the common ones come on top
  std::vector<Example> examples;
  std::vector<int> exit_codes;
  int (*run)(Session&);
  bool reads_dump = true;  ///< false: options about debug info make no sense
};

std::span<const Command> commands();
const Command* find_command(std::string_view name);
/// Options of every command that are not replaced by one of its own.
std::vector<Option> options_of(const Command& command);
/// Options without a command: --version and the like.
std::span<const Option> global_options();
std::span<const ExitCode> exit_codes();
std::string_view meaning_of(int exit_code);

/// Each command's work, one file per command. \return the exit code
int run_triage(Session& session);
int run_check(Session& session);
int run_show(Session& session);
int run_type(Session& session);
int run_addr(Session& session);
int run_log(Session& session);
int run_print(Session& session);
int run_info(Session& session);
int run_extract(Session& session);
int run_record(Session& session);
int run_rules(Session& session);
int run_report(Session& session);
int run_batch(Session& session);
int run_buckets(Session& session);

}  // namespace perfcore::cli
