// SPDX-License-Identifier: LGPL-2.1-or-later
#include "perfcore/log.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <fstream>
#include <iterator>

namespace perfcore {
namespace {

// The kernel's log_buf_len= may be larger; nobody has seen that, and input must not decide how much memory is
// used. The newest part is read then.
constexpr uint64_t kMaxText = 32 << 20;
constexpr uint64_t kMaxRecords = 1 << 20;

// Offsets and sizes that the kernel exports for makedumpfile in VMCOREINFO (log_buf_vmcoreinfo_setup(),
// kernel/printk/printk.c), which cost nothing to look up; else from the types.
class Layout {
 public:
  explicit Layout(Kernel& kernel) : kernel_(kernel) {}

  uint64_t size(std::string_view type) {
    if (auto size = kernel_.vmcoreinfo().get(fmt::format("SIZE({})", type)))
      if (auto value = parse(*size)) return *value;
    if (const Type* found = find(type)) return found->size;
    return 0;
  }

  // `path` with dots in VMCOREINFO's spelling "prb_desc.state_var".
  uint64_t offset(std::string_view type, std::string_view member) {
    if (auto offset = kernel_.vmcoreinfo().get(fmt::format("OFFSET({}.{})", type, member)))
      if (auto value = parse(*offset)) return *value;
    if (const Type* found = find(type)) {
      if (auto location = TypeSource::find_member(found, member)) return location->byte_offset();
      missing(UnreadReason::kNoMember, fmt::format("struct {}.{}", type, member));
    }
    return 0;
  }

  // A member that VMCOREINFO does not export; nullopt without types.
  std::optional<MemberLocation> member(std::string_view type, std::string_view name) {
    const Type* found = kernel_.types().find(TypeKind::kStruct, type);
    return found ? TypeSource::find_member(found, name) : std::nullopt;
  }

  // The first thing that was found nowhere.
  const std::optional<Unread>& unread() const { return unread_; }

 private:
  static std::optional<uint64_t> parse(std::string_view text) {
    uint64_t value = 0;
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    return error == std::errc() ? std::optional(value) : std::nullopt;
  }
  const Type* find(std::string_view type) {
    const Type* found = kernel_.types().find(TypeKind::kStruct, type);
    if (!found) missing(UnreadReason::kNoType, fmt::format("struct {}", type));
    return found;
  }
  void missing(UnreadReason reason, std::string path) {
    if (!unread_) unread_ = Unread{reason, 0, std::move(path), "not in VMCOREINFO either"};
  }

  Kernel& kernel_;
  std::optional<Unread> unread_;
};

Reading<uint64_t> symbol(Kernel& kernel, std::string_view name) {
  if (auto address = kernel.vmcoreinfo().symbol(name)) return *address;
  if (auto found = kernel.symbols().find(name)) return found->address;
  return Unread{UnreadReason::kNoSymbol, 0, std::string(name), ""};
}

// Values below the first that could not be read, so that a chain of reads is written down in one go.
class Fields {
 public:
  Fields(Memory& memory, std::string_view what) : memory_(memory), what_(what) {}

  template <typename T>
  T read(uint64_t address, std::string_view name) {
    if (unread_) return 0;
    auto value = read_value<T>(memory_, address);
    if (value.has_value()) return *value;
    unread_ = value.unread();
    unread_->path = fmt::format("{}.{}", what_, name);
    return 0;
  }
  const std::optional<Unread>& unread() const { return unread_; }

 private:
  Memory& memory_;
  std::string_view what_;
  std::optional<Unread> unread_;
};

// The bytes of a ring between two of its positions, in one piece or, where they wrap, in two.
class RingBytes {
 public:
  // `begin` and `size` in bytes, begin < ring_size, size <= ring_size.
  RingBytes(Memory& memory, uint64_t base, uint64_t ring_size, uint64_t begin, uint64_t size)
      : begin_(begin) {
    const uint64_t to_end = std::min(size, ring_size - begin);
    upper_ = take_snapshot(memory, base + begin, to_end);
    lower_ = take_snapshot(memory, base, size - to_end);
  }

