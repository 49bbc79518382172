# SPDX-License-Identifier: LGPL-2.1-or-later
# Writes OUTPUT, a C++ file with the text of every file in the ;-list FILES.
file(WRITE ${OUTPUT}.new "#include \"analyzers/catalogue_files.h\"\n\n#include <array>\n\nnamespace perfcore {\n
std::span<const CatalogueFile> catalogue_files() {\n")
list(LENGTH FILES count)
file(APPEND ${OUTPUT}.new "  static constexpr std::array<CatalogueFile, ${count}> kFiles = {{\n")
foreach(file IN LISTS FILES)
  get_filename_component(name "${file}" NAME)
  file(READ "${file}" text)
  file(APPEND ${OUTPUT}.new "{\"${name}\", R\"__catalogue__(${text})__catalogue__\"},\n")
endforeach()
file(APPEND ${OUTPUT}.new "  }};\n  return kFiles;\n}\n\n}  // namespace perfcore\n")
file(RENAME ${OUTPUT}.new ${OUTPUT})
