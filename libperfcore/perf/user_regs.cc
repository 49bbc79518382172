// SPDX-License-Identifier: LGPL-2.1-or-later
#include "perfcore/user_regs.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <numeric>

#include "perfcore/address.h"
#include "perfcore/code.h"
#include "perfcore/members.h"
#include "perfcore/slab.h"
#include "perfcore/tasks.h"

namespace perfcore {
namespace {

// The layout that XSAVE and its kin write (Intel SDM volume 1, 13.4): the legacy region of FXSAVE with the
// XMM registers, the header, and the extended region, of which XSAVES writes the compacted form.
constexpr uint64_t kXmmOffset = 160;
constexpr uint64_t kHeaderOffset = 512;
constexpr uint64_t kExtendedOffset = 576;
constexpr uint64_t kCompacted = uint64_t{1} << 63;  // XCOMP_BV
constexpr uint64_t kXsaveAlignment = 64;
/// An XSAVE area with everything that is defined today is below 12 KB.
constexpr uint64_t kMaxXsaveSize = 64 << 10;

/// A state component by its number in XCR0 or IA32_XSS.
struct Component {
  uint64_t size = 0;
  bool aligned = false;  ///< on 64 bytes in the compacted form
};
constexpr std::array<Component, 20> kComponents = {{{160, false},  {256, false},
                                                    {256, false},    // AVX: upper halves of YMM
                                                    {64, false},     // MPX
                                                    {64, false},     // MPX
                                                    {64, false},     // AVX-512: opmask
                                                    {512, false},    // AVX-512: upper halves of ZMM0-15
                                                    {1024, false},   // AVX-512: ZMM16-31
                                                    {128, false},    // PT
                                                    {8, false},      // PKRU
                                                    {8, false},      // PASID
                                                    {16, false},     // CET, user
                                                    {24, false},     // CET, supervisor
                                                    {8, false},      // HDC
                                                    {48, false},     // UINTR
                                                    {808, false},    // LBR
                                                    {8, false},      // HWP
                                                    {64, true},      // AMX: tile configuration
                                                    {8192, true},    // AMX: tile data
                                                    {128, false}}};  // APX

constexpr int kSse = 1, kUserCet = 11, kApx = 19;
/// By the beginning of a member's name; the first that fits counts.
struct RegisterSet {
  std::string_view prefix;
  int component;
};
constexpr RegisterSet kRegisterSets[] = {{"xmm", kSse},     {"ymm", 2},       {"h16zmm", 7},  {"hi16", 7},
                                         {"zmm", 6},        {"opmask", 5},    {"egpr", kApx}, {"apx", kApx},
                                         {"ssp", kUserCet}, {"cet", kUserCet}};

std::optional<int> component_of(std::string_view member) {
  for (const RegisterSet& set : kRegisterSets)
    if (member.starts_with(set.prefix)) return set.component;
  return std::nullopt;
}

/// Offset of a component in the compacted form, or its end when `component` is past the last one; nullopt
/// when the size of one before it is not known.
std::optional<uint64_t> compacted_offset(uint64_t components, int component) {
  uint64_t offset = kExtendedOffset;
  for (int i = 2; i < 63; i++) {
    if (i > component) break;
    if (!(components >> i & 1)) continue;
    if (static_cast<size_t>(i) >= kComponents.size()) return std::nullopt;
    const Component& one = kComponents[static_cast<size_t>(i)];
    if (one.aligned) offset = (offset + kXsaveAlignment - 1) / kXsaveAlignment * kXsaveAlignment;
    if (i == component) return offset;
    offset += one.size;
  }
  return offset;
}

/// The shadow stack pointer is the second word of its component. Whether APX asks for alignment is the CPU's
/// to say.
bool also_fits(int component, uint64_t expected, uint64_t offset) {
  if (component == kUserCet) return offset == expected + 8;
  if (component == kApx)
    return offset == (expected + kXsaveAlignment - 1) / kXsaveAlignment * kXsaveAlignment;
  return false;
}

uint64_t compacted_size(uint64_t components) {
  return compacted_offset(components & ~kCompacted, 63).value_or(kExtendedOffset);
}

/// The kernel (as its symbols and types have it) does not have the thing at all.
bool is_not_described(const Unread& unread) {
  return unread.reason == UnreadReason::kNoSymbol || unread.reason == UnreadReason::kNoType ||
         unread.reason == UnreadReason::kNoMember || unread.reason == UnreadReason::kNullPointer;
}

void note(std::vector<Unread>& list, const Unread& unread) {
  if (!is_not_described(unread)) list.push_back(unread);
}

/// Names of the members of struct x86_perf_regs that point to registers, one per place: several of one
/// union have one value.
void collect_pointers(const Type* type, uint64_t base, int depth,
                      std::vector<std::pair<uint64_t, std::string>>& found) {
  constexpr size_t kMaxPointers = 32;
  if (!type || depth > 4) return;
  for (const Member& member : type->members()) {
    if (found.size() >= kMaxPointers) return;
    const Type* member_type = type->member_type(member);
    const Type* plain = member_type ? member_type->strip() : nullptr;
    if (!plain) continue;
    const uint64_t offset = base + member.bit_offset;
    if (member.name.empty()) {
      if (plain->is_aggregate()) collect_pointers(plain, offset, depth + 1, found);
      continue;
    }
    const bool pointer =
        plain->kind == TypeKind::kPointer || (plain->kind == TypeKind::kInt && plain->size == 8 &&
                                              member.name.ends_with("_regs") && component_of(member.name));
    const bool seen =
        std::any_of(found.begin(), found.end(), [&](const auto& other) { return other.first == offset; });
    if (pointer && !seen) found.emplace_back(offset, member.name);
  }
}

std::string task_name(const Object& task) {
  const Reading<std::string> comm = task.member("comm").string();
  const Reading<int64_t> pid = task.member("pid").s64();
  return fmt::format("{} (PID {})", comm.has_value() ? *comm : "?",
                     pid.has_value() ? fmt::format("{}", *pid) : "?");
}

}  // namespace

bool processes_pebs(std::string_view function) {
  return function.find("drain_pebs") != std::string_view::npos ||
         function.find("drain_arch_pebs") != std::string_view::npos || function.starts_with("setup_pebs_") ||
         function.starts_with("setup_arch_pebs_") || function.starts_with("__intel_pmu_pebs_");
}

std::string_view to_string(UserRegsPlace place) {
  switch (place) {
    case UserRegsPlace::kUnknown:
      return "unknown";
    case UserRegsPlace::kNull:
      return "NULL";
    case UserRegsPlace::kOwnBuffer:
      return "own buffer";
    case UserRegsPlace::kOtherCpuBuffer:
      return "other CPU's buffer";
    case UserRegsPlace::kPebsRecord:
      return "PEBS record";
    case UserRegsPlace::kTaskFpstate:
      return "task fpstate";
    case UserRegsPlace::kStack:
      return "stack";
    case UserRegsPlace::kFreed:
      return "freed memory";
    case UserRegsPlace::kPoison:
      return "poison";
    case UserRegsPlace::kUser:
      return "user address";
    case UserRegsPlace::kNonCanonical:
      return "non-canonical";
    case UserRegsPlace::kOther:
      return "other kernel memory";
  }
  return "unknown";
}

UserRegs::UserRegs(PmuState& pmu, StackOf stack_of)
    : pmu_(pmu),
      kernel_(pmu.kernel()),
      stack_of_(std::move(stack_of)),
      map_(std::make_unique<AddressMap>(kernel_)),
      slabs_(std::make_unique<SlabReader>(kernel_, *map_)) {}

UserRegs::~UserRegs() = default;

Reading<bool> UserRegs::in_kernel(Kernel& kernel) {
  for (const char* name : {"x86_user_regs", "ext_regs_buf"})
    if (kernel.symbols().find(name) || kernel.types().percpu_offset(name)) return true;
  const Type* pmu = kernel.type("struct x86_pmu");
  if (pmu) return find_member(kernel, pmu, "ext_regs_mask").has_value();
  // Without the type a symbol table that has data symbols at all is answer enough.
  if (kernel.symbols().find("__per_cpu_offset")) return false;
  return Unread{UnreadReason::kNoType, 0, "x86_user_regs",
                "neither data symbols nor struct x86_pmu are known"};
}

Reading<std::vector<int>> UserRegs::cpus() {
  if (pmu_.cpus().has_value()) return pmu_.cpus();
  Reading<std::vector<int>> possible = kernel_.possible_cpus();
  if (possible.has_value()) return possible;
  const Reading<uint64_t> number = kernel_.nr_cpu_ids();
  if (!number.has_value()) return number.unread();
  std::vector<int> all(*number);
  std::iota(all.begin(), all.end(), 0);
  return all;
}

Object UserRegs::object(int cpu) {
  return kernel_.per_cpu("x86_user_regs", cpu);
}

Object UserRegs::ext_regs_mask() {
  return kernel_.variable("x86_pmu").member("ext_regs_mask");
}

Reading<uint64_t> UserRegs::per_cpu_address(std::string_view name, int cpu) {
  const Object object = kernel_.per_cpu(name, cpu);
  const Reading<uint64_t> address = object.address();
  if (address.has_value() || address.unread().reason != UnreadReason::kNoType) return address;
  const auto symbol = kernel_.symbols().find(name);
  if (!symbol) return address;
  return kernel_.per_cpu_offset(cpu).map([&](uint64_t offset) { return symbol->address + offset; });
}

Reading<uint64_t> UserRegs::buffer(int cpu) {
  const Reading<uint64_t> address = per_cpu_address("ext_regs_buf", cpu);
  if (!address.has_value()) return address;
  const Type* type = kernel_.types().variable("ext_regs_buf");
  if (type && type->strip() && type->strip()->kind != TypeKind::kPointer) return address;
  auto pointer = read_value<uint64_t>(kernel_.memory(), *address);
  if (!pointer.has_value()) {
    Unread unread = pointer.unread();
    unread.path = fmt::format("per_cpu(ext_regs_buf, {})", cpu);
    return unread;
  }
  if (type) return pointer;
  // Without its type: does an XSAVE area that was written begin here? It starts with the FPU's control word
  // or with 0, neither of which is a kernel address.
  const PointerClass pointer_class = pmu_.classify(*pointer);
  const auto symbol = kernel_.symbols().find("ext_regs_buf");
  const auto written = read_value<uint64_t>(kernel_.memory(), *address + kHeaderOffset + 8);
  const bool buffer_here =
      (pointer_class == PointerClass::kUser || pointer_class == PointerClass::kNonCanonical ||
       pointer_class == PointerClass::kNull) &&
      symbol && symbol->size >= kExtendedOffset && written.has_value() && (*written & kCompacted) &&
      (*written & ~kCompacted) >> kComponents.size() == 0;
  return buffer_here ? address : pointer;
}

const std::vector<UserRegs::Range>& UserRegs::buffers() {
  if (buffers_) return *buffers_;
  buffers_.emplace();
  const Reading<std::vector<int>> all = cpus();
  if (!all.has_value()) return *buffers_;
  const Reading<uint64_t> mask = ext_regs_mask().u64();
  const Type* type = kernel_.types().variable("ext_regs_buf");
  const Type* plain = type ? type->strip() : nullptr;
  for (const int cpu : *all) {
    const Reading<uint64_t> begin = buffer(cpu);
    if (!begin.has_value() || *begin == 0) continue;
    uint64_t size = compacted_size(mask.has_value() ? *mask : 0);
    const auto written = read_value<uint64_t>(kernel_.memory(), *begin + kHeaderOffset + 8);
    if (written.has_value() && (*written & kCompacted)) size = std::max(size, compacted_size(*written));
    if (plain && plain->kind != TypeKind::kPointer) size = std::max(size, plain->size);
    buffers_->push_back({*begin, *begin + size, fmt::format("ext_regs_buf of CPU {}", cpu), cpu});
  }
  return *buffers_;
}

UserRegs::Ranges UserRegs::pebs_buffers(int cpu) {
  constexpr uint64_t kUsualSize = 64 << 10;  // PEBS_BUFFER_SIZE, arch/x86/events/perf_event.h
  constexpr uint64_t kMaxSize = 16 << 20;
  Ranges found;
  const Object& pmu = pmu_.cpu(cpu).object();
  const auto add = [&](uint64_t begin, uint64_t end) {
    if (begin < end && end - begin <= kMaxSize)
      found.ranges.push_back({begin, end, fmt::format("PEBS buffer of CPU {}", cpu), cpu});
  };
  const Reading<uint64_t> store = pmu.member("ds").u64();
  if (!store.has_value()) {
    note(found.unread, store.unread());
  } else if (*store != 0) {
    const Object area = pmu.member("ds").deref();
    const Reading<uint64_t> begin = area.member("pebs_buffer_base").u64();
    const Reading<uint64_t> end = area.member("pebs_absolute_maximum").u64();
    if (begin.has_value() && end.has_value())
      add(*begin, *end);
    else
      note(found.unread, begin.has_value() ? end.unread() : begin.unread());
  }
  // The same buffer, as the kernel sees it; ds_pebs_vaddr at least up to 6.12, pebs_vaddr in 7.2.
  const Object mapped = pmu.member(pmu.has_member("pebs_vaddr") ? "pebs_vaddr" : "ds_pebs_vaddr");
  const Reading<uint64_t> begin = mapped.u64();
  if (!begin.has_value()) {
    note(found.unread, begin.unread());
  } else if (*begin != 0) {
    const Reading<uint64_t> size = kernel_.variable("x86_pmu").member("pebs_buffer_size").u64();
    add(*begin, *begin + (size.has_value() && *size != 0 && *size <= kMaxSize ? *size : kUsualSize));
  }
  return found;
}

UserRegs::Ranges UserRegs::fpstates(const Object& task, const std::string& name) {
  Ranges found;
  const Reading<uint64_t> address = task.address();
  if (!address.has_value()) {
    note(found.unread, address.unread());
    return found;
  }
  // Behind the task_struct since cb7ca40a3882 "x86/fpu: Make task_struct::thread constant size" (6.16),
  // within its thread_struct before.
  const Object embedded = task.member("thread.fpu");
  const Type* type = embedded.type() ? embedded.type()->strip() : nullptr;
  Object fpu = embedded;
  if (!type || type->kind == TypeKind::kPointer) {
    if (!task.type()) return found;
    // Kernel threads have none there.
    constexpr uint64_t kKernelThread = 0x00200000;  // PF_KTHREAD, include/linux/sched.h
    const Reading<uint64_t> flags = task.member("flags").u64();
    if (!flags.has_value()) note(found.unread, flags.unread());
    if (flags.has_value() && (*flags & kKernelThread)) return found;
    fpu = kernel_.object("struct fpu", *address + task.type()->size);
  }
  for (const char* member : {"fpstate", "__task_fpstate", "__fpstate"}) {
    const Object holder = fpu.member(member);
    const Type* holder_type = holder.type() ? holder.type()->strip() : nullptr;
    Object state = holder;
    if (holder_type && holder_type->kind == TypeKind::kPointer) {
      const Reading<uint64_t> pointer = holder.u64();
      if (pointer.is(uint64_t{0})) continue;
      state = holder.deref();
    }
    const Object regs = state.member("regs");
    const Reading<uint64_t> begin = regs.address();
    if (!begin.has_value()) {
      note(found.unread, begin.unread());
      continue;
    }
    const Reading<uint64_t> size = state.member("size").u64();
    const uint64_t room = regs.type() ? regs.type()->size : kExtendedOffset;
    const bool plausible = size.has_value() && *size >= kExtendedOffset && *size <= kMaxXsaveSize;
    found.ranges.push_back({*begin, *begin + (plausible ? *size : room), "fpstate of " + name, -1});
  }
  return found;
}

const Reading<uint64_t>& UserRegs::need_fpu_load_mask() {
  if (need_fpu_load_mask_) return *need_fpu_load_mask_;
  // A macro, so the code must tell: fpregs_mark_activate() clears the flag of current and no other one.
  const auto code = decode_function(kernel_, "fpregs_mark_activate");
  if (code.has_value()) {
    for (const Instruction& instruction : *code) {
      if (!instruction.memory || !instruction.memory->written || !instruction.immediate) continue;
      const int64_t byte = instruction.memory->displacement;
      const auto immediate = static_cast<uint64_t>(*instruction.immediate);
      const uint64_t cleared = ~immediate & 0xff;
      if (instruction.mnemonic == "and" && instruction.memory->size == 1 && byte >= 0 && byte < 8 &&
          std::has_single_bit(cleared))
        return need_fpu_load_mask_.emplace(cleared << (8 * byte));
      if (instruction.mnemonic == "btr" && byte == 0 && immediate < 64)
        return need_fpu_load_mask_.emplace(uint64_t{1} << immediate);
    }
  }
  // Bit 14 (6.12) until x86 took the generic numbers of include/asm-generic/thread_info_tif.h, then 19
  // (6.18); neither numbering gives the other's bit a meaning.
  return need_fpu_load_mask_.emplace(uint64_t{1} << 14 | uint64_t{1} << 19);
}

Reading<bool> UserRegs::needs_fpu_load(int cpu) {
  const Object flags = kernel_.current_task(cpu).member("thread_info.flags");
  return flags.u64().map([&](uint64_t value) { return (value & *need_fpu_load_mask()) != 0; });
}

Reading<bool> UserRegs::drains_pebs(int cpu) {
  const auto known = drains_pebs_.find(cpu);
  if (known != drains_pebs_.end()) return known->second;
  return drains_pebs_.emplace(cpu, look_for_pebs(cpu)).first->second;
}

Reading<bool> UserRegs::look_for_pebs(int cpu) {
  const Stack& stack = stack_of_(cpu);
  bool guessed = false;
  for (const Frame& frame : stack.frames) {
    if (!processes_pebs(frame.function)) continue;
    if (frame.reliable) return true;
    guessed = true;
  }
  // A scan sees every return address, and others besides.
  if (!guessed && (stack.reached_user || stack.reached_end)) return false;
  if (!stack.frames.empty() && no_stack_leads_to_pebs(cpu)) return false;
  if (stack.stopped) return *stack.stopped;
  return Unread{UnreadReason::kUnsupported, 0, fmt::format("stack of CPU {}", cpu),
                "it could not be unwound reliably"};
}

bool UserRegs::no_stack_leads_to_pebs(int cpu) {
  std::vector<Unread> unread;
  std::vector<Unread> missing;
  const std::vector<StackArea> areas = stacks_of_cpu(kernel_, cpu, &missing);
  for (const Unread& one : missing) note(unread, one);
  if (areas.empty() || !unread.empty()) return false;
  for (const StackArea& area : areas) {
    const auto words = read_array<uint64_t>(kernel_.memory(), area.begin, (area.end - area.begin) / 8);
    if (!words.has_value()) return false;
    for (const uint64_t word : *words) {
      if (pmu_.classify(word) != PointerClass::kKernelImage) continue;
      const auto symbol = kernel_.symbols().at(word - 1);  // a return address may be the end of its function
      if (symbol && processes_pebs(symbol->name)) return false;
    }
  }
  return true;
}

void UserRegs::judge_own_buffer(UserRegsPointer& pointer, const Range& buffer) {
  pointer.place = UserRegsPlace::kOwnBuffer;
  const uint64_t offset = *pointer.value - buffer.begin;
  const auto component = component_of(pointer.name);
  if (!component) {
    pointer.legal = Unread{UnreadReason::kUnsupported, *pointer.value, pointer.name,
                           "it is not known which registers this member stands for"};
    pointer.why = "it points into the CPU's own buffer, but which registers it stands for is not known";
    return;
  }
  const auto xfeatures = read_value<uint64_t>(kernel_.memory(), buffer.begin + kHeaderOffset);
  const auto xcomp_bv = read_value<uint64_t>(kernel_.memory(), buffer.begin + kHeaderOffset + 8);
  if (!xfeatures.has_value() || !xcomp_bv.has_value()) {
    Unread unread = xfeatures.has_value() ? xcomp_bv.unread() : xfeatures.unread();
    unread.path = fmt::format("header of {}", buffer.name);
    pointer.legal = std::move(unread);
    pointer.why = "it points into the CPU's own buffer, whose header could not be read";
    return;
  }
  const uint64_t bit = uint64_t{1} << *component;
  const std::string header = fmt::format("xfeatures {:#x}, xcomp_bv {:#x}", *xfeatures, *xcomp_bv);
  pointer.legal = false;
  if (!(*xcomp_bv & kCompacted)) {
    pointer.why = fmt::format("XSAVES did not write this buffer: bit 63 of xcomp_bv is clear ({})", header);
  } else if (!(*xfeatures & bit)) {
    pointer.why = fmt::format("the buffer holds no such registers: bit {} of xfeatures is clear ({})",
                              *component, header);
  } else {
    const auto expected = *component == kSse ? kXmmOffset : compacted_offset(*xcomp_bv, *component);
    const bool listed = *component == kSse || (*xcomp_bv & bit);
    if (!expected) {
      pointer.legal = Unread{UnreadReason::kUnsupported, *pointer.value, pointer.name,
                             "a register set of unknown size lies before it"};
      pointer.why = fmt::format("where in the buffer it should point is not known ({})", header);
    } else if (!listed || (offset != *expected && !also_fits(*component, *expected, offset))) {
      pointer.why = fmt::format("it points {:#x} into the buffer, but these registers are {} ({})", offset,
                                listed ? fmt::format("at {:#x}", *expected) : "not in it", header);
    } else {
      pointer.legal = true;
      pointer.why = fmt::format("these registers are there and valid ({})", header);
    }
  }
}

bool UserRegs::judge_stack(UserRegsPointer& pointer, std::vector<Unread>& unread) {
  std::vector<Unread> missing;
  const uint64_t address = *pointer.value;
  for (const StackArea& area : stacks_of_cpu(kernel_, pointer.cpu, &missing)) {
    if (address < area.begin || address >= area.end) continue;
    pointer.place = UserRegsPlace::kStack;
    pointer.target = fmt::format("{} of CPU {}", area.name, pointer.cpu);
    const Stack& stack = stack_of_(pointer.cpu);
    std::optional<uint64_t> innermost;
    for (const Frame& frame : stack.frames)
      if (frame.sp >= area.begin && frame.sp < area.end && (!innermost || frame.sp < *innermost))
        innermost = frame.sp;
    const bool begins_here = !stack.frames.empty() && innermost == stack.frames.front().sp;
    if (innermost && address >= *innermost) {
      pointer.legal = true;
      pointer.why = fmt::format("the frames from {:#x} on are live", *innermost);
    } else if (begins_here || stack.reached_user || stack.reached_end) {
      pointer.legal = false;
      pointer.why = innermost ? fmt::format(
                                    "the function that had its frame there has returned: the stack "
                                    "in use begins at {:#x}",
                                    *innermost)
                              : "the CPU was not on this stack: whoever had a frame there has returned";
    } else {
      pointer.legal = stack.stopped
                          ? *stack.stopped
                          : Unread{UnreadReason::kUnsupported, 0, fmt::format("stack of CPU {}", pointer.cpu),
                                   "it could not be unwound reliably"};
      pointer.why = "whether the frame there is still live is not known";
    }
    return true;
  }
  for (const Unread& one : missing) note(unread, one);
  return false;
}

bool UserRegs::name_freed(UserRegsPointer& pointer) {
  const uint64_t address = *pointer.value;
  const auto freed = [&](std::string target, std::string why) {
    pointer.place = UserRegsPlace::kFreed;
    pointer.target = std::move(target);
    pointer.why = std::move(why);
    pointer.legal = false;
    return true;
  };
  // POISON_FREE of include/linux/poison.h: slab debugging writes it over what is freed.
  const auto content = read_array<uint64_t>(kernel_.memory(), address, 2);
  if (content.has_value() && (*content)[0] == 0x6b6b6b6b6b6b6b6b && (*content)[1] == (*content)[0])
    return freed("an object that was freed",
                 "the memory holds the pattern of freed objects (POISON_FREE, 0x6b)");
  const Reading<PageInfo> page = slabs_->page_of(address);
  if (page.has_value() && page->type_name == "buddy")
    return freed("a free page", "the page allocator has it");
  const auto object = slabs_->object_at(address);
  if (!object.has_value() || !*object) return false;
  const std::string name =
      fmt::format("object {:#x} of {}", (*object)->object,
                  (*object)->cache_name.empty() ? "a slab cache" : (*object)->cache_name);
  if ((*object)->inside && (*object)->state.is(SlabObject::State::kFree))
    return freed("free " + name, "it is on the " + (*object)->where);
  pointer.target = name;
  return false;
}

/// Whose memory is it, if it is not free and not the CPU's?
bool UserRegs::name_foreign(UserRegsPointer& pointer) {
  const uint64_t address = *pointer.value;
  const auto found = [&](UserRegsPlace place, std::string target, std::string why) {
    pointer.place = place;
    pointer.target = std::move(target);
    pointer.why = std::move(why);
    pointer.legal = false;
    return true;
  };
  for (const Foreign& foreign : foreign_places()) {
    if (!foreign.range.contains(address) || foreign.range.cpu == pointer.cpu) continue;
    if (foreign.place != UserRegsPlace::kTaskFpstate)
      return found(foreign.place, foreign.range.name, "it belongs to another CPU");
    const Object task = kernel_.object("struct task_struct", foreign.task);
    return found(foreign.place, "fpstate of " + task_name(task),
                 fmt::format("the current task of CPU {} is another one", pointer.cpu));
  }
  return false;
}

const std::vector<UserRegs::Foreign>& UserRegs::foreign_places() {
  if (foreign_) return *foreign_;
  foreign_.emplace();
  const Reading<std::vector<int>> all = cpus();
  for (const int cpu : all.has_value() ? *all : std::vector<int>()) {
    for (const Range& range : pebs_buffers(cpu).ranges)
      foreign_->push_back({range, UserRegsPlace::kPebsRecord, 0});
    for (const StackArea& area : stacks_of_cpu(kernel_, cpu, nullptr))
      foreign_->push_back({{area.begin, area.end, fmt::format("{} of CPU {}", area.name, cpu), cpu},
                           UserRegsPlace::kStack,
                           0});
  }
  // A list that breaks off leaves tasks without a name, no more.
  static_cast<void>(for_each_task(kernel_, [&](const Object& task) {
    const Reading<uint64_t> address = task.address();
    for (const Range& range : fpstates(task, "").ranges)
      if (address.has_value()) foreign_->push_back({range, UserRegsPlace::kTaskFpstate, *address});
  }));
  return *foreign_;
}

void UserRegs::judge(UserRegsPointer& pointer) {
  if (!pointer.value.has_value()) {
    pointer.legal = pointer.value.unread();
    pointer.why = "the pointer could not be read";
    return;
  }
  const uint64_t address = *pointer.value;
  const auto garbage = [&](UserRegsPlace place, std::string why) {
    pointer.place = place;
    pointer.legal = false;
    pointer.why = std::move(why);
  };
  switch (pmu_.classify(address)) {
    case PointerClass::kNull:
      pointer.place = UserRegsPlace::kNull;
      pointer.why = "no registers: they are reported as 0";
      return;
    case PointerClass::kPoison:
      return garbage(UserRegsPlace::kPoison, "a pattern that marks freed or uninitialised memory");
    case PointerClass::kUser:
      return garbage(UserRegsPlace::kUser, "the kernel keeps no registers at user addresses");
    case PointerClass::kNonCanonical:
      return garbage(UserRegsPlace::kNonCanonical, "no address at all");
    default:
      break;
  }

  // What could not be read and might have made the pointer legal.
  std::vector<Unread> unread;
  const Reading<uint64_t> own = buffer(pointer.cpu);
  if (!own.has_value()) unread.push_back(own.unread());  // whoever has x86_user_regs has buffers
  const Range* other = nullptr;
  for (const Range& range : buffers()) {
    if (!range.contains(address)) continue;
    if (range.cpu == pointer.cpu) {
      pointer.target = fmt::format("{} + {:#x}", range.name, address - range.begin);
      return judge_own_buffer(pointer, range);
    }
    other = &range;
  }
  if (other) {
    pointer.target = fmt::format("{} + {:#x}", other->name, address - other->begin);
    return garbage(UserRegsPlace::kOtherCpuBuffer,
                   fmt::format("it holds what CPU {} saved, not CPU {}", other->cpu, pointer.cpu));
  }

  const Ranges pebs = pebs_buffers(pointer.cpu);
  for (const Range& range : pebs.ranges) {
    if (!range.contains(address)) continue;
    pointer.place = UserRegsPlace::kPebsRecord;
    pointer.target = fmt::format("{} + {:#x}", range.name, address - range.begin);
    pointer.legal = drains_pebs(pointer.cpu);
    pointer.why = !pointer.legal.has_value() ? "whether the CPU was processing PEBS records is not known"
                  : *pointer.legal           ? "the CPU was processing PEBS records"
                                             : "the CPU was not processing PEBS records: the record is gone";
    return;
  }
  unread.insert(unread.end(), pebs.unread.begin(), pebs.unread.end());

  const Object current = kernel_.current_task(pointer.cpu);
  const Ranges states = fpstates(current, task_name(current));
  for (const Range& range : states.ranges) {
    if (!range.contains(address)) continue;
    pointer.place = UserRegsPlace::kTaskFpstate;
    pointer.target = range.name + ", the current task";
    pointer.legal = needs_fpu_load(pointer.cpu);
    pointer.why = !pointer.legal.has_value() ? "its TIF_NEED_FPU_LOAD could not be read"
                  : *pointer.legal
                      ? "TIF_NEED_FPU_LOAD is set: the task's registers are there"
                      : "TIF_NEED_FPU_LOAD is clear: the task's registers are in the CPU, these are old";
    return;
  }
  unread.insert(unread.end(), states.unread.begin(), states.unread.end());

  if (judge_stack(pointer, unread) || name_freed(pointer) || name_foreign(pointer)) return;
  if (!unread.empty()) {
    pointer.legal = unread.front();
    pointer.why = "what it might belong to could not all be read";
    return;
  }
  garbage(UserRegsPlace::kOther,
          "no buffer, PEBS record, task's FPU state or stack of this CPU: freed or never its memory");
}

Reading<std::vector<UserRegsPointer>> UserRegs::pointers_of(const Object& regs, int cpu) {
  if (regs.unread()) return *regs.unread();
  std::vector<std::pair<uint64_t, std::string>> members;
  collect_pointers(regs.type()->strip(), 0, 0, members);
  if (members.empty())
    return Unread{UnreadReason::kNoMember, 0, regs.expression(),
                  fmt::format("{} has no pointer to registers", regs.type()->to_string())};
  std::vector<UserRegsPointer> found;
  const Object bytes = regs.load();
  for (const auto& [offset, name] : members) {
    UserRegsPointer pointer;
    pointer.cpu = cpu;
    pointer.name = name;
    pointer.value = bytes.member(name).u64();
    const auto component = component_of(name);
    pointer.size = component ? kComponents[static_cast<size_t>(*component)].size : 8;
    judge(pointer);
    found.push_back(std::move(pointer));
  }
  return found;
}

Reading<std::vector<UserRegsPointer>> UserRegs::pointers(int cpu) {
  return pointers_of(object(cpu), cpu);
}

}  // namespace perfcore
