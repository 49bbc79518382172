// SPDX-License-Identifier: LGPL-2.1-or-later
#include "kernel/record_redact.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "perfcore/log.h"
#include "perfcore/tasks.h"

namespace perfcore {
namespace {

/// TASK_COMM_LEN of include/linux/sched.h: 16 since the beginning; shorter names are padded with NUL.
constexpr size_t kCommSize = 16;
/// COMMAND_LINE_SIZE of arch/x86/include/asm/setup.h.
constexpr size_t kMaxCommandLine = 2048;
/// What was printed is also left on stacks and in buffers, in pieces. Shorter pieces tell nothing and are
/// common words.
constexpr size_t kPiece = 10;
/// log_buf_len= allows up to 2 GiB (LOG_BUF_LEN_MAX of kernel/printk/printk.c).
constexpr uint64_t kMaxLogBits = 31;
/// struct pt_regs (arch/x86/include/asm/ptrace.h): 21 words, the last five of which the CPU pushes.
constexpr size_t kRegistersWords = 21;
constexpr size_t kIp = 16, kCs = 17, kFlags = 18, kSp = 19, kSs = 20;
/// __USER_CS, __USER32_CS and __USER_DS (arch/x86/include/asm/segment.h).
constexpr uint64_t kUserCs = 0x33, kUser32Cs = 0x23, kUserDs = 0x2b;
/// Canonical user addresses, with five levels of page tables too, are below this one.
constexpr uint64_t kUserEnd = uint64_t{1} << 56;

const Unread kRedacted{UnreadReason::kNotRecorded, 0, "", "redacted"};

class Redactor {
 public:
  Redactor(Kernel& kernel, RecordedRanges* ranges) : kernel_(kernel), ranges_(*ranges) {}

  void run() {
    task_names();
    command_line();
    log();
    user_registers();
    copies();
  }

 private:
  void remove(uint64_t address, uint64_t size) {
    ranges_.remove(address, address + std::min(size, UINT64_MAX - address), kRedacted);
  }

  void task_names() {
    const auto remove_name = [&](const Object& task) {
      const Object comm = task.member("comm");
      const Reading<uint64_t> address = comm.address();
      if (!address.has_value()) return;
      std::array<char, kCommSize> name = {};
      if (!kernel_.memory().read(*address, std::as_writable_bytes(std::span(name))))
        names_.insert(std::string(name.data(), name.size()));
      remove(*address, kCommSize);
    };
    for_each_task(kernel_, remove_name);
    const auto cpus = kernel_.possible_cpus();
    if (cpus.has_value())
      for (const int cpu : *cpus) {
        remove_name(kernel_.current_task(cpu));
        remove_name(kernel_.per_cpu("runqueues", cpu).member("idle").deref());
      }
  }

  void command_line() {
    const Object line = kernel_.variable("saved_command_line");
    const Reading<std::string> text = line.string(kMaxCommandLine);
    const Reading<uint64_t> address = line.u64();
    if (!text.has_value() || !address.has_value()) return;
    remove(*address, text->size() + 1);
    add_pieces(*text);
  }

  void log() {
    for (const LogRecord& record : read_log(kernel_).records) add_pieces(record.text);
    if (const Reading<uint64_t> prb = word("prb"); prb.has_value()) {
      const Object ring = kernel_.object("struct printk_ringbuffer", *prb).member("text_data_ring");
      const Reading<uint64_t> data = ring.member("data").u64();
      const Reading<uint64_t> bits = ring.member("size_bits").u64();
      if (data.has_value() && bits.has_value() && *bits <= kMaxLogBits) remove(*data, uint64_t{1} << *bits);
    }
    // Before 5.10 text and records lie in one buffer.
    const Reading<uint64_t> buffer = word("log_buf");
    const Reading<uint64_t> size = word("log_buf_len");
    if (buffer.has_value() && size.has_value() && (*size & UINT32_MAX) <= uint64_t{1} << kMaxLogBits)
      remove(*buffer, *size & UINT32_MAX);
  }

