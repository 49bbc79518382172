// SPDX-License-Identifier: LGPL-2.1-or-later
#include "arithmetic.h"

#include <fmt/format.h>

#include <limits>

namespace perfcore::python {
namespace {

const Type* plain(const Object& object) {
  return object.type() ? object.type()->strip() : nullptr;
}

bool is_integer(const Type* type) {
  return type && (type->kind == TypeKind::kInt || type->kind == TypeKind::kEnum);
}

bool is_signed(const Type* type) {
  return type->encoding == IntEncoding::kSigned || type->encoding == IntEncoding::kChar;
}

[[noreturn]] void refuse(std::string_view op, const Object& left, const Object& right) {
  throw py::type_error(fmt::format("invalid operands to {}: '{}' and '{}'", op, left.type()->to_string(),
                                   right.type()->to_string()));
}

/// An operand of the usual arithmetic conversions.
struct Number {
  const Type* type;  ///< as it is named, or int after promotion
  uint64_t bits;     ///< sign-extended to 64 bits where the type is signed
  uint64_t size;     ///< bytes: 4 or 8
  bool is_signed;
};

Number promote(Kernel& kernel, const Object& object) {
  const Type* type = plain(object);
  const uint64_t bits = static_cast<uint64_t>(take(object.s64()));
  const bool narrow = object.bit_field_size() && object.bit_field_size() < 32;
  if (type->size < 4 || narrow || type->encoding == IntEncoding::kBool)
    return {kernel.type("int"), bits, 4, true};
  return {object.type(), bits, type->size, is_signed(type)};
}

/// What a result of this size and sign is: the bits that fit, sign-extended as Number wants them.
uint64_t fit(uint64_t bits, uint64_t size, bool is_signed) {
  if (size >= 8) return bits;
  return is_signed ? static_cast<uint64_t>(static_cast<int64_t>(static_cast<int32_t>(bits)))
                   : bits & 0xffffffff;
}

Object make(Kernel& kernel, const Type* type, uint64_t bits, uint64_t size, std::string expression) {
  const uint64_t mask = size >= 8 ? ~uint64_t{0} : (uint64_t{1} << (8 * size)) - 1;
  return Object::of_value(kernel, type, bits & mask, std::move(expression));
}

std::string_view symbol_of(Operator op) {
  constexpr std::string_view kSymbols[] = {"+", "-", "*", "/", "%", "<<", ">>", "&", "|", "^"};
  return kSymbols[static_cast<size_t>(op)];
}

uint64_t divide(Operator op, uint64_t a, uint64_t b, bool is_signed) {
  if (b == 0) throw py::value_error("division by zero");
  if (!is_signed) return op == Operator::kDivide ? a / b : a % b;
  const auto x = static_cast<int64_t>(a);
  const auto y = static_cast<int64_t>(b);
  // The one quotient that does not fit: C does not define it, the machine would trap.
  if (y == -1) return op == Operator::kDivide ? uint64_t{0} - a : 0;
  return static_cast<uint64_t>(op == Operator::kDivide ? x / y : x % y);
}

uint64_t shift(Operator op, const Number& value, const Number& count) {
  if (count.bits >= value.size * 8)
    throw py::value_error(
        fmt::format("shift by {} of a value of {} bits", static_cast<int64_t>(count.bits), value.size * 8));
  if (op == Operator::kShiftLeft) return value.bits << count.bits;
  if (value.is_signed) return static_cast<uint64_t>(static_cast<int64_t>(value.bits) >> count.bits);
  return value.bits >> count.bits;
}

Object pointer_arithmetic(Kernel& kernel, Operator op, const Object& left, const Object& right,
                          std::string expression) {
  const Type* left_target = pointee_of(left);
  const Type* right_target = pointee_of(right);
  // void and functions have the size 1 here, as gcc has it.
  const auto size_of = [](const Type* target) { return target->size ? target->size : 1; };
  const auto value = [](const Object& object) {
    const Type* type = plain(object);
    return type->kind == TypeKind::kArray ? take(object.address()) : take(object.u64());
  };
  const auto pointer_type = [&](const Object& object, const Type* target) {
    return plain(object)->kind == TypeKind::kArray ? kernel.pointer_to(target) : object.type();
  };
  if (left_target && right_target) {
    if (op != Operator::kSubtract || size_of(left_target) != size_of(right_target))
      refuse(symbol_of(op), left, right);
    const auto distance = static_cast<int64_t>(value(left) - value(right));
    return make(kernel, kernel.type("long"),
                static_cast<uint64_t>(distance / static_cast<int64_t>(size_of(left_target))), 8,
                std::move(expression));
  }
  const bool left_is_pointer = left_target != nullptr;
  const Object& pointer = left_is_pointer ? left : right;
  const Object& number = left_is_pointer ? right : left;
  const Type* target = left_is_pointer ? left_target : right_target;
  const bool defined = op == Operator::kAdd || (op == Operator::kSubtract && left_is_pointer);
  if (!defined || !is_integer(plain(number))) refuse(symbol_of(op), left, right);
  const uint64_t offset = static_cast<uint64_t>(take(number.s64())) * size_of(target);
  const uint64_t base = value(pointer);
  return make(kernel, pointer_type(pointer, target), op == Operator::kAdd ? base + offset : base - offset, 8,
              std::move(expression));
}

}  // namespace

const Type* pointee_of(const Object& object) {
  const Type* type = plain(object);
  return type && (type->kind == TypeKind::kPointer || type->kind == TypeKind::kArray) ? type->target()
                                                                                      : nullptr;
}

bool is_number(const Object& object) {
  return is_integer(plain(object));
}

Object literal(Kernel& kernel, int64_t value, bool beyond_signed) {
  const bool is_int = !beyond_signed && value >= std::numeric_limits<int32_t>::min() &&
                      value <= std::numeric_limits<int32_t>::max();
  const char* type = is_int ? "int" : beyond_signed ? "unsigned long" : "long";
  const std::string text =
      beyond_signed ? fmt::format("{:#x}", static_cast<uint64_t>(value)) : fmt::format("{}", value);
  return make(kernel, kernel.type(type), static_cast<uint64_t>(value), is_int ? 4 : 8, text);
}

Object apply(Kernel& kernel, Operator op, const Object& left, const Object& right) {
  std::string expression = fmt::format("({}) {} ({})", left.expression(), symbol_of(op), right.expression());
  if (pointee_of(left) || pointee_of(right))
    return pointer_arithmetic(kernel, op, left, right, std::move(expression));
  if (!is_number(left) || !is_number(right)) refuse(symbol_of(op), left, right);
  Number a = promote(kernel, left);
  Number b = promote(kernel, right);
  if (op == Operator::kShiftLeft || op == Operator::kShiftRight)
    return make(kernel, a.type, fit(shift(op, a, b), a.size, a.is_signed), a.size, std::move(expression));
  // The wider type wins; of two of one width the unsigned one (C11 6.3.1.8).
  const bool take_left = a.size > b.size || (a.size == b.size && (!a.is_signed || b.is_signed));
  const Number& common = take_left ? a : b;
  const uint64_t x = fit(a.bits, common.size, common.is_signed);
  const uint64_t y = fit(b.bits, common.size, common.is_signed);
  uint64_t result = 0;
  switch (op) {
    case Operator::kAdd:
      result = x + y;
      break;
    case Operator::kSubtract:
      result = x - y;
      break;
    case Operator::kMultiply:
      result = x * y;
      break;
    case Operator::kAnd:
      result = x & y;
      break;
    case Operator::kOr:
      result = x | y;
      break;
    case Operator::kXor:
      result = x ^ y;
      break;
    default:
      result = divide(op, x, y, common.is_signed);
  }
  return make(kernel, common.type, fit(result, common.size, common.is_signed), common.size,
              std::move(expression));
}

bool compare(Comparison comparison, const Object& left, const Object& right) {
  const auto scalar = [](const Object& object) {
    return is_number(object) || (pointee_of(object) && plain(object)->kind == TypeKind::kPointer);
  };
  if (!scalar(left) || !scalar(right)) refuse("comparison", left, right);
  Kernel& kernel = left.kernel();
  // Pointers are compared as the unsigned numbers that they are, also with integers.
  const auto number = [&](const Object& object) -> Number {
    if (!is_number(object)) return {object.type(), take(object.u64()), 8, false};
    return promote(kernel, object);
  };
  const Number a = number(left);
  const Number b = number(right);
  const uint64_t size = std::max(a.size, b.size);
  const bool unsigned_wins = (!a.is_signed && a.size == size) || (!b.is_signed && b.size == size);
  const uint64_t x = fit(a.bits, size, !unsigned_wins);
  const uint64_t y = fit(b.bits, size, !unsigned_wins);
  const bool less = unsigned_wins ? x < y : static_cast<int64_t>(x) < static_cast<int64_t>(y);
  switch (comparison) {
    case Comparison::kEqual:
      return x == y;
    case Comparison::kNotEqual:
      return x != y;
    case Comparison::kLess:
      return less;
    case Comparison::kLessEqual:
      return less || x == y;
    case Comparison::kGreater:
      return !less && x != y;
    case Comparison::kGreaterEqual:
      return !less;
  }
  return false;
}

Object apply_unary(Kernel& kernel, char op, const Object& operand) {
  if (!is_number(operand))
    throw py::type_error(fmt::format("invalid operand to {}: '{}'", op, operand.type()->to_string()));
  const Number number = promote(kernel, operand);
  uint64_t result = number.bits;
  if (op == '-') result = uint64_t{0} - result;
  if (op == '~') result = ~result;
  return make(kernel, number.type, fit(result, number.size, number.is_signed), number.size,
              fmt::format("{}({})", op, operand.expression()));
}

}  // namespace perfcore::python
