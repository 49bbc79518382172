// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// perfcore.Kernel: opening, names, memory, log, stacks; and the functions that the helpers are made of.
#include <fmt/format.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <cstring>

#include "bindings.h"
#include "callback_memory.h"
#include "format.h"
#include "perfcore/dump.h"
#include "perfcore/log.h"
#include "perfcore/tasks.h"
#include "perfcore/unwind.h"

namespace perfcore::python {
namespace {

constexpr size_t kMaxRead = 1u << 30;  // bytes at once: a mistyped size must not take the machine down
constexpr size_t kCachedPages = 4096;  // of another session's memory: 16 MiB

SessionPtr open_dump(const std::vector<std::string>& paths, const std::vector<std::string>& debuginfo,
                     bool search_debuginfo) {
  const py::gil_scoped_release released;
  auto session = std::make_shared<Session>();
  session->kernel = Kernel::open(Dump::open(paths), KernelOptions{debuginfo, search_debuginfo});
  return session;
}

/// \param core  the dump that the other session is about: for VMCOREINFO, the registers, and for why pages
/// are
///              missing; empty when there is none
SessionPtr open_memory(const py::object& read, const std::string& vmcoreinfo, const std::string& core,
                       const std::vector<std::string>& debuginfo, bool search_debuginfo, bool live) {
  auto session = std::make_shared<Session>();
  session->physical = make_callback_physical_memory(read);
  VmcoreInfo info(vmcoreinfo);
  std::vector<CpuStatus> cpu_status;
  std::unique_ptr<Dump> dump;
  if (!core.empty()) {
    dump = Dump::open({core});
    if (info.empty()) info = dump->vmcoreinfo();
    cpu_status = dump->cpu_status();
  }
  auto memory = make_callback_memory(read, session.get(), std::move(dump));
  {
    const py::gil_scoped_release released;
    // Live memory changes while we read: what was read a moment ago is not what is there now.
    if (!live) memory = make_owning_page_cache(std::move(memory), kCachedPages);
    session->kernel = Kernel::open(std::move(memory), std::move(info), std::move(cpu_status),
                                   KernelOptions{debuginfo, search_debuginfo});
  }
  raise_pending(*session);
  return session;
}

// --- names ------------------------------------------------------------------------------------------------

bool is_text(const Symbol& symbol) {
  return std::string_view("tTwW").find(symbol.kind) != std::string_view::npos;
}

/// An enumerator by its name alone. Reads all enums there are.
std::optional<Object> find_enumerator(Kernel& kernel, const std::string& name) {
  std::vector<std::string> enums;
  kernel.types().for_each_name([&](TypeKind kind, std::string_view tag) {
    if (kind == TypeKind::kEnum && !tag.empty()) enums.emplace_back(tag);
  });
  std::sort(enums.begin(), enums.end());
  enums.erase(std::unique(enums.begin(), enums.end()), enums.end());
  for (const std::string& tag : enums) {
    const Type* type = kernel.types().find(TypeKind::kEnum, tag);
    if (!type) continue;
    for (const Enumerator& enumerator : type->enumerators()) {
      if (enumerator.name != name) continue;
      const uint64_t mask = type->size >= 8 ? ~uint64_t{0} : (uint64_t{1} << (8 * type->size)) - 1;
      return Object::of_value(kernel, type, static_cast<uint64_t>(enumerator.value) & mask, name);
    }
  }
  return std::nullopt;
}

/// A variable by name: also per-CPU ones, as the place that per_cpu() starts from.
Object find_variable(Kernel& kernel, const std::string& name) {
  Object found = kernel.variable(name);
  if (!found.unread() || found.unread()->reason != UnreadReason::kNoSymbol) return found;
  const auto offset = kernel.types().percpu_offset(name);
  const Type* type = offset ? kernel.types().variable(name) : nullptr;
  return type ? Object(kernel, type, *offset, name) : found;
}

BoundObject variable(const SessionPtr& session, const std::string& name, const py::object&) {
  Object found = with_kernel(session, [&](Kernel& kernel) { return find_variable(kernel, name); });
  if (const Unread* unread = found.unread())
    throw NotFound(unread->reason == UnreadReason::kNoSymbol
                       ? fmt::format("could not find variable '{}'", name)
                       : unread->message());
  return {session, std::move(found)};
}

BoundObject function(const SessionPtr& session, const std::string& name, const py::object&) {
  auto found = with_kernel(session, [&](Kernel& kernel) -> std::optional<Object> {
    const auto symbol = kernel.symbols().find(name);
    if (!symbol || !is_text(*symbol)) return std::nullopt;
    return Object(kernel, kernel.type("void"), symbol->address, name);
  });
  if (!found) throw NotFound(fmt::format("could not find function '{}'", name));
  return {session, std::move(*found)};
}

BoundObject constant(const SessionPtr& session, const std::string& name, const py::object&) {
  auto found = with_kernel(session, [&](Kernel& kernel) { return find_enumerator(kernel, name); });
  if (!found) throw NotFound(fmt::format("could not find constant '{}'", name));
  return {session, std::move(*found)};
}

BoundObject by_name(const SessionPtr& session, const std::string& name) {
  std::string why = name;
  auto found = with_kernel(session, [&](Kernel& kernel) -> std::optional<Object> {
    // Variables first: kallsyms calls some of them text (x86_pmu, since 6.18).
    Object variable = find_variable(kernel, name);
    if (!variable.unread()) return variable;
    const auto symbol = kernel.symbols().find(name);
    if (symbol && is_text(*symbol)) return Object(kernel, kernel.type("void"), symbol->address, name);
    if (auto enumerator = find_enumerator(kernel, name)) return enumerator;
    if (symbol)
      why = fmt::format(
          "{}: {}; it is at {:#x}: Object(prog, TYPE, address={:#x}) needs no more, a vmlinux knows its type",
          name, variable.unread()->detail, symbol->address, symbol->address);
    return std::nullopt;
  });
  if (!found) throw py::key_error(why);
  return {session, std::move(*found)};
}

bool contains(const SessionPtr& session, const std::string& name) {
  try {
    by_name(session, name);
    return true;
  } catch (const py::key_error&) {
    return false;
  }
}

BoundType type_named(const SessionPtr& session, const std::string& name, const py::object&) {
  return {session, with_kernel(session, [&](Kernel& kernel) { return find_type(kernel, name); })};
}

Symbol symbol_of(const SessionPtr& session, const py::object& what) {
  if (py::isinstance<py::str>(what)) {
    const auto name = what.cast<std::string>();
    const auto symbol = with_kernel(session, [&](Kernel& kernel) { return kernel.symbols().find(name); });
    if (!symbol) throw NotFound(fmt::format("could not find symbol with name '{}'", name));
    return *symbol;
  }
  const uint64_t address = number_of(what);
  const auto symbol = with_kernel(session, [&](Kernel& kernel) { return kernel.symbols().at(address); });
  if (!symbol) throw NotFound(fmt::format("could not find symbol containing {:#x}", address));
  return *symbol;
}

BoundObject evaluate_expression(const SessionPtr& session, const std::string& expression) {
  Object result = with_kernel(session, [&](Kernel& kernel) { return evaluate(kernel, expression); });
  if (const Unread* unread = result.unread()) raise(*unread);
  return {session, std::move(result)};
}

// --- memory -----------------------------------------------------------------------------------------------

std::string read_bytes(const SessionPtr& session, uint64_t address, uint64_t size, bool physical) {
  if (size > kMaxRead)
    throw py::value_error(fmt::format("{} bytes at once are too many; the limit is {}", size, kMaxRead));
  std::string bytes(size, '\0');
  auto unread = with_kernel(session, [&](Kernel& kernel) -> std::optional<Unread> {
    const auto out = std::as_writable_bytes(std::span(bytes));
    if (!physical) return kernel.memory().read(address, out);
    if (Dump* dump = kernel.dump()) return dump->physical().read(address, out);
    if (session->physical) return session->physical->read(address, out);
    return Unread{UnreadReason::kUnsupported, address, "", "there is no physical memory here"};
  });
  if (unread) {
    if (unread->path.empty()) unread->path = physical ? "physical memory" : "memory";
    raise(*unread);
  }
  return bytes;
}

template <typename T>
uint64_t read_number(const SessionPtr& session, const py::object& address, bool physical) {
  const std::string bytes = read_bytes(session, number_of(address), sizeof(T), physical);
  T value{};
  std::memcpy(&value, bytes.data(), sizeof value);
  return value;
}

py::bytes read_string(const SessionPtr& session, const py::object& where, bool physical, size_t max_size) {
  const uint64_t address = number_of(where);
  if (!physical)
    return py::bytes(take(with_kernel(
        session, [&](Kernel& kernel) { return read_c_string(kernel.memory(), address, max_size); })));
  std::string text;
  while (text.size() < max_size) {
    const uint64_t here = address + text.size();
    const size_t size = std::min<size_t>(max_size - text.size(), kPageSize - here % kPageSize);
    const std::string part = read_bytes(session, here, size, true);
    const size_t end = part.find('\0');
    text += part.substr(0, end);
    if (end != std::string::npos) break;
  }
  return py::bytes(text);
}

// --- log and stacks ---------------------------------------------------------------------------------------

struct PyLog {
  KernelLog log;
};

struct PyStack {
  SessionPtr session;
  Stack stack;
};

struct PyFrame {
  SessionPtr session;
  Frame frame;
};

struct PyThread {
  SessionPtr session;
  CrashState crash;
  Object task;
};

std::string describe(const Frame& frame) {
  std::string text = frame.function.empty() ? fmt::format("{:#x}", frame.ip)
                     : frame.inlined        ? frame.function + " (inlined)"
                                            : fmt::format("{}+{:#x}", frame.function, frame.offset);
  if (!frame.module.empty()) text += " [" + frame.module + "]";
  if (frame.context != Context::kUnknown && frame.context != Context::kTask)
    text += fmt::format(" <{}>", to_string(frame.context));
  if (!frame.reliable) text += " ?";
  return text;
}

PyStack stack_of(const SessionPtr& session, const py::object& of) {
  if (py::isinstance<PyThread>(of)) return {session, of.cast<const PyThread&>().crash.stack};
  if (py::isinstance<BoundObject>(of)) {
    const Object task = of.cast<const BoundObject&>().object;
    return {session, with_diagnosis(session, [&](Diagnosis& diagnosis) {
              const Type* type = task.type()->strip();
              const bool pointer = type && type->kind == TypeKind::kPointer;
              return diagnosis.unwinder().unwind_task(pointer ? task.deref() : task);
            })};
  }
  const auto cpu = static_cast<int64_t>(number_of(of));
  return {session, with_diagnosis(session, [&](Diagnosis& diagnosis) {
            const auto present = diagnosis.kernel().possible_cpus();
            if (present.has_value() && std::find(present->begin(), present->end(), cpu) == present->end())
              throw py::value_error(
                  fmt::format("there is no CPU {}; there are {} of them", cpu, present->size()));
            const CrashState& crash = diagnosis.crash();
            return crash.cpu == cpu ? crash.stack : diagnosis.stack(static_cast<int>(cpu));
          })};
}

PyThread crashed_thread(const SessionPtr& session) {
  auto [crash, task] = with_diagnosis(session, [&](Diagnosis& diagnosis) {
    const CrashState& state = diagnosis.crash();
    return std::pair(state, state.cpu ? diagnosis.kernel().current_task(*state.cpu).address_of()
                                      : Object::of_unread(diagnosis.kernel(), {}));
  });
  if (!crash.cpu)
    throw py::value_error(crash.crash_class == "none" ? "no thread crashed: nothing died in this dump"
                                                      : "it is not known which CPU crashed");
  return {session, std::move(crash), std::move(task)};
}

// --- what the helpers are made of -------------------------------------------------------------------------

enum class Mask { kPossible, kPresent, kOnline };

template <Mask mask>
std::vector<int> cpus(const SessionPtr& session) {
  return take(with_kernel(session, [&](Kernel& kernel) {
    if constexpr (mask == Mask::kPossible) return kernel.possible_cpus();
    if constexpr (mask == Mask::kPresent) return kernel.present_cpus();
    if constexpr (mask == Mask::kOnline) return kernel.online_cpus();
  }));
}

BoundObject per_cpu(const BoundObject& variable, const py::object& which) {
  const auto cpu = static_cast<int>(number_of(which));
  Object found = with_kernel(variable.session, [&](Kernel& kernel) {
    // By name where it has one: the expression then says what it is.
    const std::string& name = variable.object.expression();
    if (name.find_first_of("(.[-*& ") == std::string::npos) {
      Object named = kernel.per_cpu(name, cpu);
      if (!named.unread() || named.unread()->reason != UnreadReason::kNoType) return named;
    }
    return variable.object.address_of().per_cpu_ptr(cpu);
  });
  if (const Unread* unread = found.unread()) raise(*unread);
  return {variable.session, std::move(found)};
}

BoundObject per_cpu_ptr(const BoundObject& pointer, const py::object& which) {
  const auto cpu = static_cast<int>(number_of(which));
  Object found =
      with_kernel(pointer.session, [&](Kernel&) { return pointer.object.per_cpu_ptr(cpu).address_of(); });
  if (const Unread* unread = found.unread()) raise(*unread);
  return {pointer.session, std::move(found)};
}

struct Walk {
  std::vector<BoundObject> entries;
  std::optional<Unread> incomplete;
};

py::tuple finish(Walk walk) {
  // The caller raises it behind the last entry that could be reached.
  py::object incomplete = py::none();
  if (walk.incomplete) incomplete = py::cpp_function([why = *walk.incomplete] { raise(why); });
  return py::make_tuple(std::move(walk.entries), incomplete);
}

py::tuple list_walk(const BoundObject& head, const std::string& type, const std::string& member) {
  return finish(with_kernel(head.session, [&](Kernel&) {
    ListWalk list = list_entries(head.object, type, member);
    Walk walk;
    for (const Object& entry : list.entries) walk.entries.push_back({head.session, entry.address_of()});
    walk.incomplete = std::move(list.incomplete);
    return walk;
  }));
}

py::tuple task_walk(const SessionPtr& session) {
  return finish(with_kernel(session, [&](Kernel& kernel) {
    Walk walk;
    walk.incomplete = for_each_task(kernel, [&](const Object& task) {
      walk.entries.push_back({session, task.address_of()});
    });
    return walk;
  }));
}

/// A method that perfcore.answers implements: what it needs is not imported before.
template <typename... Extra>
void delegate(py::class_<Session, SessionPtr>& kernel, const char* name, const Extra&... extra) {
  kernel.def(
      name,
      [name](const py::object& self, const py::args& args, const py::kwargs& kwargs) {
        return py::module_::import("perfcore.answers").attr(name)(self, *args, **kwargs);
      },
      extra...);
}

void bind_log(py::module_& module) {
  py::class_<LogRecord>(module, "LogRecord", "One record of the kernel log.")
      .def_readonly("sequence", &LogRecord::sequence)
      .def_readonly("timestamp_ns", &LogRecord::timestamp_ns, "Nanoseconds since boot, roughly.")
      .def_property_readonly(
          "level",
          [](const LogRecord& record) -> py::object {
            if (record.level < 0) return py::none();
            return py::int_(record.level);
          },
          "0 (emergency) to 7 (debug); None when not known.")
      .def_property_readonly(
          "text",
          [](const LogRecord& record) {
            return py::reinterpret_steal<py::str>(PyUnicode_DecodeUTF8(
                record.text.data(), static_cast<Py_ssize_t>(record.text.size()), "replace"));
          },
          "Without time stamp; may have several lines.")
      .def("__str__",
           [](const LogRecord& record) {
             const std::string text = format_log_record(record);
             return py::reinterpret_steal<py::str>(
                 PyUnicode_DecodeUTF8(text.data(), static_cast<Py_ssize_t>(text.size()), "replace"));
           })
      .def("__repr__", [](const LogRecord& record) {
        return fmt::format("<LogRecord {} at {:.6f} s>", record.sequence,
                           static_cast<double>(record.timestamp_ns) / 1e9);
      });
  py::class_<PyLog>(module, "KernelLog", "The kernel log, oldest record first; str() is what dmesg prints.")
      .def_property_readonly(
          "source", [](const PyLog& self) { return self.log.source; }, "Where it was read.")
      .def_property_readonly(
          "incomplete",
          [](const PyLog& self) -> py::object {
            if (!self.log.incomplete) return py::none();
            return py::str(self.log.incomplete->message());
          },
          "Why records are missing; None when none are.")
      .def("__len__", [](const PyLog& self) { return self.log.records.size(); })
      .def(
          "__getitem__",
          [](const PyLog& self, Py_ssize_t index) {
            const auto size = static_cast<Py_ssize_t>(self.log.records.size());
            if (index < 0) index += size;
            if (index < 0 || index >= size) throw py::index_error();
            return self.log.records[static_cast<size_t>(index)];
          },
          py::arg("index"))
      .def(
          "__iter__",
          [](const PyLog& self) {
            return py::make_iterator(self.log.records.begin(), self.log.records.end());
          },
          py::keep_alive<0, 1>())
      .def("__str__", [](const PyLog& self) {
        std::string text;
        for (const LogRecord& record : self.log.records) text += format_log_record(record) + "\n";
        return py::reinterpret_steal<py::str>(
            PyUnicode_DecodeUTF8(text.data(), static_cast<Py_ssize_t>(text.size()), "replace"));
      });
}

void bind_stack(py::module_& module) {
  py::class_<PyFrame>(module, "StackFrame", "A call on a stack.")
      .def_property_readonly(
          "name",
          [](const PyFrame& self) -> py::object {
            if (self.frame.function.empty()) return py::none();
            return py::str(self.frame.function);
          },
          "Function; None when no symbol covers pc.")
      .def_property_readonly(
          "pc", [](const PyFrame& self) { return self.frame.ip; },
          "Return address, or the interrupted instruction where interrupted is true.")
      .def_property_readonly("sp", [](const PyFrame& self) { return self.frame.sp; })
      .def_property_readonly(
          "offset", [](const PyFrame& self) { return self.frame.offset; },
          "pc minus the start of the function.")
      .def_property_readonly(
          "module", [](const PyFrame& self) { return self.frame.module; }, "\"\" for vmlinux.")
      .def_property_readonly(
          "context", [](const PyFrame& self) { return std::string(to_string(self.frame.context)); },
          "\"task\", \"softirq\", \"irq\", \"exception\", \"nmi\", \"user\", \"unknown\".")
      .def_property_readonly(
          "reliable", [](const PyFrame& self) { return self.frame.reliable; },
          "False when found by scanning the stack.")
      .def_property_readonly("is_inline", [](const PyFrame& self) { return self.frame.inlined; })
      .def_property_readonly("interrupted", [](const PyFrame& self) { return self.frame.interrupted; })
      .def(
          "symbol", [](const PyFrame& self) { return symbol_of(self.session, py::int_(self.frame.ip)); },
          "The Symbol that covers pc. Raises LookupError.")
      .def("__str__", [](const PyFrame& self) { return describe(self.frame); })
      .def("__repr__",
           [](const PyFrame& self) { return fmt::format("<StackFrame {}>", describe(self.frame)); });
  py::class_<PyStack>(module, "StackTrace", "A stack, innermost call first.")
      .def_property_readonly(
          "method", [](const PyStack& self) { return self.stack.method; },
          "\"orc\", \"scan\" (unreliable), \"none\".")
      .def_property_readonly(
          "stopped",
          [](const PyStack& self) -> py::object {
            if (!self.stack.stopped) return py::none();
            return py::str(self.stack.stopped->message());
          },
          "Why it ends before the outermost call; None when it does not.")
      .def_property_readonly("prog", [](const PyStack& self) { return self.session; })
      .def("__len__", [](const PyStack& self) { return self.stack.frames.size(); })
      .def(
          "__getitem__",
          [](const PyStack& self, Py_ssize_t index) {
            const auto size = static_cast<Py_ssize_t>(self.stack.frames.size());
            if (index < 0) index += size;
            if (index < 0 || index >= size) throw py::index_error();
            return PyFrame{self.session, self.stack.frames[static_cast<size_t>(index)]};
          },
          py::arg("index"))
      .def("__str__",
           [](const PyStack& self) {
             std::string text;
             for (size_t i = 0; i < self.stack.frames.size(); i++)
               text += fmt::format("{}#{:<2} {}", i ? "\n" : "", i, describe(self.stack.frames[i]));
             if (self.stack.stopped) text += "\n(" + self.stack.stopped->message() + ")";
             return text;
           })
      .def("__repr__", [](const PyStack& self) {
        return fmt::format("<StackTrace of {} frames by {}>", self.stack.frames.size(), self.stack.method);
      });
  py::class_<PyThread>(module, "Thread", "The task that crashed.")
      .def_property_readonly(
          "tid",
          [](const PyThread& self) -> py::object {
            if (!self.crash.pid) return py::none();
            return py::int_(*self.crash.pid);
          },
          "PID; None when it could not be read.")
      .def_property_readonly("cpu", [](const PyThread& self) { return *self.crash.cpu; })
      .def_property_readonly("comm", [](const PyThread& self) { return self.crash.comm; })
      .def_property_readonly(
          "object",
          [](const PyThread& self) {
            if (const Unread* unread = self.task.unread()) raise(*unread);
            return BoundObject{self.session, self.task};
          },
          "struct task_struct *")
      .def("stack_trace", [](const PyThread& self) {
        return PyStack{self.session, self.crash.stack};
      });
}

}  // namespace

void bind_kernel(py::module_& module) {
  bind_log(module);
  bind_stack(module);
  py::class_<Symbol>(module, "Symbol", "A symbol of the kernel.")
      .def_readonly("name", &Symbol::name)
      .def_readonly("address", &Symbol::address)
      .def_readonly("size", &Symbol::size, "In bytes; with kallsyms the distance to the next symbol.")
      .def_property_readonly(
          "kind", [](const Symbol& self) { return std::string(1, self.kind); }, "The letter of nm(1).")
      .def("__repr__", [](const Symbol& self) {
        return fmt::format("Symbol(name='{}', address={:#x}, size={:#x}, kind='{}')", self.name, self.address,
                           self.size, self.kind);
      });

  py::class_<Session, SessionPtr> kernel(
      module, "Kernel",
      "A dead kernel, opened by perfcore.open() or perfcore.from_drgn().\n\n"
      "Where drgn has a Program. May be used from several threads: they take turns. Lives as long as any "
      "object from it.");
  kernel.def_static("_open", &open_dump, py::arg("paths"), py::arg("debuginfo"), py::arg("search_debuginfo"))
      .def_static("_open_memory", &open_memory, py::arg("read"), py::arg("vmcoreinfo"), py::arg("core"),
                  py::arg("debuginfo"), py::arg("search_debuginfo"), py::arg("live"))
      .def("__getitem__", locked(&by_name), py::arg("name"),
           "A variable, function or enumerator by name. Raises KeyError.")
      .def("__contains__", locked(&contains), py::arg("name"))
      .def("variable", locked(&variable), py::arg("name"), py::arg("filename") = py::none(),
           "A global variable; the file name is not looked at. Raises LookupError.")
      .def("function", locked(&function), py::arg("name"), py::arg("filename") = py::none(),
           "A function: its address_ is where it starts. Raises LookupError.")
      .def("constant", locked(&constant), py::arg("name"), py::arg("filename") = py::none(),
           "An enumerator of an enum that has a tag. Raises LookupError.")
      .def("type", locked(&type_named), py::arg("name"), py::arg("filename") = py::none(),
           "A type by its C name: \"struct perf_event *\". Raises LookupError.")
      .def("symbol", locked(&symbol_of), py::arg("name_or_address"), "Raises LookupError.")
      .def("evaluate", locked(&evaluate_expression), py::arg("expression"),
           "A C expression as `perfcore print` takes it. Raises ValueError for what is none, FaultError or "
           "LookupError for what it leads to.")
      .def(
          "read",
          [](const SessionPtr& self, const py::object& address, uint64_t size, bool physical) {
            return py::bytes(read_bytes(self, number_of(address), size, physical));
          },
          py::arg("address"), py::arg("size"), py::arg("physical") = false,
          "Bytes at a kernel virtual or physical address. Raises FaultError when one of them cannot be read.")
      .def("read_u8", locked(&read_number<uint8_t>), py::arg("address"), py::arg("physical") = false)
      .def("read_u16", locked(&read_number<uint16_t>), py::arg("address"), py::arg("physical") = false)
      .def("read_u32", locked(&read_number<uint32_t>), py::arg("address"), py::arg("physical") = false)
      .def("read_u64", locked(&read_number<uint64_t>), py::arg("address"), py::arg("physical") = false)
      .def("read_word", locked(&read_number<uint64_t>), py::arg("address"), py::arg("physical") = false)
      .def("read_c_string", locked(&read_string), py::arg("address"), py::arg("physical") = false,
           py::kw_only(), py::arg("max_size") = 4096,
           "The string at an address, without its NUL; cut at max_size bytes.")
      .def(
          "log",
          [](const SessionPtr& self) {
            return PyLog{with_diagnosis(self, [](Diagnosis& diagnosis) { return diagnosis.log(); })};
          },
          "The kernel log.")
      .def("crashed_thread", locked(&crashed_thread), "Raises ValueError when nothing crashed.")
      .def("stack_trace", locked(&stack_of), py::arg("of"),
           "The stack of a CPU by its number, of a task that is not running (struct task_struct *), or of a "
           "Thread.")
      .def_property_readonly(
          "release", [](const SessionPtr& self) { return self->kernel->release(); },
          "uts release; \"\" when not known.")
      .def_property_readonly(
          "build_id", [](const SessionPtr& self) { return self->kernel->build_id(); },
          "GNU build ID in hexadecimal; \"\" when not known.")
      .def_property_readonly(
          "kaslr_offset", [](const SessionPtr& self) { return self->kernel->kaslr_offset(); }, "In bytes.")
      .def_property_readonly(
          "vmlinux", [](const SessionPtr& self) { return self->kernel->vmlinux(); },
          "Path of the vmlinux in use; \"\" when types and symbols come from the dump.")
      .def_property_readonly(
          "remarks", [](const SessionPtr& self) { return self->kernel->remarks(); },
          "What was chosen and what is missing, for people.")
      .def_property_readonly(
          "path",
          [](const SessionPtr& self) -> py::object {
            if (!self->kernel->dump()) return py::none();
            return py::str(self->kernel->dump()->path());
          },
          "Of the dump; None in a drgn session.")
      .def("__repr__", [](const SessionPtr& self) {
        const Dump* dump = self->kernel->dump();
        return fmt::format("<perfcore.Kernel {} in {}>",
                           self->kernel->release().empty() ? "unknown" : self->kernel->release(),
                           dump ? dump->path() : "memory of another session");
      });
  delegate(kernel, "triage",
           "triage(rules=()): what killed the kernel and why.\n\nrules: more rules, made by @perfcore.rule. "
           "Returns a Triage.");
  delegate(kernel, "check", "check(): the invariants of the PMU's state on every CPU. Returns a Check.");
  delegate(kernel, "crash", "crash(): what killed the kernel, without running any rule. Returns a Crash.");
  delegate(kernel, "pmu", "pmu(cpu): the counters of a CPU and the events on them. Returns a Pmu.");
  delegate(kernel, "ibs", "ibs(cpu): AMD's instruction-based sampling on a CPU. Returns a tuple of Ibs.");
  delegate(kernel, "perf_events",
           "perf_events(): every perf event that can be reached. Returns a tuple of Event.");

  module.def("per_cpu", locked(&per_cpu), py::arg("var"), py::arg("cpu"),
             "The variable of one CPU. var: per-CPU variable, not a pointer to one.");
  module.def("per_cpu_ptr", locked(&per_cpu_ptr), py::arg("ptr"), py::arg("cpu"),
             "The pointer for one CPU. ptr: pointer to per-CPU memory.");
  module.def("possible_cpus", locked(&cpus<Mask::kPossible>), py::arg("prog"));
  module.def("present_cpus", locked(&cpus<Mask::kPresent>), py::arg("prog"));
  module.def("online_cpus", locked(&cpus<Mask::kOnline>), py::arg("prog"));
  module.def("_list_walk", locked(&list_walk), py::arg("head"), py::arg("type"), py::arg("member"));
  module.def("_task_walk", locked(&task_walk), py::arg("prog"));
}

}  // namespace perfcore::python
