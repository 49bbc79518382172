/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What arch/x86/events/core.c does with events[] in its four generations, written anew and cut down to what
 * compilers turn into the shapes that the probe must read. GENERATION: 0 stores events[idx] where an event is
 * started, 1 only after the test of ARCH (7e772a93eb61), 2 before it (8d5fae601126), 3 and programs the
 * counter (f1cac6ac62d2).
 */
typedef unsigned long u64;
typedef long s64;
typedef unsigned int u32;

enum { STOPPED = 1, UPTODATE = 2, ARCH = 4, RELOAD = 2, UPDATE = 4 };
enum { COUNTERS = 64 };

struct hardware {
  u64 config, last_tag, config_base, event_base;
  int event_base_rdpmc, idx, last_cpu, flags;
  u64 padding[5];
  u64 prev_count;
  int state;
};

struct perf_event {
  u64 before[30];
  struct perf_event *group_leader;
  struct hardware hw;
  u64 after[60];
};

struct cpu_hw_events {
  struct perf_event *events[COUNTERS];
  u64 active_mask[1];
  u64 dirty[1];
  int enabled, n_events, n_added, n_txn;
  int assign[COUNTERS];
  u64 tags[COUNTERS];
  struct perf_event *event_list[COUNTERS];
};

struct pmu_methods {
  int (*addr_offset)(int index, int eventsel);
  int (*rdpmc_index)(int index);
  u32 eventsel, perfctr, fixedctr;
  int initialized, late_ack;
};

#define PER_CPU __attribute__((section(".data..percpu")))
PER_CPU struct cpu_hw_events cpu_hw_events;
PER_CPU u64 this_cpu_off;
PER_CPU int cpu_number;
struct pmu_methods x86_pmu;
u64 __per_cpu_offset[64];

/* The layout, for the test. */
#define EXPORT(name, value) __asm__(".globl layout_" name "\n.set layout_" name ", %c0" : : "i"(value))
void layout(void);
void layout(void) {
  EXPORT("hw_state", __builtin_offsetof(struct perf_event, hw.state));
  EXPORT("event_size", sizeof(struct perf_event));
  EXPORT("event_list", __builtin_offsetof(struct cpu_hw_events, event_list));
  EXPORT("active_mask", __builtin_offsetof(struct cpu_hw_events, active_mask));
  EXPORT("cpuc_size", sizeof(struct cpu_hw_events));
}

static inline struct cpu_hw_events *this_cpu_events(void) {
#ifdef SEGMENT_LOAD
  u64 base;
  __asm__("mov %%gs:this_cpu_off(%%rip), %0" : "=r"(base) : "m"(this_cpu_off));
  return (struct cpu_hw_events *)((u64)&cpu_hw_events + base);
#else
  struct cpu_hw_events *events = &cpu_hw_events;
  __asm__("add %%gs:this_cpu_off, %0" : "+r"(events) : "m"(this_cpu_off));
  return events;
#endif
}

static inline int this_cpu(void) {
  int cpu;
  __asm__ volatile("movl %%gs:cpu_number, %0" : "=r"(cpu));
  return cpu;
}

static inline void set_bit(s64 bit, u64 *bits) {
  __asm__ volatile("bts %1, %0" : "+m"(*(volatile u64 *)bits) : "Ir"(bit) : "memory");
}

static inline void clear_bit(s64 bit, u64 *bits) {
  __asm__ volatile("btr %1, %0" : "+m"(*(volatile u64 *)bits) : "Ir"(bit) : "memory");
}

#define WARN(condition)                        \
  ({                                           \
    int warned = !!(condition);                \
    if (__builtin_expect(warned, 0)) __asm__ volatile("ud2"); \
    __builtin_expect(warned, 0);               \
  })

/* Static calls: trampolines until they are patched. */
void __SCT__x86_pmu_enable(struct perf_event *event);
void __SCT__x86_pmu_disable(struct perf_event *event);
void __SCT__x86_pmu_assign(struct perf_event *event, int index);
int __SCT__x86_pmu_set_period(struct perf_event *event);
void __SCT__x86_pmu_update(struct perf_event *event);
void __SCT__x86_pmu_enable_all(int added);
void perf_event_update_userpage(struct perf_event *event);

static inline void set_period(struct perf_event *event) {
#ifdef STATIC_CALLS_TO_NOTHING
  /* A static call site before a PMU is there: five bytes of NOP. */
  __asm__ volatile(".byte 0x0f, 0x1f, 0x44, 0x00, 0x00" : "+D"(event) : : "rax", "rcx", "rdx", "rsi", "r8", "r9", "r10", "r11", "memory");
#else
  __SCT__x86_pmu_set_period(event);
#endif
}

