// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// What a KCSAN report tells of each side: the kernel's own helpers and naming habits say which kind of data
/// an access touches and why. These are facts; kcsan_knowledge.h draws the conclusions.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <string_view>

#include "perfcore/kcsan.h"

namespace perfcore {

/// One thing known of an access, of the value, or of the pair.
enum class Trait : uint8_t {
  // The access itself.
  kRead,
  kWrite,
  kPlain,  ///< no READ_ONCE(), WRITE_ONCE() or atomic
  kMarked,
  kAssertion,     ///< ASSERT_EXCLUSIVE_*()
  kWide,          ///< more than a register holds
  kLong,          ///< 8 bytes: what the atomic bit operations work on, on 64 bit
  kPageStruct,    ///< x86-64 vmemmap: a struct page, whose words are unions read speculatively by design
  kPerCpuMemory,  ///< x86-64 dynamic per-CPU area
  // Helpers on the way to the access.
  kFree,  ///< the allocator frees the object
  kReferenceCount,
  kContainerChange,  ///< list, tree, queue, array is modified
  kEmptinessTest,    ///< asks only whether something is queued
  kRcuTree,          ///< XArray, maple tree: read without a lock by design
  kTimerCore,        ///< inside the timer code
  kTimerChange,      ///< ... which arms or disarms a timer
  kBitChange,        ///< non-atomic bit operation
  kBitTest,
  kBlockCopy,     ///< several bytes are compared, copied, hashed or formatted
  kPayloadCopy,   ///< user data, page cache or map values: nobody promises consistency
  kSnapshotCopy,  ///< whole object copied, the racing members set afresh afterwards
  kPageTest,      ///< predicate on a struct page
  kLockInternals,
  kSequenced,  ///< data of a seqcount or latch
  // Naming habits of the functions at the access.
  kStatistics,
  kTimestamp,
  kHint,       ///< LRU, age, readahead: steers a heuristic
  kQuestion,   ///< "need_foo", "foo_pending": a decision that is checked again or may be late
  kReporting,  ///< "show", "dump", "getattr": expected to read only
  kTeardown,   ///< "stop", "release", "destroy"
  kWakes,      ///< decides whether somebody is woken
  kHolds,      ///< takes or drops a reference
  kThreadName,
  // Whole stack.
  kSettings,  ///< system call, sysctl or netlink request that sets an option
  kAsync,     ///< worker, timer, softirq or kernel thread
  // Value seen by the delayed side.
  kValueBool,
  kValueStep,        ///< grew by a little: a counter
  kValueOne,         ///< ... or shrank, by exactly one
  kValueOneBit,      ///< one bit flipped beside others that stayed
  kValuePointer,     ///< both kernel pointers
  kValueSet,         ///< NULL to pointer
  kValueCleared,     ///< pointer to NULL
  kValueAnyPointer,  ///< any of these three
  kValueErrno,
  kValueClock,  ///< jiffies or nanoseconds that advanced
  // The pair.
  kSameFunction,
  kSameCpu,  ///< the delayed side was interrupted or preempted by the other
  kBothWrite,
  kOneSideMarked,
  kShared,  ///< the same lock is held on both sides
  kCount,
};
static_assert(static_cast<int>(Trait::kCount) <= 64);

class TraitSet {
 public:
  constexpr TraitSet() = default;
  constexpr TraitSet(std::initializer_list<Trait> traits) {
    for (Trait trait : traits) add(trait);
  }
  constexpr void add(Trait trait) { bits_ |= uint64_t{1} << static_cast<int>(trait); }
  constexpr bool has(Trait trait) const { return (bits_ >> static_cast<int>(trait)) & 1; }
  constexpr bool has_all(TraitSet other) const { return (bits_ & other.bits_) == other.bits_; }
  constexpr bool has_any(TraitSet other) const { return (bits_ & other.bits_) != 0; }
  constexpr TraitSet operator|(TraitSet other) const {
    TraitSet result;
    result.bits_ = bits_ | other.bits_;
    return result;
  }

 private:
  uint64_t bits_ = 0;
};

/// The report as the knowledge table sees it.
struct KcsanFacts {
  std::array<TraitSet, 2> sides;
  TraitSet pair;  ///< value and pair traits, in the sets of both sides as well
};

KcsanFacts gather_facts(const KcsanReport& report);

/// The function a developer would name for this side: the first that is neither instrumentation nor a helper
/// inlined into it; empty when the stack is.
std::string_view site_function(const KcsanAccess& access);

}  // namespace perfcore
