// SPDX-License-Identifier: LGPL-2.1-or-later
#include "perfcore/record.h"

#include <algorithm>
#include <stdexcept>

#include "kernel/record_redact.h"
#include "kernel/recorder.h"

namespace perfcore {
namespace {

constexpr std::string_view kRecordingOf = "recording of ";
constexpr std::string_view kRedacted =
    "redacted recording: task names, command lines, log text and registers of user space were left out";

RecordedFile file_of(Kernel& kernel) {
  RecordedFile file;
  file.vmcoreinfo = kernel.vmcoreinfo().text();
  file.cpu_status = kernel.cpu_status();
  Dump* dump = kernel.dump();
  if (!dump) return file;
  file.format = dump->format();
  if (file.format.starts_with(kRecordingOf)) file.format.erase(0, kRecordingOf.size());
  file.vmcoreinfo_source = dump->vmcoreinfo_source();
  file.quality = dump->quality();
  file.memory = dump->physical().ranges();
  return file;
}

}  // namespace

RecordSummary write_recording(Kernel& kernel, const std::string& path, const RecordOptions& options) {
  Recorder* recorder = kernel.recorder();
  if (!recorder) throw std::logic_error("write_recording(): the kernel was not opened for recording");
  // Looking up what to leave out reads and asks as well: first all that was read and asked so far.
  RecordWriter tables;
  tables.text(kernel.vmlinux());
  tables.count(kernel.remarks().size());
  for (const std::string& remark : kernel.remarks()) tables.text(remark);
  RecordSummary summary;
  const SymbolAnswers& symbols = recorder->symbols->answers();
  summary.symbols = symbols.by_name.size() + symbols.all_by_name.size() + symbols.by_address.size() +
                    symbols.per_cpu_by_address.size();
  write_symbol_answers(tables, recorder->symbols->source(), symbols);
  summary.types = recorder->types->write(tables);

  RecordedRanges ranges = recorder->memory.recorded();
  RecordedFile file = file_of(kernel);
  if (options.redact) {
    redact_memory(kernel, &ranges);
    std::erase_if(file.cpu_status, [](const CpuStatus& status) { return status.registers.from_user(); });
    const auto said = [](const QualityNote& note) { return note.what == kRedacted; };
    if (std::none_of(file.quality.begin(), file.quality.end(), said))
      file.quality.push_back({std::string(kRedacted), 1, 0});
  }
  for (const auto& [begin, end] : ranges.ranges) summary.memory_bytes += end - begin;
  RecordWriter out;
  write_recorded_dump(out, file, std::move(ranges), recorder->memory.inner());
  out.bytes(std::as_bytes(std::span(tables.buffer())));
  summary.file_bytes = write_recording_file(path, out.buffer());
  return summary;
}

}  // namespace perfcore
