// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// The exit codes: stable, scripts rely on them. Their meanings in words are in commands.cc.
#pragma once

namespace perfcore::cli {

inline constexpr int kExitDone = 0;
inline constexpr int kExitUsage = 1;
inline constexpr int kExitInput = 2;
inline constexpr int kExitInternal = 3;
inline constexpr int kExitRootCause = 10;
inline constexpr int kExitDefect = 11;
inline constexpr int kExitNotRead = 12;

}  // namespace perfcore::cli
