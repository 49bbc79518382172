// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// Reading<T>: a value read from a dump, or the reason why there is none.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>

namespace perfcore {

/// Why something could not be read. Each has one wording, see to_string().
enum class UnreadReason {
  kExcluded,     ///< makedumpfile left the page out (kdump-compressed dumps say so)
  kNotSaved,     ///< hole of an ELF dump (p_filesz < p_memsz): left out, or a page of zeros; the dump cannot
                 ///< tell which
  kBeyondEnd,    ///< the dump file ends before this page: it was cut short
  kCorrupt,      ///< the page is in the file but cannot be decoded, or a structure contradicts itself
  kNotMapped,    ///< the kernel's page tables map nothing at this address
  kNotInDump,    ///< no memory at this physical address according to the dump
  kNotRecorded,  ///< a recording or a minimal dump that does not hold this address
  kNoSymbol,     ///< the kernel has no such symbol, or its symbol table lacks it
  kNoType,       ///< no such type in the debug information
  kNoMember,     ///< the type has no such member (in this kernel)
  kNullPointer,  ///< a pointer on the way is NULL
  kLimit,        ///< a limit against endless or corrupt structures was reached (list too long, cycle)
  kUnsupported,  ///< perfcore does not know this format
};

/// The wording of a reason, for people; never ends in a full stop.
std::string_view to_string(UnreadReason reason);

/// What could not be read, where and why.
struct Unread {
  UnreadReason reason = UnreadReason::kNotMapped;
  uint64_t address = 0;  ///< kernel virtual address (physical where `path` says so); 0 where there is none
  std::string
      path;  ///< expression or description of what was wanted, e.g. "per_cpu(cpu_hw_events, 1).events[0]"
  std::string detail;  ///< numbers and names that help, e.g. "level 3 entry 0x0"; may be empty

  /// "per_cpu(cpu_hw_events, 1).events[0] at 0xffff...: page excluded by makedumpfile".
  std::string message() const;
};

/// Either a value of type T or an Unread. Nothing converts an unread value into a default value: there is no
/// value_or(). Not thread-safe; copyable.
template <typename T>
class [[nodiscard]] Reading {
 public:
  using value_type = T;

  Reading(T value) : state_(std::in_place_index<0>, std::move(value)) {}  // NOLINT: implicit on purpose
  Reading(Unread unread)
      : state_(std::in_place_index<1>, std::move(unread)) {}  // NOLINT: implicit on purpose

  bool has_value() const { return state_.index() == 0; }
  explicit operator bool() const =
      delete;  // Reading<bool> and Reading<int> would invite mistakes: say has_value()

  /// The value. Throws std::logic_error when there is none: ask has_value() first.
  const T& value() const& {
    require();
    return std::get<0>(state_);
  }
  T&& value() && {
    require();
    return std::get<0>(std::move(state_));
  }
  const T& operator*() const& { return value(); }
  const T* operator->() const { return &value(); }

  /// Why there is no value. Throws std::logic_error when there is one.
  const Unread& unread() const {
    if (has_value()) throw std::logic_error("Reading::unread(): the value was read");
    return std::get<1>(state_);
  }

  /// True only when the value was read and equals `other`.
  template <typename U>
  bool is(const U& other) const {
    return has_value() && std::get<0>(state_) == other;
  }

  /// Applies `f` to the value; an unread stays unread.
  template <typename F>
  auto map(F&& f) const -> Reading<std::invoke_result_t<F, const T&>> {
    if (!has_value()) return unread();
    return std::invoke(std::forward<F>(f), value());
  }

  /// Like map() for an `f` that itself returns a Reading.
  template <typename F>
  auto and_then(F&& f) const -> std::invoke_result_t<F, const T&> {
    if (!has_value()) return unread();
    return std::invoke(std::forward<F>(f), value());
  }

 private:
  void require() const {
    if (!has_value()) throw std::logic_error("Reading::value(): " + std::get<1>(state_).message());
  }
  std::variant<T, Unread> state_;
};

/// Three-valued logic over readings: false wins over unread in a conjunction, true wins over unread in a
/// disjunction; the Unread of the first operand that was not read is kept.
Reading<bool> operator&&(const Reading<bool>& a, const Reading<bool>& b);
Reading<bool> operator||(const Reading<bool>& a, const Reading<bool>& b);
Reading<bool> operator!(const Reading<bool>& a);

/// The input cannot be used at all (cannot be opened, is not a vmcore, ...). The message has words and
/// numbers and says what the user can do. Exit code 2 of the command line.
class InputError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace perfcore
