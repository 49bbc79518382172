// SPDX-License-Identifier: LGPL-2.1-or-later
#include "perfcore/version.h"

#include <Zydis/Zydis.h>
#include <fmt/format.h>
#include <libdwarf/libdwarf.h>
#include <zlib.h>

namespace perfcore {

std::string_view version() {
  return PERFCORE_VERSION;
}

std::vector<Component> components() {
  const ZyanU64 zydis = ZydisGetVersion();
  return {
      {"libkdumpfile", PERFCORE_KDUMPFILE_VERSION},
      {"libdwarf", dwarf_package_version()},
      {"libelf", PERFCORE_ELF_VERSION},
      {"zydis", fmt::format("{}.{}.{}", ZYDIS_VERSION_MAJOR(zydis), ZYDIS_VERSION_MINOR(zydis),
                            ZYDIS_VERSION_PATCH(zydis))},
      {"zlib", zlibVersion()},
      {"fmt", fmt::format("{}.{}.{}", FMT_VERSION / 10000, FMT_VERSION / 100 % 100, FMT_VERSION % 100)},
  };
}

std::vector<std::string> codecs() {
  std::vector<std::string> names;
  std::string_view list = PERFCORE_KDUMPFILE_CODECS;
  while (!list.empty()) {
    const size_t end = list.find(' ');
    names.emplace_back(list.substr(0, end));
    list.remove_prefix(end == std::string_view::npos ? list.size() : end + 1);
  }
  return names;
}

}  // namespace perfcore
