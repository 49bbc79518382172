// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// perfcore.Object and perfcore.Type, which behave as drgn's.
#include <fmt/format.h>
#include <pybind11/operators.h>
#include <pybind11/stl.h>

#include "arithmetic.h"
#include "bindings.h"
#include "format.h"

namespace perfcore::python {
namespace {

constexpr uint64_t kMaxElements = 1 << 20;  // of one value_(): what Python lists cost bounds it, not C
constexpr int kMaxDepth = 32;

const Type* plain(const Object& object) {
  return object.type() ? object.type()->strip() : nullptr;
}

bool is_kind(const Object& object, TypeKind kind) {
  const Type* type = plain(object);
  return type && type->kind == kind;
}

/// What a pointer points to, or the object itself; a NULL pointer leads to address 0, where nothing can be
/// read but addresses can be computed.
Object followed(Kernel& kernel, const Object& object) {
  if (!is_kind(object, TypeKind::kPointer)) return object;
  const uint64_t value = take(object.u64());
  if (value) return object.deref();
  const Type* target = plain(object)->target();
  if (!target) throw py::type_error("pointer to an unknown type");
  return kernel.object(target, 0);
}

Object member_of(Kernel& kernel, const Object& object, const std::string& name) {
  Object found = followed(kernel, object).member(name);
  if (const Unread* unread = found.unread()) raise(*unread);
  return found;
}

BoundObject wrap(const BoundObject& from, Object object) {
  return {from.session, std::move(object), from.value};
}
/// For what is in memory whatever it was reached from.
BoundObject wrap_reference(const BoundObject& from, Object object) {
  return {from.session, std::move(object), false};
}

BoundObject get_member(const BoundObject& self, const std::string& name) {
  const bool pointer = is_kind(self.object, TypeKind::kPointer);
  Object found =
      with_kernel(self.session, [&](Kernel& kernel) { return member_of(kernel, self.object, name); });
  return pointer ? wrap_reference(self, std::move(found)) : wrap(self, std::move(found));
}

bool has_members(const BoundObject& self) {
  const Type* type = plain(self.object);
  if (type && type->kind == TypeKind::kPointer) type = type->target() ? type->target()->strip() : nullptr;
  return type && (type->is_aggregate() || type->kind == TypeKind::kForward);
}

BoundObject get_attribute(const BoundObject& self, const std::string& name) {
  std::string missing;
  if (has_members(self)) {
    try {
      return get_member(self, name);
    } catch (const NotFound&) {
      missing = fmt::format("'{}' has no member '{}'", type_name(*self.object.type()), name);
    }
  } else {
    missing = fmt::format("'{}' is no struct and no pointer to one; it has no member '{}'",
                          type_name(*self.object.type()), name);
  }
  throw py::attribute_error(missing);
}

BoundObject get_item(const BoundObject& self, const py::handle& index) {
  const auto i = static_cast<int64_t>(number_of(index));
  const bool pointer = is_kind(self.object, TypeKind::kPointer);
  if (!pointer && !is_kind(self.object, TypeKind::kArray))
    throw py::type_error(fmt::format("'{}' cannot be indexed", type_name(*self.object.type())));
  Object element = with_kernel(self.session, [&](Kernel& kernel) {
    if (!pointer) return self.object.index(i);
    if (i == 0) return followed(kernel, self.object);
    const Type* target = plain(self.object)->target();
    if (!target || !target->size) return self.object.index(i);
    const uint64_t value = take(self.object.u64());
    return value ? self.object.index(i) : kernel.object(target, static_cast<uint64_t>(i) * target->size);
  });
  if (const Unread* unread = element.unread()) {
    if (unread->reason == UnreadReason::kNoMember) throw py::index_error(unread->message());
    raise(*unread);
  }
  return pointer ? wrap_reference(self, std::move(element)) : wrap(self, std::move(element));
}

uint64_t length_of(const BoundObject& self) {
  if (!is_kind(self.object, TypeKind::kArray))
    throw py::type_error(fmt::format("'{}' has no len()", type_name(*self.object.type())));
  return plain(self.object)->count;
}

// --- values ---------------------------------------------------------------------------------------------

/// Reads for value_(): with the kernel's lock, without the GIL; Python objects are made from it afterwards.
struct Value {
  enum class Kind { kSigned, kUnsigned, kBool, kStruct, kArray } kind = Kind::kUnsigned;
  uint64_t bits = 0;
  std::vector<std::pair<std::string, Value>> members;
  std::vector<Value> elements;
};

Value read_value(const Object& object, int depth, uint64_t* budget);

void read_members(const Object& object, const Type* type, int depth, uint64_t* budget, Value* out) {
  for (const Member& member : type->members()) {
    if (!member.name.empty()) {
      out->members.emplace_back(member.name, read_value(object.member(member.name), depth + 1, budget));
      continue;
    }
    const Type* inner = type->member_type(member) ? type->member_type(member)->strip() : nullptr;
    if (inner && inner->is_aggregate() && depth < kMaxDepth)
      read_members(object, inner, depth + 1, budget, out);
  }
}

Value read_value(const Object& object, int depth, uint64_t* budget) {
  if (const Unread* unread = object.unread()) raise(*unread);
  const Type* type = plain(object);
  if (!type || depth > kMaxDepth) throw py::type_error("unknown type");
  if ((*budget)-- == 0)
    throw py::value_error(fmt::format("more than {} values; read a part of it", kMaxElements));
  Value value;
  switch (type->kind) {
    case TypeKind::kInt:
    case TypeKind::kEnum:
      value.kind = type->encoding == IntEncoding::kBool       ? Value::Kind::kBool
                   : type->encoding == IntEncoding::kUnsigned ? Value::Kind::kUnsigned
                                                              : Value::Kind::kSigned;
      value.bits =
          value.kind == Value::Kind::kSigned ? static_cast<uint64_t>(take(object.s64())) : take(object.u64());
      return value;
    case TypeKind::kPointer:
      value.bits = take(object.u64());
      return value;
    case TypeKind::kStruct:
    case TypeKind::kUnion:
      value.kind = Value::Kind::kStruct;
      read_members(object, type, depth, budget, &value);
      return value;
    case TypeKind::kArray:
      value.kind = Value::Kind::kArray;
      for (uint64_t i = 0; i < type->count; i++)
        value.elements.push_back(read_value(object.index(static_cast<int64_t>(i)), depth + 1, budget));
      return value;
    default:
      throw py::type_error(fmt::format("'{}' has no value", type_name(*object.type())));
  }
}

py::object to_python(const Value& value) {
  switch (value.kind) {
    case Value::Kind::kSigned:
      return py::int_(static_cast<int64_t>(value.bits));
    case Value::Kind::kUnsigned:
      return py::int_(value.bits);
    case Value::Kind::kBool:
      return py::bool_(value.bits != 0);
    case Value::Kind::kStruct: {
      py::dict members;
      for (const auto& [name, member] : value.members) members[py::str(name)] = to_python(member);
      return members;
    }
    case Value::Kind::kArray: {
      py::list elements;
      for (const Value& element : value.elements) elements.append(to_python(element));
      return elements;
    }
  }
  return py::none();
}

bool is_scalar(const Object& object) {
  return is_kind(object, TypeKind::kInt) || is_kind(object, TypeKind::kEnum) ||
         is_kind(object, TypeKind::kPointer);
}

py::object value_of(const BoundObject& self) {
  return to_python(with_kernel(self.session, [&](Kernel&) {
    uint64_t budget = kMaxElements;
    return read_value(is_scalar(self.object) ? self.object : self.object.load(), 0, &budget);
  }));
}

py::object int_of(const BoundObject& self) {
  if (!is_scalar(self.object))
    throw py::type_error(fmt::format("cannot convert '{}' to int", type_name(*self.object.type())));
  return py::int_(value_of(self));
}

bool truth_of(const BoundObject& self) {
  if (!is_scalar(self.object))
    throw py::type_error(fmt::format("cannot convert '{}' to bool", type_name(*self.object.type())));
  return take(with_kernel(self.session, [&](Kernel&) { return self.object.truth(); }));
}

py::object address_of_reference(const BoundObject& self) {
  const auto address = self.object.address();
  if (self.value || !address.has_value()) return py::none();
  return py::int_(*address);
}

BoundObject address_of(const BoundObject& self) {
  if (self.value || !self.object.address().has_value())
    throw py::value_error("cannot take the address of a value");
  if (self.object.bit_field_size()) throw py::value_error("cannot take the address of a bit-field");
  return wrap_reference(self, with_kernel(self.session, [&](Kernel&) { return self.object.address_of(); }));
}

BoundObject read_now(const BoundObject& self) {
  Object read = with_kernel(self.session, [&](Kernel& kernel) {
    if (!is_scalar(self.object)) return self.object.load();
    return Object::of_value(kernel, self.object.type(), take(self.object.u64()), self.object.expression());
  });
  const bool aggregate = !is_scalar(self.object);
  if (aggregate)
    if (auto bytes = with_kernel(self.session, [&](Kernel&) { return read.bytes(); }); !bytes.has_value())
      raise(bytes.unread());
  return {self.session, std::move(read), true};
}

std::string repr_of(const BoundObject& self) {
  const std::string type = with_kernel(self.session, [&](Kernel&) { return type_name(*self.object.type()); });
  const auto address = self.object.address();
  if (!self.value && address.has_value()) {
    std::string bits;
    if (self.object.bit_field_size()) {
      if (self.object.bit_offset()) bits = fmt::format(", bit_offset={}", self.object.bit_offset());
      bits += fmt::format(", bit_field_size={}", self.object.bit_field_size());
    }
    return fmt::format("Object(prog, '{}', address={:#x}{})", type, *address, bits);
  }
  const py::object value = value_of(self);
  const bool pointer = is_kind(self.object, TypeKind::kPointer);
  const std::string text =
      pointer ? fmt::format("{:#x}", value.cast<uint64_t>()) : std::string(py::repr(value));
  return fmt::format("Object(prog, '{}', value={})", type, text);
}

py::bytes string_of(const BoundObject& self, size_t max_size) {
  return py::bytes(take(with_kernel(self.session, [&](Kernel&) { return self.object.string(max_size); })));
}

py::bytes bytes_of(const BoundObject& self) {
  const auto bytes = take(with_kernel(self.session, [&](Kernel&) -> Reading<std::vector<std::byte>> {
    if (self.object.address().has_value() && !self.object.bit_field_size()) return self.object.bytes();
    const uint64_t value = take(self.object.u64());
    const auto* first = reinterpret_cast<const std::byte*>(&value);
    return std::vector<std::byte>(first, first + std::min<uint64_t>(self.object.type()->size, 8));
  }));
  return py::bytes(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

std::vector<std::string> attribute_names(const py::object& self) {
  const Use use(self.cast<const BoundObject&>().session);
  auto names =
      py::module_::import("builtins").attr("object").attr("__dir__")(self).cast<std::vector<std::string>>();
  const auto& object = self.cast<const BoundObject&>();
  with_kernel(object.session, [&](Kernel&) {
    const Type* type = plain(object.object);
    if (type && type->kind == TypeKind::kPointer) type = type->target() ? type->target()->strip() : nullptr;
    if (type && type->kind == TypeKind::kForward) type = type->source->complete(type);
    const auto collect = [&](const auto& collect_inner, const Type* of, int depth) -> void {
      if (!of || !of->is_aggregate() || depth > kMaxDepth) return;
      for (const Member& member : of->members()) {
        if (!member.name.empty())
          names.push_back(member.name);
        else if (const Type* inner = of->member_type(member))
          collect_inner(collect_inner, inner->strip(), depth + 1);
      }
    };
    collect(collect, type, 0);
  });
  return names;
}

// --- operators ------------------------------------------------------------------------------------------

/// The other operand: an object, or an int that becomes one. nullopt for anything else.
std::optional<Object> operand_of(const BoundObject& self, const py::handle& other) {
  if (py::isinstance<BoundObject>(other)) {
    const auto& object = other.cast<const BoundObject&>();
    if (object.session != self.session) throw py::value_error("objects are from different kernels");
    return object.object;
  }
  if (!PyLong_Check(other.ptr())) return std::nullopt;
  int overflow = 0;
  const long long value = PyLong_AsLongLongAndOverflow(other.ptr(), &overflow);
  if (overflow < 0) throw py::value_error("the number does not fit into 64 bits");
  if (overflow == 0) return literal(*self.session->kernel, value, false);
  const unsigned long long large = PyLong_AsUnsignedLongLong(other.ptr());
  if (PyErr_Occurred()) throw py::error_already_set();
  return literal(*self.session->kernel, static_cast<int64_t>(large), true);
}

py::object not_implemented() {
  return py::reinterpret_borrow<py::object>(Py_NotImplemented);
}

template <Operator op, bool reversed>
py::object binary(const BoundObject& self, const py::object& other) {
  const auto right = operand_of(self, other);
  if (!right) return not_implemented();
  Object result = with_kernel(self.session, [&](Kernel& kernel) {
    return reversed ? apply(kernel, op, *right, self.object) : apply(kernel, op, self.object, *right);
  });
  return py::cast(wrap_reference(self, std::move(result)));
}

template <Comparison comparison>
py::object compared(const BoundObject& self, const py::object& other) {
  const auto right = operand_of(self, other);
  if (!right) return not_implemented();
  return py::bool_(
      with_kernel(self.session, [&](Kernel&) { return compare(comparison, self.object, *right); }));
}

template <char op>
BoundObject unary(const BoundObject& self) {
  return wrap_reference(
      self, with_kernel(self.session, [&](Kernel& kernel) { return apply_unary(kernel, op, self.object); }));
}

template <Operator op>
void bind_binary(py::class_<BoundObject>& object, const char* name, const char* reversed_name) {
  object.def(name, locked(&binary<op, false>), py::is_operator());
  object.def(reversed_name, locked(&binary<op, true>), py::is_operator());
}

// --- making objects ---------------------------------------------------------------------------------------

BoundObject make_object(const SessionPtr& session, const py::object& type, const py::object& value,
                        const py::object& address) {
  const Use use(session);
  if (value.is_none() == address.is_none()) throw py::value_error("give either value= or address=");
  if (type.is_none()) {
    if (value.is_none()) throw py::value_error("an address needs a type");
    BoundObject any{session, Object::of_unread(*session->kernel, {}), false};
    if (const auto number = operand_of(any, value)) return {session, *number, false};
    throw py::type_error("a value without a type must be an int");
  }
  const Type* resolved = type_of(session, type);
  if (value.is_none()) {
    const uint64_t where = number_of(address);
    return {session, with_kernel(session, [&](Kernel& kernel) { return kernel.object(resolved, where); }),
            false};
  }
  const uint64_t number = number_of(value);
  return {session,
          with_kernel(session,
                      [&](Kernel& kernel) {
                        const Type* scalar = resolved->strip();
                        if (!scalar || (scalar->kind != TypeKind::kInt && scalar->kind != TypeKind::kEnum &&
                                        scalar->kind != TypeKind::kPointer))
                          throw py::type_error(fmt::format(
                              "a value of '{}' cannot be made; give its address=", type_name(*resolved)));
                        Object made = kernel.constant(number, "unsigned long").cast(resolved);
                        if (const Unread* unread = made.unread()) raise(*unread);
                        return made;
                      }),
          false};
}

BoundObject cast_object(const py::object& type, const BoundObject& object) {
  const Use use(object.session);
  const Type* resolved = type_of(object.session, type);
  Object result = with_kernel(object.session, [&](Kernel& kernel) {
    // An array or function becomes a pointer to where it is.
    if (is_kind(object.object, TypeKind::kArray) || is_kind(object.object, TypeKind::kFunction))
      return Object::of_value(kernel, kernel.type("unsigned long"), take(object.object.address()),
                              object.object.expression())
          .cast(resolved);
    return object.object.cast(resolved);
  });
  if (const Unread* unread = result.unread()) raise(*unread);
  return wrap_reference(object, std::move(result));
}

BoundObject reinterpret_object(const py::object& type, const BoundObject& object) {
  const Use use(object.session);
  const Type* resolved = type_of(object.session, type);
  const auto address = object.object.address();
  if (object.value || !address.has_value())
    throw py::value_error("only what is in memory can be seen as another type; values can be cast()");
  return wrap_reference(
      object, with_kernel(object.session, [&](Kernel& kernel) { return kernel.object(resolved, *address); }));
}

BoundObject container_of(const BoundObject& pointer, const py::object& type, const std::string& member) {
  const Type* resolved = type_of(pointer.session, type);
  Object result = with_kernel(pointer.session, [&](Kernel& kernel) {
    if (!is_kind(pointer.object, TypeKind::kPointer))
      throw py::type_error(
          fmt::format("container_of() takes a pointer, not '{}'", type_name(*pointer.object.type())));
    const auto found = TypeSource::find_member(resolved, member);
    if (!found) throw NotFound(fmt::format("'{}' has no member '{}'", type_name(*resolved), member));
    return Object::of_value(
        kernel, kernel.pointer_to(resolved), take(pointer.object.u64()) - found->byte_offset(),
        fmt::format("&container_of({}, {}, {})", pointer.object.expression(), resolved->to_string(), member));
  });
  return wrap_reference(pointer, std::move(result));
}

uint64_t size_of(const py::object& what) {
  const Type* type = nullptr;
  if (py::isinstance<BoundType>(what))
    type = what.cast<const BoundType&>().type;
  else
    type = what.cast<const BoundObject&>().object.type();
  const Use use(py::isinstance<BoundType>(what) ? what.cast<const BoundType&>().session
                                                : what.cast<const BoundObject&>().session);
  const Type* stripped = type->strip();
  if (!stripped || (stripped->size == 0 && !stripped->is_aggregate() && stripped->kind != TypeKind::kArray))
    throw py::type_error(fmt::format("'{}' has no size", type_name(*type)));
  return stripped->size;
}

uint64_t offset_of(const BoundType& type, const std::string& member) {
  const auto found =
      with_kernel(type.session, [&](Kernel&) { return TypeSource::find_member(type.type, member); });
  if (!found) throw NotFound(fmt::format("'{}' has no member '{}'", type_name(*type.type), member));
  if (found->bit_offset % 8 || found->bit_size)
    throw py::value_error(fmt::format("'{}' is a bit-field: it has no offset in bytes", member));
  return found->byte_offset();
}

// --- types ------------------------------------------------------------------------------------------------

struct BoundMember {
  BoundType type;
  py::object name;  ///< None for unnamed structs and unions
  uint64_t bit_offset = 0;
  uint32_t bit_field_size = 0;
};

const char* kind_name(const Type& type) {
  switch (type.kind) {
    case TypeKind::kVoid:
      return "void";
    case TypeKind::kInt:
      return type.encoding == IntEncoding::kBool ? "bool" : "int";
    case TypeKind::kFloat:
      return "float";
    case TypeKind::kPointer:
      return "pointer";
    case TypeKind::kArray:
      return "array";
    case TypeKind::kStruct:
      return "struct";
    case TypeKind::kUnion:
      return "union";
    case TypeKind::kEnum:
      return "enum";
    case TypeKind::kTypedef:
      return "typedef";
    case TypeKind::kFunction:
      return "function";
    case TypeKind::kForward:
      return type.declared_union ? "union" : "struct";
    default:
      return "unknown";
  }
}

/// drgn keeps qualifiers apart from types: seen from Python `const char` is the int type "char".
const Type* unqualified(const Type* type) {
  for (int depth = 0; type && depth < kMaxDepth; depth++) {
    if (type->kind != TypeKind::kConst && type->kind != TypeKind::kVolatile &&
        type->kind != TypeKind::kRestrict)
      break;
    type = type->target();
  }
  return type;
}

py::object target_of(const BoundType& self) {
  const Type* target = with_kernel(self.session, [&](Kernel&) -> const Type* {
    const Type* type = unqualified(self.type);
    if (!type) return nullptr;
    if (type->kind != TypeKind::kFunction) return type->target();
    const auto signature = type->source->signature(*type);
    return signature ? signature->result : nullptr;
  });
  if (!target) throw py::attribute_error(fmt::format("'{}' refers to no other type", type_name(*self.type)));
  return py::cast(BoundType{self.session, target});
}

std::vector<BoundMember> members_of(const BoundType& self) {
  struct Found {
    const Type* type;
    Member member;
  };
  const auto found = with_kernel(self.session, [&](Kernel&) {
    std::vector<Found> list;
    const Type* type = unqualified(self.type);
    if (type && type->kind == TypeKind::kForward) type = type->source->complete(type);
    if (!type || !type->is_aggregate())
      throw py::attribute_error(fmt::format("'{}' has no members", type_name(*self.type)));
    for (const Member& member : type->members()) list.push_back({type->member_type(member), member});
    return list;
  });
  std::vector<BoundMember> members;
  for (const auto& [type, member] : found)
    members.push_back({BoundType{self.session, type},
                       member.name.empty() ? py::object(py::none()) : py::object(py::str(member.name)),
                       member.bit_offset, member.bit_size});
  return members;
}

BoundMember member_named(const BoundType& self, const std::string& name) {
  const auto found =
      with_kernel(self.session, [&](Kernel&) { return TypeSource::find_member(self.type, name); });
  if (!found || !found->type)
    throw NotFound(fmt::format("'{}' has no member '{}'", type_name(*self.type), name));
  return {BoundType{self.session, found->type}, py::str(name), found->bit_offset, found->bit_size};
}

py::list enumerators_of(const BoundType& self) {
  const auto enumerators = with_kernel(self.session, [&](Kernel&) {
    const Type* type = unqualified(self.type);
    if (!type || type->kind != TypeKind::kEnum)
      throw py::attribute_error(fmt::format("'{}' has no enumerators", type_name(*self.type)));
    return type->enumerators();
  });
  const py::object make = py::module_::import("perfcore._enumerator").attr("TypeEnumerator");
  py::list list;
  for (const Enumerator& enumerator : enumerators) list.append(make(enumerator.name, enumerator.value));
  return list;
}

std::string name_of(const BoundType& self) {
  return with_kernel(self.session, [&](Kernel&) { return type_name(*self.type); });
}

}  // namespace

const Type* type_of(const SessionPtr& session, const py::handle& type) {
  if (py::isinstance<BoundType>(type)) {
    const auto& given = type.cast<const BoundType&>();
    if (given.session != session) throw py::value_error("the type is from a different kernel");
    return given.type;
  }
  if (!py::isinstance<py::str>(type)) throw py::type_error("a type is a str or a perfcore.Type");
  return with_kernel(session,
                     [name = type.cast<std::string>()](Kernel& kernel) { return find_type(kernel, name); });
}

uint64_t number_of(const py::handle& value) {
  const auto index = py::reinterpret_steal<py::object>(PyNumber_Index(value.ptr()));
  if (!index) throw py::error_already_set();
  int overflow = 0;
  const long long number = PyLong_AsLongLongAndOverflow(index.ptr(), &overflow);
  if (overflow == 0) return static_cast<uint64_t>(number);
  const unsigned long long large = PyLong_AsUnsignedLongLong(index.ptr());
  if (PyErr_Occurred()) throw py::error_already_set();
  return large;
}

void bind_type(py::module_& module) {
  py::class_<BoundMember>(module, "TypeMember", "A member of a struct or union.")
      .def_property_readonly(
          "name", [](const BoundMember& m) { return m.name; }, "None when it is unnamed.")
      .def_property_readonly("type", [](const BoundMember& m) { return m.type; })
      .def_property_readonly(
          "bit_offset", [](const BoundMember& m) { return m.bit_offset; }, "In bits from the start.")
      .def_property_readonly(
          "offset", [](const BoundMember& m) { return m.bit_offset / 8; }, "In bytes from the start.")
      .def_property_readonly(
          "bit_field_size",
          [](const BoundMember& m) -> py::object {
            if (!m.bit_field_size) return py::none();
            return py::int_(m.bit_field_size);
          },
          "In bits; None unless it is a bit-field.")
      .def("__repr__", [](const BoundMember& m) {
        return fmt::format("TypeMember(prog.type('{}'), name={}, bit_offset={})", name_of(m.type),
                           std::string(py::repr(m.name)), m.bit_offset);
      });

  py::class_<BoundType>(module, "Type", "A C type of the dead kernel. Immutable.")
      .def_property_readonly(
          "kind",
          [](const BoundType& t) {
            const Use use(t.session);
            return kind_name(*unqualified(t.type));
          },
          "\"struct\", \"union\", \"enum\", \"int\", \"bool\", \"pointer\", \"array\", \"typedef\", "
          "\"function\", \"void\".")
      .def_property_readonly(
          "name",
          [](const BoundType& t) {
            const Use use(t.session);
            const Type* type = unqualified(t.type);
            return type->kind == TypeKind::kInt ? type_name(*type) : type->name;
          },
          "Of ints and typedefs.")
      .def_property_readonly(
          "tag",
          [](const BoundType& t) -> py::object {
            const Use use(t.session);
            const std::string& name = unqualified(t.type)->name;
            if (name.empty()) return py::none();
            return py::str(name);
          },
          "Of structs, unions and enums; None when they have none.")
      .def_property_readonly(
          "size",
          [](const BoundType& t) {
            const Use use(t.session);
            return t.type->strip() ? t.type->strip()->size : 0;
          },
          "In bytes.")
      .def_property_readonly(
          "length",
          [](const BoundType& t) -> py::object {
            const Use use(t.session);
            const Type* type = unqualified(t.type);
            if (type->kind != TypeKind::kArray)
              throw py::attribute_error(fmt::format("'{}' has no length", type_name(*t.type)));
            if (!type->count) return py::none();
            return py::int_(type->count);
          },
          "Of arrays; None for flexible ones.")
      .def_property_readonly(
          "is_signed",
          [](const BoundType& t) {
            const Use use(t.session);
            const Type* type = unqualified(t.type);
            return type->encoding == IntEncoding::kSigned || type->encoding == IntEncoding::kChar;
          },
          "Of ints.")
      .def_property_readonly("type", locked(&target_of),
                             "What it points to, contains or is another name of; what a function returns.")
      .def_property_readonly("members", locked(&members_of), "Of structs and unions: list of TypeMember.")
      .def_property_readonly("enumerators", locked(&enumerators_of), "Of enums: list of TypeEnumerator.")
      .def("member", locked(&member_named), py::arg("name"), "A member by name or path. Raises LookupError.")
      .def(
          "has_member",
          [](const BoundType& t, const std::string& name) {
            const Use use(t.session);
            return with_kernel(t.session,
                               [&](Kernel&) { return TypeSource::find_member(t.type, name).has_value(); });
          },
          py::arg("name"))
      .def("is_complete",
           [](const BoundType& t) {
             const Use use(t.session);
             return unqualified(t.type)->kind != TypeKind::kForward;
           })
      .def("type_name", locked(&name_of), "\"struct perf_event *\".")
      .def_property_readonly(
          "prog",
          [](const BoundType& t) {
            const Use use(t.session);
            return t.session;
          },
          "The Kernel it is of.")
      .def(
          "__eq__",
          [](const BoundType& a, const BoundType& b) {
            const Use use(a.session);
            return a.session == b.session && name_of(a) == name_of(b);
          },
          py::is_operator())
      .def("__hash__",
           [](const BoundType& t) {
             const Use use(t.session);
             return py::hash(py::str(name_of(t)));
           })
      .def("__str__",
           [](const BoundType& t) {
             const Use use(t.session);
             return with_kernel(t.session, [&](Kernel&) { return format_type(*t.type); });
           })
      .def("__repr__", [](const BoundType& t) {
        const Use use(t.session);
        return fmt::format("prog.type('{}')", name_of(t));
      });
}

void bind_object(py::module_& module) {
  py::class_<BoundObject> object(
      module, "Object",
      "A typed place in the dead kernel's memory, or a value.\n\n"
      "Behaves as drgn.Object: members are attributes, and pointers to structs are "
      "followed on the way. Nothing is read before a value is asked for; memory that "
      "cannot be read raises FaultError. Names of its own end in an underscore.");
  object
      .def(py::init([](const SessionPtr& prog, const py::object& type, const py::object& value,
                       const py::object& address) { return make_object(prog, type, value, address); }),
           py::arg("prog"), py::arg("type") = py::none(), py::arg("value") = py::none(), py::kw_only(),
           py::arg("address") = py::none(),
           "An object at an address, or a number of a scalar type.\n\n"
           "type: C name or Type; without one an int is taken as C takes a literal.")
      .def("__getattr__", locked(&get_attribute))
      .def("__getitem__", locked(&get_item), py::arg("index"))
      .def("__len__", locked(&length_of))
      .def("__iter__",
           [](const BoundObject& self) {
             const Use use(self.session);
             py::list elements;
             const uint64_t length = length_of(self);
             if (length > kMaxElements)
               throw py::value_error(fmt::format("more than {} elements", kMaxElements));
             for (uint64_t i = 0; i < length; i++) elements.append(get_item(self, py::int_(i)));
             return py::iter(elements);
           })
      .def("__bool__", locked(&truth_of))
      .def("__int__", locked(&int_of))
      .def("__index__", locked(&int_of))
      .def("__str__",
           [](const BoundObject& self) {
             const Use use(self.session);
             const std::string text =
                 with_kernel(self.session, [&](Kernel&) { return format_value(self.object); });
             return py::reinterpret_steal<py::str>(
                 PyUnicode_DecodeUTF8(text.data(), static_cast<Py_ssize_t>(text.size()), "replace"));
           })
      .def("__repr__", locked(&repr_of))
      .def("__dir__", &attribute_names)
      .def(
          "_repr_pretty_",
          [](const py::object& self, const py::object& printer, bool cycle) {
            printer.attr("text")(cycle ? py::object(py::str("...")) : py::object(py::str(self)));
          },
          py::arg("p"), py::arg("cycle"))
      .def("value_", locked(&value_of),
           "int, bool, dict (structs and unions) or list (arrays). Raises FaultError.")
      .def("member_", locked(&get_member), py::arg("name"),
           "A member by name, for names that are attributes of Object; also a path, \"hw.state\". Raises "
           "LookupError.")
      .def("address_of_", locked(&address_of), "A pointer to this object. Raises ValueError for values.")
      .def("string_", locked(&string_of), py::arg("max_size") = 4096,
           "The NUL-terminated string in a char array, or behind a char pointer; at most max_size bytes.")
      .def("read_", locked(&read_now), "The value as it is now; what was in memory has no address then.")
      .def("to_bytes_", locked(&bytes_of), "The bytes in memory.")
      .def_property_readonly("address_", locked(&address_of_reference),
                             "Kernel virtual address; None for values.")
      .def_property_readonly("type_",
                             [](const BoundObject& self) {
                               const Use use(self.session);
                               return BoundType{self.session, self.object.type()};
                             })
      .def_property_readonly(
          "prog_",
          [](const BoundObject& self) {
            const Use use(self.session);
            return self.session;
          },
          "The Kernel it is of.")
      .def_property_readonly("absent_", [](const BoundObject&) { return false; })
      .def_property_readonly(
          "bit_offset_",
          [](const BoundObject& self) -> py::object {
            const Use use(self.session);
            if (self.value || !self.object.address().has_value()) return py::none();
            return py::int_(self.object.bit_offset());
          },
          "Of references: in bits from address_.")
      .def_property_readonly(
          "bit_field_size_",
          [](const BoundObject& self) -> py::object {
            const Use use(self.session);
            if (!self.object.bit_field_size()) return py::none();
            return py::int_(self.object.bit_field_size());
          },
          "In bits; None unless it is a bit-field.")
      .def_property_readonly(
          "expression_",
          [](const BoundObject& self) {
            const Use use(self.session);
            return self.object.expression();
          },
          "What `perfcore print` and Kernel.evaluate() accept to show this object again.")
      .def("__eq__", locked(&compared<Comparison::kEqual>), py::is_operator())
      .def("__ne__", locked(&compared<Comparison::kNotEqual>), py::is_operator())
      .def("__lt__", locked(&compared<Comparison::kLess>), py::is_operator())
      .def("__le__", locked(&compared<Comparison::kLessEqual>), py::is_operator())
      .def("__gt__", locked(&compared<Comparison::kGreater>), py::is_operator())
      .def("__ge__", locked(&compared<Comparison::kGreaterEqual>), py::is_operator())
      .def("__neg__", locked(&unary<'-'>))
      .def("__pos__", locked(&unary<'+'>))
      .def("__invert__", locked(&unary<'~'>));
  for (const char* rounding : {"__round__", "__trunc__", "__floor__", "__ceil__"})
    object.def(rounding, [](const BoundObject& self) {
      const Use use(self.session);
      return int_of(self);
    });
  object.attr("__hash__") = py::none();
  bind_binary<Operator::kAdd>(object, "__add__", "__radd__");
  bind_binary<Operator::kSubtract>(object, "__sub__", "__rsub__");
  bind_binary<Operator::kMultiply>(object, "__mul__", "__rmul__");
  bind_binary<Operator::kDivide>(object, "__truediv__", "__rtruediv__");
  bind_binary<Operator::kModulo>(object, "__mod__", "__rmod__");
  bind_binary<Operator::kShiftLeft>(object, "__lshift__", "__rlshift__");
  bind_binary<Operator::kShiftRight>(object, "__rshift__", "__rrshift__");
  bind_binary<Operator::kAnd>(object, "__and__", "__rand__");
  bind_binary<Operator::kOr>(object, "__or__", "__ror__");
  bind_binary<Operator::kXor>(object, "__xor__", "__rxor__");

  module.def("cast", &cast_object, py::arg("type"), py::arg("obj"),
             "The value as a number or pointer of another type.");
  module.def("reinterpret", &reinterpret_object, py::arg("type"), py::arg("obj"),
             "The memory of an object seen as another type.");
  module.def("container_of", locked(&container_of), py::arg("ptr"), py::arg("type"), py::arg("member"),
             "Pointer to the struct that contains, as its member, what ptr points to.");
  module.def("sizeof", &size_of, py::arg("type_or_obj"), "Size in bytes.");
  module.def("offsetof", locked(&offset_of), py::arg("type"), py::arg("member"),
             "Offset of a member in bytes; the member may be a path.");
  module.def(
      "NULL",
      [](const SessionPtr& prog, const py::object& type) {
        return make_object(prog, type, py::int_(0), py::none());
      },
      py::arg("prog"), py::arg("type"), "A NULL pointer of a type.");
}

}  // namespace perfcore::python
