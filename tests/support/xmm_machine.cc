// SPDX-License-Identifier: LGPL-2.1-or-later
#include "support/xmm_machine.h"

#include <algorithm>
#include <stdexcept>

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
                   kX86Pmu = kData + 0x80, kPmuName = kData + 0xc0, kCrashingCpu = kData + 0xd0,
                   kPrbPointer = kData + 0xd8, kPrb = kData + 0x100, kCache = kData + 0x200,
                   kCacheName = kData + 0x240, kInitTask = kData + 0x1000, kDescs = kData + 0x3000,
                   kInfos = kData + 0x4000, kLogText = kData + 0x5000;
// Per-CPU variables, from the section's begin on.
constexpr uint64_t kCurrentTask = 0x100, kExceptionStacks = 0x108, kUserRegs = 0x200, kBufferPointer = 0x400,
                   kHwEvents = 0x800, kBufferInPerCpu = 0x1000;
constexpr uint64_t kPerCpuSize = 0x3000;
// A CPU's own pages, from its area on.
constexpr uint64_t kTask = 0x4000, kBuffer = 0x8000, kDebugStore = 0x9000, kPebs = 0xa000, kEvent = 0xb000,
                   kStack = 0xc000, kNmiStack = 0x10000;
constexpr uint64_t kAreaSize = 0x18000;
// Members.
constexpr uint64_t kTaskStack = 32, kTaskTasks = 40, kTaskPid = 56, kTaskComm = 60, kTaskSignal = 80,
                   kTaskThread = 128;
constexpr uint64_t kFpuFpstate = 16, kFpuOwnState = 64, kFpstateRegs = 64;
constexpr uint64_t kEventAttr = 0, kAttrSampleType = 24, kAttrBits = 40, kAttrRegsUser = 80,
                   kAttrRegsIntr = 96;
constexpr uint64_t kHwEventsCount = 520, kHwEventsList = 528, kHwEventsDs = 1040, kHwEventsConfig = 1056;

/// Every function: a load through rcx, and a call behind which its callee returns.
constexpr std::string_view kFunctions[] = {"default_idle",
                                           "intel_pmu_drain_pebs_icl",
                                           "__intel_pmu_pebs_events",
                                           "perf_event_output_forward",
                                           "perf_output_sample",
                                           "perf_output_sample_regs",
                                           "perf_reg_value",
                                           "copy_from_user_nmi",
                                           "x86_pmu_sample_xregs",
                                           "xsaves_nmi"};
constexpr uint64_t kFunctionSize = 0x100, kLoad = 0x20, kReturn = 0x40;

// Slabs. Physical addresses are below those of the CPUs' pages.
constexpr uint64_t kVmemmapDistance = uint64_t{1} << 44, kPageStructs = 0x9000, kPageStructSize = 64,
                   kHeapPhysical = 0x8000, kObjectSize = 512, kSlabType = 0xf5;
constexpr uint32_t kUserRegsSize = 208;
constexpr uint64_t kXsaveSize = 576 + 256 + 64;

/// Numbers of types.
struct SimdTypes {
  uint32_t u64 = 0, word = 0, u32 = 0;
  uint32_t user_regs = 0, xsave = 0, fpu = 0;
};

