// SPDX-License-Identifier: LGPL-2.1-or-later
#include "crash/report_title.h"

#include <cxxabi.h>

#include <algorithm>
#include <cstdlib>

#include "crash/console_line.h"
#include "crash/report_words.h"
#include "crash/rust_symbol.h"
#include "perfcore/report.h"

namespace perfcore {

using namespace report_words;

namespace {

/// Length of "syz-executor.3", "syzkaller1234:12": programs of a fuzzer are numbered. 0: none of them.
size_t fuzzer_length(Text text, Text name) {
  if (!text.starts_with(name)) return 0;
  size_t digits = name.size();
  if (name.ends_with("executor") && digits < text.size() && text[digits] == '.') ++digits;
  size_t end = end_of(text, digits, is_digit);
  if (end == digits) return 0;
  if (end + 1 < text.size() && (text[end] == '/' || text[end] == ':') && is_digit(text[end + 1]))
    end = end_of(text, end + 1, is_digit);
  return end;
}

/// Length of "1.2.3.4", each part of one to three digits; 0: none.
size_t ip_length(Text text) {
  size_t at = 0;
  for (int part = 0; part < 4; ++part) {
    const size_t end = std::min(end_of(text, at, is_digit), at + 3);
    if (end == at) return 0;
    at = end;
    if (part < 3 && (at >= text.size() || text[at++] != '.')) return 0;
  }
  return at;
}

}  // namespace

std::string without_numbers(Text text) {
  constexpr size_t kMaxTitle = 120;
  text = text.substr(0, kMaxConsoleLine);
  std::string result;
  for (size_t i = 0; i < text.size();) {
    const Text rest = text.substr(i);
    const char before_it = i > 0 ? text[i - 1] : '\0';
    bool replaced = false;
    for (Text program : {Text("syz-executor"), Text("syzkaller")})
      if (const size_t length = fuzzer_length(rest, program)) {
        result += program;
        i += length;
        replaced = true;
        break;
      }
    if (replaced) continue;
    if (i > 0 && !is_alphanumeric(before_it)) {
      const size_t from = rest.starts_with("0x") ? 2 : 0;
      if (const size_t end = end_of(rest, from, is_lower_hex); end - from >= 6) {
        result += "ADDR";
        i += end;
        continue;
      }
    }
    if (const size_t length = is_digit(rest.front()) && !is_digit(before_it) ? ip_length(rest) : 0) {
      result += "IP";
      i += length;
      continue;
    }
    // ".c:12:3"
    if (rest.front() == '.') {
      const size_t colon = end_of(rest, 1, is_word);
      size_t end = colon;
      while (colon > 1 && end + 1 < rest.size() && rest[end] == ':' && is_digit(rest[end + 1]))
        end = end_of(rest, end + 1, is_digit);
      if (end > colon) {
        result += rest.substr(0, colon);
        result += ":LINE";
        i += end;
        continue;
      }
    }
    // "foo+0x1/0x2"
    if (rest.starts_with("+0x") && is_word(before_it)) {
      const size_t slash = end_of(rest, 3, is_alphanumeric);
      if (slash > 3 && rest.substr(slash).starts_with("/0x")) {
        i += end_of(rest, slash + 3, is_alphanumeric);
        continue;
      }
    }
    if (rest.starts_with("CPU#") && rest.size() > 4 && is_digit(rest[4])) {
      result += "CPU";
      i += end_of(rest, 4, is_digit);
      continue;
    }
    if (is_digit(rest.front())) {
      const size_t end = end_of(rest, 0, is_digit);
      const bool alone = i > 0 && !is_word(before_it) && (end == rest.size() || !is_word(rest[end]));
      if (alone || end >= 7)
        result += "NUM";
      else
        result += rest.substr(0, end);
      i += end;
      continue;
    }
    result += rest.front();
    ++i;
  }
  std::string clean;
  for (char c : result.substr(0, kMaxTitle)) {
    if (c == '\t') c = ' ';
    if (c < 0x20 || c == 0x7f || (c == ' ' && (clean.empty() || clean.back() == ' '))) continue;
    clean += c;
  }
  return std::string(trim(clean));
}

std::string plain_function(Text function) {
  if (function.starts_with("<") || function.find("::") != function.npos) return std::string(function);
  if (size_t dot = function.find('.'); dot != function.npos && dot > 0) function = function.substr(0, dot);
  if (auto path = rust_path(function)) return *path;
  if (function.starts_with("_Z")) {
    int status = -1;
    const std::string symbol(function);
    char* plain = abi::__cxa_demangle(symbol.c_str(), nullptr, nullptr, &status);
    std::string name = status == 0 && plain ? plain : "";
    std::free(plain);
    if (!name.empty()) return name.substr(0, name.find('('));
  }
  return std::string(function);
}

std::string title_function(Text printed) {
  const std::string function = plain_function(printed);
  constexpr Text kEntries[] = {"__x64_",    "__ia32_",      "__arm64_",    "__se_sys_", "__se_",
                               "__do_sys_", "____sys_",     "___sys_",     "__sys_",    "ksys_",
                               "sys_",      "compat_SYSC_", "compat_SyS_", "SYSC_",     "SyS_"};
  for (Text entry : kEntries)
    if (function.starts_with(entry)) return function.substr(entry.size());
  return function;
}

std::string normalised_function(Text function) {
  // What compilers append.
  if (!function.starts_with("<") && function.find("::") == function.npos) {
    constexpr Text kSuffixes[] = {".constprop", ".isra",     ".part",  ".cold",
                                  ".llvm",      ".lto_priv", ".clone", ".ipa"};
    size_t end = function.size();
    for (Text suffix : kSuffixes) end = std::min(end, function.find(suffix));
    function = function.substr(0, end);
    // "foo.123": a static function that was renamed
    if (size_t dot = function.rfind('.');
        dot != function.npos && dot > 0 && dot + 1 < function.size() &&
        std::all_of(function.begin() + static_cast<ptrdiff_t>(dot) + 1, function.end(), is_digit))
      function = function.substr(0, dot);
  }
  // SYSCALL_DEFINE() of include/linux/syscalls.h and arch/x86/include/asm/syscall_wrapper.h.
  constexpr Text kEntries[] = {"__x64_sys_",
                               "__ia32_sys_",
                               "__x64_compat_sys_",
                               "__ia32_compat_sys_",
                               "__se_sys_",
                               "__se_compat_sys_",
                               "__do_sys_",
                               "__do_compat_sys_",
                               "__x32_compat_sys_",
                               "compat_SYSC_",
                               "compat_SyS_",
                               "compat_sys_",
                               "__arm64_sys_",
                               "SYSC_",
                               "SyS_",
                               "ksys_"};
  for (Text entry : kEntries)
    if (function.starts_with(entry)) return "sys_" + std::string(function.substr(entry.size()));
  return std::string(function);
}

}  // namespace perfcore
