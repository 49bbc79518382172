// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// C's operators on objects: usual arithmetic conversions of an LP64 machine, pointers scaled by what they
/// point to.
#pragma once

#include "bindings.h"

namespace perfcore::python {

enum class Operator {
  kAdd,
  kSubtract,
  kMultiply,
  kDivide,
  kModulo,
  kShiftLeft,
  kShiftRight,
  kAnd,
  kOr,
  kXor
};
enum class Comparison { kEqual, kNotEqual, kLess, kLessEqual, kGreater, kGreaterEqual };

/// Throws py::type_error for operands that C refuses, py::value_error for a division by 0 or a shift by a
/// count that C does not define. One kernel for both operands.
Object apply(Kernel& kernel, Operator op, const Object& left, const Object& right);
bool compare(Comparison comparison, const Object& left, const Object& right);
/// '-', '+' or '~'.
Object apply_unary(Kernel& kernel, char op, const Object& operand);

/// An integer from Python as C sees a literal: int, else long, else unsigned long.
Object literal(Kernel& kernel, int64_t value, bool beyond_signed);

/// The pointer type for pointers and the pointer to its first element for arrays; nullptr for the rest.
const Type* pointee_of(const Object& object);
bool is_number(const Object& object);

}  // namespace perfcore::python
