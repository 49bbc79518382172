// SPDX-License-Identifier: LGPL-2.1-or-later
#include "crash/kcsan_traits.h"

#include <algorithm>
#include <bit>
#include <string>
#include <vector>

#include "crash/kcsan_text.h"

namespace perfcore {
namespace {

enum class Where : uint8_t {
  kHelper,   ///< function at the access (helpers and the function they were called from)
  kFile,     ///< source file of one of those
  kWord,     ///< word of one of those function names ("stats" in "foo_stats_show")
  kContext,  ///< function among the innermost frames of the stack
};

struct Clue {
  Trait trait;
  Where where;
  std::string_view pattern;  ///< '*' matches any run of characters; a word matches whole
};

using enum Trait;
using enum Where;

/// The kernel's own interfaces and naming habits. To teach perfcore a helper, add a line.
constexpr Clue kClues[] = {
    // Freeing (mm/slub.c, mm/page_alloc.c).
    {kFree, kHelper, "kfree"},
    {kFree, kHelper, "kvfree"},
    {kFree, kHelper, "__kfree*"},
    {kFree, kHelper, "kmem_cache_free*"},
    {kFree, kHelper, "*slab_free*"},
    {kFree, kHelper, "___cache_free"},
    {kFree, kHelper, "vfree*"},
    {kFree, kHelper, "__free_pages*"},
    {kFree, kHelper, "free_pages*"},
    {kFree, kHelper, "free_unref_*"},
    {kFree, kHelper, "set_freepointer"},
    // Reference counts.
    {kReferenceCount, kHelper, "refcount_*"},
    {kReferenceCount, kHelper, "__refcount_*"},
    {kReferenceCount, kHelper, "kref_*"},
    {kReferenceCount, kHelper, "percpu_ref_*"},
    {kReferenceCount, kFile, "*include/linux/refcount.h"},
    {kReferenceCount, kFile, "*include/linux/kref.h"},
    {kReferenceCount, kWord, "refcnt"},
    {kReferenceCount, kWord, "refcount"},
    // Containers.
    {kContainerChange, kHelper, "list_add*"},
    {kContainerChange, kHelper, "__list_add*"},
    {kContainerChange, kHelper, "list_del*"},
    {kContainerChange, kHelper, "__list_del*"},
    {kContainerChange, kHelper, "list_move*"},
    {kContainerChange, kHelper, "list_replace*"},
    {kContainerChange, kHelper, "list_rotate*"},
    {kContainerChange, kHelper, "*list_splice*"},
    {kContainerChange, kHelper, "INIT_LIST_HEAD"},
    {kContainerChange, kHelper, "hlist_*add*"},
    {kContainerChange, kHelper, "*hlist_*del*"},
    {kContainerChange, kHelper, "rb_insert*"},
    {kContainerChange, kHelper, "__rb_insert*"},
    {kContainerChange, kHelper, "rb_link_node*"},
    {kContainerChange, kHelper, "rb_add*"},
    {kContainerChange, kHelper, "*rb_erase*"},
    {kContainerChange, kHelper, "rb_replace_node*"},
    {kContainerChange, kHelper, "__rb_rotate*"},
    {kContainerChange, kHelper, "timerqueue_*"},
    {kContainerChange, kHelper, "plist_add"},
    {kContainerChange, kHelper, "plist_del"},
    {kContainerChange, kHelper, "__skb_queue_*"},
    {kContainerChange, kHelper, "__skb_insert"},
    {kContainerChange, kHelper, "__skb_unlink"},
    {kContainerChange, kHelper, "__skb_dequeue*"},
    {kContainerChange, kHelper, "skb_queue_splice*"},
    {kContainerChange, kHelper, "radix_tree_insert"},
    {kContainerChange, kHelper, "radix_tree_delete*"},
    {kContainerChange, kHelper, "xas_store"},
    {kContainerChange, kHelper, "mas_wr_*"},
    {kContainerChange, kHelper, "mas_store*"},
    {kContainerChange, kHelper, "idr_alloc*"},
    {kContainerChange, kHelper, "idr_remove"},
    {kContainerChange, kHelper, "rhashtable_*insert*"},
    {kContainerChange, kHelper, "rhashtable_*remove*"},
    {kContainerChange, kHelper, "klist_add*"},
    {kContainerChange, kHelper, "klist_del"},
    {kEmptinessTest, kHelper, "list_empty*"},
    {kEmptinessTest, kHelper, "list_is_*"},
    {kEmptinessTest, kHelper, "hlist_empty*"},
    {kEmptinessTest, kHelper, "hlist_unhashed*"},
    {kEmptinessTest, kHelper, "hlist_bl_empty"},
    {kEmptinessTest, kHelper, "llist_empty"},
    {kEmptinessTest, kHelper, "plist_*empty"},
    {kEmptinessTest, kHelper, "skb_queue_empty*"},
    {kEmptinessTest, kHelper, "skb_queue_len*"},
    {kEmptinessTest, kHelper, "skb_peek"},
    {kEmptinessTest, kHelper, "xa_empty"},
    {kEmptinessTest, kHelper, "kfifo_is_*"},
    {kEmptinessTest, kHelper, "kfifo_len"},
    {kEmptinessTest, kHelper, "waitqueue_active"},
    {kEmptinessTest, kHelper, "wq_has_sleeper"},
    {kEmptinessTest, kHelper, "timer_pending"},
    {kEmptinessTest, kHelper, "hrtimer_active"},
    {kEmptinessTest, kHelper, "hrtimer_is_queued"},
    {kEmptinessTest, kHelper, "work_pending"},
    {kEmptinessTest, kHelper, "delayed_work_pending"},
    {kRcuTree, kFile, "*lib/xarray.c"},
    {kRcuTree, kFile, "*lib/maple_tree.c"},
    {kRcuTree, kFile, "*lib/radix-tree.c"},
    {kRcuTree, kHelper, "xa_*"},
    {kRcuTree, kHelper, "__xa_*"},
    {kRcuTree, kHelper, "xas_*"},
    {kRcuTree, kHelper, "mas_*"},
    {kRcuTree, kHelper, "mtree_*"},
    {kRcuTree, kHelper, "mt_*"},
    {kRcuTree, kHelper, "radix_tree_*"},
    // Timers (kernel/time/timer.c, hrtimer.c).
    {kTimerCore, kFile, "*kernel/time/timer.c"},
    {kTimerCore, kFile, "*kernel/time/hrtimer.c"},
    {kTimerCore, kFile, "*include/linux/timer.h"},
    {kTimerCore, kFile, "*include/linux/hrtimer.h"},
    {kTimerCore, kHelper, "*mod_timer*"},
    {kTimerCore, kHelper, "*del_timer*"},
    {kTimerCore, kHelper, "*timer_delete*"},
    {kTimerCore, kHelper, "*run_timers*"},
    {kTimerCore, kHelper, "hrtimer_*"},
    {kTimerCore, kHelper, "__hrtimer_*"},
    {kTimerChange, kHelper, "__mod_timer"},
    {kTimerChange, kHelper, "mod_timer*"},
    {kTimerChange, kHelper, "add_timer*"},
    {kTimerChange, kHelper, "enqueue_timer"},
    {kTimerChange, kHelper, "internal_add_timer"},
    {kTimerChange, kHelper, "detach_timer"},
    {kTimerChange, kHelper, "detach_if_pending"},
    {kTimerChange, kHelper, "enqueue_hrtimer"},
    {kTimerChange, kHelper, "__remove_hrtimer"},
    {kTimerChange, kHelper, "hrtimer_start*"},
    {kTimerChange, kHelper, "hrtimer_set_expires*"},
    {kTimerChange, kHelper, "hrtimer_forward"},
    // Bits.
    {kBitChange, kFile, "*instrumented-non-atomic.h"},
    {kBitChange, kFile, "*bitops/non-atomic.h"},
    {kBitChange, kHelper, "__set_bit*"},
    {kBitChange, kHelper, "___set_bit"},
    {kBitChange, kHelper, "__clear_bit*"},
    {kBitChange, kHelper, "___clear_bit"},
    {kBitChange, kHelper, "__change_bit"},
    {kBitChange, kHelper, "___change_bit"},
    {kBitChange, kHelper, "__assign_bit"},
    {kBitChange, kHelper, "__test_and_*_bit*"},
    {kBitChange, kHelper, "___test_and_*_bit*"},
    {kBitChange, kHelper, "__bitmap_*"},
    {kBitChange, kHelper, "bitmap_set"},
    {kBitChange, kHelper, "bitmap_clear"},
    {kBitChange, kHelper, "__cpumask_*_cpu"},
    {kBitChange, kHelper, "cpumask_copy"},
    {kBitTest, kHelper, "test_bit*"},
    {kBitTest, kHelper, "_test_bit*"},
    {kBitTest, kHelper, "*find_next_*bit*"},
    {kBitTest, kHelper, "*find_first_*bit*"},
    {kBitTest, kHelper, "*find_last_bit*"},
    {kBitTest, kHelper, "cpumask_*"},
    {kBitTest, kHelper, "bitmap_empty*"},
    {kBitTest, kHelper, "bitmap_weight*"},
    {kBitTest, kHelper, "__bitmap_weight*"},
    {kBitTest, kHelper, "*hweight*"},
    {kBitTest, kHelper, "xas_find_chunk"},
    {kBitTest, kHelper, "xas_find_marked"},
    {kBitTest, kHelper, "*xa_get_mark"},
    // Several bytes at once.
    {kBlockCopy, kHelper, "memcpy*"},
    {kBlockCopy, kHelper, "__memcpy*"},
    {kBlockCopy, kHelper, "memmove"},
    {kBlockCopy, kHelper, "__memmove"},
    {kBlockCopy, kHelper, "memset*"},
    {kBlockCopy, kHelper, "__memset"},
    {kBlockCopy, kHelper, "memcmp"},
    {kBlockCopy, kHelper, "bcmp"},
    {kBlockCopy, kHelper, "memchr*"},
    {kBlockCopy, kHelper, "strcmp"},
    {kBlockCopy, kHelper, "strncmp"},
    {kBlockCopy, kHelper, "strcasecmp"},
    {kBlockCopy, kHelper, "strlen"},
    {kBlockCopy, kHelper, "strnlen"},
    {kBlockCopy, kHelper, "strcpy"},
    {kBlockCopy, kHelper, "strncpy*"},
    {kBlockCopy, kHelper, "*strscpy*"},
    {kBlockCopy, kHelper, "strlcpy"},
    {kBlockCopy, kHelper, "vsnprintf"},
    {kBlockCopy, kHelper, "string_nocheck"},
    {kBlockCopy, kHelper, "_copy_from_user"},
    {kBlockCopy, kHelper, "copy_from_user*"},
    {kBlockCopy, kHelper, "*jhash*"},
    {kBlockCopy, kHelper, "*siphash*"},
    {kBlockCopy, kHelper, "crc32*"},
    {kBlockCopy, kHelper, "ether_addr_*"},
    {kBlockCopy, kHelper, "eth_hw_addr_set"},
    {kBlockCopy, kHelper, "ipv6_addr_*"},
    {kPayloadCopy, kHelper, "*copy_to_iter*"},
    {kPayloadCopy, kHelper, "*copy_from_iter*"},
    {kPayloadCopy, kHelper, "*copy_page_to_iter*"},
    {kPayloadCopy, kHelper, "*copy_page_from_iter*"},
    {kPayloadCopy, kHelper, "*copy_folio_*iter*"},
    {kPayloadCopy, kHelper, "memcpy_to_iter*"},
    {kPayloadCopy, kHelper, "memcpy_from_iter*"},
    {kPayloadCopy, kHelper, "copy_user_*"},
    {kPayloadCopy, kHelper, "copyin"},
    {kPayloadCopy, kHelper, "copyout"},
    {kPayloadCopy, kHelper, "_copy_to_user"},
    {kPayloadCopy, kHelper, "copy_to_user*"},
    {kPayloadCopy, kHelper, "copy_mc_*"},
    {kPayloadCopy, kHelper, "bpf_long_memcpy"},
    {kPayloadCopy, kHelper, "bpf_obj_memcpy"},
    {kPayloadCopy, kHelper, "*copy_map_value*"},
    {kPayloadCopy, kFile, "*lib/iov_iter.c"},
    {kSnapshotCopy, kHelper, "memcpy_and_pad"},
    {kSnapshotCopy, kHelper, "*dup_task_struct"},
    // struct page.
    {kPageTest, kFile, "*include/linux/page-flags.h"},
    {kPageTest, kHelper, "page_is_*"},
    {kPageTest, kHelper, "folio_is_*"},
    {kPageTest, kHelper, "folio_test_*"},
    {kPageTest, kHelper, "*compound_head"},
    {kPageTest, kHelper, "page_to_nid"},
    {kPageTest, kHelper, "page_zone*"},
    {kPageTest, kHelper, "folio_zone*"},
    {kPageTest, kHelper, "folio_nid"},
    {kPageTest, kHelper, "page_cpupid*"},
    {kPageTest, kHelper, "*page_mapping"},
    // Locks and sequence counts.
    {kLockInternals, kFile, "*kernel/locking/*"},
    {kLockInternals, kHelper, "osq_*"},
    {kLockInternals, kHelper, "mutex_*"},
    {kLockInternals, kHelper, "__mutex_*"},
    {kLockInternals, kHelper, "rwsem_*"},
    {kLockInternals, kHelper, "*queued_*lock*"},
    {kSequenced, kFile, "*include/linux/seqlock.h"},
    {kSequenced, kFile, "*kernel/time/timekeeping.c"},
    {kSequenced, kHelper, "timekeeping_*"},
    {kSequenced, kHelper, "read_seqcount_*"},
    {kSequenced, kHelper, "*write_seqcount_*"},
    {kSequenced, kHelper, "*read_seqbegin*"},
    {kSequenced, kHelper, "*read_seqretry*"},
    {kSequenced, kHelper, "raw_write_seq*"},
    {kSequenced, kWord, "seqcount"},
    {kSequenced, kWord, "seqlock"},
    // Statistics.
    {kStatistics, kWord, "stat"},
    {kStatistics, kWord, "stats"},
    {kStatistics, kWord, "statistics"},
    {kStatistics, kWord, "vmstat"},
    {kStatistics, kWord, "counter"},
    {kStatistics, kWord, "counters"},
    {kStatistics, kWord, "account"},
    {kStatistics, kWord, "accounting"},
    {kStatistics, kWord, "acct"},
    {kStatistics, kHelper, "count_vm_*"},
    {kStatistics, kHelper, "__count_*"},
    {kStatistics, kHelper, "*mod_*_state"},
    {kStatistics, kHelper, "percpu_counter_*"},
    {kStatistics, kHelper, "u64_stats_*"},
    {kStatistics, kHelper, "add_rchar"},
    {kStatistics, kHelper, "add_wchar"},
    {kStatistics, kHelper, "inc_sysc*"},
    {kStatistics, kFile, "*include/linux/u64_stats_sync.h"},
    {kStatistics, kFile, "*include/linux/vmstat.h"},
    {kStatistics, kFile, "*include/linux/percpu_counter.h"},
    {kStatistics, kFile, "*include/linux/task_io_accounting_ops.h"},
    // Time stamps.
    {kTimestamp, kWord, "time"},
    {kTimestamp, kWord, "times"},
    {kTimestamp, kWord, "timestamp"},
    {kTimestamp, kWord, "timestamps"},
    {kTimestamp, kWord, "stamp"},
    {kTimestamp, kWord, "tstamp"},
    {kTimestamp, kWord, "atime"},
    {kTimestamp, kWord, "ctime"},
    {kTimestamp, kWord, "mtime"},
    {kTimestamp, kWord, "jiffies"},
    {kTimestamp, kWord, "jiffies64"},
    {kTimestamp, kWord, "aging"},
    {kTimestamp, kWord, "updated"},
    {kTimestamp, kWord, "expire"},
    {kTimestamp, kWord, "expires"},
    {kTimestamp, kWord, "expired"},
    {kTimestamp, kWord, "deadline"},
    {kTimestamp, kHelper, "time_after*"},
    {kTimestamp, kHelper, "time_before*"},
    {kTimestamp, kHelper, "ktime_*"},
    {kTimestamp, kFile, "*include/linux/jiffies.h"},
    {kTimestamp, kFile, "*include/linux/ktime.h"},
    // Heuristics.
    {kHint, kWord, "lru"},
    {kHint, kWord, "hint"},
    {kHint, kWord, "hints"},
    {kHint, kWord, "referenced"},
    {kHint, kWord, "accessed"},
    {kHint, kWord, "young"},
    {kHint, kWord, "readahead"},
    {kHint, kWord, "prefetch"},
    {kHint, kWord, "ratelimit"},
    {kHint, kWord, "throttle"},
    {kHint, kWord, "watermark"},
    {kHint, kWord, "pressure"},
    {kHint, kWord, "congested"},
    {kHint, kWord, "congestion"},
    // Questions.
    {kQuestion, kWord, "is"},
    {kQuestion, kWord, "check"},
    {kQuestion, kWord, "has"},
    {kQuestion, kWord, "need"},
    {kQuestion, kWord, "needs"},
    {kQuestion, kWord, "needed"},
    {kQuestion, kWord, "should"},
    {kQuestion, kWord, "can"},
    {kQuestion, kWord, "may"},
    {kQuestion, kWord, "want"},
    {kQuestion, kWord, "wants"},
    {kQuestion, kWord, "too"},
    {kQuestion, kWord, "pending"},
    {kQuestion, kWord, "allowed"},
    {kQuestion, kWord, "enabled"},
    {kQuestion, kWord, "disabled"},
    {kQuestion, kWord, "available"},
    {kQuestion, kWord, "ready"},
    {kQuestion, kWord, "full"},
    {kQuestion, kWord, "empty"},
    {kQuestion, kWord, "busy"},
    {kQuestion, kWord, "idle"},
    {kQuestion, kWord, "running"},
    {kQuestion, kWord, "poll"},
    // Reporting to user space.
    {kReporting, kWord, "show"},
    {kReporting, kWord, "dump"},
    {kReporting, kWord, "print"},
    {kReporting, kWord, "getattr"},
    {kReporting, kWord, "fillattr"},
    {kReporting, kWord, "statfs"},
    {kReporting, kWord, "getsockopt"},
    {kReporting, kWord, "diag"},
    // Teardown.
    {kTeardown, kWord, "stop"},
    {kTeardown, kWord, "cancel"},
    {kTeardown, kWord, "down"},
    {kTeardown, kWord, "shutdown"},
    {kTeardown, kWord, "close"},
    {kTeardown, kWord, "release"},
    {kTeardown, kWord, "destroy"},
    {kTeardown, kWord, "cleanup"},
    {kTeardown, kWord, "teardown"},
    {kTeardown, kWord, "unregister"},
    {kTeardown, kWord, "disconnect"},
    {kTeardown, kWord, "detach"},
    {kTeardown, kWord, "orphan"},
    {kTeardown, kWord, "unhash"},
    {kTeardown, kWord, "kill"},
    {kTeardown, kWord, "exit"},
    {kTeardown, kWord, "fini"},
    {kTeardown, kWord, "uninit"},
    {kTeardown, kWord, "free"},
    {kTeardown, kWord, "put"},
    {kTeardown, kWord, "remove"},
    {kTeardown, kWord, "del"},
    {kTeardown, kWord, "abort"},
    // Waking and references.
    {kWakes, kWord, "wake"},
    {kWakes, kWord, "wakeup"},
    {kWakes, kWord, "activate"},
    {kWakes, kWord, "unpark"},
    {kHolds, kWord, "hold"},
    {kHolds, kWord, "grab"},
    {kHolds, kWord, "unref"},
    {kHolds, kWord, "put"},
    // The name of a task may be read torn by design (include/linux/sched.h).
    {kThreadName, kWord, "comm"},
    // Options set by somebody.
    {kSettings, kContext, "*setsockopt*"},
    {kSettings, kContext, "*_ioctl"},
    {kSettings, kContext, "proc_do*"},
    {kSettings, kContext, "proc_sys_*"},
    {kSettings, kContext, "*sysctl*"},
    {kSettings, kContext, "*_store"},
    {kSettings, kContext, "*_changelink"},
    {kSettings, kContext, "*_setlink"},
    {kSettings, kContext, "*_setattr*"},
    {kSettings, kContext, "*setrlimit*"},
    {kSettings, kContext, "*sys_prctl"},
    {kSettings, kContext, "*sys_fcntl"},
    {kSettings, kContext, "param_set_*"},
    // Work that runs on its own.
    {kAsync, kContext, "process_one_work"},
    {kAsync, kContext, "process_scheduled_works"},
    {kAsync, kContext, "worker_thread"},
    {kAsync, kContext, "call_timer_fn"},
    {kAsync, kContext, "__run_timers"},
    {kAsync, kContext, "__hrtimer_run_queues"},
    {kAsync, kContext, "rcu_do_batch"},
    {kAsync, kContext, "net_rx_action"},
    {kAsync, kContext, "tasklet_action*"},
    {kAsync, kContext, "kthread"},
};

/// Frames looked at for Where::kContext: enough to reach the system call's own code.
constexpr size_t kContextFrames = 48;
/// Frames from the access outwards in which a helper is looked for.
constexpr size_t kHelperFrames = 12;

bool is_instrumentation(std::string_view function) {
  for (std::string_view prefix :
       {"__tsan_", "kcsan_", "__kcsan_", "instrument_", "check_access", "__asan_", "__msan_"})
    if (function.starts_with(prefix)) return true;
  return false;
}

/// Calls `visit` for each word of "__foo_bar2": "foo", "bar2".
template <typename Visitor>
void for_each_word(std::string_view function, Visitor&& visit) {
  size_t begin = 0;
  while (begin < function.size()) {
    size_t end = std::min(function.find('_', begin), function.size());
    if (end > begin) visit(function.substr(begin, end - begin));
    begin = end + 1;
  }
}

bool clue_fits(const Clue& clue, std::string_view function, std::string_view file) {
  switch (clue.where) {
    case kHelper:
      return !function.empty() && matches(function, clue.pattern);
    case kFile:
      return !file.empty() && matches(file, clue.pattern);
    case kWord: {
      bool found = false;
      for_each_word(function, [&](std::string_view word) { found = found || word == clue.pattern; });
      return found;
    }
    case kContext:
      return !function.empty() && matches(function, clue.pattern);
  }
  return false;
}

/// A library function that does the access for its caller: the caller is looked at as well.
bool is_library(TraitSet traits) {
  return traits.has_any({kFree, kContainerChange, kEmptinessTest, kBitChange, kBitTest, kBlockCopy,
                         kPayloadCopy, kReferenceCount});
}

void add_access_traits(const KcsanAccess& access, TraitSet& traits) {
  if (access.operation == KcsanOperation::kAssertNoWrites ||
      access.operation == KcsanOperation::kAssertNoAccesses)
    traits.add(kAssertion);
  else
    traits.add(access.writes() ? kWrite : kRead);
  traits.add(access.marked ? kMarked : kPlain);
  if (access.size > sizeof(uint64_t)) traits.add(kWide);
  if (access.size == sizeof(uint64_t)) traits.add(kLong);
  // pcpu_get_vm_areas() allocates from the end of the vmalloc area downwards; KASLR moves the area.
  if (access.address >= 0xffffe8f000000000 && access.address < 0xffffe90000000000) traits.add(kPerCpuMemory);
  // Between vmemmap_base and the per-CPU entry area; KASLR moves the base within it.
  if (access.address >= 0xffffea0000000000 && access.address < 0xffffeb0000000000) traits.add(kPageStruct);

  bool inner = true;
  size_t helpers = 0;
  for (size_t i = 0; i < std::min(access.stack.size(), kContextFrames); ++i) {
    const KcsanFrame& frame = access.stack[i];
    std::string_view function = function_base(frame.function);
    if (inner && is_instrumentation(function)) {
      for (const Clue& clue : kClues)
        if (clue.where == kFile && clue_fits(clue, {}, frame.file)) traits.add(clue.trait);
      continue;
    }
    TraitSet found;
    for (const Clue& clue : kClues)
      if ((clue.where == kContext || inner) && clue_fits(clue, function, frame.file)) found.add(clue.trait);
    traits = traits | found;
    if (inner && ((!frame.inlined && !is_library(found)) || ++helpers >= kHelperFrames)) inner = false;
  }
}

bool is_kernel_pointer(uint64_t value) {
  // Direct map, vmalloc, vmemmap of x86-64 and the like; the kernel image is left out, because small
  // negative numbers look the same and what lies there lives for ever.
  return value >= 0xffff800000000000 && value < 0xffffffff00000000;
}

bool is_jiffies(uint64_t value, uint64_t size) {
  // INITIAL_JIFFIES is five minutes before the 32-bit wrap (include/linux/jiffies.h).
  if (size == 8) return value >= 0xfff00000 && value < 0x140000000;
  return size == 4 && value >= 0xfff00000 && value < 0xfffff000;  // above: small negative numbers
}

void add_value_traits(const KcsanReport& report, uint64_t size, TraitSet& traits) {
  if (!report.value || size == 0 || size > sizeof(uint64_t)) return;
  auto [before, after, mask] = *report.value;
  uint64_t top = size == 8 ? ~uint64_t{0} : (uint64_t{1} << (8 * size)) - 1;
  uint64_t difference = before ^ after;
  uint64_t growth = (after - before) & top;
  if (before <= 1 && after <= 1) traits.add(kValueBool);
  bool one_bit = std::popcount(difference) == 1 && (before & after) != 0;
  // A single bit may be either; counters mostly grow by less than 8 while KCSAN waits.
  if (before > 1 && growth > 0 && growth <= (one_bit ? 7 : 256)) traits.add(kValueStep);
  if (growth == 1 || growth == top) traits.add(kValueOne);
  if (one_bit) traits.add(kValueOneBit);
  if (size == 8) {
    bool before_points = is_kernel_pointer(before), after_points = is_kernel_pointer(after);
    if (before_points && after_points) traits.add(kValuePointer);
    if (before == 0 && after_points) traits.add(kValueSet);
    if (before_points && after == 0) traits.add(kValueCleared);
    if (traits.has_any({kValuePointer, kValueSet, kValueCleared})) traits.add(kValueAnyPointer);
    constexpr uint64_t kTenSeconds = 10'000'000'000;
    if (before >= 1'000'000 && !before_points && growth > 256 && growth <= kTenSeconds)
      traits.add(kValueClock);
  }
  if (size == 4 && ((before >= 0xfffff001 && after == 0) || (after >= 0xfffff001 && before == 0)))
    traits.add(kValueErrno);
  if (is_jiffies(before, size) && growth > 0 && growth < 1'000'000) traits.add(kValueClock);
}

/// "ffff888100 (&sb->lock){+.+.}-{3:3}, at: foo+0x1/0x2" -> what names the lock instance. Locks that many
/// hold at once are left out.
std::string_view lock_identity(std::string_view lock) {
  if (lock.find("rcu") != std::string_view::npos) return {};
  return lock.substr(0, lock.find('{'));
}

bool share_a_lock(const KcsanReport& report) {
  if (report.accesses.size() < 2) return false;
  for (const std::string& one : report.accesses[0].locks)
    for (const std::string& other : report.accesses[1].locks)
      if (!lock_identity(one).empty() && lock_identity(one) == lock_identity(other)) return true;
  return false;
}

}  // namespace

std::string_view site_function(const KcsanAccess& access) {
  std::string_view innermost;
  for (const KcsanFrame& frame : access.stack) {
    std::string_view function = function_base(frame.function);
    if (function.empty() || is_instrumentation(function)) continue;
    if (innermost.empty()) innermost = function;
    if (!frame.inlined) return function;
  }
  return innermost;
}

KcsanFacts gather_facts(const KcsanReport& report) {
  KcsanFacts facts;
  for (size_t side = 0; side < std::min<size_t>(2, report.accesses.size()); ++side)
    add_access_traits(report.accesses[side], facts.sides[side]);
  if (!report.accesses.empty()) add_value_traits(report, report.accesses.back().size, facts.pair);
  if (report.accesses.size() == 2) {
    const KcsanAccess& first = report.accesses[0];
    const KcsanAccess& second = report.accesses[1];
    if (first.writes() && second.writes()) facts.pair.add(kBothWrite);
    if (first.marked != second.marked) facts.pair.add(kOneSideMarked);
    if (std::string_view site = site_function(first); !site.empty() && site == site_function(second))
      facts.pair.add(kSameFunction);
    if (first.cpu && first.cpu == second.cpu) facts.pair.add(kSameCpu);
    if (share_a_lock(report)) facts.pair.add(kShared);
  }
  for (TraitSet& side : facts.sides) side = side | facts.pair;
  return facts;
}

}  // namespace perfcore
