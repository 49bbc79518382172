// SPDX-License-Identifier: LGPL-2.1-or-later
//
// C-37, C-38 and C-40: the functions that drive the PMU (struct x86_pmu, static calls, NMI handlers).
#include <fmt/format.h>

#include <algorithm>

#include "diagnosis/invariant_context.h"
#include "perfcore/code.h"
#include "perfcore/ibs.h"

namespace perfcore::invariant {
namespace {

constexpr size_t kMaxHandlers = 1000;

class GlobalChecks {
 public:
  explicit GlobalChecks(State& state) : s_(state), x86_(state.kernel().variable("x86_pmu").load()) {}

  void run() {
    const bool driver = !s_.pmu().driver_initialised().is(false);
    s_.run("C-37", std::nullopt, 0, [&](Check& check) {
      if (driver)
        functions(check);
      else
        check.not_applicable("no x86 PMU driver is initialised (x86_pmu.name is NULL)");
    });
    s_.run_on_cpus("C-38", kHotplug, [&](Check& check, int cpu) {
      if (driver)
        pmu_of_cpu(check, cpu);
      else
        check.not_applicable("no x86 PMU driver is initialised (x86_pmu.name is NULL)");
    });
    s_.run("C-40", std::nullopt, 0, [&](Check& check) { handlers(check); });
  }

 private:
  static bool is_function_pointer(const Type* type) {
    const Type* pointer = type ? type->strip() : nullptr;
    const Type* target = pointer && pointer->kind == TypeKind::kPointer ? pointer->target() : nullptr;
    return target && target->strip() && target->strip()->kind == TypeKind::kFunction;
  }

  void functions(Check& check) {
    if (const Unread* unread = x86_.unread()) {
      check.unread(*unread);
      return;
    }
    size_t seen = 0;
    for (const Member& member : x86_.type()->strip()->members()) {
      if (member.name.empty() || !is_function_pointer(x86_.type()->strip()->member_type(member))) continue;
      const Object function = x86_.member(member.name);
      const auto address = check.take(function.u64());
      if (!address) continue;
      seen++;
      if (*address != 0 && !is_function(check, function, *address)) continue;
      static_call(check, member.name, *address, function);
    }
    check.saw(fmt::format("{} functions", seen));
  }

  bool is_function(Check& check, const Object& pointer, uint64_t address) {
    const auto name = check.take(s_.code_at(address));
    if (!name) return false;
    const auto symbol = s_.kernel().symbols().at(address);
    // The symbols of a module are its own.
    if (!name->empty() && (name->front() == '[' || (symbol && symbol->address == address))) return true;
    check.broken(pointer, name->empty() ? "no kernel or module text is there"
                                        : fmt::format("no function starts there (inside {})", *name));
    return false;
  }

  /// x86_pmu_static_call_update() makes each static call x86_pmu_NAME go to x86_pmu.NAME: its key says so,
  /// and its trampoline jumps there. guest_get_msrs goes to another function where the member is NULL.
  void static_call(Check& check, const std::string& name, uint64_t expected, const Object& member) {
    const auto key = s_.kernel().symbols().find("__SCK__x86_pmu_" + name);
    if (!key || (expected == 0 && name == "guest_get_msrs")) return;
    const Object target = s_.kernel().object("struct static_call_key", key->address).member("func");
    const auto function = check.take(target.u64());
    if (!function) return;
    if (*function != expected && !(expected == 0 && returns_at_once(*function))) {
      check.broken(target, fmt::format("static call x86_pmu_{} does not go to {} ({:#x})", name,
                                       member.expression(), expected));
      return;
    }
    const auto trampoline = s_.kernel().symbols().find("__SCT__x86_pmu_" + name);
    if (!trampoline || expected == 0) return;
    const auto jump = decode_at(s_.kernel(), trampoline->address);
    const auto instruction = check.take(jump);
    if (instruction && instruction->is_jump && instruction->target != expected)
      check.broken(target, fmt::format("the trampoline at {:#x} goes to {:#x}, not to {:#x}",
                                       trampoline->address, instruction->target.value_or(0), expected));
  }

