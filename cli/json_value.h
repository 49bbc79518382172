// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// How values look in JSON answers: shared by the files that write them.
#pragma once

#include <fmt/format.h>

#include <cmath>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "perfcore/reading.h"

namespace perfcore::cli {

using Json = nlohmann::ordered_json;

inline Json hex(uint64_t value) {
  return fmt::format("{:#x}", value);
}
inline Json hex(const std::optional<uint64_t>& value) {
  return value ? hex(*value) : Json(nullptr);
}

template <typename T>
Json plain(const std::optional<T>& value) {
  return value ? Json(*value) : Json(nullptr);
}
inline Json flag(const std::optional<bool>& value) {
  return value ? Json(*value ? 1 : 0) : Json(nullptr);
}

/// Text whose absence the layers below show by an empty string.
inline Json text(const std::string& value) {
  return value.empty() ? Json(nullptr) : Json(value);
}

/// Nanoseconds as seconds; a double holds microseconds exactly for centuries.
inline Json seconds(uint64_t nanoseconds) {
  return std::round(static_cast<double>(nanoseconds) / 1e3) / 1e6;
}

inline Json to_json_value(const std::vector<Unread>& unread) {
  Json list = Json::array();
  for (const Unread& item : unread)
    list.push_back({{"path", item.path},
                    {"address", item.address == 0 ? Json(nullptr) : hex(item.address)},
                    {"reason", std::string(to_string(item.reason))},
                    {"detail", item.detail}});
  return list;
}

/// Bytes of the dump that are no UTF-8 become U+FFFD instead of an exception.
inline std::string dump(const Json& json) {
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace perfcore::cli
