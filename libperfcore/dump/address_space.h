// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// Where the kernel's page tables and its VMCOREINFO lie, for dumps that say so and for dumps that do not.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "dump/container.h"
#include "dump/notes.h"
#include "dump/page_table.h"

namespace perfcore {

struct AddressSpace {
  PageTableSetup setup;
  /// The page tables map the kernel image where VMCOREINFO says that it is.
  bool verified = false;
};

/// The kernel's page tables: from swapper_pg_dir of VMCOREINFO, else from CR3 of a CPU that a hypervisor
/// saved. Without either, only what the format itself says of the mappings is known.
AddressSpace find_address_space(PhysicalMemory& physical, const Container& container, const VmcoreInfo& info,
                                const Notes& notes);

/// Searches physical memory for the page in which the kernel keeps the VMCOREINFO text (vmcoreinfo_data or
/// vmcoreinfo_note of kernel/vmcore_info.c; both begin on a page). A text counts only if the page tables that
/// it names map the kernel image, so that remains of an earlier boot are not taken for it. \param progress
/// called with (done, total) bytes of memory; may be empty \param rejected  how many texts were found that do
/// not fit
std::optional<VmcoreInfo> search_vmcoreinfo(PhysicalMemory& physical, const Container& container,
                                            const Notes& notes,
                                            const std::function<void(uint64_t, uint64_t)>& progress,
                                            size_t& rejected);

}  // namespace perfcore
