// SPDX-License-Identifier: LGPL-2.1-or-later
#include "types/btf_blob.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

namespace perfcore {
namespace {

constexpr uint16_t kMagic = 0xeb9f;
constexpr uint32_t kTypeSize = 12;              // sizeof(struct btf_type)
constexpr uint32_t kHeaderSize = 24;            // struct btf_header before it had a layout section
constexpr uint64_t kStep = uint64_t{32} << 10;  // bytes of types to locate at a time
constexpr uint64_t kMaxNameSize = 4096;         // bytes; C identifiers of the kernel stay below KSYM_NAME_LEN

/// Sizes after struct btf_type of the kinds that are known here, by kind.
constexpr std::array<std::array<uint8_t, 2>, 20> kKnownLayouts = {{
    {0, 0},   // void
    {4, 0},   // int
    {0, 0},   // pointer
    {12, 0},  // array
    {0, 12},  // struct
    {0, 12},  // union
    {0, 8},   // enum
    {0, 0},   // forward
    {0, 0},   // typedef
    {0, 0},   // volatile
    {0, 0},   // const
    {0, 0},   // restrict
    {0, 0},   // function (vlen is its linkage)
    {0, 8},   // function prototype
    {4, 0},   // variable
    {0, 12},  // data section
    {0, 0},   // float
    {4, 0},   // declaration tag
    {0, 0},   // type tag
    {0, 12},  // enum64
}};

}  // namespace

std::unique_ptr<BtfBlob> BtfBlob::open(PagedBytes bytes, Unread* why) {
  std::unique_ptr<BtfBlob> blob(new BtfBlob(std::move(bytes)));
  if (!blob->read_header(why)) return nullptr;
  if (blob->advance()) return blob;
  *why = blob->stopped_.value_or(
      Unread{UnreadReason::kCorrupt, blob->bytes_.address(), "BTF", "it holds no type"});
  return nullptr;
}

bool BtfBlob::read_header(Unread* why) {
  const auto fail = [&](UnreadReason reason, std::string detail) {
    *why = {reason, bytes_.address(), "BTF", std::move(detail)};
    return false;
  };
  if (bytes_.size() < kHeaderSize)
    return fail(UnreadReason::kCorrupt, fmt::format("{} bytes are too few for a header", bytes_.size()));
  if (auto unread = bytes_.why_not(0, kHeaderSize)) {
    *why = std::move(*unread);
    why->path = "BTF header";
    return false;
  }
  const uint16_t magic = *bytes_.value<uint16_t>(0);
  const uint8_t version = *bytes_.value<uint8_t>(2);
  const uint64_t header_size = *bytes_.value<uint32_t>(4);
  const auto section = [&](uint64_t field) { return header_size + *bytes_.value<uint32_t>(field); };
  if (magic != kMagic)
    return fail(UnreadReason::kCorrupt, fmt::format("magic {:#06x} instead of {:#06x}", magic, kMagic));
  if (version != 1) return fail(UnreadReason::kUnsupported, fmt::format("version {} instead of 1", version));
  types_ = section(8);
  types_size_ = *bytes_.value<uint32_t>(12);
  strings_ = section(16);
  strings_size_ = *bytes_.value<uint32_t>(20);
  if (header_size < kHeaderSize || types_ + types_size_ > bytes_.size() ||
      strings_ + strings_size_ > bytes_.size())
    return fail(
        UnreadReason::kCorrupt,
        fmt::format("header of {} bytes, types at {} + {}, strings at {} + {} do not fit into {} bytes",
                    header_size, types_, types_size_, strings_, strings_size_, bytes_.size()));

  for (size_t kind = 1; kind < kKnownLayouts.size(); kind++)
    layouts_[kind] = {kKnownLayouts[kind][0], kKnownLayouts[kind][1], true};
  // struct btf_layout {u8 info_sz, elem_sz; u16 flags} for each kind that the writer knew. Only kinds that
  // are new to us are taken from it.
  if (header_size < kHeaderSize + 8) return true;
  const uint64_t layout = section(24);
  const uint64_t kinds = std::min<uint64_t>(*bytes_.value<uint32_t>(28) / 4, layouts_.size());
  for (uint64_t kind = kKnownLayouts.size(); kind < kinds; kind++)
    if (const uint8_t* entry = bytes_.at(layout + kind * 4, 4)) layouts_[kind] = {entry[0], entry[1], true};
  return true;
}

std::optional<BtfType> BtfBlob::header_at(uint64_t offset) {
  if (offset > types_size_ || types_size_ - offset < kTypeSize) return std::nullopt;
  const uint8_t* bytes = bytes_.at(types_ + offset, kTypeSize);
  if (!bytes) return std::nullopt;
  uint32_t words[3];
  std::memcpy(words, bytes, sizeof(words));
  // Up to 7.x the kind has bits 24-28 and vlen bits 0-15, the bits above them are zero; since then bits 24-30
  // and 0-23.
  BtfType type;
  type.name = words[0];
  type.count = words[1] & 0xffffff;
  type.kind = static_cast<BtfKind>((words[1] >> 24) & 0x7f);
  type.flag = words[1] >> 31;
  type.size_or_type = words[2];
  type.extra = static_cast<uint32_t>(offset + kTypeSize);
  return type;
}

uint64_t BtfBlob::size_of(const BtfType& type) const {
  const Layout& layout = layouts_[static_cast<size_t>(type.kind)];
  return kTypeSize + layout.info + uint64_t{layout.element} * type.count;
}

void BtfBlob::stop(std::string_view what) {
  stopped_ = {UnreadReason::kCorrupt, bytes_.address() + types_ + next_, "BTF",
              fmt::format("{}; only the {} types before it are used", what, offsets_.size() - 1)};
}

bool BtfBlob::advance() {
  if (stopped_ || next_ >= types_size_) return false;
  const uint32_t before = located();
  const uint64_t end = std::min(next_ + kStep, types_size_);
  // All pages of this step by one read, where none of them is missing.
  bytes_.at(types_ + next_, end - next_);
  while (next_ < end) {
    const auto type = header_at(next_);
    if (!type) {
      stop("a type cannot be read or goes beyond the end");
      break;
    }
    if (!layouts_[static_cast<size_t>(type->kind)].known) {
      stop(fmt::format("type of unknown kind {}", static_cast<int>(type->kind)));
      break;
    }
    const uint64_t size = size_of(*type);
    if (size > types_size_ - next_) {
      stop("a type goes beyond the end");
      break;
    }
    offsets_.push_back(static_cast<uint32_t>(next_));
    next_ += size;
  }
  return located() > before;
}

std::optional<BtfType> BtfBlob::type(uint32_t id) {
  if (id == 0) return BtfType{};
  while (id >= offsets_.size())
    if (!advance()) return std::nullopt;
  auto type = header_at(offsets_[id]);
  if (type && !bytes_.at(types_ + offsets_[id], size_of(*type))) return std::nullopt;
  return type;
}

uint32_t BtfBlob::word(const BtfType& type, uint32_t element, uint32_t words, uint32_t i) {
  const uint64_t offset = type.extra + (uint64_t{element} * words + i) * sizeof(uint32_t);
  return bytes_.value<uint32_t>(types_ + offset).value_or(0);
}

std::optional<std::string_view> BtfBlob::name(uint32_t offset) {
  if (offset >= strings_size_) return std::nullopt;
  const uint64_t limit = std::min<uint64_t>(strings_size_ - offset, kMaxNameSize);
  const uint64_t begin = strings_ + offset;
  // Page by page: a page that cannot be read must not cost the names in front of it.
  for (uint64_t size = 0; size < limit;) {
    const uint64_t step = std::min(limit - size, kPageSize - (bytes_.address() + begin + size) % kPageSize);
    const uint8_t* bytes = bytes_.at(begin + size, step);
    if (!bytes) return std::nullopt;
    if (const void* nul = std::memchr(bytes, 0, step)) {
      const auto length = size + static_cast<uint64_t>(static_cast<const uint8_t*>(nul) - bytes);
      return std::string_view(reinterpret_cast<const char*>(bytes - size), length);
    }
    size += step;
  }
  return std::nullopt;
}

}  // namespace perfcore
