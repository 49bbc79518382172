// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// The answer of `perfcore type`.
#pragma once

#include <string>
#include <vector>

#include "perfcore/layout.h"
#include "text_writer.h"

namespace perfcore::cli {

struct TypeAnswer {
  NamedType named;
  Layout layout;  ///< of the type itself, or of the member that was asked for
};
struct TypeReport {
  std::vector<TypeAnswer> types;
};

/// Throws std::invalid_argument for a name that does not exist.
TypeReport make_type_report(Kernel& kernel, const std::vector<std::string>& names);

std::string to_json(const TypeReport& report);
void render(TextWriter& out, const TypeReport& report);

}  // namespace perfcore::cli
