// SPDX-License-Identifier: LGPL-2.1-or-later
#include "callback_memory.h"

#include <fmt/format.h>

#include <cstring>

namespace perfcore::python {
namespace {

/// Holds a Python object where the GIL may not be held when it goes.
class Callable {
 public:
  explicit Callable(py::object function) : function_(std::move(function)) {}
  ~Callable() {
    const py::gil_scoped_acquire gil;
    function_ = py::object();
  }
  Callable(const Callable&) = delete;
  Callable& operator=(const Callable&) = delete;

  std::optional<Unread> read(uint64_t address, std::span<std::byte> out, bool physical, Session* session) {
    const py::gil_scoped_acquire gil;
    try {
      const py::object result = function_(address, out.size(), physical);
      char* bytes = nullptr;
      Py_ssize_t size = 0;
      if (PyBytes_AsStringAndSize(result.ptr(), &bytes, &size) != 0) throw py::error_already_set();
      if (static_cast<size_t>(size) != out.size())
        return Unread{UnreadReason::kNotInDump, address, "",
                      fmt::format("{} of {} bytes were returned", size, out.size())};
      std::memcpy(out.data(), bytes, out.size());
      return std::nullopt;
    } catch (py::error_already_set& error) {
      if (session && !error.matches(PyExc_Exception)) session->pending = error;
      return Unread{UnreadReason::kNotInDump, address, "", std::string(py::str(error.value()))};
    }
  }

 private:
  py::object function_;
};

class CallbackMemory : public Memory {
 public:
  CallbackMemory(py::object function, Session* session, std::unique_ptr<Dump> dump)
      : read_(std::move(function)), session_(session), dump_(std::move(dump)) {}

  std::optional<Unread> read(uint64_t address, std::span<std::byte> out) override {
    // The first byte that is missing is to be named: pages are what can be missing.
    while (!out.empty()) {
      const size_t size = std::min<size_t>(out.size(), kPageSize - address % kPageSize);
      if (auto unread = read_.read(address, out.first(size), false, session_)) {
        auto why = dump_ ? dump_->memory().read(address, out.first(size)) : std::nullopt;
        return why ? why : unread;
      }
      address += size;
      out = out.subspan(size);
    }
    return std::nullopt;
  }

 private:
  Callable read_;
  Session* session_;
  std::unique_ptr<Dump> dump_;
};

class CallbackPhysicalMemory : public PhysicalMemory {
 public:
  explicit CallbackPhysicalMemory(py::object function) : read_(std::move(function)) {}

  std::optional<Unread> read(uint64_t address, std::span<std::byte> out) override {
    return read_.read(address, out, true, nullptr);
  }
  /// Not known to the callable.
  std::vector<Range> ranges() const override { return {}; }

 private:
  Callable read_;
};

class OwningCache : public Memory {
 public:
  OwningCache(std::unique_ptr<Memory> inner, size_t pages)
      : inner_(std::move(inner)), cache_(make_page_cache(*inner_, pages)) {}

  std::optional<Unread> read(uint64_t address, std::span<std::byte> out) override {
    return cache_->read(address, out);
  }

 private:
  std::unique_ptr<Memory> inner_;
  std::unique_ptr<Memory> cache_;
};

}  // namespace

std::unique_ptr<Memory> make_callback_memory(py::object read, Session* session, std::unique_ptr<Dump> dump) {
  return std::make_unique<CallbackMemory>(std::move(read), session, std::move(dump));
}

std::unique_ptr<PhysicalMemory> make_callback_physical_memory(py::object read) {
  return std::make_unique<CallbackPhysicalMemory>(std::move(read));
}

std::unique_ptr<Memory> make_owning_page_cache(std::unique_ptr<Memory> inner, size_t pages) {
  return std::make_unique<OwningCache>(std::move(inner), pages);
}

}  // namespace perfcore::python
