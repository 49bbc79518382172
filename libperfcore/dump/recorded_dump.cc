// SPDX-License-Identifier: LGPL-2.1-or-later
#include "dump/recorded_dump.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>
#include <optional>

#include "dump/byte_source.h"

namespace perfcore {
namespace {

constexpr std::array kRegisters = {
    &Registers::r15,   &Registers::r14, &Registers::r13, &Registers::r12,     &Registers::bp, &Registers::bx,
    &Registers::r11,   &Registers::r10, &Registers::r9,  &Registers::r8,      &Registers::ax, &Registers::cx,
    &Registers::dx,    &Registers::si,  &Registers::di,  &Registers::orig_ax, &Registers::ip, &Registers::cs,
    &Registers::flags, &Registers::sp,  &Registers::ss};

/// Longer reads are cut into such pieces while a recording is written.
constexpr uint64_t kPiece = 1 << 20;

Unread not_recorded(uint64_t address) {
  return {UnreadReason::kNotRecorded, address, "", ""};
}

class RecordedMemory : public Memory {
 public:
  /// \param in  of a content that outlives this memory
  explicit RecordedMemory(RecordReader& in) {
    const uint64_t count = in.count();
    uint64_t end = 0, total = 0;
    for (uint64_t i = 0; i < count; i++) {
      const uint64_t begin = end + in.number(UINT64_MAX - end);
      const uint64_t size = in.number(UINT64_MAX - begin);
      ranges_.push_back({begin, size, nullptr});
      end = begin + size;
    }
    for (Range& range : ranges_) {
      range.bytes = in.bytes(range.size).data();
      total += range.size;
    }
    const uint64_t failures = in.count();
    for (uint64_t i = 0; i < failures; i++) {
      const uint64_t size = in.number();
      Unread why = in.unread();
      const uint64_t begin = why.address;
      failures_.insert_or_assign(begin,
                                 std::pair(begin + std::min(size, UINT64_MAX - begin), std::move(why)));
    }
  }

  std::optional<Unread> read(uint64_t address, std::span<std::byte> out) override {
    if (out.empty()) return std::nullopt;
    uint64_t missing = address;
    const auto after =
        std::upper_bound(ranges_.begin(), ranges_.end(), address,
                         [](uint64_t wanted, const Range& range) { return wanted < range.begin; });
    if (after != ranges_.begin()) {
      const Range& range = *std::prev(after);
      if (address - range.begin < range.size) {
        const uint64_t offset = address - range.begin;
        const uint64_t size = std::min<uint64_t>(out.size(), range.size - offset);
        std::memcpy(out.data(), range.bytes + offset, size);
        if (size == out.size()) return std::nullopt;
        missing = address + size;
      }
    }
    return why_missing(missing);
  }

  uint64_t unread_until(uint64_t address) override {
    uint64_t until = UINT64_MAX;
    const auto range = std::upper_bound(ranges_.begin(), ranges_.end(), address,
                                        [](uint64_t wanted, const Range& r) { return wanted < r.begin; });
    if (range != ranges_.end()) until = range->begin;
    auto failure = failures_.upper_bound(address);
    if (failure != failures_.end()) until = std::min(until, failure->first);
    if (failure != failures_.begin() && std::prev(failure)->second.first > address)
      until = std::min(until, std::prev(failure)->second.first);
    return until;
  }

 private:
  struct Range {
    uint64_t begin = 0;
    uint64_t size = 0;
    const char* bytes = nullptr;
  };

  Unread why_missing(uint64_t address) const {
    const auto after = failures_.upper_bound(address);
    if (after == failures_.begin()) return not_recorded(address);
    const auto& [end, why] = std::prev(after)->second;
    if (address >= end) return not_recorded(address);
    Unread here = why;
    here.address = address;
    return here;
  }

  std::vector<Range> ranges_;  // ascending, disjoint
  std::map<uint64_t, std::pair<uint64_t, Unread>> failures_;
};

/// The physical memory of a recording: where it was is known, nothing of it was kept.
class NoPhysicalMemory : public PhysicalMemory {
 public:
  explicit NoPhysicalMemory(std::vector<Range> ranges) : ranges_(std::move(ranges)) {}
  std::optional<Unread> read(uint64_t address, std::span<std::byte>) override {
    return Unread{UnreadReason::kNotRecorded, address, "", "a recording has no physical memory"};
  }
  std::vector<Range> ranges() const override { return ranges_; }

 private:
  std::vector<Range> ranges_;
};

class RecordedDump : public Dump {
 public:
  explicit RecordedDump(const std::string& path) : path_(path), content_(read_recording_file(path)) {
    RecordReader in(content_, path);
    format_ = "recording of " + std::string(in.text());
    vmcoreinfo_ = VmcoreInfo(std::string(in.text()));
    vmcoreinfo_source_ = in.text();
    for (uint64_t left = in.count(); left != 0; left--) {
      QualityNote note;
      note.what = in.text();
      note.count = in.number();
      note.first_address = in.number();
      quality_.push_back(std::move(note));
    }
    for (uint64_t left = in.count(); left != 0; left--) {
      CpuStatus status;
      status.cpu = static_cast<int>(in.number(INT32_MAX));
      status.pid = static_cast<int>(static_cast<uint32_t>(in.number(UINT32_MAX)));
      status.gs_base = in.number();
      for (const auto member : kRegisters) status.registers.*member = in.number();
      cpu_status_.push_back(status);
    }
    std::vector<PhysicalMemory::Range> memory;
    for (uint64_t left = in.count(); left != 0; left--) {
      const uint64_t begin = in.number();
      const uint64_t end = in.number();
      if (end < begin) in.damaged("a range of memory that ends before it begins");
      memory.push_back({begin, end});
    }
    physical_.emplace(std::move(memory));
    memory_.emplace(in);
    tables_ = in.rest();
  }

