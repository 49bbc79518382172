// SPDX-License-Identifier: LGPL-2.1-or-later
#include "perfcore/reading.h"

#include <fmt/format.h>

namespace perfcore {

std::string_view to_string(UnreadReason reason) {
  switch (reason) {
    case UnreadReason::kExcluded:
      return "page excluded by makedumpfile";
    case UnreadReason::kNotSaved:
      return "page not saved in the dump (or all zero; an ELF dump cannot tell)";
    case UnreadReason::kBeyondEnd:
      return "the dump file ends before this page (truncated)";
    case UnreadReason::kCorrupt:
      return "corrupt";
    case UnreadReason::kNotMapped:
      return "not mapped by the kernel's page tables";
    case UnreadReason::kNotInDump:
      return "no such memory in the dump";
    case UnreadReason::kNotRecorded:
      return "not recorded";
    case UnreadReason::kNoSymbol:
      return "no such symbol";
    case UnreadReason::kNoType:
      return "no such type";
    case UnreadReason::kNoMember:
      return "no such member";
    case UnreadReason::kNullPointer:
      return "a pointer on the way is NULL";
    case UnreadReason::kLimit:
      return "limit reached";
    case UnreadReason::kUnsupported:
      return "format not known to perfcore";
  }
  return "unknown reason";
}

std::string Unread::message() const {
  std::string text = path;
  if (address != 0) text += fmt::format("{}at {:#x}", text.empty() ? "" : " ", address);
  text += fmt::format("{}{}", text.empty() ? "" : ": ", to_string(reason));
  if (!detail.empty()) text += fmt::format(" ({})", detail);
  return text;
}

Reading<bool> operator&&(const Reading<bool>& a, const Reading<bool>& b) {
  if (a.is(false) || b.is(false)) return false;
  if (!a.has_value()) return a;
  return b;
}

Reading<bool> operator||(const Reading<bool>& a, const Reading<bool>& b) {
  if (a.is(true) || b.is(true)) return true;
  if (!a.has_value()) return a;
  return b;
}

Reading<bool> operator!(const Reading<bool>& a) {
  if (!a.has_value()) return a;
  return !a.value();
}

}  // namespace perfcore
