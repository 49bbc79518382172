// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// Answers as plain data: what the commands found out, before anybody decides how it looks. json.cc and
/// text.cc present them; nothing here knows of either.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "analyzers/catalogue.h"
#include "perfcore/compat.h"
#include "perfcore/diagnosis.h"
#include "perfcore/invariants.h"
#include "perfcore/nmi.h"
#include "perfcore/report.h"
#include "perfcore/signature.h"
#include "perfcore/version.h"

namespace perfcore::cli {

/// Takes values out of readings and remembers why some are missing, each reason once.
class UnreadList {
 public:
  template <typename T>
  std::optional<T> take(Reading<T> reading) {
    if (reading.has_value()) return std::move(reading).value();
    add(reading.unread());
    return std::nullopt;
  }
  void add(const Unread& unread);
  void add(const std::vector<Unread>& unread);

  const std::vector<Unread>& items() const { return items_; }

 private:
  std::vector<Unread> items_;
};

struct DumpFacts {
  std::string path;
  std::string format;
  std::vector<std::string> quality;
};
DumpFacts dump_facts(Kernel& kernel);

struct KernelFacts {
  std::string release;   ///< empty: unknown
  std::string build_id;  ///< empty: unknown
  uint64_t kaslr_offset = 0;
  std::optional<size_t> cpus;  ///< present ones
  std::string types;           ///< "dwarf", "btf", "none"
  std::string symbols;         ///< "elf", "kallsyms", "none"
  std::string vmlinux;         ///< path; empty without one
};
KernelFacts kernel_facts(Kernel& kernel, UnreadList& unread);

/// A perf event. Values that could not be read are nullopt.
struct EventView {
  uint64_t address = 0;
  std::optional<int64_t> hw_idx;
  std::optional<uint64_t> hw_state;
  std::optional<int64_t> hw_last_cpu;
  std::optional<uint64_t> hw_interrupts;
  std::optional<int64_t> state;
  std::optional<int64_t> oncpu;
  std::optional<int64_t> cpu;
  std::optional<uint64_t> group_leader;
  std::optional<uint64_t> attr_type;
  std::optional<uint64_t> attr_config;
  std::optional<bool> attr_pinned;
  std::optional<bool> attr_freq;
};
EventView event_view(const PerfEvent& event, UnreadList& unread);

/// An entry of event_list[]: the event, or nothing where the pointer could not be read.
struct EventListEntry {
  std::optional<uint64_t> address;
  EventView event;  ///< meaningful when there is an address other than NULL
};

/// What struct cpu_hw_events of a CPU says.
struct PmuView {
  int cpu = 0;
  std::optional<uint64_t> address;
  std::optional<int64_t> enabled;
  std::optional<int64_t> n_events;
  std::optional<int64_t> n_added;
  std::optional<int64_t> n_txn;
  std::optional<uint64_t> active_mask;
  /// By counter: the pointer, nullopt where it could not be read; NULL slots are not in it. nullopt when none
  /// could be read.
  std::optional<std::map<int, std::optional<uint64_t>>> events;
  std::optional<std::vector<EventListEntry>> event_list;  ///< the first n_events; nullopt when that is unread
};
PmuView pmu_view(PmuState& pmu, int cpu, UnreadList& unread);

/// One counter of a CPU, for the map.
enum class CounterCell {
  kUnused,     ///< no active bit, no event
  kRunning,    ///< active bit and its event
  kHeld,       ///< an event, no active bit: stopped or throttled
  kMissing,    ///< active bit, but events[] is NULL: the next counter interrupt dereferences it
  kClaimed,    ///< an event of event_list says it is on this counter; the slot is empty and the bit clear
  kMismatch,   ///< events[] holds something that is no event of this counter
  kNoCounter,  ///< active bit or event for a counter that does not exist
  kUnread
};

/// The counters of one CPU as they stood, and the events on them.
struct CounterMap {
  int cpu = 0;
  std::optional<uint64_t> active_mask;
  std::map<int, CounterCell> cells;  ///< existing counters, and others that something refers to
  struct EventLine {
    std::optional<int64_t> counter;
    uint64_t address = 0;
    std::string counts;  ///< "instructions, sampling period 100003, cpu 1"
    std::string state;   ///< "running", "STOPPED|UPTODATE|ARCH"
    bool throttled = false;
    std::string owner;  ///< "pmu (pid 142)"; empty when it has none or is unread
  };
  std::vector<EventLine> events;
};
CounterMap make_counter_map(PmuState& pmu, int cpu, UnreadList& unread);

struct PmuReport {
  std::vector<PmuView> cpus;
  std::vector<CounterMap> maps;  ///< one per CPU, when asked for
  bool cpus_known = true;        ///< false when the mask of present CPUs could not be read
  std::vector<Unread> unread;
};
PmuReport make_pmu_report(PmuState& pmu, bool with_maps);

/// The stack of one CPU.
struct StackView {
  int cpu = 0;
  std::optional<int64_t> pid;
  std::optional<std::string> comm;
  bool crashed = false;               ///< this CPU took the kernel down
  std::optional<size_t> fault_frame;  ///< index into the frames
  Stack stack;
};
struct StackReport {
  std::vector<StackView> cpus;
  std::vector<Unread> unread;
};
/// \param only  this CPU; nullopt: all present ones, the one that crashed first
StackReport make_stack_report(Diagnosis& diagnosis, std::optional<int> only);

/// What a CPU was doing.
struct CpuView {
  int cpu = 0;
  std::optional<bool> online;
  std::optional<int64_t> pid;
  std::optional<std::string> comm;
  std::optional<uint64_t> ip;  ///< nullopt when the dump saved no registers
  std::string function;
  uint64_t offset = 0;
  std::string module;
  bool user = false;                                                             ///< ip is in user space
  std::optional<uint64_t> nmi_normal, nmi_unknown, nmi_external, nmi_swallowed;  ///< NMIs so far
  std::optional<uint64_t> watchdog_event;   ///< struct perf_event of the hard lockup detector
  std::optional<uint64_t> throttled_count;  ///< events throttled in this tick
  std::optional<uint64_t> throttled_seq;    ///< perf_throttled_seq: ticks so far
};
struct CpuReport {
  std::vector<CpuView> cpus;
  std::vector<NmiHandler> nmi_handlers;
  std::vector<Unread> unread;
};
CpuReport make_cpu_report(Diagnosis& diagnosis);

struct ModuleReport {
  std::vector<ModuleInfo> modules;
  std::vector<Unread> unread;
};
ModuleReport make_module_report(Kernel& kernel);

struct EventReport {
  EventView event;
  std::string counts;
  std::optional<std::string> owner;
  std::string text;  ///< the struct as C would initialise it
  std::vector<Unread> unread;
};
EventReport make_event_report(PmuState& pmu, uint64_t address);

struct InfoReport {
  DumpFacts dump;
  std::string vmcoreinfo;  ///< "note", "found in memory", "none"
  uint64_t memory_bytes = 0;
  size_t cpu_notes = 0;  ///< CPUs whose registers were saved
  KernelFacts kernel;
  std::string orc_format;
  std::vector<std::string> remarks;
  std::optional<std::vector<int>> possible_cpus;
  std::optional<std::vector<int>> present_cpus;
  std::optional<std::vector<int>> online_cpus;
  SystemFacts system;
  std::string log_source;
  size_t log_records = 0;
  std::vector<Unread> unread;
};
InfoReport make_info_report(Diagnosis& diagnosis);

/// info --compat
struct CompatReport {
  DumpFacts dump;
  KernelFacts kernel;
  std::vector<RuleCompatibility> rules;
  std::vector<Unread> unread;
};
/// Without the rules.
CompatReport make_compat_report(Kernel& kernel);

struct PrintedExpression {
  std::string expression;
  std::string type;  ///< empty when unread
  std::optional<uint64_t> address;
  std::optional<uint64_t> value;  ///< of scalars
  std::string text;               ///< as C would initialise it, or why it is unread
};
struct PrintReport {
  std::vector<PrintedExpression> results;
  std::vector<Unread> unread;
};
/// Throws std::invalid_argument for what is no expression.
PrintReport make_print_report(Kernel& kernel, std::span<const std::string> expressions);

struct TriageReport {
  DumpFacts dump;
  KernelFacts kernel;
  SystemFacts system;
  CrashState crash;
  std::vector<Finding> findings;
  std::vector<CatalogueEntry> catalogue;  ///< what `known` points into
  std::vector<KnownCause> known;          ///< causes known from elsewhere with the same symptom
  std::vector<JudgedRace> races;          ///< KCSAN reports in the log
  std::optional<CounterMap> counters;     ///< of the CPU that the leading finding is about
  Signature signature;                    ///< of the bucket that this crash belongs to
  bool explain = false;                   ///< say why this bucket
  std::vector<Unread> unread;

