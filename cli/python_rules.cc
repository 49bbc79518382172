// SPDX-License-Identifier: LGPL-2.1-or-later
#include "python_rules.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

#include "perfcore/reading.h"

namespace perfcore::cli {
namespace {

namespace fs = std::filesystem;

/// The current directory, which Python would search first, may hold anything: the package's takes its place.
constexpr const char* kProgram =
    "import sys\n"
    "sys.path[0] = sys.argv.pop(1)\n"
    "try:\n"
    "    from perfcore.triage import main\n"
    "except ImportError as error:\n"
    "    print(f'perfcore: the Python package cannot be used by {sys.executable}: {error}', "
    "file=sys.stderr)\n"
    "    sys.exit(2)\n"
    "sys.exit(main(sys.argv[1:]))\n";

/// Where the package is: in the build tree beside the tool's folder, installed below the tool's prefix.
fs::path package_directory() {
  std::error_code error;
  const fs::path tool = fs::read_symlink("/proc/self/exe", error);
  std::vector<std::string> looked;
  for (const char* place : {"../python", PERFCORE_PYTHON_DIR}) {
    const fs::path directory = (tool.parent_path() / place).lexically_normal();  // an absolute place stays
    if (fs::exists(directory / "perfcore" / "triage.py", error)) return directory;
    looked.push_back(directory.string());
  }
  throw InputError(
      fmt::format("--rules needs the Python package perfcore, which is neither in {}; install it with "
                  "cmake --install, or leave --rules out",
                  fmt::join(looked, " nor in ")));
}

}  // namespace

void run_triage_in_python(const Options& options) {
  std::vector<std::string> arguments = {PERFCORE_PYTHON, "-c", kProgram, package_directory().string()};
  const auto add = [&](const char* name, const std::string& value) {
    arguments.push_back(fmt::format("{}={}", name, value));
  };
  for (const std::string& directory : options.rules) add("--rules", directory);
  for (const std::string& path : options.debuginfo) add("--debuginfo", path);
  if (options.no_debuginfo) arguments.emplace_back("--no-debuginfo");
  if (options.explain) arguments.emplace_back("--explain");
  if (options.verbose) arguments.emplace_back("--verbose");
  add("--format", options.format);
  add("--color", options.color);
  add("--time-limit", fmt::format("{}", options.time_limit));
  if (!options.output.empty()) add("--output", options.output);
  arguments.emplace_back("--");
  arguments.insert(arguments.end(), options.arguments.begin(), options.arguments.end());

  std::vector<char*> words;
  for (std::string& argument : arguments) words.push_back(argument.data());
  words.push_back(nullptr);
  execv(PERFCORE_PYTHON, words.data());
  throw InputError(
      fmt::format("--rules needs {}, which cannot be run: {}; install python3, or leave --rules out",
                  PERFCORE_PYTHON, std::strerror(errno)));
}

}  // namespace perfcore::cli
