// SPDX-License-Identifier: LGPL-2.1-or-later
#include "perfcore/unwind.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <functional>

#include "kernel/unwind_context.h"
#include "kernel/unwind_modules.h"
#include "kernel/unwind_orc.h"

namespace perfcore {
namespace {

constexpr size_t kMaxFrames = 200;
/// Task, entry, IRQ, NMI, #DF, #DB, #MC and two #VC stacks exist; each may be entered once.
constexpr int kMaxStackSwitches = 10;
/// Size and alignment of a kernel stack where the types do not tell (THREAD_SIZE without KASAN).
constexpr uint64_t kUsualStackSize = 16384;
constexpr uint64_t kMaxStackSize = 1 << 20;
/// One function's frame; the kernel warns at 2048 (CONFIG_FRAME_WARN).
constexpr uint64_t kMaxFrameSize = 4096;
constexpr uint8_t kCallOpcode = 0xe8;  // call rel32

/// What returns to these came from elsewhere: a tracer replaced the return address on the stack
/// (kernel/trace/rethook.c since 5.18, kernel/trace/fgraph.c, arch/x86/kernel/kprobes/core.c).
constexpr std::string_view kReplacedReturns[] = {"arch_rethook_trampoline", "return_to_handler",
                                                 "__kretprobe_trampoline"};

bool is_replaced_return(std::string_view function) {
  return std::find(std::begin(kReplacedReturns), std::end(kReplacedReturns), function) !=
         std::end(kReplacedReturns);
}

/// A stack, and how its outermost frame leads on to the next one.
using Area = StackArea;

/// What the CPU pushes on an exception or interrupt.
struct IretFrame {
  uint64_t ip = 0, cs = 0, flags = 0, sp = 0, ss = 0;
  bool from_user() const { return (cs & 3) != 0; }
};

/// True if a call instruction ends where these 7 bytes end, so that a return address may follow it.
bool ends_in_call(const std::array<uint8_t, 7>& bytes) {
  if (bytes[2] == kCallOpcode) return true;
  // call *r/m64 is ff /2, of a length that its ModRM and SIB bytes tell.
  for (size_t at = 0; at + 2 <= bytes.size(); at++) {
    const uint8_t modrm = bytes[at + 1];
    if (bytes[at] != 0xff || ((modrm >> 3) & 7) != 2) continue;
    const uint8_t mod = modrm >> 6;
    const uint8_t rm = modrm & 7;
    const bool sib = mod != 3 && rm == 4;
    size_t length = sib ? 3 : 2;
    if (mod == 1) length += 1;
    if (mod == 2 || (mod == 0 && rm == 5)) length += 4;
    if (mod == 0 && sib && at + 2 < bytes.size() && (bytes[at + 2] & 7) == 5) length += 4;
    if (at + length == bytes.size()) return true;
  }
  return false;
}

}  // namespace

uint64_t kernel_stack_size(Kernel& kernel) {
  const Type* type = kernel.types().find(TypeKind::kUnion, "thread_union");
  const bool plausible = type && std::has_single_bit(type->size) && type->size <= kMaxStackSize;
  return plausible ? type->size : kUsualStackSize;
}

std::vector<StackArea> stacks_of_cpu(Kernel& kernel, int cpu, std::vector<Unread>* unread) {
  std::vector<StackArea> areas;
  const uint64_t size = kernel_stack_size(kernel);
  const auto missing = [&](const Unread& reason) {
    if (unread) unread->push_back(reason);
  };
  const auto base = kernel.current_task(cpu).member("stack").u64();
  if (!base.has_value())
    missing(base.unread());
  else if (*base != 0)
    areas.push_back({*base, *base + size, StackArea::Kind::kTask, "stack of the current task"});
  // pcpu_hot held it from 6.2 to 6.14 (d7b6d709a76a, "x86/percpu: Move irq_stack variables next to
  // current_task", undone by c6a091899c0d).
  const Object irq = kernel.symbols().find("pcpu_hot")
                         ? kernel.per_cpu("pcpu_hot", cpu).member("hardirq_stack_ptr")
                         : kernel.per_cpu("hardirq_stack_ptr", cpu);
  // It points at the last word of the stack, which holds the stack pointer to go back to.
  const auto last = irq.u64();
  if (!last.has_value())
    missing(last.unread());
  else if (*last >= size)
    areas.push_back({*last + 8 - size, *last + 8, StackArea::Kind::kIrq, "IRQ stack"});
  const Object exception_stacks = kernel.per_cpu("cea_exception_stacks", cpu).deref();
  if (exception_stacks.unread()) missing(*exception_stacks.unread());
  for (const char* name : {"DF_stack", "NMI_stack", "DB_stack", "MCE_stack", "VC_stack", "VC2_stack"}) {
    const Object stack = exception_stacks.member(name);
    const auto begin = stack.address();
    if (begin.has_value() && stack.type() && stack.type()->size && stack.type()->size <= kMaxStackSize)
      areas.push_back({*begin, *begin + stack.type()->size, StackArea::Kind::kException, name});
  }
  return areas;
}

struct Unwinder::Impl {
  explicit Impl(Kernel& k) : kernel(k), tables(k), modules(k) {}