  /// The finding that explains the crash: proven or likely, cause_of_crash. nullptr without one.
  const Finding* root_cause() const;
  /// The first finding whose defect is armed or has struck, whether or not it explains the crash.
  const Finding* defect() const;
  int exit_code() const;
};
/// The counters of the CPU that the leading finding is about; nullopt without such a finding.
std::optional<CounterMap> leading_counters(Diagnosis& diagnosis, const TriageReport& report,
                                           UnreadList& unread);
/// \param with_counters  read the counters of the guilty CPU as well (text only)
TriageReport make_triage_report(Diagnosis& diagnosis, std::span<const RuleInfo> rules, bool with_counters);

struct CheckReport {
  DumpFacts dump;
  KernelFacts kernel;
  std::vector<InvariantResult> results;

  int exit_code() const;
};
CheckReport make_check_report(Diagnosis& diagnosis);

/// One report of console text, without a dump.
struct TextReport {
  ConsoleReport report;
  std::optional<JudgedRace> race;  ///< of a KCSAN report
  std::vector<Finding> findings;   ///< of the rules whose symptom this is; text decides none of them
  std::vector<KnownCause> known;   ///< entries of the catalogue with this symptom
  Signature signature;             ///< of the bucket that this report belongs to
  bool explain = false;            ///< say why this bucket
};
TextReport make_text_report(ConsoleReport report);

struct ExtractReport {
  std::string path;
  uint64_t pages = 0;
  uint64_t bytes = 0;
};

struct RecordReport {
  std::string path;
  uint64_t bytes = 0;
  uint64_t memory_bytes = 0;
  uint64_t symbols = 0;
  uint64_t types = 0;
  bool redacted = false;
};

struct VersionInfo {
  std::string version;
  std::vector<Component> components;
  std::vector<std::string> codecs;
  std::vector<std::string> schemas;  ///< of the JSON answers: "perfcore.triage/1", ...
};
VersionInfo make_version_info();

}  // namespace perfcore::cli
