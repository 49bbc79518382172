// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// The extension module perfcore._perfcore: exceptions, and the order in which the rest is bound.
#include <fmt/format.h>

#include "bindings.h"
#include "perfcore/version.h"

namespace perfcore::python {

void raise(const Unread& unread) {
  switch (unread.reason) {
    case UnreadReason::kNoSymbol:
    case UnreadReason::kNoMember:
      throw NotFound(unread.message());
    case UnreadReason::kNoType:
      throw py::type_error(unread.message());
    default:
      throw FaultError(unread);
  }
}

const Type* find_type(Kernel& kernel, const std::string& name) {
  const Type* type = kernel.type(name);
  if (type) return type;
  std::string message = fmt::format("could not find '{}'", name);
  if (const auto incomplete = kernel.types().incomplete()) message += "; " + incomplete->message();
  throw NotFound(message);
}

}  // namespace perfcore::python

PYBIND11_MODULE(_perfcore, m) {
  namespace py = pybind11;
  using perfcore::python::FaultError;
  m.doc() = "The C++ part of perfcore; import perfcore instead.";
  m.attr("__version__") = std::string(perfcore::version());

  static py::object fault_error = py::reinterpret_steal<py::object>(PyErr_NewExceptionWithDoc(
      "perfcore.FaultError",
      "Memory of the dead kernel could not be read.\n\n"
      "address: kernel virtual address of the first byte that is missing, or None where there is none.\n"
      "reason: why, one wording for each reason (\"page excluded by makedumpfile\").",
      PyExc_Exception, nullptr));
  m.attr("FaultError") = fault_error;
  static py::object input_error = py::reinterpret_steal<py::object>(PyErr_NewExceptionWithDoc(
      "perfcore.InputError", "A dump or a vmlinux cannot be used; the message says why and what to do.",
      PyExc_ValueError, nullptr));
  m.attr("InputError") = input_error;
  py::register_exception_translator([](std::exception_ptr thrown) {
    try {
      if (thrown) std::rethrow_exception(thrown);
    } catch (const FaultError& error) {
      py::object instance = fault_error(error.what());
      const uint64_t address = error.unread().address;
      instance.attr("address") = address ? py::object(py::int_(address)) : py::object(py::none());
      instance.attr("reason") = py::str(std::string(perfcore::to_string(error.unread().reason)));
      PyErr_SetObject(fault_error.ptr(), instance.ptr());
    } catch (const perfcore::python::NotFound& error) {
      PyErr_SetString(PyExc_LookupError, error.what());
    } catch (const perfcore::InputError& error) {
      PyErr_SetString(input_error.ptr(), error.what());
    }
  });

  perfcore::python::bind_type(m);
  perfcore::python::bind_object(m);
  perfcore::python::bind_kernel(m);
  perfcore::python::bind_diagnosis(m);
  // Users know them by the package's name, and messages should.
  for (const auto& [name, value] : m.attr("__dict__").cast<py::dict>())
    if (PyType_Check(value.ptr())) value.attr("__module__") = "perfcore";
}