  class Walk;

  /// Function, offset and module of an address; `inside` is what lies inside of the function: ip itself, or
  /// ip - 1 for a return address.
  Frame describe(uint64_t ip, uint64_t inside) {
    Frame frame;
    frame.ip = ip;
    if (auto symbol = kernel.symbols().at(inside)) {
      frame.function = std::move(symbol->name);
      frame.offset = ip - symbol->address;
    } else if (ModuleText::Module* module = modules.at(inside)) {
      frame.module = module->name;
      if (const auto* function = modules.symbol_at(*module, inside)) {
        frame.function = function->name;
        frame.offset = ip - function->address;
      }
    }
    return frame;
  }

  bool is_text(uint64_t ip) { return tables.covers(ip) || modules.at(ip) != nullptr; }

  bool may_be_return_address(uint64_t value) {
    if (value < kPageSize || !is_text(value - 1)) return false;
    const auto before = read_value<std::array<uint8_t, 7>>(kernel.memory(), value - 7);
    return before.has_value() && ends_in_call(*before);
  }

  /// The stack of a task.
  std::vector<Area> areas_of(const Object& task);
  /// The stacks that a CPU can be on (arch/x86/kernel/dumpstack_64.c).
  std::vector<Area> areas_of(int cpu);

  Kernel& kernel;
  OrcTables tables;
  ModuleText modules;
};

std::vector<Area> Unwinder::Impl::areas_of(const Object& task) {
  const auto base = task.member("stack").u64();
  if (!base.has_value() || *base == 0) return {};
  return {{*base, *base + kernel_stack_size(kernel), Area::Kind::kTask, "stack of a task"}};
}

std::vector<Area> Unwinder::Impl::areas_of(int cpu) {
  return stacks_of_cpu(kernel, cpu, nullptr);
}

/// One walk from a starting point outwards; follows unwind_next_frame() of arch/x86/kernel/unwind_orc.c.
class Unwinder::Impl::Walk {
 public:
  /// \param areas  gives the stacks that may be walked; asked only when a guess needs their bounds
  Walk(Impl& impl, std::function<std::vector<Area>()> areas) : impl_(impl), load_areas_(std::move(areas)) {}

  void start_at(const Registers& registers) {
    ip_ = registers.ip;
    sp_ = registers.sp;
    bp_ = registers.bp;
    registers_ = registers;
    exact_ = interrupted_ = true;
  }
  void start_at(uint64_t ip, uint64_t sp, uint64_t bp, bool exact) {
    ip_ = ip;
    sp_ = sp;
    bp_ = bp;
    exact_ = exact;
  }

  Stack run();

 private:
  enum class Step { kOk, kEnd, kUser, kFailed };

  void add_frames();
  Step step();
  Step apply(const OrcEntry& entry);
  Step return_to_direct_caller();
  Reading<OrcEntry> find_entry();
  Step guess_generated_code();
  Step scan();
  Step leave(const Area* area);
  Step fail(Unread why);
  Step arrive(uint64_t ip, uint64_t sp);
  std::optional<uint64_t> saved_register(uint64_t Registers::*member) const;
  const Area* area_of(uint64_t address);
  Reading<uint64_t> word(uint64_t address) { return read_value<uint64_t>(impl_.kernel.memory(), address); }

