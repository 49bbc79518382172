// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// The decoder behind perfcore/code.h, for bytes from anywhere.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "perfcore/code.h"

namespace perfcore {

/// Functions longer than this are not decoded.
inline constexpr uint64_t kMaxCodeSize = 64 << 10;

/// Decodes until the end or the first bytes that are no instruction. \param with_text false leaves
/// Instruction::text empty, which is several times faster.
std::vector<Instruction> decode_bytes(std::span<const std::byte> bytes, uint64_t address, bool with_text);

/// The same for the kernel's memory.
Reading<std::vector<Instruction>> decode_range(Kernel& kernel, uint64_t address, uint64_t size,
                                               bool with_text);

/// A function and its .cold part, ascending. \param function  either of the two; becomes the function proper
Reading<std::vector<Instruction>> decode_whole_function(Kernel& kernel, Symbol* function);

}  // namespace perfcore
