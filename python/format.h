// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// How objects and types are printed: as C would initialise or declare them, in the layout that drgn users
/// know.
#pragma once

#include <string>

#include "perfcore/object.h"

namespace perfcore::python {

/// "(int)1", "(struct list_head){\n\t.next = ...", and for a pointer to a struct also the struct itself.
/// Throws FaultError when the object itself cannot be read; what a member cannot show because it was not read
/// is written as "<reason>" in its place.
std::string format_value(const Object& object);

/// "struct list_head {\n\tstruct list_head *next;\n...}" for types with members or enumerators, else the
/// name.
std::string format_type(const Type& type);
/// "struct perf_event *[64]", "char [16]", "int (*)(struct pt_regs *)": as drgn names a type.
std::string type_name(const Type& type);

}  // namespace perfcore::python
