// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// The answer of `perfcore addr`.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "perfcore/address.h"
#include "text_writer.h"

namespace perfcore::cli {

struct AddressAnswer {
  std::string expression;           ///< as it was given
  std::optional<uint64_t> address;  ///< nullopt when the expression could not be read
  std::vector<AddressFact> facts;
  std::vector<Unread> unread;
};
struct AddressesReport {
  std::vector<AddressAnswer> addresses;
};

/// Throws std::invalid_argument for what is no expression.
AddressesReport make_address_report(Kernel& kernel, const std::vector<std::string>& expressions);

std::string to_json(const AddressesReport& report);
void render(TextWriter& out, const AddressesReport& report);

}  // namespace perfcore::cli
