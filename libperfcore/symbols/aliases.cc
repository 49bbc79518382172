// SPDX-License-Identifier: LGPL-2.1-or-later
#include "symbols/aliases.h"

#include <algorithm>
#include <array>
#include <tuple>

namespace perfcore {
namespace {

/// As may_be_linker_script_provide_symbol() of scripts/kallsyms.c, plus the labels of vmlinux.lds.S that it
/// leaves out.
bool is_linker_label(std::string_view name) {
  static constexpr std::array<std::string_view, 9> kLabels = {
      "_text", "_stext", "_etext", "_sinittext", "_einittext", "_sdata", "_edata", "__bss_start", "_end"};
  if (std::find(kLabels.begin(), kLabels.end(), name) != kLabels.end()) return true;
  if (!name.starts_with("__")) return false;
  name.remove_prefix(2);
  return name.starts_with("start_") || name.starts_with("stop_") || name.starts_with("end_") ||
         name.ends_with("_start") || name.ends_with("_end") || name.ends_with("_begin");
}

/// Made by the build for tables of its own; kallsyms leaves them out (scripts/mksysmap).
bool is_build_label(std::string_view name) {
  return name.starts_with("__crc_") || name.starts_with("__kstrtab") || name.starts_with("__BTF_ID__") ||
         name.starts_with(".L");
}

/// Higher is better.
auto rank(std::string_view name, char kind) {
  const bool weak = kind == 'w' || kind == 'W' || kind == 'v' || kind == 'V';
  const size_t underscores = std::min(name.find_first_not_of('_'), name.size());
  return std::tuple(!is_build_label(name), !is_linker_label(name), !weak, is_global(kind),
                    -static_cast<long>(underscores));
}

}  // namespace

bool names_better(std::string_view a, char a_kind, std::string_view b, char b_kind) {
  const auto a_rank = rank(a, a_kind);
  const auto b_rank = rank(b, b_kind);
  return a_rank != b_rank ? a_rank > b_rank : a < b;
}

bool is_end_label(std::string_view name) {
  return name == "_etext" || name == "_einittext" || name == "_edata" || name == "_end" ||
         name == "__bss_stop";
}

}  // namespace perfcore
