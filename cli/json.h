// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// Answers as JSON, each ending in a newline. The schemas are docs/schema/*.schema.json. Addresses and 64-bit
/// values are strings in hexadecimal; what was not read is null and listed in "unread".
#pragma once

#include <span>
#include <string>

#include "perfcore/log.h"
#include "report.h"

namespace perfcore::cli {

/// In one line without its end when `compact`.
std::string to_json(const TriageReport& report, bool compact = false);
/// In one line.
std::string to_json(const CounterMap& map);
std::string to_json(const PmuReport& report);
std::string to_json(const StackReport& report);
std::string to_json(const CpuReport& report);
std::string to_json(const ModuleReport& report);
std::string to_json(const EventReport& report);
std::string to_json(const InfoReport& report);
std::string to_json(const CompatReport& report);
std::string to_json(const PrintReport& report);
std::string to_json(const KernelLog& log);
std::string to_json(const CheckReport& report);
/// An element of the array, without line end; in one line when `compact`.
std::string to_json(const TextReport& report, bool compact = false);
/// The line of a batch: the first report's fields beside the id, the others in "more".
std::string to_json_line(const std::string& id_json, std::span<const TextReport> reports);
std::string to_json(const ExtractReport& report);
std::string to_json(const RecordReport& report);
std::string to_json(const VersionInfo& info);

}  // namespace perfcore::cli