  Reading<uint64_t> word(const char* symbol) {
    const auto found = kernel_.symbols().find(symbol);
    if (!found) return Unread{UnreadReason::kNoSymbol, 0, symbol, ""};
    return read_value<uint64_t>(kernel_.memory(), found->address);
  }

  void add_pieces(std::string_view text) {
    for (size_t i = 0; i + kPiece <= text.size(); i++) pieces_.insert(std::string(text.substr(i, kPiece)));
  }

  /// The frames that the CPU pushed when it left user space end in words that nothing else has.
  void user_registers() {
    constexpr uint64_t kBefore = kRegistersWords * 8;
    std::vector<uint64_t> frames;
    for (const auto& [begin, end] : ranges_.ranges) {
      const uint64_t from = begin < kBefore ? 0 : (begin - kBefore) & ~uint64_t{7};
      const uint64_t to = end + std::min<uint64_t>(kBefore, UINT64_MAX - end);
      const Snapshot snapshot = take_snapshot(kernel_.memory(), from, to - from);
      for (size_t at = 0; at + 5 * 8 <= snapshot.bytes.size(); at += 8) {
        std::array<uint64_t, 5> frame;  // ip, cs, flags, sp, ss
        std::memcpy(frame.data(), snapshot.bytes.data() + at, sizeof frame);
        if ((frame[1] == kUserCs || frame[1] == kUser32Cs) && frame[4] == kUserDs && frame[0] < kUserEnd &&
            frame[3] < kUserEnd)
          frames.push_back(from + at - kIp * 8);
      }
    }
    for (const uint64_t registers : frames) {
      // That it was user space, and with which flags, stays: where a stack ends is no secret.
      remove(registers, kCs * 8);
      remove(registers + kSp * 8, 8);
    }
    static_assert(kFlags == kCs + 1 && kSp == kFlags + 1 && kSs == kSp + 1);
  }

  /// What is left of names, command line and log elsewhere.
  void copies() {
    const auto ranges = ranges_.ranges;
    for (const auto& [begin, end] : ranges) {
      const Snapshot snapshot = take_snapshot(kernel_.memory(), begin, end - begin);
      const std::string_view bytes(reinterpret_cast<const char*>(snapshot.bytes.data()),
                                   snapshot.bytes.size());
      for (size_t at = 0; at < bytes.size(); at++) {
        if (bytes[at] == '\0' || says_what_it_runs_on(begin + at)) continue;
        if (names_.contains(std::string(bytes.substr(at, kCommSize)))) remove(begin + at, kCommSize);
        if (pieces_.contains(std::string(bytes.substr(at, kPiece)))) remove(begin + at, kPiece);
      }
    }
  }

  /// The kernel's version and the name of the processor are printed as well, and are in every answer.
  bool says_what_it_runs_on(uint64_t address) {
    return std::any_of(public_.begin(), public_.end(),
                       [&](const auto& range) { return address - range.first < range.second; });
  }
  std::vector<std::pair<uint64_t, uint64_t>> public_objects() {
    std::vector<std::pair<uint64_t, uint64_t>> places;  // address and size
    for (const char* name : {"init_uts_ns", "boot_cpu_data"}) {
      const Object object = kernel_.variable(name);
      const Reading<uint64_t> address = object.address();
      if (address.has_value()) places.emplace_back(*address, object.type()->size);
    }
    return places;
  }

  Kernel& kernel_;
  RecordedRanges& ranges_;
  const std::vector<std::pair<uint64_t, uint64_t>> public_ = public_objects();
  std::unordered_set<std::string> names_;   // padded
  std::unordered_set<std::string> pieces_;  // of kPiece bytes
};

}  // namespace

void redact_memory(Kernel& kernel, RecordedRanges* ranges) {
  Redactor(kernel, ranges).run();
}

}  // namespace perfcore