  const std::string& path() const override { return path_; }
  const std::string& format() const override { return format_; }
  const std::string& dmesg_beside() override { return no_text_; }
  PhysicalMemory& physical() override { return *physical_; }
  Memory& memory() override { return *memory_; }
  const VmcoreInfo& vmcoreinfo() const override { return vmcoreinfo_; }
  std::string_view vmcoreinfo_source() const override { return vmcoreinfo_source_; }
  const std::vector<CpuStatus>& cpu_status() const override { return cpu_status_; }
  const std::vector<QualityNote>& quality() const override { return quality_; }
  Reading<uint64_t> virtual_to_physical(uint64_t address) override { return not_recorded(address); }
  void start_recording_touched_pages() override {
    throw InputError(fmt::format(
        "{} is a recording: it holds no pages to make a vmcore of; use the dump that it was made of", path_));
  }
  PageSet touched_pages() const override { return {}; }
  const std::string& raw_notes() const override { return no_text_; }
  std::string_view recorded_tables() const override { return tables_; }

 private:
  std::string path_, content_, format_, vmcoreinfo_source_, no_text_;
  VmcoreInfo vmcoreinfo_;
  std::vector<QualityNote> quality_;
  std::vector<CpuStatus> cpu_status_;
  std::optional<NoPhysicalMemory> physical_;
  std::optional<RecordedMemory> memory_;  // its bytes are those of content_
  std::string_view tables_;               // of content_
};

}  // namespace

void RecordedRanges::add(uint64_t begin, uint64_t end) {
  if (begin >= end) return;
  auto it = ranges.upper_bound(begin);
  if (it != ranges.begin() && std::prev(it)->second >= begin) --it;
  while (it != ranges.end() && it->first <= end) {
    begin = std::min(begin, it->first);
    end = std::max(end, it->second);
    it = ranges.erase(it);
  }
  ranges.emplace(begin, end);
}

void RecordedRanges::remove(uint64_t begin, uint64_t end, const Unread& why) {
  if (begin >= end) return;
  auto it = ranges.upper_bound(begin);
  if (it != ranges.begin() && std::prev(it)->second > begin) --it;
  while (it != ranges.end() && it->first < end) {
    const auto [first, last] = *it;
    it = ranges.erase(it);
    if (first < begin) ranges.emplace(first, begin);
    if (last > end) it = ranges.emplace(end, last).first;
  }
  Unread here = why;
  here.address = begin;
  failures.insert_or_assign(begin, std::pair(end, std::move(here)));
}

void write_recorded_dump(RecordWriter& out, const RecordedFile& file, RecordedRanges wanted, Memory& memory) {
  out.text(file.format);
  out.text(file.vmcoreinfo);
  out.text(file.vmcoreinfo_source);
  out.count(file.quality.size());
  for (const QualityNote& note : file.quality) {
    out.text(note.what);
    out.number(note.count);
    out.number(note.first_address);
  }
  out.count(file.cpu_status.size());
  for (const CpuStatus& status : file.cpu_status) {
    out.number(static_cast<uint64_t>(std::max(status.cpu, 0)));
    out.number(static_cast<uint32_t>(status.pid));
    out.number(status.gs_base);
    for (const auto member : kRegisters) out.number(status.registers.*member);
  }
  out.count(file.memory.size());
  for (const PhysicalMemory::Range& range : file.memory) {
    out.number(range.begin);
    out.number(range.end);
  }

  std::string bytes;
  RecordedRanges readable;
  readable.failures = std::move(wanted.failures);
  for (const auto& [begin, end] : wanted.ranges) {
    for (uint64_t piece = begin; piece < end; piece += std::min(kPiece, end - piece)) {
      const Snapshot snapshot = take_snapshot(memory, piece, std::min(kPiece, end - piece));
      size_t done = 0;
      const auto keep = [&](size_t until) {
        readable.add(piece + done, piece + until);
        bytes.append(reinterpret_cast<const char*>(snapshot.bytes.data()) + done, until - done);
      };
      for (const Snapshot::Gap& gap : snapshot.gaps) {
        keep(gap.begin);
        readable.remove(piece + gap.begin, piece + gap.end, gap.unread);
        done = gap.end;
      }
      keep(snapshot.bytes.size());
    }
  }
  out.count(readable.ranges.size());
  uint64_t last = 0;
  for (const auto& [begin, end] : readable.ranges) {
    out.number(begin - last);
    out.number(end - begin);
    last = end;
  }
  out.bytes(std::as_bytes(std::span(bytes)));
  out.count(readable.failures.size());
  for (const auto& [begin, failure] : readable.failures) {
    out.number(failure.first - begin);
    out.unread(failure.second);
  }
}

bool is_recording(const std::string& path) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) return false;
  std::string head(kRecordingSignature.size(), '\0');
  head.resize(open_plain_file(path)->read_at(0, std::as_writable_bytes(std::span(head))));
  return head == kRecordingSignature;
}

std::unique_ptr<Dump> open_recorded_dump(const std::string& path) {
  return std::make_unique<RecordedDump>(path);
}

}  // namespace perfcore
