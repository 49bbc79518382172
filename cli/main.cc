// SPDX-License-Identifier: LGPL-2.1-or-later
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <exception>
#include <new>

#include "commands.h"
#include "exit_codes.h"
#include "guard.h"
#include "help.h"
#include "json.h"
#include "perfcore/store.h"
#include "report.h"
#include "session.h"
#include "text.h"

namespace perfcore::cli {
namespace {

/// Puts an option of the table into the parser.
void add_option(CLI::App& app, const Option& option, Options& options) {
  const std::string names(option.names);
  std::visit(
      [&](auto target) {
        auto& value = options.*target;
        if constexpr (std::is_same_v<decltype(target), bool Options::*>) {
          app.add_flag(names, value);
        } else {
          CLI::Option* added = app.add_option(names, value);
          if constexpr (std::is_same_v<decltype(target), std::vector<std::string> Options::*>) {
            added->expected(1)->allow_extra_args(false)->take_all();
          } else {
            // Of an option given twice the last one counts, so that an alias can be overruled.
            added->take_last();
          }
          if constexpr (std::is_same_v<decltype(target), std::string Options::*>) {
            if (!option.choices.empty())
              added->check(
                  CLI::IsMember(std::vector<std::string>(option.choices.begin(), option.choices.end())));
          }
        }
      },
      option.target);
}

int usage_error(std::string_view message, std::string_view command) {
  fmt::print(stderr, "perfcore: {}\nperfcore {}{}--help tells how it is used.\n", printable(message, true),
             command, command.empty() ? "" : " ");
  return kExitUsage;
}

void print(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
}

/// --version, --man, --completion, or nothing at all.
int run_without_command(const Options& options) {
  if (options.version) {
    Session session(options);
    session.answer(make_version_info());
    return kExitDone;
  }
  if (!options.man.empty()) {
    const Command* command = find_command(options.man);
    if (command == nullptr && options.man != "perfcore")
      return usage_error(fmt::format("there is no command \"{}\"", options.man), "");
    print(command == nullptr ? man_page() : man_page(*command));
    return kExitDone;
  }
  if (!options.completion.empty()) {
    print(bash_completion());
    return kExitDone;
  }
  fmt::print(stderr, "{}", help_text());
  return kExitUsage;
}

int run_command(const Command& command, const Options& options) {
  if (options.arguments.size() < command.min_arguments) return usage_error(command.missing, command.name);
  if (!(options.time_limit >= 0))
    return usage_error("--time-limit takes a number of seconds, 0 for no limit", command.name);
  install_guard({options.time_limit});
  Session session(options);
  return command.run(session);
}

int run(int argc, char** argv) {
  CLI::App app;
  app.set_help_flag("-h,--help", "");
  // Arguments of a command that are named as another one ("buckets show") stay arguments.
  app.require_subcommand(0, 1);
  Options options;
  for (const Option& option : global_options()) add_option(app, option, options);
  const Command* command = nullptr;
  for (const Command& known : commands()) {
    CLI::App* sub = app.add_subcommand(std::string(known.name));
    for (const Option& option : options_of(known)) add_option(*sub, option, options);
    sub->add_option("arguments", options.arguments);
    sub->preparse_callback([&command, &known](size_t) { command = &known; });
  }
  // What follows "--" is an argument whatever it looks like; CLI11 2.1 refuses it within a subcommand.
  const auto rest = std::find(argv, argv + argc, std::string_view("--"));
  try {
    app.parse(static_cast<int>(rest - argv), argv);
  } catch (const CLI::CallForHelp&) {
    print(command == nullptr ? help_text() : help_text(*command));
    return kExitDone;
  } catch (const CLI::ParseError& error) {
    return usage_error(error.what(), command == nullptr ? "" : command->name);
  }
  if (command == nullptr) return run_without_command(options);
  if (rest != argv + argc) options.arguments.insert(options.arguments.end(), rest + 1, argv + argc);
  try {
    return run_command(*command, options);
  } catch (const UsageError& error) {
    return usage_error(error.what(), command->name);
  } catch (const InputError& error) {
    fmt::print(stderr, "perfcore: {}\n", printable(error.what()));
    return kExitInput;
  } catch (const StoreError& error) {
    fmt::print(stderr, "perfcore: {}\n", printable(error.what()));
    return kExitInput;
  } catch (const std::bad_alloc&) {
    fmt::print(stderr,
               "perfcore: out of memory while {}: the limit of the tool was reached. The input is probably "
               "damaged.\n",
               activity());
    return kExitInternal;
  } catch (const std::exception& error) {
    fmt::print(
        stderr,
        "perfcore: internal error while {}: {}. This is a bug in perfcore: please report it with the dump.\n",
        activity(), printable(error.what()));
    return kExitInternal;
  }
}

}  // namespace
}  // namespace perfcore::cli

int main(int argc, char** argv) {
  return perfcore::cli::run(argc, argv);
}
