// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// What Python holds: a kernel that lives as long as any object from it, and the lock that makes it safe to
/// use from several threads.
#pragma once

#include <pybind11/pybind11.h>

#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>

#include "perfcore/diagnosis.h"
#include "perfcore/kernel.h"
#include "perfcore/reading.h"

namespace perfcore::python {

namespace py = pybind11;

/// An opened kernel. The library allows one thread at a time in a Kernel: whatever uses one does so under
/// Use or in with_kernel().
struct Session {
  std::unique_ptr<Kernel> kernel;
  /// Physical memory where there is no dump file; may be null.
  std::unique_ptr<PhysicalMemory> physical;
  std::optional<Diagnosis> diagnosis;  ///< made when first asked for; refers to the kernel
  /// Recursive: a rule in Python runs inside of a triage and uses the same kernel.
  std::recursive_mutex mutex;
  /// Why a callback into Python could not go on (KeyboardInterrupt); raised when the library returns.
  std::optional<py::error_already_set> pending;
};
using SessionPtr = std::shared_ptr<Session>;

/// A session locked for this thread, with the GIL held: for everything that looks at types, which the library
/// reads when they are asked for. Neither lock is ever waited for while the other one is held by the waiter,
/// but the GIL by the owner of the session's lock.
class Use {
 public:
  explicit Use(const SessionPtr& session) : lock_(session->mutex, std::try_to_lock) {
    if (lock_.owns_lock()) return;
    const py::gil_scoped_release released;
    lock_.lock();
  }

 private:
  std::unique_lock<std::recursive_mutex> lock_;
};

/// Raises what a callback into Python left behind.
inline void raise_pending(Session& session) {
  if (!session.pending) return;
  const py::error_already_set error = *session.pending;
  session.pending.reset();
  throw py::error_already_set(error);
}

/// Runs `work(kernel)` without the GIL and with the session's lock. Called with the GIL held. What it returns
/// must not be a Python object.
template <typename Work>
auto with_kernel(const SessionPtr& session, Work&& work) {
  const auto run = [&] {
    const py::gil_scoped_release released;
    const std::lock_guard lock(session->mutex);
    return work(*session->kernel);
  };
  try {
    if constexpr (std::is_void_v<decltype(run())>) {
      run();
      raise_pending(*session);
    } else {
      auto result = run();
      raise_pending(*session);
      return result;
    }
  } catch (const py::error_already_set&) {
    throw;
  } catch (...) {
    // What the callback could not do may be why the work failed.
    raise_pending(*session);
    throw;
  }
}

/// The same with the diagnosis of the kernel.
template <typename Work>
auto with_diagnosis(const SessionPtr& session, Work&& work) {
  return with_kernel(session, [&](Kernel& kernel) {
    if (!session->diagnosis) session->diagnosis.emplace(kernel);
    return std::forward<Work>(work)(*session->diagnosis);
  });
}

/// A typed object, as drgn.Object: a reference (lvalue) or a value.
struct BoundObject {
  SessionPtr session;
  Object object;
  bool value = false;  ///< a struct or array that was read: it has no address any more
};

/// A type, as drgn.Type.
struct BoundType {
  SessionPtr session;
  const Type* type = nullptr;
};

/// perfcore.FaultError: memory that could not be read.
class FaultError : public std::runtime_error {
 public:
  explicit FaultError(Unread unread) : std::runtime_error(unread.message()), unread_(std::move(unread)) {}
  const Unread& unread() const { return unread_; }

 private:
  Unread unread_;
};

/// LookupError: no such type, symbol or member.
class NotFound : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// None of what follows needs the GIL, except where it takes a Python object.

/// Raises what Python expects for an Unread: LookupError for names that do not exist, TypeError for what has
/// no value, FaultError for memory that cannot be read.
[[noreturn]] void raise(const Unread& unread);

/// The value, or raise().
template <typename T>
T take(Reading<T> reading) {
  if (!reading.has_value()) raise(reading.unread());
  return std::move(reading).value();
}

inline const SessionPtr& session_of(const SessionPtr& session) {
  return session;
}
inline const SessionPtr& session_of(const BoundObject& object) {
  return object.session;
}
inline const SessionPtr& session_of(const BoundType& type) {
  return type.session;
}

/// A function that Python may call: `function` under Use of its first argument's session.
template <typename Result, typename Self, typename... Arguments>
auto locked(Result (*function)(const Self&, Arguments...)) {
  return [function](const Self& self, Arguments... arguments) -> Result {
    const Use use(session_of(self));
    return function(self, std::forward<Arguments>(arguments)...);
  };
}

/// Type by C name, or raises LookupError.
const Type* find_type(Kernel& kernel, const std::string& name);
/// A type given as a name or as a Type of the same kernel.
const Type* type_of(const SessionPtr& session, const py::handle& type);
/// The number that an int or a scalar object stands for.
uint64_t number_of(const py::handle& value);

void bind_object(py::module_& module);
void bind_type(py::module_& module);
void bind_kernel(py::module_& module);
void bind_diagnosis(py::module_& module);

}  // namespace perfcore::python
