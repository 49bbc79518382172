/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "dwarf_fixture.h"

struct hidden {
  u64 weight;
  struct only_in_b {
    int depth;
  } part;
};

struct hidden hidden_object;
u32 shared_table[12];
const char linux_banner[] = "Linux version 5.4.0-fixture (someone@somewhere) (gcc) #1 SMP\n";

void *use_all(int value);

__attribute__((used)) int other_unit(int value) { return (use_all(value) != 0) + (int)hidden_object.weight; }
