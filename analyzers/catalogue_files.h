// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// The files of catalogue/ as they were built in; the definition is generated (catalogue_files.cmake).
#pragma once

#include <span>
#include <string_view>

namespace perfcore {

struct CatalogueFile {
  std::string_view name;  ///< without folder
  std::string_view text;
};
std::span<const CatalogueFile> catalogue_files();

}  // namespace perfcore
