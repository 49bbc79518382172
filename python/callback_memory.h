// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// Memory behind a Python callable: what makes a kernel of another tool's session.
#pragma once

#include <memory>

#include "bindings.h"
#include "perfcore/dump.h"

namespace perfcore::python {

/// `read(address, size, physical)` returns bytes of that size or raises; what it raises makes the address
/// unread, and anything that is no Exception (KeyboardInterrupt) is kept to be raised when the library is
/// done. Takes the GIL for each call.
/// \param session  not owned; it owns the memory
/// \param dump     says in its words why a page that the callable cannot read is missing; may be null
std::unique_ptr<Memory> make_callback_memory(py::object read, Session* session, std::unique_ptr<Dump> dump);
std::unique_ptr<PhysicalMemory> make_callback_physical_memory(py::object read);

/// A page cache that owns what it caches; for memory that does not change.
std::unique_ptr<Memory> make_owning_page_cache(std::unique_ptr<Memory> inner, size_t pages);

}  // namespace perfcore::python