  bool returns_at_once(uint64_t address) {
    const Reading<std::string> name = s_.code_at(address);
    return address == 0 || name.is("__static_call_return0") || name.is("__static_call_nop");
  }

  void pmu_of_cpu(Check& check, int cpu) {
    const Object pointer = s_.counters(cpu).object.member("pmu");
    const auto pmu = check.take(pointer.u64());
    if (!pmu) return;
    const auto hybrid = check.take(x86_.member("num_hybrid_pmus").u64());
    if (!hybrid) return;
    const auto init = s_.kernel().symbols().find("x86_pmu_event_init");
    if (!init) {
      check.unread(Unread{UnreadReason::kNoSymbol, 0, "x86_pmu_event_init", ""});
      return;
    }
    if (*pmu == 0) {
      check.broken(pointer, "cpuc.pmu is NULL");
      return;
    }
    if (!s_.is_object_pointer(*pmu)) {
      check.broken(pointer, "cpuc.pmu is no pointer to an object", 0);
      return;
    }
    const Reading<uint64_t> function = pointer.member("event_init").u64();
    if (!function.has_value() && function.unread().reason == UnreadReason::kNotMapped) {
      check.broken(pointer, "cpuc.pmu points to memory that is not mapped", 0);
      return;
    }
    if (!check.take(function)) return;
    if (*function != init->address) {
      check.broken(pointer, "what cpuc.pmu points to is no x86 core PMU", 0);
      return;
    }
    if (*hybrid == 0) return;
    const Object supported =
        pointer.container_of("struct x86_hybrid_pmu", "pmu").member("supported_cpus.bits");
    const auto word = check.take(supported.index(cpu / 64).u64());
    if (word && !(*word >> (cpu % 64) & 1)) check.broken(pointer, "this PMU does not support this CPU");
  }

  void handlers(Check& check) {
    // nmi_desc[NMI_LOCAL]
    const Object list = s_.kernel().variable("nmi_desc").index(0).member("head");
    if (list.unread()) {
      check.unread(*list.unread());
      return;
    }
    const ListWalk walk = list_entries(list, "struct nmiaction", "list", kMaxHandlers);
    bool pmi = false, ibs = false;
    for (const Object& entry : walk.entries) {
      const Object action = entry.load();
      const Object function = action.member("handler");
      const auto address = check.take(function.u64());
      const auto name = check.take(action.member("name").string(64));
      const auto code = address ? check.take(s_.code_at(*address)) : std::nullopt;
      if (code && code->empty())
        check.broken(function,
                     fmt::format("NMI handler \"{}\" is no kernel or module text", name.value_or("?")));
      if (!name) return;
      pmi |= *name == "PMI";
      ibs |= *name == "perf_ibs";
    }
    if (walk.incomplete) {
      if (walk.incomplete->reason == UnreadReason::kLimit ||
          walk.incomplete->reason == UnreadReason::kNullPointer ||
          walk.incomplete->reason == UnreadReason::kNotMapped)
        check.broken(list.member("next"), "the list of NMI handlers does not come back to its head: " +
                                              walk.incomplete->message());
      else
        check.unread(*walk.incomplete);
      return;
    }
    const auto driver = check.take(s_.pmu().driver_initialised());
    if (driver && *driver != pmi)
      check.broken(list.member("next"),
                   *driver ? "the PMU driver is initialised and no NMI handler \"PMI\" is there"
                           : "there is an NMI handler \"PMI\" and no PMU driver");
    if (s_.lacks_symbol("ibs_caps")) return;
    const auto caps = check.take(ibs_caps(s_.kernel()));
    if (caps && (*caps != 0) != ibs)
      check.broken(list.member("next"), ibs ? "there is an NMI handler \"perf_ibs\" and ibs_caps is 0"
                                            : "ibs_caps is not 0 and no NMI handler \"perf_ibs\" is there");
  }

  State& s_;
  Object x86_;
};

}  // namespace

void check_global(State& state) {
  GlobalChecks(state).run();
}

}  // namespace perfcore::invariant
