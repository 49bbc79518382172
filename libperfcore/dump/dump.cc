// SPDX-License-Identifier: LGPL-2.1-or-later
#include "perfcore/dump.h"

#include <fmt/format.h>

#include "dump/address_space.h"
#include "dump/container.h"
#include "dump/locate.h"
#include "dump/minimal_note.h"
#include "dump/notes.h"
#include "dump/recorded_dump.h"
#include "dump/virtual_memory.h"

namespace perfcore {
namespace {

class DumpImpl : public Dump {
 public:
  DumpImpl(LocatedDump located, const DumpOptions& options)
      : path_(std::move(located.path)), container_(std::move(located.container)) {
    const Notes notes = parse_notes(container_->raw_notes());
    if (notes.of_a_process && notes.vmcoreinfo.empty() && notes.hypervisor_cpus.empty())
      throw InputError(fmt::format(
          "{} is the core of a process, not of a kernel; a vmcore is written by kdump, makedumpfile "
          "or QEMU's dump-guest-memory",
          path_));
    if (notes.minimal) {
      container_->add_to_format(" (minimal)");
      minimal_ = make_minimal_memory(*container_, parse_minimal_info(*notes.minimal));
    }
    physical_.emplace(minimal_ ? *minimal_ : *container_);
    quality_ = container_->quality();
    if (notes.malformed != 0)
      quality_.push_back(
          {"ELF notes that cannot be read: registers of some CPUs may be missing", notes.malformed, 0});
    cpu_status_ = notes.cpus;
    find_vmcoreinfo(notes, options);
    const AddressSpace space = find_address_space(*physical_, *container_, vmcoreinfo_, notes);
    if (!vmcoreinfo_.empty() && !space.verified)
      quality_.push_back(
          {"page tables that do not map the kernel where VMCOREINFO says, or cannot be read: kernel memory "
           "is "
           "read by the fixed mappings where possible",
           1, space.setup.root});
    memory_ = std::make_unique<VirtualMemory>(*physical_, space.setup);
  }

  const std::string& path() const override { return path_; }
  const std::string& format() const override { return container_->format(); }
  const std::string& dmesg_beside() override {
    if (!dmesg_beside_) dmesg_beside_ = find_dmesg_beside(path_);
    return *dmesg_beside_;
  }
  PhysicalMemory& physical() override { return *physical_; }
  Memory& memory() override { return *memory_; }
  const VmcoreInfo& vmcoreinfo() const override { return vmcoreinfo_; }
  std::string_view vmcoreinfo_source() const override { return vmcoreinfo_source_; }
  const std::vector<CpuStatus>& cpu_status() const override { return cpu_status_; }
  const std::vector<QualityNote>& quality() const override { return quality_; }
  const std::string& raw_notes() const override { return container_->raw_notes(); }

  Reading<uint64_t> virtual_to_physical(uint64_t address) override {
    return memory_->page_table().translate(address).map(
        [](const PageTable::Translation& t) { return t.physical; });
  }

  void start_recording_touched_pages() override {
    memory_->flush();  // what is cached would be used without being read again
    physical_->start();
  }
  PageSet touched_pages() const override { return physical_->pages(); }

 private:
  void find_vmcoreinfo(const Notes& notes, const DumpOptions& options) {
    vmcoreinfo_source_ = "note";
    vmcoreinfo_ = VmcoreInfo(!notes.vmcoreinfo.empty() ? notes.vmcoreinfo : container_->vmcoreinfo_text());
    if (!vmcoreinfo_.empty()) return;
    size_t rejected = 0;
    if (auto found = search_vmcoreinfo(*physical_, *container_, notes, options.progress, rejected)) {
      vmcoreinfo_ = std::move(*found);
      vmcoreinfo_source_ = "found in memory";
      return;
    }
    vmcoreinfo_source_ = "none";
    quality_.push_back(
        {"no VMCOREINFO, neither as a note nor in memory: the kernel cannot be identified by the dump alone",
         1, 0});
    if (rejected != 0)
      quality_.push_back(
          {"texts like VMCOREINFO in memory that do not fit the page tables: of an earlier boot?", rejected,
           0});
  }

  std::string path_;
  std::optional<std::string> dmesg_beside_;  // a directory can hold thousands of dumps: sought when asked for
  std::unique_ptr<Container> container_;
  std::unique_ptr<PhysicalMemory> minimal_;  // over container_, in minimal dumps only
  std::optional<RecordingMemory> physical_;  // over either
  std::vector<QualityNote> quality_;
  std::vector<CpuStatus> cpu_status_;
  VmcoreInfo vmcoreinfo_;
  std::string_view vmcoreinfo_source_;
  std::unique_ptr<VirtualMemory> memory_;
};

}  // namespace

std::unique_ptr<Dump> Dump::open(const std::vector<std::string>& paths, const DumpOptions& options) {
  if (paths.size() == 1 && is_recording(paths.front())) return open_recorded_dump(paths.front());
  return std::make_unique<DumpImpl>(locate_dump(paths, options), options);
}

}  // namespace perfcore
