// SPDX-License-Identifier: LGPL-2.1-or-later
#include "glossary.h"

#include <cctype>

namespace perfcore::cli {
namespace {

constexpr Term kTerms[] = {
    {"active_mask", "one bit per counter of a CPU: set while the kernel lets it count"},
    {"AUX", "a second buffer of a perf event, filled by hardware such as a tracer"},
    {"CR2", "the CPU register with the address whose access failed"},
    {"event_list[]", "the perf events that are scheduled on a CPU"},
    {"events[]", "for each counter of a CPU the perf event that it counts for"},
    {"hw.idx", "the number of the counter that an event was put on"},
    {"hw.state", "whether an event's counter is running (0) or stopped, and why"},
    {"IBS", "instruction-based sampling, a PMU of AMD CPUs"},
    {"NMI", "an interrupt that cannot be masked; performance counters use it"},
    {"oops", "the kernel's report of a fault of its own"},
    {"PEBS", "sampling by the hardware of Intel CPUs"},
    {"PMI", "the interrupt of a performance counter that overflowed; it comes as an NMI"},
    {"PMU", "the CPU's performance monitoring unit: its counters"},
    {"RCU", "the kernel's way to free memory only after all its readers are done"},
    {"softirq", "interrupt work that the kernel put off until shortly after"},
    {"tainted", "marked by something that makes bug reports harder to judge, such as a foreign module"},
    {"throttled", "stopped until the next timer tick because it interrupted too often"},
    {"vmcoreinfo", "the note in which the kernel tells dump tools where things are"},
};

bool is_word(char c) {
  return isalnum(static_cast<unsigned char>(c)) != 0 || c == '_';
}

bool occurs(std::string_view text, std::string_view term) {
  for (size_t at = text.find(term); at != std::string_view::npos; at = text.find(term, at + 1)) {
    const size_t end = at + term.size();
    const bool begins = at == 0 || !is_word(text[at - 1]);
    const bool ends = end == text.size() || !is_word(text[end]);
    if (begins && ends) return true;
  }
  return false;
}

}  // namespace

std::vector<Term> terms_in(std::string_view text) {
  std::vector<Term> found;
  for (const Term& term : kTerms)
    if (occurs(text, term.term)) found.push_back(term);
  return found;
}

}  // namespace perfcore::cli
