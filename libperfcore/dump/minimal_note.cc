// SPDX-License-Identifier: LGPL-2.1-or-later
#include "dump/minimal_note.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

namespace perfcore {
namespace {

constexpr std::string_view kFormatKey = "ORIGINAL_FORMAT=";
constexpr std::string_view kUnreadKey = "UNREAD=";

struct ReasonName {
  UnreadReason reason;
  std::string_view name;
};
constexpr std::array kReasonNames = {ReasonName{UnreadReason::kExcluded, "excluded"},
                                     ReasonName{UnreadReason::kNotSaved, "not-saved"},
                                     ReasonName{UnreadReason::kBeyondEnd, "beyond-end"},
                                     ReasonName{UnreadReason::kCorrupt, "corrupt"},
                                     ReasonName{UnreadReason::kNotInDump, "not-in-dump"},
                                     ReasonName{UnreadReason::kNotRecorded, "not-recorded"},
                                     ReasonName{UnreadReason::kUnsupported, "unsupported"}};

/// "UNREAD=12a-12f excluded": first and last page frame, hexadecimal.
std::optional<UnreadPages> parse_unread(std::string_view line) {
  UnreadPages pages;
  uint64_t last = 0;
  const char* const end = line.data() + line.size();
  auto [after_begin, error] = std::from_chars(line.data(), end, pages.begin_pfn, 16);
  if (error != std::errc{} || after_begin == end || *after_begin != '-') return std::nullopt;
  auto [after_last, last_error] = std::from_chars(after_begin + 1, end, last, 16);
  if (last_error != std::errc{} || after_last == end || *after_last != ' ') return std::nullopt;
  if (last < pages.begin_pfn || last == UINT64_MAX) return std::nullopt;
  pages.end_pfn = last + 1;
  const std::string_view name(after_last + 1, static_cast<size_t>(end - after_last - 1));
  for (const ReasonName& known : kReasonNames) {
    if (known.name != name) continue;
    pages.reason = known.reason;
    return pages;
  }
  return std::nullopt;
}

class MinimalMemory : public PhysicalMemory {
 public:
  MinimalMemory(PhysicalMemory& inner, MinimalInfo info) : inner_(inner), info_(std::move(info)) {}

  std::optional<Unread> read(uint64_t address, std::span<std::byte> out) override {
    auto failure = inner_.read(address, out);
    if (!failure) return failure;
    switch (failure->reason) {
      case UnreadReason::kExcluded:
      case UnreadReason::kNotSaved:
      case UnreadReason::kNotInDump:
        failure->reason = original_reason(failure->address / kPageSize);
        // What the original lacked is told in the same words: findings quote them.
        failure->detail =
            failure->reason == UnreadReason::kNotRecorded ? "minimal dump made by perfcore extract" : "";
        break;
      default:
        break;
    }
    return failure;
  }

  std::vector<Range> ranges() const override { return inner_.ranges(); }
  const std::byte* stored_page(uint64_t address) override { return inner_.stored_page(address); }

 private:
  UnreadReason original_reason(uint64_t pfn) const {
    const auto found =
        std::upper_bound(info_.unread.begin(), info_.unread.end(), pfn,
                         [](uint64_t p, const UnreadPages& pages) { return p < pages.end_pfn; });
    return found != info_.unread.end() && found->begin_pfn <= pfn ? found->reason
                                                                  : UnreadReason::kNotRecorded;
  }

  PhysicalMemory& inner_;
  MinimalInfo info_;
};

}  // namespace

std::string format_minimal_info(const MinimalInfo& info) {
  std::string text = fmt::format("{}{}\n", kFormatKey, info.original_format);
  for (const UnreadPages& pages : info.unread)
    for (const ReasonName& known : kReasonNames)
      if (known.reason == pages.reason)
        text += fmt::format("{}{:x}-{:x} {}\n", kUnreadKey, pages.begin_pfn, pages.end_pfn - 1, known.name);
  return text;
}

MinimalInfo parse_minimal_info(std::string_view content) {
  MinimalInfo info;
  while (!content.empty()) {
    const std::string_view line = content.substr(0, content.find('\n'));
    content.remove_prefix(std::min(content.size(), line.size() + 1));
    if (line.starts_with(kFormatKey)) info.original_format = line.substr(kFormatKey.size());
    if (!line.starts_with(kUnreadKey)) continue;
    const auto pages = parse_unread(line.substr(kUnreadKey.size()));
    if (pages && (info.unread.empty() || info.unread.back().end_pfn <= pages->begin_pfn))
      info.unread.push_back(*pages);
  }
  return info;
}

std::unique_ptr<PhysicalMemory> make_minimal_memory(PhysicalMemory& inner, MinimalInfo info) {
  return std::make_unique<MinimalMemory>(inner, std::move(info));
}

}  // namespace perfcore
