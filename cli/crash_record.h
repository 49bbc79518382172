// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// From an answer to what the store keeps of it, and how that gets from a worker to its parent.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
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

/// Of a report of a text; all are in the answer. A report is told by its text.
/// \param which     the first with which the kernel panicked, else the first of all
/// \param identity  text_identity() of that report
CrashRecord make_crash_record(std::span<const TextReport> reports, size_t which, std::string path,
                              std::string identity);
std::string text_identity(const ConsoleReport& report);

/// The signature of the crash that an answer is of, as make_crash_record() took it for one, with the id that
/// this version gives to it. nullopt when there is none.
std::optional<Signature> signature_in(const std::string& answer);

/// CBOR (RFC 8949), for a pipe.
std::vector<uint8_t> packed(const CrashRecord& crash);
/// Throws std::exception for what packed() did not make.
CrashRecord unpacked_crash(std::span<const uint8_t> bytes);

}  // namespace perfcore::cli
