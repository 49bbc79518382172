// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// Fixed points of the x86-64 kernel's address space (Documentation/arch/x86/x86_64/mm.rst).
#pragma once

#include <cstdint>

namespace perfcore {

/// __START_KERNEL_map: the image is mapped here; physical = virtual - this + phys_base.
inline constexpr uint64_t kKernelImageMap = 0xffffffff80000000;
/// KERNEL_IMAGE_SIZE with KASLR: modules begin behind it.
inline constexpr uint64_t kMaxKernelImageSize = uint64_t{1} << 30;
/// The direct map of physical memory lies above this: 5-level paging 0xff11..., 4-level 0xffff8880... or,
/// with KASLR, anywhere above.
inline constexpr uint64_t kLowestDirectMap = 0xff00000000000000;

}  // namespace perfcore
