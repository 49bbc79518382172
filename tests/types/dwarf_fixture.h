/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Types whose debug information the tests read. The tests include this file as well: what the compiler says about a type
 * (sizeof, offsetof) is the truth that the reader is measured against. */
#pragma once

typedef unsigned int u32;
typedef unsigned long long u64;
typedef u32 counter_t;
typedef const volatile counter_t watched_counter_t;

enum sample_state { STATE_DEAD = -4, STATE_OFF = -1, STATE_ON = 1 };
enum sample_flag { FLAG_NONE = 0, FLAG_HIGH = 0x80000000u };

struct hidden; /* defined in dwarf_fixture_b.c only */
struct nowhere;

struct inner {
  int first;
  union {
    long word;
    struct {
      short low;
      short high;
    };
  };
};

union either {
  u64 whole;
  unsigned char bytes[8];
};

struct sample {
  char tag;
  _Bool ready;
  struct inner nested;
  struct {
    int unnamed_first;
    u64 unnamed_second;
  };
  u32 bit_a : 3;
  u32 bit_b : 7;
  u32 bit_c : 22;
  u64 wide_a : 40;
  u64 wide_b : 20;
  int signed_bits : 5;
  enum sample_state state;
  enum sample_flag flag;
  int matrix[2][3];
  struct inner pair[2];
  union either value;
  watched_counter_t hits;
  void *anything;
  const char *text;
  int (*callback)(struct sample *self, int value);
  struct hidden *secret;
  struct nowhere *missing;
  struct sample *next;
  double ratio;
  struct inner tail[];
};
