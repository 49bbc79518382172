// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// Writes the dashboard's page for the export on standard input, for the tests that show it to a browser data
/// that no store of moderate size has.
#include <iostream>
#include <iterator>
#include <string>

#include "dashboard.h"

int main() {
  const std::string json(std::istreambuf_iterator<char>(std::cin), {});
  std::cout << perfcore::cli::dashboard_page(json);
  return std::cout.flush() ? 0 : 1;
}
