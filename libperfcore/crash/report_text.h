// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// From the lines of one report to its title, class and guilty function.
#pragma once

#include <cstddef>

#include "crash/report_rules.h"
#include "perfcore/report.h"

namespace perfcore {

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