  // `size` bytes at `offset` from the start of the ring; nullptr and the reason when they were not read.
  const std::byte* at(uint64_t offset, uint64_t size, std::optional<Unread>& why) const {
    const Snapshot& part = offset >= begin_ ? upper_ : lower_;
    if (offset >= begin_) offset -= begin_;
    if (offset > part.bytes.size() || size > part.bytes.size() - offset) {
      if (!why) why = Unread{UnreadReason::kCorrupt, part.address, "", "a position outside the ring"};
      return nullptr;
    }
    if (const Snapshot::Gap* gap = part.gap_in(offset, size)) {
      if (!why) why = gap->unread;
      return nullptr;
    }
    return part.bytes.data() + offset;
  }

 private:
  uint64_t begin_;
  Snapshot upper_;  // [begin_, end of the part or of the ring)
  Snapshot lower_;  // what wrapped: from the start of the ring
};

template <typename T>
T load(const std::byte* bytes, uint64_t offset) {
  T value;
  std::memcpy(&value, bytes + offset, sizeof value);
  return value;
}

// A member of at most 8 bits.
int load_bits(const std::byte* bytes, const MemberLocation& location) {
  const uint32_t size = location.bit_size ? location.bit_size : 8;
  const auto byte = load<uint8_t>(bytes, location.byte_offset());
  return static_cast<int>(byte >> (location.bit_offset % 8) & ((1u << size) - 1));
}

bool fits(uint64_t offset, uint64_t width, uint64_t size) {
  return offset < size && width <= size - offset;
}

std::string text_of(const std::byte* bytes, uint64_t size) {
  std::string text(reinterpret_cast<const char*>(bytes), size);
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

// Notes that `missing` of `total` records could not be read, the first of them for this reason.
void note_missing(KernelLog& log, const std::optional<Unread>& why, uint64_t missing, uint64_t total) {
  if (missing == 0) return;
  log.incomplete = why ? *why : Unread{UnreadReason::kCorrupt, 0, "", ""};
  log.incomplete->path = "kernel log";
  const std::string numbers = fmt::format("{} of {} records are missing", missing, total);
  std::string& detail = log.incomplete->detail;
  detail = detail.empty() ? numbers : fmt::format("{}; {}", numbers, detail);
}

// struct printk_ringbuffer, kernel/printk/printk_ringbuffer.{c,h}.
class PrintkRing {
 public:
  explicit PrintkRing(Kernel& kernel) : memory_(kernel.memory()), layout_(kernel) {}

  // `prb` is the address of the ring. Fills the log, or says why there is none.
  std::optional<Unread> read(uint64_t prb, KernelLog& log) {
    if (auto unread = find_layout()) return unread;
    if (auto unread = read_header(prb)) return unread;

    uint64_t records = ((head_id_ - tail_id_) & kIdMask) + 1;
    const uint64_t count = uint64_t{1} << count_bits_;
    if (records > count)
      return corrupt(prb, fmt::format("head_id {:#x} and tail_id {:#x} in a ring of {} records", head_id_,
                                      tail_id_, count));
    const uint64_t total = records;
    records = std::min(records, kMaxRecords);
    const uint64_t first_id = head_id_ - records + 1;

    const uint64_t text_size = uint64_t{1} << size_bits_;
    const uint64_t used = std::min({head_lpos_ - tail_lpos_, text_size, kMaxText});
    const RingBytes text(memory_, data_, text_size, (head_lpos_ - used) & (text_size - 1), used);

    uint64_t missing = total - records;
    std::optional<Unread> why;
    if (missing)
      why = Unread{UnreadReason::kLimit, prb, "", fmt::format("more than {} records", kMaxRecords)};
    log.records.reserve(records);
    // In blocks, since a printk_info has 88 bytes and most of it does not matter here.
    constexpr uint64_t kBlock = 4096;
    for (uint64_t done = 0; done < records; done += kBlock) {
      const uint64_t block = std::min(kBlock, records - done);
      missing += block - read_block((first_id + done) & kIdMask, std::min(block, count), text, log, why);
    }
    note_missing(log, why, missing, total);
    return std::nullopt;
  }

 private:
  // Reads `number` records; returns how many of them are there or were never written.
  uint64_t read_block(uint64_t first_id, uint64_t number, const RingBytes& text, KernelLog& log,
                      std::optional<Unread>& why) const {
    const uint64_t count = uint64_t{1} << count_bits_;
    const uint64_t begin = first_id & (count - 1);
    const RingBytes descs(memory_, descs_, count * desc_size_, begin * desc_size_, number * desc_size_);
    const RingBytes infos(memory_, infos_, count * info_size_, begin * info_size_, number * info_size_);
    uint64_t good = 0;
    for (uint64_t i = 0; i < number; ++i) {
      const uint64_t id = (first_id + i) & kIdMask;
      const uint64_t index = id & (count - 1);
      const std::byte* desc = descs.at(index * desc_size_, desc_size_, why);
      if (!desc) continue;
      // enum desc_state: reserved 0, committed 1, finalized 2, reusable 3. A reserved record was being
      // written when the kernel died; a state of another id belongs to a record that was never used.
      const auto state = load<uint64_t>(desc, state_at_);
      if ((state & kIdMask) == id && (state >> kStateShift == 1 || state >> kStateShift == 2)) {
        const std::byte* info = infos.at(index * info_size_, info_size_, why);
        LogRecord record;
        if (!info || !read_text(desc, info, id, text, record.text, why)) continue;
        record.sequence = load<uint64_t>(info, seq_at_);
        record.timestamp_ns = load<uint64_t>(info, time_at_);
        if (level_) record.level = load_bits(info, *level_);
        if (facility_) record.facility = load_bits(info, *facility_);
        log.records.push_back(std::move(record));
      }
      ++good;
    }
    return good;
  }

  static constexpr int kStateShift = 62;  // DESC_FLAGS_SHIFT
  static constexpr uint64_t kIdMask = (uint64_t{1} << kStateShift) - 1;

  static Unread corrupt(uint64_t address, std::string detail) {
    return Unread{UnreadReason::kCorrupt, address, "printk_ringbuffer", std::move(detail)};
  }

  std::optional<Unread> find_layout() {
    counter_at_ = layout_.offset("atomic_long_t", "counter");
    desc_size_ = layout_.size("prb_desc");
    state_at_ = layout_.offset("prb_desc", "state_var") + counter_at_;
    const uint64_t lpos = layout_.offset("prb_desc", "text_blk_lpos");
    begin_at_ = lpos + layout_.offset("prb_data_blk_lpos", "begin");
    next_at_ = lpos + layout_.offset("prb_data_blk_lpos", "next");
    info_size_ = layout_.size("printk_info");
    seq_at_ = layout_.offset("printk_info", "seq");
    time_at_ = layout_.offset("printk_info", "ts_nsec");
    length_at_ = layout_.offset("printk_info", "text_len");
    level_ = layout_.member("printk_info", "level");
    facility_ = layout_.member("printk_info", "facility");
    if (layout_.unread()) return layout_.unread();
    constexpr uint64_t kMaxElement = 4096;
    if (desc_size_ <= kMaxElement && info_size_ <= kMaxElement && fits(state_at_, 8, desc_size_) &&
        fits(begin_at_, 8, desc_size_) && fits(next_at_, 8, desc_size_) && fits(seq_at_, 8, info_size_) &&
        fits(time_at_, 8, info_size_) && fits(length_at_, 2, info_size_) &&
        (!level_ || level_->byte_offset() < info_size_) &&
        (!facility_ || facility_->byte_offset() < info_size_))
      return std::nullopt;
    return corrupt(0, "the sizes of struct prb_desc and struct printk_info contradict their members");
  }

  std::optional<Unread> read_header(uint64_t prb) {
    Fields fields(memory_, "printk_ringbuffer");
    const uint64_t ring = prb + layout_.offset("printk_ringbuffer", "desc_ring");
    const auto in_ring = [&](std::string_view member) {
      return ring + layout_.offset("prb_desc_ring", member);
    };
    count_bits_ = fields.read<uint32_t>(in_ring("count_bits"), "desc_ring.count_bits");
    descs_ = fields.read<uint64_t>(in_ring("descs"), "desc_ring.descs");
    infos_ = fields.read<uint64_t>(in_ring("infos"), "desc_ring.infos");
    head_id_ = fields.read<uint64_t>(in_ring("head_id") + counter_at_, "desc_ring.head_id");
    tail_id_ = fields.read<uint64_t>(in_ring("tail_id") + counter_at_, "desc_ring.tail_id");
    const uint64_t text = prb + layout_.offset("printk_ringbuffer", "text_data_ring");
    const auto in_text = [&](std::string_view member) {
      return text + layout_.offset("prb_data_ring", member);
    };
    size_bits_ = fields.read<uint32_t>(in_text("size_bits"), "text_data_ring.size_bits");
    data_ = fields.read<uint64_t>(in_text("data"), "text_data_ring.data");
    head_lpos_ = fields.read<uint64_t>(in_text("head_lpos") + counter_at_, "text_data_ring.head_lpos");
    tail_lpos_ = fields.read<uint64_t>(in_text("tail_lpos") + counter_at_, "text_data_ring.tail_lpos");
    if (layout_.unread()) return layout_.unread();
    if (fields.unread()) return fields.unread();
    // LOG_BUF_LEN_MAX is 1 << 31; one descriptor for each 32 bytes (PRB_AVGBITS).
    if (count_bits_ >= 1 && count_bits_ <= 26 && size_bits_ >= 4 && size_bits_ <= 31) return std::nullopt;
    return corrupt(prb,
                   fmt::format("count_bits {} or size_bits {} is not possible", count_bits_, size_bits_));
  }

  // As get_data() and copy_data() find it. False when the text is lost.
  bool read_text(const std::byte* desc, const std::byte* info, uint64_t id, const RingBytes& text,
                 std::string& out, std::optional<Unread>& why) const {
    const auto begin = load<uint64_t>(desc, begin_at_);
    const auto next = load<uint64_t>(desc, next_at_);
    const uint64_t length = load<uint16_t>(info, length_at_);
    // LPOS_DATALESS(): odd positions. NO_LPOS (3) is an empty line, FAILED_LPOS (1) a text that had no room.
    if ((begin & 1) && (next & 1)) {
      if (begin == 3 && next == 3) return true;
      if (!why) why = Unread{UnreadReason::kCorrupt, 0, "", "the kernel had no room for the text"};
      return false;
    }
    const uint64_t size = uint64_t{1} << size_bits_;
    uint64_t block = begin & (size - 1);
    uint64_t block_size = next - begin;
    // A block that would wrap has only its id at the old place and lies whole at the start of the ring; one
    // that ends with the ring does not wrap (67e1b0052f6b, 6.19) and did not occur before.
    if ((begin >> size_bits_) != ((next - 1) >> size_bits_)) {
      block = 0;
      block_size = next & (size - 1);
    }
    constexpr uint64_t kIdSize = 8;  // struct prb_data_block: unsigned long id, then the text
    const bool valid = next > begin && next - begin <= size && block_size >= kIdSize;
    const std::byte* bytes = valid ? text.at(block, std::min(block_size, kIdSize + length), why) : nullptr;
    if (bytes && (load<uint64_t>(bytes, 0) & kIdMask) == id) {
      out = text_of(bytes + kIdSize, std::min(block_size - kIdSize, length));
      return true;
    }
    if (!why) why = Unread{UnreadReason::kCorrupt, data_ + block, "", "the text belongs to another record"};
    return false;
  }

  Memory& memory_;
  Layout layout_;
  uint64_t counter_at_ = 0, desc_size_ = 0, state_at_ = 0, begin_at_ = 0, next_at_ = 0;
  uint64_t info_size_ = 0, seq_at_ = 0, time_at_ = 0, length_at_ = 0;
  std::optional<MemberLocation> level_, facility_;
  uint32_t count_bits_ = 0, size_bits_ = 0;
  uint64_t descs_ = 0, infos_ = 0, data_ = 0;
  uint64_t head_id_ = 0, tail_id_ = 0, head_lpos_ = 0, tail_lpos_ = 0;
};

// struct printk_log records from log_first_idx to log_next_idx in log_buf, kernel/printk/printk.c up to 5.9.
std::optional<Unread> read_log_buf(Kernel& kernel, KernelLog& log) {
  Memory& memory = kernel.memory();
  Layout layout(kernel);
  const uint64_t header = layout.size("printk_log");
  const uint64_t time_at = layout.offset("printk_log", "ts_nsec");
  const uint64_t record_at = layout.offset("printk_log", "len");
  const uint64_t length_at = layout.offset("printk_log", "text_len");
  const auto level = layout.member("printk_log", "level");
  const auto facility = layout.member("printk_log", "facility");
  Fields fields(memory, "log_buf");
  uint64_t values[4] = {};
  const std::string_view names[4] = {"log_buf", "log_buf_len", "log_first_idx", "log_next_idx"};
  for (size_t i = 0; i < std::size(names); ++i) {
    auto address = symbol(kernel, names[i]);
    if (!address.has_value()) return address.unread();
    values[i] =
        i == 0 ? fields.read<uint64_t>(*address, names[i]) : fields.read<uint32_t>(*address, names[i]);
  }
  if (layout.unread()) return layout.unread();
  if (fields.unread()) return fields.unread();
  const auto [buffer, length, first, next] = values;
  if (length == 0 || length > kMaxText || first >= length || next > length || header > 4096 ||
      !fits(time_at, 8, header) || !fits(record_at, 2, header) || !fits(length_at, 2, header) ||
      (level && level->byte_offset() >= header) || (facility && facility->byte_offset() >= header)) {
    return Unread{UnreadReason::kCorrupt, buffer, "log_buf",
                  fmt::format("length {}, first record at {}, next at {}", length, first, next)};
  }
  const RingBytes bytes(memory, buffer, length, first, next >= first ? next - first : length - first + next);
  std::optional<Unread> why;
  uint64_t index = first;
  bool wrapped = next > first;
  for (uint64_t read = 0; index != next || !wrapped;) {
    const std::byte* record = bytes.at(index, header, why);
    const uint64_t size = record ? load<uint16_t>(record, record_at) : 0;
    // A record of length 0 ends the upper part; so does the end of the buffer.
    if (!wrapped && ((record && size == 0) || index + header > length)) {
      why.reset();
      wrapped = true;
      index = 0;
      continue;
    }
    const uint64_t text_size = record ? load<uint16_t>(record, length_at) : 0;
    if (!record || size < header || text_size > size - header || read + size > length) {
      if (!why)
        why = Unread{UnreadReason::kCorrupt, buffer + index, "", fmt::format("a record of {} bytes", size)};
      why->path = "log_buf";
      why->detail += fmt::format("; the log ends after {} records", log.records.size());
      log.incomplete = why;
      return std::nullopt;
    }
    LogRecord entry;
    entry.sequence = log.records.size();
    entry.timestamp_ns = load<uint64_t>(record, time_at);
    if (level) entry.level = load_bits(record, *level);
    if (facility) entry.facility = load_bits(record, *facility);
    if (const std::byte* text = bytes.at(index + header, text_size, why)) {
      entry.text = text_of(text, text_size);
      log.records.push_back(std::move(entry));
    }
    index += size;
    read += size;
  }
  if (why) {
    why->path = "log_buf";
    log.incomplete = why;
  }
  return std::nullopt;
}

// Splits "[    4.219865] text" into time and text; false when the line does not begin so.
bool parse_timestamp(std::string_view& line, uint64_t& nanoseconds) {
  if (!line.starts_with('[')) return false;
  const size_t close = line.find("] ");
  const size_t end = close == line.npos && line.ends_with(']') ? line.size() - 1 : close;
  if (end == line.npos) return false;
  std::string_view number = line.substr(1, end - 1);
  number.remove_prefix(std::min(number.find_first_not_of(' '), number.size()));
  const size_t dot = number.find('.');
  uint64_t seconds = 0, micros = 0;
  if (dot == number.npos || number.size() - dot != 7) return false;
  const auto whole = std::from_chars(number.data(), number.data() + dot, seconds);
  const auto part = std::from_chars(number.data() + dot + 1, number.data() + number.size(), micros);
  if (whole.ec != std::errc() || part.ec != std::errc() || part.ptr != number.data() + number.size() ||
      seconds > UINT64_MAX / 2'000'000'000)
    return false;
  nanoseconds = seconds * 1'000'000'000 + micros * 1000;
  line.remove_prefix(std::min(end + 2, line.size()));
  return true;
}

// What vmcore-dmesg or makedumpfile --dump-dmesg wrote in the crash kernel. A line without a time stamp
// continues the record above it.
std::optional<Unread> read_dmesg_file(const std::string& path, KernelLog& log) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return Unread{UnreadReason::kNotInDump, 0, path, "the file cannot be opened"};
  std::string content;
  std::array<char, 1 << 16> chunk;
  while (content.size() < kMaxText && (file.read(chunk.data(), chunk.size()), file.gcount() > 0))
    content.append(chunk.data(), static_cast<size_t>(file.gcount()));
  for (size_t at = 0; at < content.size();) {
    const size_t end = std::min(content.find('\n', at), content.size());
    std::string_view line(content.data() + at, end - at);
    at = end + 1;
    LogRecord record;
    if (!parse_timestamp(line, record.timestamp_ns) && !log.records.empty()) {
      log.records.back().text.append("\n").append(line);
      continue;
    }
    record.sequence = log.records.size();
    record.text = line;
    log.records.push_back(std::move(record));
  }
  return std::nullopt;
}

}  // namespace

KernelLog read_log(Kernel& kernel) {
  KernelLog log;
  std::optional<Unread> failure;
  if (const auto prb = symbol(kernel, "prb"); prb.has_value()) {
    log.source = "printk_ringbuffer";
    if (const auto ring = read_value<uint64_t>(kernel.memory(), *prb); ring.has_value()) {
      failure = PrintkRing(kernel).read(*ring, log);
    } else {
      failure = ring.unread();
      failure->path = "prb";
    }
  } else if (symbol(kernel, "log_first_idx").has_value()) {
    log.source = "log_buf (before 5.10)";
    failure = read_log_buf(kernel, log);
  } else {
    failure = prb.unread();
  }
  if (!log.records.empty()) return log;
  if (failure) log.incomplete = std::move(failure);
  const std::string beside = kernel.dump() ? kernel.dump()->dmesg_beside() : std::string();
  if (beside.empty()) return log;
  if (auto unread = read_dmesg_file(beside, log); unread && !log.incomplete)
    log.incomplete = std::move(unread);
  if (!log.records.empty()) {
    log.source = "vmcore-dmesg.txt";
    log.incomplete.reset();
  }
  return log;
}

std::string format_log_record(const LogRecord& record) {
  const std::string stamp = fmt::format("[{:5}.{:06}] ", record.timestamp_ns / 1'000'000'000,
                                        record.timestamp_ns / 1000 % 1'000'000);
  std::string out;
  for (size_t at = 0; at <= record.text.size();) {
    const size_t end = std::min(record.text.find('\n', at), record.text.size());
    if (at > 0) out += '\n';
    out += stamp;
    out.append(record.text, at, end - at);
    at = end + 1;
  }
  return out;
}

}  // namespace perfcore
