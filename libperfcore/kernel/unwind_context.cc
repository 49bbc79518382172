// SPDX-License-Identifier: LGPL-2.1-or-later
#include "kernel/unwind_context.h"

#include <algorithm>

namespace perfcore {
namespace {

struct EntryName {
  std::string_view name;
  bool prefix;
  Context context;
};

/// Entry code by name (arch/x86/entry/entry_64.S, arch/x86/include/asm/idtentry.h,
/// arch/x86/entry/entry_fred.c since 6.9, kernel/softirq.c). The first that fits counts.
constexpr EntryName kEntryNames[] = {
    {"asm_exc_nmi", false, Context::kNmi},
    {"end_repeat_nmi", false, Context::kNmi},  // label in asm_exc_nmi: NMIs from kernel mode call from here
    {"exc_nmi", false, Context::kNmi},
    {"exc_nmi_noist", false, Context::kNmi},
    {"asm_exc_nmi_noist", false, Context::kNmi},
    {"asm_exc_nmi_kvm_vmx", false, Context::kNmi},
    {"exc_nmi_kvm_vmx", false, Context::kNmi},
    {"fred_exc_nmi", false, Context::kNmi},
    {"asm_exc_xennmi", false, Context::kNmi},
    {"asm_sysvec_", true, Context::kIrq},
    {"sysvec_", true, Context::kIrq},
    {"fred_sysvec_", true, Context::kIrq},
    {"fred_extint", false, Context::kIrq},
    {"asm_common_interrupt", false, Context::kIrq},
    {"common_interrupt", false, Context::kIrq},
    {"asm_spurious_interrupt", false, Context::kIrq},
    {"spurious_interrupt", false, Context::kIrq},
    {"asm_exc_xen_hypervisor_callback", false, Context::kIrq},
    {"exc_xen_hypervisor_callback", false, Context::kIrq},
    {"__do_softirq", false, Context::kSoftirq},     // up to 6.9
    {"handle_softirqs", false, Context::kSoftirq},  // since 6.10
    {"do_softirq_own_stack", false, Context::kSoftirq},
    {"asm_exc_", true, Context::kException},
    {"fred_exc_", true, Context::kException},
    {"fred_hwexc", false, Context::kException},
    {"fred_hwexc_", true, Context::kException},
};

}  // namespace

std::string_view to_string(Context context) {
  switch (context) {
    case Context::kUnknown:
      return "unknown";
    case Context::kTask:
      return "task";
    case Context::kSoftirq:
      return "softirq";
    case Context::kIrq:
      return "irq";
    case Context::kException:
      return "exception";
    case Context::kNmi:
      return "nmi";
    case Context::kUser:
      return "user";
  }
  return "unknown";
}

std::string_view without_compiler_suffix(std::string_view function) {
  return function.substr(0, std::min(function.find('.', 1), function.size()));
}

bool Stack::contains(std::string_view function) const {
  const std::string_view wanted = without_compiler_suffix(function);
  return std::any_of(frames.begin(), frames.end(), [&](const Frame& frame) {
    return frame.reliable && without_compiler_suffix(frame.function) == wanted;
  });
}

std::optional<Context> context_begun_by(std::string_view function) {
  std::string_view name = without_compiler_suffix(function);
  if (name.starts_with("xen_asm_")) name.remove_prefix(4);
  for (const EntryName& entry : kEntryNames)
    if (entry.prefix ? name.starts_with(entry.name) : name == entry.name) return entry.context;
  return std::nullopt;
}

void assign_contexts(std::vector<Frame>* frames, bool complete) {
  Context context = complete ? Context::kTask : Context::kUnknown;
  std::string entry;
  for (size_t i = frames->size(); i-- > 0;) {
    Frame& frame = (*frames)[i];
    const auto begun = context_begun_by(frame.function);
    // asm_exc_nmi calls exc_nmi: one entry, unless something was interrupted in between.
    const bool interrupts = i + 1 < frames->size() && (*frames)[i + 1].interrupted;
    if (begun && (*begun != context || interrupts)) {
      context = *begun;
      entry = frame.function == "end_repeat_nmi" ? "asm_exc_nmi" : frame.function;
    }
    frame.context = context;
    frame.entry = entry;
  }
}

}  // namespace perfcore
