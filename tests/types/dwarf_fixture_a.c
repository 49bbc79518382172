/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "dwarf_fixture.h"

extern u32 shared_table[];
extern struct hidden hidden_object;
static struct sample *current_sample;
u32 defined_after_declaration[5];
struct sample *global_sample;
watched_counter_t watched;
struct pmu {
  int only_here; /* a name so short that compilers store it in the DIE */
} pmu;

void *use_all(int value) {
  current_sample = global_sample;
  defined_after_declaration[0] = watched + (u32)pmu.only_here;
  return value ? (void *)current_sample : (void *)&hidden_object;
}

/* The label gives the tests an address that is inside two inlined calls. */
static inline __attribute__((always_inline)) int innermost(int value) {
  __asm__ volatile(".globl inside_innermost\ninside_innermost: nop" : "+r"(value));
  return value * 3;
}

static inline __attribute__((always_inline)) int middle(int value) {
  if (value > 7) return innermost(value) + (int)shared_table[1];
  return value;
}

__attribute__((noinline, used)) int outer_function(int value) {
  int result = middle(value);
  __asm__ volatile(".globl not_inlined\nnot_inlined: nop" : "+r"(result));
  return result;
}