static __attribute__((always_inline)) inline void start(struct perf_event *event, int flags) {
  struct cpu_hw_events *cpuc = this_cpu_events();
  const int index = event->hw.idx;

  if (WARN(!(event->hw.state & STOPPED))) return;
  if (WARN(index == -1)) return;
  if (flags & RELOAD) {
    WARN(!(event->hw.state & UPTODATE));
    set_period(event);
  }
  event->hw.state = 0;
#if GENERATION == 0
  cpuc->events[index] = event;
#endif
  set_bit(index, cpuc->active_mask);
  __SCT__x86_pmu_enable(event);
  perf_event_update_userpage(event);
}

void x86_pmu_start(struct perf_event *event, int flags);
__attribute__((noinline)) void x86_pmu_start(struct perf_event *event, int flags) { start(event, flags); }

void x86_pmu_stop(struct perf_event *event, int flags);
__attribute__((noinline)) void x86_pmu_stop(struct perf_event *event, int flags) {
  struct cpu_hw_events *cpuc = this_cpu_events();
  struct hardware *hw = &event->hw;

  if (cpuc->active_mask[0] >> hw->idx & 1) {
    __SCT__x86_pmu_disable(event);
    clear_bit(hw->idx, cpuc->active_mask);
#if GENERATION == 0
    cpuc->events[hw->idx] = 0;
#endif
    WARN(hw->state & STOPPED);
    hw->state |= STOPPED;
  }
  if ((flags & UPDATE) && !(hw->state & UPTODATE)) {
    __SCT__x86_pmu_update(event);
    hw->state |= UPTODATE;
  }
}

static inline int same_counter(struct hardware *hw, struct cpu_hw_events *cpuc, int i) {
  return hw->idx == cpuc->assign[i] && hw->last_cpu == this_cpu() && hw->last_tag == cpuc->tags[i];
}

static inline void assign_counter(struct perf_event *event, struct cpu_hw_events *cpuc, int i) {
  struct hardware *hw = &event->hw;
  int index;

  index = hw->idx = cpuc->assign[i];
  hw->last_cpu = this_cpu();
  hw->last_tag = ++cpuc->tags[i];
  __SCT__x86_pmu_assign(event, index);
  switch (hw->idx) {
    case 47:
    case 58:
      hw->config_base = 0;
      hw->event_base = 0;
      break;
    case 48 ... 55:
      index = 35;
      /* fall through */
    case 32 ... 46:
      hw->config_base = 0x38d;
      hw->event_base = x86_pmu.fixedctr + (x86_pmu.addr_offset ? x86_pmu.addr_offset(index - 32, 0) : index - 32);
      hw->event_base_rdpmc = (index - 32) | 1 << 30;
      break;
    default:
      hw->config_base = x86_pmu.eventsel + (x86_pmu.addr_offset ? x86_pmu.addr_offset(hw->idx, 1) : hw->idx);
      hw->event_base = x86_pmu.perfctr + (x86_pmu.addr_offset ? x86_pmu.addr_offset(hw->idx, 0) : hw->idx);
      hw->event_base_rdpmc = x86_pmu.rdpmc_index ? x86_pmu.rdpmc_index(hw->idx) : hw->idx;
      break;
  }
}

void x86_pmu_enable(void *pmu);
void x86_pmu_enable(void *pmu) {
  struct cpu_hw_events *cpuc = this_cpu_events();
  struct perf_event *event;
  int i, added = cpuc->n_added;

  (void)pmu;
  if (!x86_pmu.initialized || cpuc->enabled) return;
  if (cpuc->n_added) {
    int running = cpuc->n_events - cpuc->n_added;

    for (i = 0; i < running; i++) {
      event = cpuc->event_list[i];
      if (event->hw.idx == -1 || same_counter(&event->hw, cpuc, i)) continue;
      if (event->hw.state & STOPPED) event->hw.state |= ARCH;
      x86_pmu_stop(event, UPDATE);
#if GENERATION > 0
      cpuc->events[event->hw.idx] = 0;
#endif
    }
    for (i = 0; i < cpuc->n_events; i++) {
      event = cpuc->event_list[i];
      if (!same_counter(&event->hw, cpuc, i))
        assign_counter(event, cpuc, i);
      else if (i < running)
        continue;
#if GENERATION >= 2
      cpuc->events[event->hw.idx] = event;
#endif
      if (event->hw.state & ARCH) {
#if GENERATION == 3
        set_period(event);
#endif
        continue;
      }
#if GENERATION == 1
      cpuc->events[event->hw.idx] = event;
#endif
#ifdef INLINE_START
      start(event, RELOAD);
#else
      x86_pmu_start(event, RELOAD);
#endif
    }
    cpuc->n_added = 0;
  }
  cpuc->enabled = 1;
  __SCT__x86_pmu_enable_all(added);
}