/// What sampling of SIMD registers works with.
SimdTypes add_simd_types(BtfBuilder& btf, bool with_pointers, bool with_fpu) {
  SimdTypes types;
  types.u64 = btf.alias("u64", btf.integer("unsigned long long", 8));
  types.word = btf.integer("unsigned long", 8);
  types.u32 = btf.alias("u32", btf.integer("unsigned int", 4));

  std::vector<BtfBuilder::Member> registers;
  for (const char* name : {"r15", "r14", "r13", "r12", "bp",      "bx", "r11", "r10",   "r9", "r8", "ax",
                           "cx",  "dx",  "si",  "di",  "orig_ax", "ip", "cs",  "flags", "sp", "ss"})
    registers.push_back({name, types.word, static_cast<uint32_t>(registers.size() * 64)});
  const uint32_t pt_regs = btf.structure("pt_regs", 168, registers);
  std::vector<BtfBuilder::Member> perf_regs = {{"regs", pt_regs, 0}};
  if (with_pointers) {
    const uint32_t u64_pointer = btf.pointer(types.u64);
    const uint32_t xmm =
        btf.structure("", 8, {{"xmm_regs", u64_pointer, 0}, {"xmm_space", btf.pointer(types.u32), 0}}, true);
    perf_regs.push_back({"", xmm, XmmMachine::kXmmRegs * 8});
    perf_regs.push_back({"ymmh_regs", u64_pointer, XmmMachine::kYmmhRegs * 8});
    perf_regs.push_back({"opmask_regs", u64_pointer, XmmMachine::kOpmaskRegs * 8});
    perf_regs.push_back({"ssp", u64_pointer, XmmMachine::kSsp * 8});
    perf_regs.push_back({"egpr_regs", u64_pointer, XmmMachine::kEgprRegs * 8});
  }
  types.user_regs = btf.structure("x86_perf_regs", kUserRegsSize, perf_regs);

  const uint32_t header =
      btf.structure("xstate_header", 64, {{"xfeatures", types.u64, 0}, {"xcomp_bv", types.u64, 64}});
  const uint32_t legacy = btf.structure("fxregs_state", 512, {{"cwd", types.u32, 0}});
  types.xsave = btf.structure("xregs_state", 576,
                              {{"i387", legacy, 0}, {"header", header, XmmMachine::kXfeatures * 8}});
  if (!with_fpu) return types;
  const uint32_t regs = btf.structure("fpregs_state", 4096, {{"xsave", types.xsave, 0}}, true);
  const uint32_t fpstate = btf.structure("fpstate", kFpstateRegs + 4096,
                                         {{"size", types.u32, 0}, {"regs", regs, kFpstateRegs * 8}});
  types.fpu = btf.structure("fpu", kFpuOwnState + kFpstateRegs + 4096,
                            {{"fpstate", btf.pointer(fpstate), kFpuFpstate * 8},
                             {"__task_fpstate", btf.pointer(fpstate), kFpuFpstate * 8 + 64},
                             {"__fpstate", fpstate, kFpuOwnState * 8}});
  return types;
}

}  // namespace

XmmMachine::XmmMachine(const Options& options) : options_(options) {
  lay_out_memory();

  const std::vector<std::byte> btf = types();
  builder_.write(physical(kBtf), btf);

  std::vector<BuiltSymbol> symbols = {{kText, 'T', "_stext"},
                                      {kText + kFunctionSize * (std::size(kFunctions) + 1), 'T', "_etext"},
                                      {kCrashingCpu, 'D', "crashing_cpu"},
                                      {kPrbPointer, 'D', "prb"},
                                      {kPerCpuOffset, 'D', "__per_cpu_offset"},
                                      {kPresentMask, 'D', "__cpu_present_mask"},
                                      {kPresentMask, 'D', "__cpu_possible_mask"},
                                      {kPageOffsetBase, 'D', "page_offset_base"},
                                      {kVmallocBase, 'D', "vmalloc_base"},
                                      {kVmemmapBase, 'D', "vmemmap_base"},
                                      {kX86Pmu, 'D', "x86_pmu"},
                                      {kInitTask, 'D', "init_task"},
                                      {kPerCpu, 'D', "__per_cpu_start"},
                                      {kPerCpu + kCurrentTask, 'D', "current_task"},
                                      {kPerCpu + kExceptionStacks, 'D', "cea_exception_stacks"},
                                      {kPerCpu + kPerCpuSize, 'D', "__per_cpu_end"},
                                      {kBtf, 'R', "__start_BTF"},
                                      {kBtf + btf.size(), 'R', "__stop_BTF"}};
  for (const std::string_view name : kFunctions) symbols.push_back({function(name), 't', std::string(name)});
  if (options.with_nr_cpu_ids) symbols.push_back({kNrCpuIds, 'D', "nr_cpu_ids"});
  if (options.with_code) symbols.push_back({kPerCpu + kUserRegs, 'd', "x86_user_regs"});
  if (options.with_code && options.with_buffer)
    symbols.push_back(
        {kPerCpu + (options.buffer_in_per_cpu ? kBufferInPerCpu : kBufferPointer), 'd', "ext_regs_buf"});
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
  // The log's layout, which the kernel exports for dump tools.
  info +=
      "SIZE(prb_desc)=24\nOFFSET(prb_desc.state_var)=0\nOFFSET(prb_desc.text_blk_lpos)=8\n"
      "OFFSET(prb_data_blk_lpos.begin)=0\nOFFSET(prb_data_blk_lpos.next)=8\nOFFSET(atomic_long_t.counter)=0\n"
      "SIZE(printk_info)=24\nOFFSET(printk_info.seq)=0\nOFFSET(printk_info.ts_nsec)=8\n"
      "OFFSET(printk_info.text_len)=16\nOFFSET(printk_ringbuffer.desc_ring)=0\n"
      "OFFSET(printk_ringbuffer.text_data_ring)=48\nOFFSET(prb_desc_ring.count_bits)=0\n"
      "OFFSET(prb_desc_ring.descs)=8\nOFFSET(prb_desc_ring.infos)=16\nOFFSET(prb_desc_ring.head_id)=24\n"
      "OFFSET(prb_desc_ring.tail_id)=32\nOFFSET(prb_data_ring.size_bits)=0\nOFFSET(prb_data_ring.data)=8\n"
      "OFFSET(prb_data_ring.head_lpos)=16\nOFFSET(prb_data_ring.tail_lpos)=24\n";
  const uint32_t note[3] = {11, static_cast<uint32_t>(info.size()), 0};
  std::string raw(reinterpret_cast<const char*>(note), sizeof(note));
  raw.append("VMCOREINFO", 11).append(1, '\0');
  raw += info;
  raw.resize((raw.size() + 3) / 4 * 4);
  builder_.set_vmcoreinfo_note(false);
  builder_.add_raw_notes(raw);

  for (Registers& registers : registers_) {
    registers.cs = 0x33;
    registers.ip = 0x401000;
    registers.sp = 0x7ffc00001000;
  }
}

