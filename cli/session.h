// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// One run of the tool: opens what the user named and takes the answer to where the user wants it.
#pragma once

#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "commands.h"
#include "perfcore/kernel.h"
#include "text_writer.h"

namespace perfcore::cli {

/// The command line is wrong: exit code 1.
class UsageError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

class Session {
 public:
  explicit Session(Options options);

  const Options& options() const { return options_; }

  /// Opens the dump and its kernel by the options. Throws InputError.
  /// \param pages  DumpOptions::pages
  /// \param alike  KernelOptions::alike
  std::unique_ptr<Kernel> open(const std::vector<std::string>& dumps, PageStore* pages = nullptr,
                               std::vector<Kernel*> alike = {});
  std::unique_ptr<Dump> open_dump(const std::vector<std::string>& dumps, PageStore* pages = nullptr);
  /// \param with_debuginfo  false: as with --no-debuginfo
  /// \param record  KernelOptions::record
  std::unique_ptr<Kernel> open_kernel(std::unique_ptr<Dump> dump, bool with_debuginfo = true,
                                      bool record = false, std::vector<Kernel*> alike = {});

  /// Presents a report in the format asked for, on standard output or in the file of --output. Throws
  /// InputError when it cannot be written. Needs json.h and text.h.
  template <typename Report>
  void answer(const Report& report) {
    write(options_.json() ? to_json(report) : rendered(report), options_.output);
  }
  /// The same where --output is something else.
  template <typename Report>
  void answer_to_stdout(const Report& report) {
    write(options_.json() ? to_json(report) : rendered(report), "");
  }

  /// A writer with the colour and width that suit where the answer goes.
  TextWriter text_writer() const;
  /// Presents an answer that the command has put into its format itself.
  void answer_text(std::string_view answer) const { write(answer, options_.output); }

  /// One line on standard error.
  void warn(std::string_view text) const;
  /// The same with -v only.
  void remark(std::string_view text) const;

 private:
  static void write(std::string_view answer, const std::string& path);
  template <typename Report>
  std::string rendered(const Report& report) const {
    TextWriter writer = text_writer();
    render(writer, report);
    return writer.text();
  }

  Options options_;
};

}  // namespace perfcore::cli
