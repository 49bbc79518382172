// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// A vmcore file of any supported format: physical memory, notes, and kernel virtual memory through the page
/// tables.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "perfcore/memory.h"
#include "perfcore/reading.h"

namespace perfcore {

class PageStore;

/// The VMCOREINFO text that the kernel exports for dump tools (kernel/vmcore_info.c, kernel/crash_core.c
/// before 6.9). Immutable after construction.
class VmcoreInfo {
 public:
  VmcoreInfo() = default;
  explicit VmcoreInfo(std::string text);

  bool empty() const { return values_.empty(); }
  const std::string& text() const { return text_; }

  /// The raw value of a line KEY=VALUE, e.g. get("OSRELEASE").
  std::optional<std::string_view> get(std::string_view key) const;
  /// SYMBOL(name): run-time address (hexadecimal in the text).
  std::optional<uint64_t> symbol(std::string_view name) const;
  /// NUMBER(name): decimal in the text, possibly negative.
  std::optional<int64_t> number(std::string_view name) const;
  /// KERNELOFFSET: the KASLR slide in bytes (hexadecimal in the text).
  std::optional<uint64_t> kernel_offset() const;

 private:
  std::string text_;
  std::map<std::string, std::string, std::less<>> values_;
};

/// General registers of one CPU as saved in the dump, in the order of struct pt_regs
/// (arch/x86/include/asm/ptrace.h).
struct Registers {
  uint64_t r15 = 0, r14 = 0, r13 = 0, r12 = 0, bp = 0, bx = 0, r11 = 0, r10 = 0, r9 = 0, r8 = 0, ax = 0,
           cx = 0, dx = 0, si = 0, di = 0, orig_ax = 0, ip = 0, cs = 0, flags = 0, sp = 0, ss = 0;

  bool from_user() const { return (cs & 3) != 0; }
};

/// What NT_PRSTATUS says of one CPU. The kernel writes one note per CPU that it stopped, hypervisors one per
/// vCPU.
struct CpuStatus {
  int cpu = -1;  ///< position among the notes; the CPU number where every CPU has a note
  int pid = -1;  ///< pr_pid: 0 in hypervisor dumps
  Registers registers;
  uint64_t gs_base = 0;  ///< as saved; meaningful in hypervisor dumps, user's in kexec dumps
};

/// Something about the file itself that the user must know, with how often and where first.
struct QualityNote {
  std::string what;  ///< "file is truncated: 12 of 400 pages lie beyond its end", ...
  uint64_t count = 0;
  uint64_t first_address = 0;  ///< physical address of the first one, 0 where it does not apply
};

struct DumpOptions {
  /// Called with (done, total) bytes on long work such as un-flattening; may be empty.
  std::function<void(uint64_t, uint64_t)> progress;
  /// Pages that other dumps have in common with this one, perhaps; asked and added to. Not owned, must
  /// outlive the dump.
  PageStore* pages = nullptr;
};

/// Pages touched, by physical frame number; see Dump::start_recording_touched_pages().
using PageSet = std::vector<uint64_t>;

/// An opened dump. One thread at a time; open twice for two threads (libkdumpfile's clones share a lock and
/// are slower).
class Dump {
 public:
  /// Opens a dump by content: a recording (record.h), or a vmcore: ELF, kdump-compressed (zlib, lzo, snappy, zstd), either of them flattened
  /// (makedumpfile -F, QEMU's dump-guest-memory -z), or a split set given by all of its parts, by one part
  /// with the others beside it, or by its directory. A directory such as /var/crash/HOST-DATE is searched for
  /// vmcore, then dump*, then vmcore-incomplete. Throws InputError when nothing can be opened, saying what
  /// was found and what to do.
  static std::unique_ptr<Dump> open(const std::vector<std::string>& paths, const DumpOptions& options = {});
  virtual ~Dump() = default;

  /// Path of the (first) file, as opened.
  virtual const std::string& path() const = 0;
  /// "elf", "kdump-compressed", with " (flattened)", " (split, 3 parts)", " (minimal)" as it applies.
  virtual const std::string& format() const = 0;
  /// Path of a vmcore-dmesg.txt beside the dump, empty if there is none.
  virtual const std::string& dmesg_beside() = 0;

  virtual PhysicalMemory& physical() = 0;
  /// Kernel virtual memory: by page-table walk from swapper_pg_dir (4 and 5 levels), page-cached.
  virtual Memory& memory() = 0;

  virtual const VmcoreInfo& vmcoreinfo() const = 0;
  /// Where vmcoreinfo came from: "note", "found in memory", "none".
  virtual std::string_view vmcoreinfo_source() const = 0;
  /// One per NT_PRSTATUS note, in the order of the file; empty when the dump has none.
  virtual const std::vector<CpuStatus>& cpu_status() const = 0;
  /// What is wrong with the file as such (truncated, corrupt descriptors, unknown notes...); empty for a
  /// sound one.
  virtual const std::vector<QualityNote>& quality() const = 0;

  /// Physical address of a kernel virtual address by the same walk that memory() uses.
  virtual Reading<uint64_t> virtual_to_physical(uint64_t address) = 0;

  /// From now on remember which physical pages were read, page tables included (for extract).
  virtual void start_recording_touched_pages() = 0;
  virtual PageSet touched_pages() const = 0;

  /// Raw ELF notes of the dump (PT_NOTE content or the notes of the kdump sub-header): copied as they are by
  /// extract.
  virtual const std::string& raw_notes() const = 0;

  /// The symbols and types that a recording holds, as write_recording() wrote them; empty for vmcores.
  virtual std::string_view recorded_tables() const { return {}; }
};

/// Writes a valid vmcore that holds only the given pages of a dump (extract).
struct ExtractOptions {
  bool elf = false;  ///< ELF instead of kdump-compressed with zlib
};
/// Throws InputError when the output cannot be written. \return bytes written.
uint64_t write_minimal_dump(Dump& dump, const PageSet& pages, const std::string& output,
                            const ExtractOptions& options);

}  // namespace perfcore
