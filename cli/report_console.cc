// SPDX-License-Identifier: LGPL-2.1-or-later
#include <fmt/format.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>
#include <nlohmann/json.hpp>

#include "analyzers/registry.h"
#include "analyzers/text_finding.h"
#include "batch_inputs.h"
#include "commands.h"
#include "exit_codes.h"
#include "guard.h"
#include "json.h"
#include "json_value.h"
#include "perfcore/kcsan.h"
#include "perfcore/reading.h"
#include "perfcore/report.h"
#include "session.h"
#include "text.h"
#include "text_input.h"

namespace perfcore::cli {
namespace {

constexpr size_t kPiece = size_t{1} << 20;
/// Reports of one text in the answer; what more there are is not read. A text of a batch and one of its own.
constexpr size_t kMaxReports = 1024;
constexpr size_t kMaxTextReports = 16384;

struct Close {
  void operator()(std::FILE* file) const {
    if (file != stdin && file != stdout) std::fclose(file);
  }
};
using File = std::unique_ptr<std::FILE, Close>;

File open_text(const std::string& path) {
  File file(path == "-" ? stdin : std::fopen(path.c_str(), "re"));
  if (!file)
    throw InputError(
        fmt::format("{}: cannot be opened: {}; give console text such as dmesg or a serial log, "
                    "or - for standard input",
                    path, std::strerror(errno)));
  return file;
}

/// As cli::read_pieces(), of a file by its path.
template <typename Take>
void read_text(const std::string& path, Take&& take) {
  const File file = open_text(path);
  if (!read_pieces(file.get(), kPiece, take))
    throw InputError(fmt::format("{}: cannot be read: {}", path, std::strerror(errno)));
}

void report_text(Session& session, const std::string& path) {
  const bool json = session.options().json();
  std::string array = "[";
  TextWriter writer = session.text_writer(), answer = session.text_writer();
  size_t count = 0;
  ConsoleParser parser([&](ConsoleReport&& report) {
    if (count == kMaxTextReports) return;
    TextReport judged = make_text_report(std::move(report));
    judged.explain = session.options().explain;
    if (judged.report.panicked && answer.text().empty() && !json)
      answer.paragraph(Text{{"The kernel died of "},
                            {judged.report.title, Style::kStrong},
                            {fmt::format(" (line {}).", judged.report.first_line)}});
    if (json)
      array += (count == 0 ? "\n" : ",\n") + to_json(judged);
    else
      render(writer, judged);
    ++count;
  });
  bool first_piece = true;
  read_text(path, [&](std::string_view piece) {
    if (first_piece && begins_like_dump(piece))
      throw InputError(
          fmt::format("{} is a dump and no console text: give it to perfcore triage, or its log "
                      "(perfcore log {}) to perfcore report",
                      path, path));
    first_piece = false;
    parser.feed(piece);
    return count < kMaxTextReports;
  });
  parser.finish();
  if (count == kMaxTextReports)
    session.warn(fmt::format("{}: only the first {} reports are shown; give a part of the text for others",
                             path, kMaxTextReports));
  if (count == 0) writer.paragraph("No crash was found in this text.");
  if (count < 2)
    answer = session.text_writer();  // the one report says it all
  else if (!answer.text().empty())
    answer.blank();
  session.answer_text(json ? array + (count == 0 ? "]\n" : "\n]\n") : answer.text() + writer.text());
}

/// One line of a batch to its answer.
std::string answer_line(std::string_view line) {
  Json error = {{"id", nullptr}};
  const nlohmann::json input = nlohmann::json::parse(line.begin(), line.end(), nullptr, false);
  if (input.is_discarded()) {
    error["error"] = "the line is not JSON";
  } else if (!input.is_object() || !input.contains("text") || !input["text"].is_string()) {
    error["error"] = "the line is not an object with a string \"text\"";
    if (input.is_object() && input.contains("id")) error["id"] = input["id"];
  } else {
    std::vector<TextReport> reports;
    ConsoleParser parser([&](ConsoleReport&& report) {
      if (reports.size() < kMaxReports) reports.push_back(make_text_report(std::move(report)));
    });
    parser.feed(input["text"].get_ref<const std::string&>());
    parser.finish();
    const nlohmann::json id = input.contains("id") ? input["id"] : nlohmann::json(nullptr);
    return to_json_line(id.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace), reports);
  }
  return error.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

/// The answers of a batch go out as they are made: no more than a line is in memory.
void report_batch(Session& session, const std::string& path) {
  const std::string& output = session.options().output;
  const File out(output.empty() ? stdout : std::fopen(output.c_str(), "we"));
  const auto failed = [&] {
    return InputError(fmt::format("{}: cannot be written: {}", output.empty() ? "standard output" : output,
                                  std::strerror(errno)));
  };
  if (!out) throw failed();
  const auto write = [&](const std::string& answer) {
    if (std::fwrite(answer.data(), 1, answer.size(), out.get()) != answer.size()) throw failed();
  };
  LineReader lines(
      [&](std::string_view line) {
        if (line.empty()) return;
        restart_time_limit();
        write(answer_line(line));
      },
      [&] {
        write(fmt::format("{{\"id\":null,\"error\":\"the line is longer than {} MiB\"}}\n",
                          LineReader::kMaxLine >> 20));
      });
  read_text(path, [&](std::string_view piece) {
    lines.feed(piece);
    return true;
  });
  lines.finish();
  if (std::fflush(out.get()) != 0) throw failed();
}

}  // namespace

TextReport make_text_report(ConsoleReport report) {
  TextReport result;
  if (report.kcsan) result.race = JudgedRace{*report.kcsan, classify(*report.kcsan)};
  result.findings = text_findings(report, all_rules());
  result.known = known_causes(report);
  result.signature = sign(report);
  for (const Finding& finding : result.findings) relate_to_rule(&result.signature, finding.rule);
  // The text was read; of many reports it would be all that fills the memory.
  report.lines = {};
  result.report = std::move(report);
  return result;
}

int run_report(Session& session) {
  const std::vector<std::string>& arguments = session.options().arguments;
  const bool batch = session.options().jsonl;
  if (arguments.size() > 1 || (arguments.empty() && !batch))
    throw UsageError("report takes one text: a file, or - for standard input");
  const std::string path = arguments.empty() ? "-" : arguments.front();
  set_activity("reading the text");
  if (batch)
    report_batch(session, path);
  else
    report_text(session, path);
  return kExitDone;
}

}  // namespace perfcore::cli
