// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// Which of several symbols to name: the same choice for kallsyms and ELF, so that both name an address
/// alike.
#pragma once

#include <string_view>

namespace perfcore {

/// True when `a` names an address better than `b`, which is at the same address. scripts/kallsyms.c
/// (compare_symbols()) goes by the same signs: labels of linker scripts and weak symbols last, then those
/// with more leading underscores. Here global symbols go before local ones as well, and the alphabet decides
/// at last.
/// \param a_kind, b_kind as nm(1) prints them
bool names_better(std::string_view a, char a_kind, std::string_view b, char b_kind);

/// True for symbols that mark where something ends and therefore contain no byte, such as _etext.
bool is_end_label(std::string_view name);

/// True for a global symbol by the letter of nm(1).
inline bool is_global(char kind) {
  return kind >= 'A' && kind <= 'Z';
}

}  // namespace perfcore
