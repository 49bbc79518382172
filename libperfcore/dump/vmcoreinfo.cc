// SPDX-License-Identifier: LGPL-2.1-or-later
#include <fmt/format.h>

#include <charconv>

#include "perfcore/dump.h"

namespace perfcore {
namespace {

/// The kernel keeps the text in one page; anything much longer is not VMCOREINFO.
constexpr size_t kMaxTextSize = 64 * 1024;

template <typename T>
std::optional<T> parse(std::string_view text, int base) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace

VmcoreInfo::VmcoreInfo(std::string text) : text_(std::move(text)) {
  text_.resize(std::min({text_.size(), kMaxTextSize, text_.find('\0')}));
  std::string_view rest = text_;
  while (!rest.empty()) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), line.size() + 1));
    const size_t equals = line.find('=');
    if (equals == std::string_view::npos || equals == 0) continue;
    values_.insert_or_assign(std::string(line.substr(0, equals)), std::string(line.substr(equals + 1)));
  }
}

std::optional<std::string_view> VmcoreInfo::get(std::string_view key) const {
  const auto found = values_.find(key);
  if (found == values_.end()) return std::nullopt;
  return found->second;
}

std::optional<uint64_t> VmcoreInfo::symbol(std::string_view name) const {
  const auto value = get(fmt::format("SYMBOL({})", name));
  return value ? parse<uint64_t>(*value, 16) : std::nullopt;
}

std::optional<int64_t> VmcoreInfo::number(std::string_view name) const {
  const auto value = get(fmt::format("NUMBER({})", name));
  if (!value) return std::nullopt;
  // A few are written as hexadecimal addresses: NUMBER(VMALLOC_START)=0xffffd21140000000.
  if (value->starts_with("0x")) {
    const auto unsigned_value = parse<uint64_t>(value->substr(2), 16);
    if (!unsigned_value) return std::nullopt;
    return static_cast<int64_t>(*unsigned_value);
  }
  return parse<int64_t>(*value, 10);
}

std::optional<uint64_t> VmcoreInfo::kernel_offset() const {
  const auto value = get("KERNELOFFSET");
  return value ? parse<uint64_t>(*value, 16) : std::nullopt;
}

}  // namespace perfcore
