// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// From an answer to what the store keeps of it, and how that gets from a worker to its parent.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "perfcore/store.h"
#include "report.h"

namespace perfcore::cli {

/// A crash is told by its machine and moment: kernel build, KASLR offset, host, time and uptime. So the
/// vmcore, a minimal dump and a recording of it are one crash. Where time or uptime are not known, by the
/// registers and the log as well.
CrashRecord make_crash_record(const TriageReport& report, Kernel& kernel, const KernelLog& log);

/// Of the report of a text with which the kernel panicked, else of the first; all are in the answer. A report
/// is told by its text. \param identity  text_identity() of that report
CrashRecord make_crash_record(std::span<const TextReport> reports, std::string path, std::string identity);
std::string text_identity(const ConsoleReport& report);

/// CBOR (RFC 8949), for a pipe.
std::vector<uint8_t> packed(const CrashRecord& crash);
/// Throws std::exception for what packed() did not make.
CrashRecord unpacked_crash(std::span<const uint8_t> bytes);

}  // namespace perfcore::cli
