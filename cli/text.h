// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// Answers as text for people.
#pragma once

#include "perfcore/log.h"
#include "report.h"
#include "text_writer.h"

namespace perfcore::cli {

/// What could not be read, and why; nothing when all was. At most `max` of them.
void render_unread(TextWriter& out, const std::vector<Unread>& unread, size_t max = 12);

void render(TextWriter& out, const TriageReport& report);
void render(TextWriter& out, const PmuReport& report);
void render(TextWriter& out, const StackReport& report);
void render(TextWriter& out, const CpuReport& report);
void render(TextWriter& out, const ModuleReport& report);
void render(TextWriter& out, const EventReport& report);
void render(TextWriter& out, const InfoReport& report);
void render(TextWriter& out, const CompatReport& report);
void render(TextWriter& out, const PrintReport& report);
void render(TextWriter& out, const KernelLog& log);
void render(TextWriter& out, const CheckReport& report);
void render(TextWriter& out, const TextReport& report);
void render(TextWriter& out, const ExtractReport& report);
void render(TextWriter& out, const RecordReport& report);
void render(TextWriter& out, const VersionInfo& info);

}  // namespace perfcore::cli
