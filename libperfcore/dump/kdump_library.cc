// SPDX-License-Identifier: LGPL-2.1-or-later
#include "dump/kdump_library.h"

#include <fmt/format.h>
#include <libkdumpfile/kdumpfile.h>

#include "dump/shadow_file.h"

namespace perfcore {
namespace {

/// libkdumpfile's cache in pages. It is searched one by one, and what is read again is cached above it.
constexpr uint64_t kCachePages = 8;

struct KdumpDeleter {
  void operator()(kdump_ctx_t* context) const { kdump_free(context); }
};

class KdumpLibraryImpl : public KdumpLibrary {
 public:
  explicit KdumpLibraryImpl(std::vector<KdumpLibraryPart> parts)
      : parts_(std::move(parts)), shadows_(parts_.size()) {}

  bool open(std::string& error) {
    std::vector<int> descriptors;
    for (size_t i = 0; i < parts_.size(); i++) {
      // Version 0.5.1 cannot read flattened files (0.5.3 can), and it believes a damaged header.
      if (parts_[i].source->descriptor() < 0 || parts_[i].repaired) {
        if (!make_shadow(i)) {
          error = "no space for a temporary file; set TMPDIR to a directory with space";
          return false;
        }
        descriptors.push_back(shadows_[i]->descriptor());
      } else {
        descriptors.push_back(parts_[i].source->descriptor());
      }
    }
    context_.reset(kdump_new());
    if (!context_) throw std::bad_alloc();
    // Mapped files that shrink or lie about their size end in SIGBUS.
    kdump_set_number_attr(context_.get(), KDUMP_ATTR_FILE_MMAP_POLICY, KDUMP_MMAP_NEVER);
    kdump_set_number_attr(context_.get(), "cache.size", kCachePages);
    const kdump_status status =
        kdump_open_fdset(context_.get(), static_cast<unsigned>(descriptors.size()), descriptors.data());
    if (status != KDUMP_OK) error = fmt::format("libkdumpfile: {}", message(status));
    return status == KDUMP_OK;
  }

  std::optional<Unread> read_page(uint64_t address, size_t part, uint64_t descriptor_offset,
                                  const PageDescriptor& descriptor,
                                  std::span<std::byte, kPageSize> out) override {
    if (shadows_[part] && !(shadows_[part]->ensure(descriptor_offset, sizeof(PageDescriptor)) &&
                            shadows_[part]->ensure(descriptor.offset, descriptor.size)))
      return Unread{UnreadReason::kLimit, address, "physical memory",
                    "no space for a temporary file; set TMPDIR to a directory with space"};
    const uint64_t page = address & ~(kPageSize - 1);
    size_t size = out.size();
    kdump_status status = kdump_read(context_.get(), KDUMP_MACHPHYSADDR, page, out.data(), &size);
    if (status == KDUMP_ERR_BUSY) {
      // All of the cache is taken. Nothing of ours holds a page, so that a cache made anew is empty.
      kdump_set_number_attr(context_.get(), "cache.size", 2 * kCachePages);
      size = out.size();
      status = kdump_read(context_.get(), KDUMP_MACHPHYSADDR, page, out.data(), &size);
    }
    if (status == KDUMP_OK && size == out.size()) return std::nullopt;
    Unread unread{status == KDUMP_ERR_NOTIMPL ? UnreadReason::kUnsupported : UnreadReason::kCorrupt, address,
                  "physical memory", message(status)};
    kdump_clear_err(context_.get());
    return unread;
  }

 private:
  std::string message(kdump_status status) const {
    const char* text = kdump_get_err(context_.get());
    return text != nullptr ? text : kdump_strerror(status);
  }

  bool make_shadow(size_t index) {
    const KdumpLibraryPart& part = parts_[index];
    shadows_[index] = std::make_unique<ShadowFile>(*part.source);
    ShadowFile& shadow = *shadows_[index];
    return shadow.valid() && shadow.ensure(0, part.headers_end) &&
           shadow.patch(0, std::as_bytes(std::span(&part.header, 1))) &&
           shadow.patch(kKdumpBlockSize, std::as_bytes(std::span(&part.sub, 1)));
  }

  std::vector<KdumpLibraryPart> parts_;
  std::vector<std::unique_ptr<ShadowFile>> shadows_;  // null where the file itself is used
  std::unique_ptr<kdump_ctx_t, KdumpDeleter> context_;
};

}  // namespace

std::unique_ptr<KdumpLibrary> open_kdump_library(std::vector<KdumpLibraryPart> parts, std::string& error) {
  auto library = std::make_unique<KdumpLibraryImpl>(std::move(parts));
  if (!library->open(error)) return nullptr;
  return library;
}

}  // namespace perfcore
