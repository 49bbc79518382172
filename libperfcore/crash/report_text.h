// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// From the lines of one report to its title, class and guilty function.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "perfcore/report.h"

namespace perfcore {

/// What a headline means for the lines around it.
enum class ReportRole {
  kPrelude,  ///< says what a WARNING or BUG on the next lines is about
  kFault,    ///< an exception that ends in die()
  kDie,      ///< die()'s own line: belongs to the fault above it, if there is one
  kReport,   ///< a checker's report or a WARN()
  kStall,    ///< a watchdog's report; stacks of other CPUs belong to it
  kPanic,    ///< belongs to the report above it, if there is one
  kNotice,   ///< worth a mention when the text holds no crash
};

struct ReportRule;

/// The first line of a report.
struct ReportHeadline {
  const ReportRule* rule = nullptr;
  size_t offset = 0;  ///< where it begins in the line
};

/// Recognises a headline by the table of the kernel's messages; nullopt for every other line.
std::optional<ReportHeadline> find_report_headline(std::string_view line);
/// A trace that no headline announces begins here.
bool begins_trace(std::string_view line);
/// The rule for such a trace.
const ReportRule& headless_rule();

ReportRole role_of(const ReportRule& rule);
std::string_view kind_of(const ReportRule& rule);
/// A kernel boots: worth a mention only when one ran before and did not say that it goes down.
bool is_boot(const ReportRule& rule);
/// What is known of a report's lines.
struct LineOrigin {
  bool tagged = false;  ///< caller IDs say that all are of one context
  bool quoted = false;  ///< by people, who leave out what they do not need: no time stamps, or gaps
};

/// Fills everything but the places in the text. `headline_index`: the line of `report.lines` with the
/// headline.
void read_report(ConsoleReport& report, const ReportHeadline& headline, size_t headline_index,
                 LineOrigin origin);

}  // namespace perfcore
