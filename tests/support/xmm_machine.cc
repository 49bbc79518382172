// SPDX-License-Identifier: LGPL-2.1-or-later
#include "support/xmm_machine.h"

#include <fmt/format.h>

#include "support/btf_builder.h"
#include "support/kallsyms_builder.h"

namespace perfcore::test {
namespace {

constexpr uint64_t kImage = DumpBuilder::kImage;
constexpr uint64_t kData = kImage + 0x40000;    // variables
constexpr uint64_t kPerCpu = kImage + 0x50000;  // the per-CPU section
constexpr uint64_t kBtf = kImage + 0x60000;
constexpr uint64_t kKallsyms = kImage + 0x80000;  // up to the page tables at 1 MB
constexpr uint64_t kText = kImage;

// Variables, from kData on.
constexpr uint64_t kNrCpuIds = kData, kPerCpuOffset = kData + 0x10, kPresentMask = kData + 0x30,
                   kPageOffsetBase = kData + 0x40, kVmallocBase = kData + 0x48, kVmemmapBase = kData + 0x50,
                   kX86Pmu = kData + 0x80, kPmuName = kData + 0xc0, kInitTask = kData + 0x1000;
// Per-CPU variables, from the section's begin on.
constexpr uint64_t kCurrentTask = 0x100, kUserRegs = 0x200, kBufferPointer = 0x400, kHwEvents = 0x800,
                   kBufferInPerCpu = 0x1000;
constexpr uint64_t kPerCpuSize = 0x3000;
// A CPU's own pages, from its area on.
constexpr uint64_t kTask = 0x4000, kBuffer = 0x8000, kDebugStore = 0x9000, kPebs = 0xa000, kEvent = 0xb000,
                   kStack = 0xc000;
constexpr uint64_t kAreaSize = 0x18000;
// Members.
constexpr uint64_t kTaskStack = 32, kTaskTasks = 40, kTaskPid = 56, kTaskComm = 60, kTaskSignal = 80,
                   kTaskThread = 128;
constexpr uint64_t kFpuFpstate = 16, kFpuOwnState = 64, kFpstateRegs = 64;
constexpr uint64_t kEventAttr = 0, kAttrSampleType = 24, kAttrBits = 40, kAttrRegsUser = 80,
                   kAttrRegsIntr = 96;
constexpr uint64_t kHwEventsCount = 520, kHwEventsList = 528, kHwEventsDs = 1040, kHwEventsConfig = 1056;

constexpr uint64_t kXsaveSize = 576 + 256 + 64;

}  // namespace

XmmMachine::XmmMachine(const Options& options) : options_(options) {
  lay_out_memory();

  const std::vector<std::byte> btf = types();
  builder_.write(physical(kBtf), btf);

  std::vector<BuiltSymbol> symbols = {{kText, 'T', "_stext"},
                                      {kText + 0x1000, 'T', "default_idle"},
                                      {kText + 0x2000, 't', "intel_pmu_drain_pebs_icl"},
                                      {kText + 0x3000, 'T', "_etext"},
                                      {kNrCpuIds, 'D', "nr_cpu_ids"},
                                      {kPerCpuOffset, 'D', "__per_cpu_offset"},
                                      {kPresentMask, 'D', "__cpu_present_mask"},
                                      {kPageOffsetBase, 'D', "page_offset_base"},
                                      {kVmallocBase, 'D', "vmalloc_base"},
                                      {kVmemmapBase, 'D', "vmemmap_base"},
                                      {kX86Pmu, 'D', "x86_pmu"},
                                      {kInitTask, 'D', "init_task"},
                                      {kPerCpu, 'D', "__per_cpu_start"},
                                      {kPerCpu + kCurrentTask, 'D', "current_task"},
                                      {kPerCpu + kPerCpuSize, 'D', "__per_cpu_end"},
                                      {kBtf, 'R', "__start_BTF"},
                                      {kBtf + btf.size(), 'R', "__stop_BTF"}};
  if (options.with_code) {
    symbols.push_back({kPerCpu + kUserRegs, 'd', "x86_user_regs"});
    symbols.push_back(
        {kPerCpu + (options.buffer_in_per_cpu ? kBufferInPerCpu : kBufferPointer), 'd', "ext_regs_buf"});
  }
  if (options.with_pmu) symbols.push_back({kPerCpu + kHwEvents, 'D', "cpu_hw_events"});
  KallsymsOptions form;
  form.form = KallsymsForm::kFromEntry;
  form.base = kImage;
  form.tables = kKallsyms;
  BuiltKallsyms kallsyms = build_kallsyms(symbols, form);
  std::vector<std::byte> tables(kallsyms.end + 4 - kKallsyms);
  static_cast<void>(kallsyms.memory.read(kKallsyms, tables));
  builder_.write(physical(kKallsyms), tables);

  std::string info = builder_.vmcoreinfo();
  const std::string release = "OSRELEASE=6.12.0-test";
  info.replace(info.find(release), release.size(), "OSRELEASE=7.4.0-test");
  info += kallsyms.vmcoreinfo(kText);
  const uint32_t note[3] = {11, static_cast<uint32_t>(info.size()), 0};
  std::string raw(reinterpret_cast<const char*>(note), sizeof(note));
  raw.append("VMCOREINFO", 11).append(1, '\0');
  raw += info;
  raw.resize((raw.size() + 3) / 4 * 4);
  builder_.set_vmcoreinfo_note(false);
  builder_.add_raw_notes(raw);

  constexpr uint64_t kUserCs = 0x33, kKernelCs = 0x10, kUserIp = 0x401000, kUserSp = 0x7ffc00001000;
  for (int cpu = 0; cpu < kCpus; cpu++) {
    uint64_t function = 0;
    for (const BuiltSymbol& symbol : symbols)
      if (cpu == 1 && symbol.name == options.interrupted) function = symbol.address;
    if (function)
      builder_.add_cpu(function + 0x20, stack(cpu) + 0x3000, kKernelCs, 100 + cpu);
    else
      builder_.add_cpu(kUserIp, kUserSp, kUserCs, 100 + cpu);
  }
}

void XmmMachine::lay_out_memory() {
  poke<uint32_t>(kNrCpuIds, kCpus);
  poke<uint64_t>(kPresentMask, (1 << kCpus) - 1);
  poke(kPageOffsetBase, builder_.direct_map());
  poke(kVmallocBase, builder_.vmalloc());
  poke(kVmemmapBase, builder_.vmalloc() + (uint64_t{1} << 44));
  poke(kX86Pmu, kPmuName);
  poke<uint64_t>(kX86Pmu + 8, 0x26);  // ext_regs_mask: SSE, AVX, opmask
  poke<uint64_t>(kX86Pmu + 16, kPebsBufferSize);
  poke(kPmuName, uint32_t{0x007a6c67});
  poke(kInitTask + kTaskTasks, kInitTask + kTaskTasks);
  poke(kInitTask + kTaskTasks + 8, kInitTask + kTaskTasks);
  for (int cpu = 0; cpu < kCpus; cpu++) {
    poke(kPerCpuOffset + 8 * static_cast<uint64_t>(cpu), per_cpu(cpu) - kPerCpu);
    for (uint64_t page = area(cpu); page < area(cpu) + kAreaSize; page += DumpBuilder::kPage)
      poke<uint64_t>(page, 0);

    poke(per_cpu(cpu) + kCurrentTask, task(cpu));
    poke(task(cpu) + kTaskStack, stack(cpu));
    poke<uint32_t>(task(cpu) + kTaskPid, static_cast<uint32_t>(100 + cpu));
    poke<uint64_t>(task(cpu) + kTaskComm, 0x66726570);  // "perf"
    poke(task(cpu) + kTaskThread + kFpuFpstate, task(cpu) + kTaskThread + kFpuOwnState);
    poke<uint32_t>(task(cpu) + kTaskThread + kFpuOwnState, kXsaveSize);
    // A task list with every task on it.
    const uint64_t next = cpu + 1 < kCpus ? task(cpu + 1) : kInitTask;
    const uint64_t previous = cpu > 0 ? task(cpu - 1) : kInitTask;
    poke(task(cpu) + kTaskTasks, next + kTaskTasks);
    poke(task(cpu) + kTaskTasks + 8, previous + kTaskTasks);
    if (cpu == 0) poke(kInitTask + kTaskTasks, task(cpu) + kTaskTasks);
    if (cpu + 1 == kCpus) poke(kInitTask + kTaskTasks + 8, task(cpu) + kTaskTasks);

    if (!options_.buffer_in_per_cpu) poke(buffer_pointer(cpu), buffer(cpu));
    poke<uint64_t>(buffer(cpu) + kXfeatures, 0x6);
    poke<uint64_t>(buffer(cpu) + kXcompBv, uint64_t{1} << 63 | 0x26);
    // The registers of a user sample.
    poke<uint64_t>(user_regs(cpu) + kRegsCs, 0x33);

    poke<uint32_t>(hw_events(cpu) + kHwEventsCount, 1);
    poke(hw_events(cpu) + kHwEventsList, event(cpu));
    poke(hw_events(cpu) + kHwEventsDs, debug_store(cpu));
    poke(debug_store(cpu), pebs_buffer(cpu));
    poke(debug_store(cpu) + 8, pebs_buffer(cpu) + kPebsBufferSize);
    set_event(cpu, uint64_t{0xffffffff} << 32 | 1, 0, 0);
  }
}

void XmmMachine::set_event(int cpu, uint64_t user, uint64_t interrupted, int precise) {
  const uint64_t attr = event(cpu) + kEventAttr;
  poke<uint64_t>(attr + kAttrSampleType, (user ? 1 << 12 : 0) | (interrupted ? 1 << 18 : 0));
  poke<uint64_t>(attr + kAttrBits, static_cast<uint64_t>(precise) << 15);
  poke(attr + kAttrRegsUser, user);
  poke(attr + kAttrRegsIntr, interrupted);
  poke<uint64_t>(hw_events(cpu) + kHwEventsConfig, precise && interrupted >> 32 ? 1 << 2 : 0);
}

std::vector<std::byte> XmmMachine::types() const {
  BtfBuilder btf;
  const uint32_t u64 = btf.alias("u64", btf.integer("unsigned long long", 8));
  const uint32_t word = btf.integer("unsigned long", 8);
  const uint32_t number = btf.integer("int", 4, BtfBuilder::kSigned);
  const uint32_t u32 = btf.alias("u32", btf.integer("unsigned int", 4));
  const uint32_t character = btf.integer("char", 1, BtfBuilder::kSigned);
  const uint32_t u64_pointer = btf.pointer(u64);
  btf.structure("cpumask", 8, {{"bits", btf.array(word, 1), 0}});

  std::vector<BtfBuilder::Member> registers;
  for (const char* name : {"r15", "r14", "r13", "r12", "bp",      "bx", "r11", "r10",   "r9", "r8", "ax",
                           "cx",  "dx",  "si",  "di",  "orig_ax", "ip", "cs",  "flags", "sp", "ss"})
    registers.push_back({name, word, static_cast<uint32_t>(registers.size() * 64)});
  const uint32_t pt_regs = btf.structure("pt_regs", 168, registers);
  std::vector<BtfBuilder::Member> perf_regs = {{"regs", pt_regs, 0}};
  if (options_.with_pointers) {
    const uint32_t xmm =
        btf.structure("", 8, {{"xmm_regs", u64_pointer, 0}, {"xmm_space", btf.pointer(u32), 0}}, true);
    perf_regs.push_back({"", xmm, kXmmRegs * 8});
    perf_regs.push_back({"ymmh_regs", u64_pointer, kYmmhRegs * 8});
    perf_regs.push_back({"opmask_regs", u64_pointer, kOpmaskRegs * 8});
  }
  const uint32_t user_regs = btf.structure("x86_perf_regs", 192, perf_regs);

  const uint32_t header = btf.structure("xstate_header", 64, {{"xfeatures", u64, 0}, {"xcomp_bv", u64, 64}});
  const uint32_t legacy = btf.structure("fxregs_state", 512, {{"cwd", u32, 0}});
  const uint32_t xsave =
      btf.structure("xregs_state", 576, {{"i387", legacy, 0}, {"header", header, kXfeatures * 8}});

  std::vector<BtfBuilder::Member> thread;
  if (options_.with_fpu) {
    const uint32_t regs = btf.structure("fpregs_state", 4096, {{"xsave", xsave, 0}}, true);
    const uint32_t fpstate =
        btf.structure("fpstate", kFpstateRegs + 4096, {{"size", u32, 0}, {"regs", regs, kFpstateRegs * 8}});
    const uint32_t fpu = btf.structure("fpu", kFpuOwnState + kFpstateRegs + 4096,
                                       {{"fpstate", btf.pointer(fpstate), kFpuFpstate * 8},
                                        {"__task_fpstate", btf.pointer(fpstate), kFpuFpstate * 8 + 64},
                                        {"__fpstate", fpstate, kFpuOwnState * 8}});
    thread.push_back({"fpu", fpu, 0});
  }
  const uint32_t thread_struct = btf.structure("thread_struct", 5000, thread);
  const uint32_t thread_info = btf.structure("thread_info", 8, {{"flags", word, 0}});
  const uint32_t list = btf.structure("list_head", 16, {{"next", word, 0}, {"prev", word, 64}});
  const uint32_t signal = btf.structure("signal_struct", 16, {{"thread_head", list, 0}});
  const uint32_t task = btf.structure("task_struct", 6000,
                                      {{"thread_info", thread_info, kTaskFlags},
                                       {"stack", btf.pointer(0), kTaskStack * 8},
                                       {"tasks", list, kTaskTasks * 8},
                                       {"pid", number, kTaskPid * 8},
                                       {"comm", btf.array(character, 16), kTaskComm * 8},
                                       {"signal", btf.pointer(signal), kTaskSignal * 8},
                                       {"thread", thread_struct, kTaskThread * 8}});
  btf.pointer(task);
  std::vector<BtfBuilder::Member> pmu = {{"name", btf.pointer(character), 0}, {"pebs_buffer_size", u64, 128}};
  if (options_.with_mask) pmu.push_back({"ext_regs_mask", u64, 64});
  btf.structure("x86_pmu", 24, pmu);
  if (options_.typed_variables) {
    const bool inside = options_.buffer_in_per_cpu;
    const uint32_t buffer =
        btf.variable("ext_regs_buf", inside ? btf.array(character, 1024) : btf.pointer(xsave));
    btf.section(".data..percpu", {{btf.variable("x86_user_regs", user_regs), kUserRegs, 192},
                                  {buffer, static_cast<uint32_t>(inside ? kBufferInPerCpu : kBufferPointer),
                                   inside ? 1024u : 8u}});
  }
  if (!options_.with_pmu) return btf.build();

  const uint32_t attr = btf.structure("perf_event_attr", 136,
                                      {{"type", u32, 0, 0},
                                       {"config", u64, 64, 0},
                                       {"sample_period", u64, 128, 0},
                                       {"sample_type", u64, kAttrSampleType * 8, 0},
                                       {"precise_ip", u64, kAttrBits * 8 + 15, 2},
                                       {"sample_regs_user", u64, kAttrRegsUser * 8, 0},
                                       {"sample_regs_intr", u64, kAttrRegsIntr * 8, 0}});
  const uint32_t event = btf.structure("perf_event", 256, {{"attr", attr, 0}});
  const uint32_t store =
      btf.structure("debug_store", 64, {{"pebs_buffer_base", u64, 0}, {"pebs_absolute_maximum", u64, 64}});
  const uint32_t event_pointer = btf.pointer(event);
  const uint32_t events = btf.array(event_pointer, 64);
  btf.structure("cpu_hw_events", 1072,
                {{"events", events, 0},
                 {"active_mask", btf.array(word, 1), 512 * 8},
                 {"n_events", number, kHwEventsCount * 8},
                 {"event_list", events, kHwEventsList * 8},
                 {"ds", btf.pointer(store), kHwEventsDs * 8},
                 {"ds_pebs_vaddr", btf.pointer(0), kHwEventsDs * 8 + 64},
                 {"pebs_data_cfg", u64, kHwEventsConfig * 8}});
  return btf.build();
}

uint64_t XmmMachine::physical(uint64_t address) const {
  return address >= kImage ? address - kImage + DumpBuilder::kImagePhysical : address - builder_.direct_map();
}
uint64_t XmmMachine::area(int cpu) const {
  return builder_.direct_map() + 0x10000 + kAreaSize * static_cast<uint64_t>(cpu);
}
uint64_t XmmMachine::per_cpu(int cpu) const {
  return area(cpu);
}
uint64_t XmmMachine::user_regs(int cpu) const {
  return per_cpu(cpu) + kUserRegs;
}
uint64_t XmmMachine::buffer_pointer(int cpu) const {
  return per_cpu(cpu) + kBufferPointer;
}
uint64_t XmmMachine::buffer(int cpu) const {
  return options_.buffer_in_per_cpu ? per_cpu(cpu) + kBufferInPerCpu : area(cpu) + kBuffer;
}
uint64_t XmmMachine::hw_events(int cpu) const {
  return per_cpu(cpu) + kHwEvents;
}
uint64_t XmmMachine::debug_store(int cpu) const {
  return area(cpu) + kDebugStore;
}
uint64_t XmmMachine::pebs_buffer(int cpu) const {
  return area(cpu) + kPebs;
}
uint64_t XmmMachine::event(int cpu) const {
  return area(cpu) + kEvent;
}
uint64_t XmmMachine::task(int cpu) const {
  return area(cpu) + kTask;
}
uint64_t XmmMachine::fpstate(int cpu) const {
  return task(cpu) + kTaskThread + kFpuOwnState + kFpstateRegs;
}
uint64_t XmmMachine::stack(int cpu) const {
  return area(cpu) + kStack;
}
uint64_t XmmMachine::heap() const {
  return builder_.direct_map() + 0x8000;
}

}  // namespace perfcore::test
