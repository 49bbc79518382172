// SPDX-License-Identifier: LGPL-2.1-or-later
#include "commands.h"

#include <algorithm>

#include "exit_codes.h"

namespace perfcore::cli {
namespace {

const std::vector<Option>& common_options() {
  static const std::vector<Option> options = {
      {"--debuginfo",
       "PATH",
       "A vmlinux with debug info of the crashed kernel, or a directory to search for it; may be given "
       "several "
       "times. It must have the dump's build ID.",
       &Options::debuginfo,
       {},
       true},
      {"--no-debuginfo",
       "",
       "Look for no vmlinux, not even in the usual places: types and symbols come from the dump itself (BTF "
       "and "
       "kallsyms).",
       &Options::no_debuginfo,
       {},
       true},
      {"--format",
       "FORMAT",
       "text for people (default) or json for programs.",
       &Options::format,
       {"text", "json"}},
      {"-o,--output", "FILE", "Write the answer to FILE instead of standard output.", &Options::output},
      {"--color",
       "WHEN",
       "Colours: auto (only on a terminal, and not when NO_COLOR is set; default), always, never.",
       &Options::color,
       {"auto", "always", "never"}},
      {"--time-limit", "SECONDS",
       "Stop with exit code 3 after this much CPU time; 0 for no limit. Default 5. Bounded work such as "
       "unpacking a "
       "flattened dump does not count.",
       &Options::time_limit},
      {"-v,--verbose", "", "Say on standard error which debug info was chosen and what was found on the way.",
       &Options::verbose},
  };
  return options;
}

Option explain_option() {
  return {"--explain", "", "Say why a crash is in this bucket, and under which other ids related ones are.",
          &Options::explain};
}

Option store_option() {
  return {"--store", "URL",
          "The store of crashes: a file (SQLite) or postgresql://...; default "
          "$XDG_STATE_HOME/perfcore/crashes.db "
          "or ~/.local/state/perfcore/crashes.db.",
          &Options::store};
}

const std::vector<Command>& table() {
  static const std::vector<Command> commands = {
      {"triage",
       "DUMP...",
       "say what killed the kernel and why",
       "Opens the dump, works out what killed the kernel, runs every rule for known root causes on its "
       "state, and "
       "answers: first what died, why, and what to do now; then the evidence for it. The dump alone is "
       "enough; a "
       "vmlinux with debug info adds inlined functions to stacks. Without a matching "
       "rule the "
       "answer still names the class of the crash, the faulting instruction in words, and what to look at "
       "next.",
       1,
       "which dump? Give a vmcore, or a directory such as /var/crash/202611200419",
       {{"--rules", "DIR",
         "Run the rules in Python in DIR as well, and those of installed Python packages; may be given "
         "several "
         "times. They are programs: give only directories that you trust.",
         &Options::rules},
        explain_option()},
       {{"perfcore triage /var/crash/202611200419/dump.202611200419", "the main job"},
        {"perfcore triage vmcore --debuginfo /usr/lib/debug", "with a vmlinux found below a directory"},
        {"perfcore triage vmcore --format json | jq .findings[0]", "for programs"},
        {"perfcore triage vmcore.1 vmcore.2 vmcore.3", "a dump split by makedumpfile --split"},
        {"perfcore triage vmcore --rules /etc/perfcore/rules", "with rules of your own"}},
       {kExitDone, kExitRootCause, kExitDefect, kExitUsage, kExitInput, kExitInternal},
       run_triage},
      {"check",
       "DUMP...",
       "check the state of the PMU for what cannot be",
       "An fsck for PMU state: checks on every CPU what must hold of counters, events, groups, contexts, "
       "hardware and ring buffers, and of what drives them. Names each value that breaks an invariant, what "
       "that suggests, what is legal all the same because the CPU was just changing it, and what could not "
       "be "
       "read. Works on a healthy or live kernel as well: state that will kill it is found before it does.",
       1,
       "which dump? Give a vmcore, or a directory such as /var/crash/202611200419",
       {},
       {{"perfcore check vmcore", "is anything wrong with the PMU's state?"},
        {"perfcore check vmcore --format json | jq '.results[] | select(.status == \"violated\")'",
         "for programs"}},
       {kExitDone, kExitDefect, kExitNotRead, kExitUsage, kExitInput, kExitInternal},
       run_check},
      {"show",
       "DUMP... pmu|ibs|events|event ADDRESS|contexts|buffers|cpus|tasks|modules|bt [CPU]",
       "show a part of the dead kernel's state",
       "pmu: the performance counters of every present CPU and the events on them. ibs: AMD's "
       "instruction-based "
       "sampling on every CPU. events: every perf event that CPUs and tasks lead to; event ADDRESS: one in "
       "full. "
       "contexts: the lists that events are on, of CPUs and tasks. buffers: ring and AUX buffers, and who "
       "waits "
       "for them. cpus: what each CPU was doing, its NMIs, and who handles them. tasks: all tasks. modules: "
       "the "
       "loaded modules. bt: the stack of every CPU, or of one.",
       2,
       "show what? Give a dump and one of pmu, ibs, events, event, contexts, buffers, cpus, tasks, modules, "
       "bt",
       {},
       {{"perfcore show vmcore pmu", "counters and events of every CPU"},
        {"perfcore show vmcore bt 3", "the stack of CPU 3"},
        {"perfcore show vmcore event 0xffff888005ae3480", "one event in full"}},
       {kExitDone, kExitUsage, kExitInput, kExitInternal},
       run_show},
      {"addr",
       "DUMP ADDRESS...",
       "tell what is at an address",
       "Symbol, per-CPU variable and of which CPU, slab cache and object and whether it is free, struct "
       "member, "
       "task, stack, module, mapping, page; poison, error pointers, NULL and user addresses, and what an "
       "address "
       "that is nothing would be with one bit flipped. The most specific comes first. ADDRESS is a number, a "
       "function with an offset as in a stack trace, or an expression as print takes it: of a pointer its "
       "value, of anything else its place.",
       2,
       "which address? Give a dump and a number, a symbol or an expression such as 'x86_pmu.name'",
       {},
       {{"perfcore addr vmcore 0xffff888005ae360c", "what does this pointer point to?"},
        {"perfcore addr vmcore 'per_cpu(cpu_hw_events, 1).events[0]' x86_pmu_enable+0x1c", "by expression"}},
       {kExitDone, kExitUsage, kExitInput, kExitInternal},
       run_addr},
      {"type",
       "DUMP NAME[.MEMBER]...",
       "print the layout of a struct, union, enum or typedef",
       "Members with their offsets and sizes, holes, bit-fields, padding and cache lines, as the dumped "
       "kernel "
       "has them; structs without a tag are written out in place. NAME is a tag with or without struct, "
       "union "
       "or enum, or a typedef. With a member, \"perf_event.hw.idx\", its offset, size and type, and the "
       "layout "
       "of its type if that has members.",
       2,
       "which type? Give a dump and a name such as perf_event or perf_event.hw.idx",
       {},
       {{"perfcore type vmcore perf_event", "the whole struct"},
        {"perfcore type vmcore perf_event.hw.idx", "what lies at which offset"}},
       {kExitDone, kExitUsage, kExitInput, kExitInternal},
       run_type},
      {"log",
       "DUMP...",
       "print the kernel log",
       "Prints the log buffer of the dead kernel with time stamps, as dmesg would have. Control characters "
       "are "
       "escaped as \\xNN. If the buffer cannot be read, the vmcore-dmesg.txt beside the dump is used and "
       "named.",
       1,
       "which dump? Give a vmcore, or a directory such as /var/crash/202611200419",
       {},
       {{"perfcore log vmcore | tail -60", "the last words"}},
       {kExitDone, kExitUsage, kExitInput, kExitInternal},
       run_log},
      {"print",
       "DUMP EXPRESSION...",
       "evaluate C expressions over the kernel's variables",
       "Expressions are C: names of variables, numbers, casts, . -> [] * & and the arithmetic, comparing and "
       "logical "
       "operators; and per_cpu(variable, cpu), per_cpu_ptr(pointer, cpu), container_of(pointer, type, "
       "member), "
       "sizeof(type). Every expression that perfcore shows as evidence can be given here. What cannot be "
       "read is "
       "shown with the reason, never as 0.",
       2,
       "print what? Give a dump and an expression such as 'per_cpu(cpu_hw_events, 1).n_events'",
       {},
       {{"perfcore print vmcore 'per_cpu(cpu_hw_events, 1).event_list[0].hw.state'", "one value"},
        {"perfcore print vmcore x86_pmu.name '*(struct perf_event *)0xffff888005ae3480'", "two expressions"}},
       {kExitDone, kExitUsage, kExitInput, kExitInternal},
       run_print},
      {"info",
       "DUMP...",
       "tell what the dump is and what can be read from it",
       "Format and soundness of the file, the kernel, the machine, which debug info was chosen and why, and "
       "what is "
       "missing.",
       1,
       "which dump? Give a vmcore, or a directory such as /var/crash/202611200419",
       {{"--compat", "",
         "Tell instead which types, members and symbols each rule asked this kernel for, and under which "
         "name the "
         "kernel has them. What is asked depends on the state of the dump.",
         &Options::compat}},
       {{"perfcore info vmcore", "what is this file?"},
        {"perfcore info vmcore --compat", "does perfcore know this kernel's structures?"}},
       {kExitDone, kExitUsage, kExitInput, kExitInternal},
       run_info},
      {"extract",
       "DUMP...",
       "write a small vmcore with only the pages that a diagnosis needs",
       "Runs triage, log and stacks, and writes the pages that they touched, with those that symbol and type "
       "look-ups "
       "need, as a valid vmcore of a few megabytes that other tools open as well. Its triage gives the same "
       "findings. "
       "It holds kernel memory: log, task names, and whatever else was on those pages.",
       1,
       "which dump? Give a vmcore, and the file to write by -o",
       {{"-o,--output", "MINI", "The vmcore to write. Required.", &Options::output},
        {"--elf", "", "Write an ELF vmcore instead of a kdump-compressed (zlib) one.", &Options::elf}},
       {{"perfcore extract vmcore -o mini.vmcore", "small enough to attach to a bug report"}},
       {kExitDone, kExitUsage, kExitInput, kExitInternal},
       run_extract},
      {"record",
       "DUMP...",
       "write a recording: only what a diagnosis reads, in some hundred kilobytes",
       "Runs triage, check, log, stacks and all that show shows, and writes what they read and asked: bytes "
       "of "
       "kernel memory, symbols, type layouts and code. The recording opens like a dump, with every command "
       "except extract, needs no debug info and gives the same answers; what was not recorded is said to be "
       "so. "
       "It holds kernel memory: log, task names, registers; --redact leaves these out.",
       1,
       "which dump? Give a vmcore, and the file to write by -o",
       {{"-o,--output", "REC", "The recording to write. Required.", &Options::output},
        {"--redact", "",
         "Leave out task names, command lines, the text of the kernel log and the registers of user space. "
         "Answers from the recording say so.",
         &Options::redact}},
       {{"perfcore record vmcore -o crash.rec", "keep the crash when the dump must go"},
        {"perfcore record vmcore --redact -o crash.rec", "to give away"},
        {"perfcore triage crash.rec", "the same answer as from the dump"}},
       {kExitDone, kExitUsage, kExitInput, kExitInternal},
       run_record},
      {"rules",
       "[ID]",
       "tell which root causes perfcore knows, and what it knows of one",
       "Without ID: the rules, which decide from the state in the dump, and the catalogue of causes that are "
       "recognised by their symptom only. With ID: the symptoms, the evidence and its weights, what else "
       "looks the same, the kernels affected, culprit and fix with the releases that carry them, what to do, "
       "and for each fact how certain it is and where it comes from. Needs no dump.",
       0,
       "",
       {},
       {{"perfcore rules", "all of them"},
        {"perfcore rules perf-x86-null-events", "what one rule knows"},
        {"perfcore rules D-06", "an entry of the catalogue"}},
       {kExitDone, kExitUsage, kExitInput, kExitInternal},
       run_rules,
       false},
      {"report",
       "LOG",
       "tell crashes from console text when there is no dump",
       "Finds the kernel's crash reports in console text (dmesg, serial log, pstore, vmcore-dmesg.txt, mail) "
       "and gives each a title, a kind and the function to blame: titles are those of syzkaller, so that "
       "reports "
       "of one bug get one title. Time stamps and caller IDs are taken off, lines of other CPUs told apart "
       "by "
       "the IDs. A report that is cut off or mixed up is called corrupted, with the reason: do not group by "
       "it. "
       "Of a data race that KCSAN reports it also says whether it does harm, why, and what to do. With "
       "--jsonl "
       "many texts are read, one JSON object {\"id\", \"text\"} a line, from LOG or standard input, and each "
       "is answered by one line.",
       0,
       "which text? Give a log file, or - for standard input",
       {{"--jsonl", "", "Read one JSON object {\"id\", \"text\"} a line; write one a line.", &Options::jsonl},
        explain_option()},
       {{"perfcore report console.log", "a serial log"},
        {"dmesg | perfcore report -", "the running kernel"},
        {"perfcore report --jsonl < texts.jsonl", "many of them"}},
       {kExitDone, kExitUsage, kExitInput, kExitInternal},
       run_report,
       false},
      {"batch",
       "PATH...",
       "put many crashes into buckets",
       "Works through files and directories: vmcores, recordings, console text (*.log, *.txt, *dmesg*) and "
       "JSONL "
       "files of {\"id\", \"text\"}. Each is read by a process of its own with limits of time and memory, so "
       "that a damaged dump costs that process only. The crashes go into the store. A batch that was "
       "stopped goes on where it was: files that were done are passed over until they change.",
       1,
       "which dumps? Give files or directories such as /var/crash",
       {{"--jobs", "N", "Work on this many files at a time; default: one for each CPU.", &Options::jobs},
        {"--again", "", "Read files that were done before as well.", &Options::again},
        {"--list", "", "Only print the files that would be read.", &Options::list},
        store_option()},
       {{"perfcore batch /var/crash", "all crashes of this machine"},
        {"perfcore batch --jobs 8 --store postgresql://db/crashes /srv/crashes", "of a fleet"},
        {"perfcore buckets list", "what came of it"}},
       {kExitDone, kExitUsage, kExitInput, kExitInternal},
       run_batch},
      {"buckets",
       "list|show ID|diff A B|export|rebucket|eval LABELS|dashboard",
       "show the buckets that batches made",
       "list: the buckets, those with most crashes first, then the fastest growing; with first and last "
       "crash, "
       "kernels, the root cause where it is known, its fix and the releases that have it, and "
       "\"regression?\" "
       "where a kernel that has the fix crashed all the same. show: the story, facts and crashes of one. "
       "diff: "
       "what tells two apart. export: every crash as one JSON object a line; with --format json all buckets. "
       "rebucket: compute signatures anew from the stored answers. eval: hold the buckets against labels in "
       "a "
       "CSV or JSONL file of crash or path and label. dashboard: write a page of HTML to the directory of "
       "-o.",
       1,
       "what of the buckets? Give list, show ID, diff A B, export, rebucket, eval LABELS or dashboard",
       {{"--dry-run", "", "Of rebucket: only say what would change.", &Options::dry_run}, store_option()},
       {{"perfcore buckets list", "all of them"},
        {"perfcore buckets show pc1-abc", "one, by the beginning of its id"},
        {"perfcore buckets export > crashes.jsonl", "every crash"},
        {"perfcore buckets dashboard -o report", "for a browser: report/index.html"}},
       {kExitDone, kExitUsage, kExitInput, kExitInternal},
       run_buckets,
       false},
  };
  return commands;
}

}  // namespace

std::span<const Command> commands() {
  return table();
}

const Command* find_command(std::string_view name) {
  const auto& all = table();
  const auto found = std::find_if(all.begin(), all.end(), [&](const Command& c) { return c.name == name; });
  return found == all.end() ? nullptr : &*found;
}

std::vector<Option> options_of(const Command& command) {
  std::vector<Option> options = command.options;
  for (const Option& common : common_options()) {
    if (common.about_dump && !command.reads_dump) continue;
    const bool replaced = std::any_of(command.options.begin(), command.options.end(),
                                      [&](const Option& own) { return own.names == common.names; });
    if (!replaced) options.push_back(common);
  }
  return options;
}

std::span<const Option> global_options() {
  static const std::vector<Option> options = {
      {"--version", "",
       "Print the versions of perfcore, of the libraries it uses and of its output, and exit.",
       &Options::version},
      {"--format", "FORMAT", "Of --version: text (default) or json.", &Options::format, {"text", "json"}},
      {"--man", "COMMAND", "Print the man page of a command (of perfcore itself: perfcore) and exit.",
       &Options::man},
      {"--completion",
       "SHELL",
       "Print the completion script of a shell and exit.",
       &Options::completion,
       {"bash"}},
  };
  return options;
}

std::span<const ExitCode> exit_codes() {
  static const ExitCode codes[] = {
      {kExitDone, "Done; triage: no known root cause was found; check: nothing is wrong."},
      {kExitUsage, "The command line is wrong."},
      {kExitInput, "The input cannot be used, or the output cannot be written; the message says why."},
      {kExitInternal, "Internal error, or the limit of time or memory was reached."},
      {kExitRootCause, "triage: a known root cause of this crash was found (proven or likely)."},
      {kExitDefect,
       "triage: no known root cause, but a known defect is armed or has struck. check: an invariant of "
       "severity F "
       "or E is violated."},
      {kExitNotRead, "check: nothing is violated, but something could not be read."},
  };
  return codes;
}

std::string_view meaning_of(int exit_code) {
  for (const ExitCode& known : exit_codes())
    if (known.code == exit_code) return known.meaning;
  return "";
}

}  // namespace perfcore::cli