DumpBuilder XmmMachine::complete() const {
  DumpBuilder whole = builder_;
  for (int cpu = 0; cpu < kCpus; cpu++) whole.add_cpu(registers_[static_cast<size_t>(cpu)], 100 + cpu);
  return whole;
}

uint64_t XmmMachine::function(std::string_view name) {
  const auto* found = std::find(std::begin(kFunctions), std::end(kFunctions), name);
  if (found == std::end(kFunctions)) throw std::out_of_range(std::string(name));
  return kText + kFunctionSize * static_cast<uint64_t>(found - std::begin(kFunctions) + 1);
}

void XmmMachine::stop_in(std::string_view name, const std::vector<std::string>& callers, uint64_t sp,
                         const Registers& others) {
  Registers& registers = registers_[1];
  registers = others;
  registers.ip = function(name) + kLoad;
  registers.cs = 0x10;
  registers.sp = sp;
  for (size_t i = 0; i < callers.size(); i++) poke(registers.sp + 8 * i, function(callers[i]) + kReturn);
}

void XmmMachine::oops(const Registers& registers, const std::vector<std::string>& callers) {
  poke<int32_t>(kCrashingCpu, 1);
  stop_in("perf_reg_value", callers, stack(1) + kStackUsed, registers);
}

void XmmMachine::set_log(const std::vector<std::string>& lines) {
  constexpr uint64_t kCountBits = 6, kSizeBits = 12, kFinalized = uint64_t{2} << 62;
  poke<uint32_t>(kPrb, kCountBits);
  poke(kPrb + 8, kDescs);
  poke(kPrb + 16, kInfos);
  poke<uint32_t>(kPrb + 48, kSizeBits);
  poke(kPrb + 56, kLogText);
  poke(kPrbPointer, kPrb);
  const uint64_t first_id = uint64_t{1} << kCountBits;
  uint64_t position = 0;
  for (size_t i = 0; i < lines.size(); i++) {
    const uint64_t id = first_id + i;
    const uint64_t next = position + 8 + (lines[i].size() + 7) / 8 * 8;
    poke(kDescs + 24 * i, id | kFinalized);
    poke(kDescs + 24 * i + 8, position);
    poke(kDescs + 24 * i + 16, next);
    poke<uint64_t>(kInfos + 24 * i, i);
    poke<uint64_t>(kInfos + 24 * i + 8, 1000 * i);
    poke(kInfos + 24 * i + 16, static_cast<uint16_t>(lines[i].size()));
    poke(kLogText + position, id);
    builder_.write(physical(kLogText + position + 8), std::string_view(lines[i]));
    position = next;
  }
  poke(kPrb + 24, first_id + lines.size() - 1);
  poke(kPrb + 32, first_id);
  poke(kPrb + 64, position);
  poke<uint64_t>(kPrb + 72, 0);
}

