// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// Puts the data into the dashboard's page.
#include "dashboard.h"

#include <algorithm>

namespace perfcore::cli {

std::string dashboard_page(std::string_view json) {
  std::string page;
  page.reserve(kPageBeforeData.size() + json.size() + json.size() / 64 + kPageAfterData.size());
  page += kPageBeforeData;
  // In JSON a '<' stands only in strings, where it can be written as an escape. Without one neither
  // "</script" nor
  // "<!--", which changes what ends a script element, is left to the HTML parser.
  for (size_t at = 0; at < json.size();) {
    const size_t next = std::min(json.find('<', at), json.size());
    page += json.substr(at, next - at);
    if (next < json.size()) page += "\\u003c";
    at = next + 1;
  }
  page += kPageAfterData;
  return page;
}

}  // namespace perfcore::cli
