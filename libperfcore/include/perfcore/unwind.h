// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// Stacks by the dump's own ORC tables, across NMI, interrupt and exception frames.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "perfcore/kernel.h"

namespace perfcore {

/// In what context a frame ran. Recognised by the entry code that was passed (asm_exc_nmi, asm_sysvec_*,
/// asm_exc_*), not by the stack: an NMI from user mode runs on the task's stack (exc_nmi ->
/// arch/x86/entry/entry_64.S, asm_exc_nmi).
enum class Context { kUnknown, kTask, kSoftirq, kIrq, kException, kNmi, kUser };
/// "task", "softirq", "irq", "exception", "nmi", "user", "unknown".
std::string_view to_string(Context context);

struct Frame {
  uint64_t ip = 0;  ///< instruction pointer: return address, or the interrupted instruction (see interrupted)
  uint64_t sp = 0;  ///< stack pointer in this frame
  std::string function;  ///< empty when no symbol covers ip
  uint64_t offset = 0;   ///< ip - start of function
  std::string module;    ///< empty for vmlinux
  Context context = Context::kUnknown;
  /// Entry that began this context, e.g. "asm_exc_page_fault"; empty in the outermost one.
  std::string entry;
  bool reliable = true;  ///< false when found by scanning the stack
  bool inlined = false;  ///< an inlined call of the next frame; same ip
  bool interrupted =
      false;  ///< ip is the instruction at which an exception, interrupt or NMI hit, not a return address
  /// Registers at this frame: those saved in the pt_regs for an interrupted frame, else nullopt.
  std::optional<Registers> registers;
  uint64_t registers_address = 0;  ///< where that struct pt_regs lies; 0 without one
};

/// A function's name as in the source: "foo" for "foo.isra.0", "foo.cold", "foo.llvm.1234".
std::string_view without_compiler_suffix(std::string_view function);

struct Stack {
  std::vector<Frame> frames;      ///< innermost first
  std::string method;             ///< "orc", "scan" (unreliable), "none"
  std::optional<Unread> stopped;  ///< why the walk ended before the outermost frame
  bool reached_user = false;      ///< ended at registers of user mode
  bool reached_end = false;       ///< ended where the kernel says that the stack ends

  /// Unwound without guessing as far as there is something to unwind (nothing where the CPU was in user mode):
  /// a function that is not among the frames was not running.
  bool complete() const { return method != "scan" && !stopped && (reached_user || reached_end); }
  /// True if any frame that is not merely a guess is in this function (compiler suffixes such as .isra.0
  /// ignored).
  bool contains(std::string_view function) const;
};

/// A kernel stack.
struct StackArea {
  enum class Kind { kTask, kIrq, kException };
  uint64_t begin = 0;
  uint64_t end = 0;
  Kind kind = Kind::kTask;
  std::string name;  ///< "stack of the current task", "IRQ stack", "NMI_stack", "DF_stack", ...

  bool contains(uint64_t address) const { return address >= begin && address < end; }
};

/// THREAD_SIZE: bytes of the stack of a task, and of the IRQ stack of a CPU.
uint64_t kernel_stack_size(Kernel& kernel);

/// The stacks that a CPU can be on: of its current task, of interrupts and of exceptions
/// (arch/x86/kernel/dumpstack_64.c). \param unread  why some of them could not be located; may be null
std::vector<StackArea> stacks_of_cpu(Kernel& kernel, int cpu, std::vector<Unread>* unread);

/// Unwinds with the ORC tables found in the dump (__start_orc_unwind_ip, __start_orc_unwind, orc_lookup). The
/// format is told by the hash in .orc_header (since 6.4), before that by its absence; an unknown hash gives a
/// scan marked unreliable. Follows arch/x86/kernel/unwind_orc.c. One thread at a time.
class Unwinder {
 public:
  explicit Unwinder(Kernel& kernel);
  ~Unwinder();
  Unwinder(const Unwinder&) = delete;
  Unwinder& operator=(const Unwinder&) = delete;

  /// "6.1 (no .orc_header)", "fe5d32bf...", ...; for `perfcore info`.
  std::string orc_format() const;

  /// From registers as saved in the dump. `cpu` names the per-CPU stacks (IRQ, NMI, exception) and the
  /// current task's stack that the walk may enter. At most 200 frames.
  Stack unwind(const Registers& registers, int cpu);
  /// A task that is not running, from the frame that __switch_to left on its stack.
  Stack unwind_task(const Object& task);

  /// Which module's text an address lies in, with symbol where the module's kallsyms can be read. Empty when
  /// none.
  Frame describe(uint64_t ip);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace perfcore