void XmmMachine::lay_out_memory() {
  for (const std::string_view name : kFunctions) {
    builder_.write(physical(function(name) + kLoad), "\x48\x8b\x14\xc1");            // mov (%rcx,%rax,8),%rdx
    builder_.write(physical(function(name) + kReturn - 5), "\xe8\x01\x01\x01\x01");  // call
  }
  poke<int32_t>(kCrashingCpu, -1);
  poke<uint32_t>(kNrCpuIds, kCpus);
  poke<uint64_t>(kPresentMask, (1 << kCpus) - 1);
  poke(kPageOffsetBase, builder_.direct_map());
  poke(kVmallocBase, builder_.vmalloc());
  poke(kVmemmapBase, builder_.vmalloc() + kVmemmapDistance);
  poke(kX86Pmu, kPmuName);
  poke<uint64_t>(kX86Pmu + 8, 0x26);  // ext_regs_mask: SSE, AVX, opmask
  poke<uint64_t>(kX86Pmu + 16, kPebsBufferSize);
  poke(kPmuName, uint32_t{0x007a6c67});
  // The heap's page is a slab of kmalloc-512, whose second object is free.
  const uint64_t vmemmap = builder_.vmalloc() + kVmemmapDistance;
  const uint64_t slab = kPageStructs + kHeapPhysical / DumpBuilder::kPage * kPageStructSize;
  builder_.map(vmemmap, kPageStructs, DumpBuilder::kPage);
  builder_.write_word(slab + 8, kCache);
  builder_.write_word(slab + 32, heap() + kObjectSize);
  builder_.write_word(slab + 40, DumpBuilder::kPage / kObjectSize);
  builder_.write_word(slab + 48, kSlabType << 24 | uint64_t{1} << 32);
  poke(kCache, static_cast<uint32_t>(kObjectSize));
  poke(kCache + 4, static_cast<uint32_t>(kObjectSize));
  poke(kCache + 16, kCacheName);
  builder_.write(physical(kCacheName), "kmalloc-512");
  poke<uint64_t>(heap() + kObjectSize, 0);
  poke(kInitTask + kTaskTasks, kInitTask + kTaskTasks);
  poke(kInitTask + kTaskTasks + 8, kInitTask + kTaskTasks);
  for (int cpu = 0; cpu < kCpus; cpu++) {
    poke(kPerCpuOffset + 8 * static_cast<uint64_t>(cpu), per_cpu(cpu) - kPerCpu);
    for (uint64_t page = area(cpu); page < area(cpu) + kAreaSize; page += DumpBuilder::kPage)
      poke<uint64_t>(page, 0);

    poke(per_cpu(cpu) + kCurrentTask, task(cpu));
    poke(per_cpu(cpu) + kExceptionStacks, nmi_stack(cpu));
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

std::vector<std::byte> XmmMachine::user_regs_types() {
  BtfBuilder btf;
  add_simd_types(btf, true, true);
  return btf.build();
}

std::vector<std::byte> XmmMachine::types() const {
  BtfBuilder btf;
  const SimdTypes simd = add_simd_types(btf, options_.with_pointers, options_.with_fpu);
  const uint32_t u64 = simd.u64, word = simd.word, u32 = simd.u32;
  const uint32_t number = btf.integer("int", 4, BtfBuilder::kSigned);
  const uint32_t character = btf.integer("char", 1, BtfBuilder::kSigned);
  btf.enumeration("pagetype", {{"PGTY_buddy", 0xf0}, {"PGTY_slab", kSlabType}}, false);
  const uint32_t counter = btf.structure("", 4, {{"counter", number, 0}});
  btf.structure("page", kPageStructSize,
                {{"flags", word, 0},
                 {"compound_head", word, 64},
                 {"page_type", u32, 48 * 8},
                 {"_refcount", counter, 52 * 8}});
  const uint32_t cache = btf.structure("kmem_cache", 64,
                                       {{"size", u32, 0},
                                        {"object_size", u32, 32},
                                        {"offset", u32, 64},
                                        {"name", btf.pointer(character), 128},
                                        {"refcount", number, 192}});
  btf.structure(
      "slab", kPageStructSize,
      {{"slab_cache", btf.pointer(cache), 64}, {"freelist", btf.pointer(0), 256}, {"objects", u32, 320}});
  btf.structure("cea_exception_stacks", 4096, {{"NMI_stack", btf.array(character, 4096), 0}});
  btf.structure("cpumask", 8, {{"bits", btf.array(word, 1), 0}});

  std::vector<BtfBuilder::Member> thread;
  if (options_.with_fpu) thread.push_back({"fpu", simd.fpu, 0});
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
        btf.variable("ext_regs_buf", inside ? btf.array(character, 1024) : btf.pointer(simd.xsave));
    btf.section(".data..percpu", {{btf.variable("x86_user_regs", simd.user_regs), kUserRegs, kUserRegsSize},
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
uint64_t XmmMachine::nmi_stack(int cpu) const {
  return area(cpu) + kNmiStack;
}
uint64_t XmmMachine::heap() const {
  return builder_.direct_map() + kHeapPhysical;
}

}  // namespace perfcore::test