  Impl& impl_;
  std::function<std::vector<Area>()> load_areas_;
  Stack stack_;
  uint64_t ip_ = 0;
  uint64_t sp_ = 0;
  std::optional<uint64_t> bp_;
  /// Registers at this frame, and those of the frame before it while in entry code that has not saved all.
  std::optional<Registers> registers_, entry_registers_;
  uint64_t registers_address_ = 0;
  bool exact_ = false;        // ip_ is an instruction of the frame's function, not what follows its call
  bool interrupted_ = false;  // ip_ comes from a pt_regs
  bool reliable_ = true;
  int switches_ = 0;
  std::optional<std::vector<Area>> areas_;
};

Stack Unwinder::Impl::Walk::run() {
  stack_.method = impl_.tables.format() ? "orc" : "scan";
  if (!impl_.tables.format()) stack_.stopped = impl_.tables.problem();
  while (stack_.frames.size() < kMaxFrames) {
    add_frames();
    Step result = impl_.tables.format() ? step() : Step::kFailed;
    if (result == Step::kFailed) {
      reliable_ = false;
      result = scan();
    }
    if (result == Step::kOk) continue;
    stack_.reached_end = result == Step::kEnd;
    stack_.reached_user = result == Step::kUser;
    break;
  }
  if (stack_.frames.size() >= kMaxFrames) {
    stack_.frames.resize(kMaxFrames);
    fail({UnreadReason::kLimit, sp_, "stack", fmt::format("more than {} frames", kMaxFrames)});
  }
  assign_contexts(&stack_.frames, stack_.reached_end || stack_.reached_user);
  return std::move(stack_);
}

void Unwinder::Impl::Walk::add_frames() {
  const uint64_t inside = exact_ ? ip_ : ip_ - 1;
  Frame frame = impl_.describe(ip_, inside);
  frame.sp = sp_;
  frame.reliable = reliable_;
  frame.interrupted = interrupted_;
  if (interrupted_) {
    frame.registers = registers_;
    frame.registers_address = registers_address_;
  }
  DwarfSource* dwarf = impl_.kernel.dwarf();
  if (dwarf && frame.module.empty() && impl_.tables.covers(inside)) {
    for (InlinedCall& call : dwarf->inlined_at(inside - impl_.kernel.kaslr_offset())) {
      Frame inlined = frame;
      inlined.function = std::move(call.function);
      inlined.inlined = true;
      stack_.frames.push_back(std::move(inlined));
    }
  }
  stack_.frames.push_back(std::move(frame));
}

Unwinder::Impl::Walk::Step Unwinder::Impl::Walk::fail(Unread why) {
  if (!stack_.stopped) stack_.stopped = std::move(why);
  return Step::kFailed;
}

/// The next frame's place; refuses to stand still, so that no corrupt stack makes the walk endless.
Unwinder::Impl::Walk::Step Unwinder::Impl::Walk::arrive(uint64_t ip, uint64_t sp) {
  const bool same_page = (sp & ~(kPageSize - 1)) == (sp_ & ~(kPageSize - 1));
  if (sp <= sp_ && (same_page || ++switches_ > kMaxStackSwitches))
    return fail({UnreadReason::kCorrupt, sp, "stack",
                 fmt::format("the frame after {:#x} would lie at {:#x}", sp_, sp)});
  ip_ = ip;
  sp_ = sp;
  return Step::kOk;
}

Reading<OrcEntry> Unwinder::Impl::Walk::find_entry() {
  const uint64_t inside = exact_ ? ip_ : ip_ - 1;
  if (impl_.tables.covers(inside)) return impl_.tables.find(inside);
  if (ModuleText::Module* module = impl_.modules.at(inside))
    return impl_.modules.orc_entry(*module, impl_.tables, inside);
  return Unread{UnreadReason::kNoSymbol, ip_, "ORC entry", "neither the kernel's nor a module's text"};
}

Unwinder::Impl::Walk::Step Unwinder::Impl::Walk::step() {
  if (!stack_.frames.empty() && is_replaced_return(stack_.frames.back().function) && !exact_)
    return fail({UnreadReason::kUnsupported, ip_, stack_.frames.back().function,
                 "a tracer replaced the return address; the caller is not on the stack"});
  if (!impl_.is_text(exact_ ? ip_ : ip_ - 1)) return guess_generated_code();
  const auto entry = find_entry();
  if (!entry.has_value()) return fail(entry.unread());
  if (entry->type == OrcType::kUndefined && return_to_direct_caller() == Step::kOk) return Step::kOk;
  return apply(*entry);
}

/// Finds the caller of a function without unwind information (STACK_FRAME_NON_STANDARD, as __crash_kexec())
/// as the first return address that follows a direct call of this very function. No mere guess: what is left
/// over from earlier calls lies below this function's frame.
Unwinder::Impl::Walk::Step Unwinder::Impl::Walk::return_to_direct_caller() {
  const auto symbol = impl_.kernel.symbols().at(exact_ ? ip_ : ip_ - 1);
  if (!symbol) return Step::kFailed;
  const Snapshot words = take_snapshot(impl_.kernel.memory(), sp_, kMaxFrameSize);
  for (size_t offset = 0; offset + 8 <= words.bytes.size() && !words.gap_in(offset, 8); offset += 8) {
    uint64_t caller = 0;
    std::memcpy(&caller, words.bytes.data() + offset, 8);
    if (!impl_.is_text(caller)) continue;
    const auto opcode = read_value<uint8_t>(impl_.kernel.memory(), caller - 5);
    const auto distance = read_value<int32_t>(impl_.kernel.memory(), caller - 4);
    if (!opcode.is(kCallOpcode) || !distance.has_value()) continue;
    if (caller + static_cast<uint64_t>(int64_t{*distance}) != symbol->address) continue;
    // The caller's frame pointer, if the function has not used the register for itself.
    if (bp_ && *bp_ < sp_ + offset) bp_.reset();
    registers_.reset();
    exact_ = interrupted_ = false;
    return arrive(caller, sp_ + offset + 8);
  }
  return Step::kFailed;
}

/// Code that ORC does not know: a jump to a bad address, BPF programs and trampolines.
Unwinder::Impl::Walk::Step Unwinder::Impl::Walk::guess_generated_code() {
  const Unread why{UnreadReason::kNoSymbol, ip_, "ORC entry", "neither the kernel's nor a module's text"};
  if (exact_) {
    // A call through a bad pointer pushed its return address and did nothing else. Only NULL is surely no
    // code.
    const auto caller = word(sp_);
    if (caller.has_value() && impl_.may_be_return_address(*caller)) {
      if (ip_ != 0) {
        fail(why);
        reliable_ = false;
      }
      const Step result = arrive(*caller, sp_ + 8);
      registers_.reset();
      exact_ = interrupted_ = false;
      return result;
    }
  } else if (bp_ && *bp_ >= sp_) {
    // Generated code keeps a frame pointer (arch/x86/net/bpf_jit_comp.c).
    const auto caller = word(*bp_ + 8);
    const auto caller_bp = word(*bp_);
    if (caller.has_value() && caller_bp.has_value() && impl_.may_be_return_address(*caller)) {
      fail(why);
      reliable_ = false;
      const Step result = arrive(*caller, *bp_ + 16);
      bp_ = *caller_bp;
      registers_.reset();
      exact_ = interrupted_ = false;
      return result;
    }
  }
  return fail(why);
}

std::optional<uint64_t> Unwinder::Impl::Walk::saved_register(uint64_t Registers::*member) const {
  if (registers_) return (*registers_).*member;
  if (entry_registers_) return (*entry_registers_).*member;
  return std::nullopt;
}

Unwinder::Impl::Walk::Step Unwinder::Impl::Walk::apply(const OrcEntry& entry) {
  if (entry.type == OrcType::kEndOfStack) return Step::kEnd;
  const auto bad = [&](const char* what) {
    return fail({UnreadReason::kUnsupported, ip_, "ORC entry", what});
  };
  if (entry.type == OrcType::kUndefined) return bad("the kernel marks this code as not unwindable");

  std::optional<uint64_t> base;
  switch (entry.sp_reg) {
    case OrcRegister::kSp:
    case OrcRegister::kSpIndirect:
      base = sp_;
      break;
    case OrcRegister::kBp:
    case OrcRegister::kBpIndirect:
      base = bp_;
      break;
    case OrcRegister::kR10:
      base = saved_register(&Registers::r10);
      break;
    case OrcRegister::kR13:
      base = saved_register(&Registers::r13);
      break;
    case OrcRegister::kDi:
      base = saved_register(&Registers::di);
      break;
    case OrcRegister::kDx:
      base = saved_register(&Registers::dx);
      break;
    case OrcRegister::kAx:
      base = saved_register(&Registers::ax);
      break;
    default:
      return bad("it names a register that this perfcore does not know");
  }
  if (!base) return bad("the register that leads to the caller was not saved");
  const auto sp_offset = static_cast<uint64_t>(int64_t{entry.sp_offset});
  uint64_t cfa = *base + sp_offset;
  if (entry.sp_reg == OrcRegister::kSpIndirect || entry.sp_reg == OrcRegister::kBpIndirect) {
    const bool offset_after = entry.sp_reg == OrcRegister::kSpIndirect;
    const auto value = word(offset_after ? *base : cfa);
    if (!value.has_value()) return fail(value.unread());
    cfa = offset_after ? *value + sp_offset : *value;
  }

  // The new bp is found with the old one, so read it before the registers change.
  std::optional<uint64_t> caller_bp = bp_;
  if (entry.bp_reg == OrcRegister::kPrevSp || entry.bp_reg == OrcRegister::kBp) {
    const auto from = entry.bp_reg == OrcRegister::kPrevSp ? std::optional(cfa) : bp_;
    if (!from) return bad("the frame pointer that leads to the caller's is not known");
    const auto value = word(*from + static_cast<uint64_t>(int64_t{entry.bp_offset}));
    if (!value.has_value()) return fail(value.unread());
    caller_bp = *value;
  } else if (entry.bp_reg != OrcRegister::kUndefined) {
    return bad("it names a register for the frame pointer that this perfcore does not know");
  }

  Step result = Step::kOk;
  switch (entry.type) {
    case OrcType::kRegs: {
      const auto registers = read_value<Registers>(impl_.kernel.memory(), cfa);
      if (!registers.has_value()) {
        // Of user space all but this may have been left out of a recording.
        const auto cs = read_value<uint64_t>(impl_.kernel.memory(), cfa + offsetof(Registers, cs));
        if (cs.has_value() && Registers{.cs = *cs}.from_user()) return Step::kUser;
        return fail(registers.unread());
      }
      if (registers->from_user()) return Step::kUser;
      result = arrive(registers->ip, registers->sp);
      if (result != Step::kOk) return result;
      registers_ = *registers;
      registers_address_ = cfa;
      entry_registers_.reset();
      if (entry.bp_reg == OrcRegister::kUndefined) caller_bp = registers->bp;
      break;
    }
    case OrcType::kRegsPartial: {
      const auto iret = read_value<IretFrame>(impl_.kernel.memory(), cfa);
      if (!iret.has_value()) return fail(iret.unread());
      if (iret->from_user()) return Step::kUser;
      result = arrive(iret->ip, iret->sp);
      if (result != Step::kOk) return result;
      // Entry code has saved no more than that yet: the other registers still are what they were.
      if (registers_) entry_registers_ = registers_;
      registers_.reset();
      registers_address_ = 0;
      break;
    }
    default: {
      const auto caller = word(cfa - 8);
      if (!caller.has_value()) return fail(caller.unread());
      result = arrive(*caller, cfa);
      if (result != Step::kOk) return result;
      registers_.reset();
      entry_registers_.reset();
      registers_address_ = 0;
    }
  }
  bp_ = caller_bp;
  interrupted_ = entry.type != OrcType::kCall;
  exact_ = entry.signal;
  return Step::kOk;
}

const Area* Unwinder::Impl::Walk::area_of(uint64_t address) {
  if (!areas_) areas_ = load_areas_();
  for (const Area& area : *areas_)
    if (address >= area.begin && address < area.end) return &area;
  return nullptr;
}

/// Goes to the next word on the stack that can be a return address. A guess: such words may be left over from
/// earlier calls.
Unwinder::Impl::Walk::Step Unwinder::Impl::Walk::scan() {
  const Area* area = area_of(sp_);
  const uint64_t begin = (sp_ + 7) & ~uint64_t{7};
  const uint64_t end = area ? area->end : (sp_ | (kUsualStackSize - 1)) + 1;
  if (end > begin) {
    const Snapshot words = take_snapshot(impl_.kernel.memory(), begin, end - begin);
    for (size_t offset = 0; offset + 8 <= words.bytes.size(); offset += 8) {
      if (const auto* gap = words.gap_in(offset, 8)) return fail(gap->unread);
      uint64_t value = 0;
      std::memcpy(&value, words.bytes.data() + offset, 8);
      if (!impl_.may_be_return_address(value)) continue;
      ip_ = value;
      sp_ = begin + offset + 8;
      bp_.reset();
      registers_.reset();
      entry_registers_.reset();
      registers_address_ = 0;
      exact_ = interrupted_ = false;
      return Step::kOk;
    }
  }
  return leave(area);
}

/// From the end of an IRQ or exception stack to what it interrupted.
Unwinder::Impl::Walk::Step Unwinder::Impl::Walk::leave(const Area* area) {
  if (!area || area->kind == Area::Kind::kTask || ++switches_ > kMaxStackSwitches) return Step::kFailed;
  if (area->kind == Area::Kind::kIrq) {
    const auto previous = word(area->end - 8);
    if (!previous.has_value() || area_of(*previous) == nullptr || area_of(*previous) == area)
      return Step::kFailed;
    sp_ = *previous;
    return scan();
  }
  const auto iret = read_value<IretFrame>(impl_.kernel.memory(), area->end - sizeof(IretFrame));
  if (!iret.has_value()) return Step::kFailed;
  if (iret->from_user()) return Step::kUser;
  if (!impl_.is_text(iret->ip) || area_of(iret->sp) == area) return Step::kFailed;
  ip_ = iret->ip;
  sp_ = iret->sp;
  bp_.reset();
  exact_ = interrupted_ = true;
  return Step::kOk;
}

Unwinder::Unwinder(Kernel& kernel) : impl_(std::make_unique<Impl>(kernel)) {}
Unwinder::~Unwinder() = default;

std::string Unwinder::orc_format() const {
  return impl_->tables.format_name();
}

Stack Unwinder::unwind(const Registers& registers, int cpu) {
  if (registers.from_user()) {
    Stack stack;
    stack.method = "none";
    stack.reached_user = true;
    Frame frame;
    frame.ip = registers.ip;
    frame.sp = registers.sp;
    frame.context = Context::kUser;
    frame.interrupted = true;
    frame.registers = registers;
    stack.frames.push_back(std::move(frame));
    return stack;
  }
  Impl::Walk walk(*impl_, [&] { return impl_->areas_of(cpu); });
  walk.start_at(registers);
  return walk.run();
}

Stack Unwinder::unwind_task(const Object& task) {
  Stack stack;
  stack.method = "none";
  const auto sp = task.member("thread.sp").u64();
  if (!sp.has_value()) {
    stack.stopped = sp.unread();
    return stack;
  }
  const Object frame = impl_->kernel.object("struct inactive_task_frame", *sp).load();
  const auto ip = frame.member("ret_addr").u64();
  const auto bp = frame.member("bp").u64();
  if (!ip.has_value() || !bp.has_value()) {
    stack.stopped = ip.has_value() ? bp.unread() : ip.unread();
    return stack;
  }
  // A task that never ran returns to the start of ret_from_fork_asm (ret_from_fork before 6.5), not behind a
  // call.
  const auto symbol = impl_->kernel.symbols().at(*ip);
  const bool exact = symbol && symbol->address == *ip;
  Impl::Walk walk(*impl_, [&] { return impl_->areas_of(task); });
  walk.start_at(*ip, *sp + frame.type()->size, *bp, exact);
  return walk.run();
}

Frame Unwinder::describe(uint64_t ip) {
  return impl_->describe(ip, ip);
}

}  // namespace perfcore
