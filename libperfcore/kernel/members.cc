// SPDX-License-Identifier: LGPL-2.1-or-later
#include "perfcore/members.h"

#include <algorithm>

#include "kernel/recorder.h"

namespace perfcore {

std::optional<MemberLocation> find_member(Kernel& kernel, const Type* type, std::string_view path) {
  if (const Recorder* recorder = kernel.recorder(); recorder && recorder->types) {
    const Type* here = type;
    std::string_view rest = path;
    while (here && !rest.empty()) {
      const size_t end = std::min(rest.find_first_of(".[", 1), rest.size());
      const std::string_view part = rest.substr(0, end);
      const auto found = TypeSource::find_member(here, part);
      const Type* outer = here->strip();
      if (outer && part.front() != '[')
        recorder->types->note_member(*outer, part.substr(part.front() == '.'), found.has_value());
      here = found ? found->type : nullptr;
      rest.remove_prefix(end);
    }
  }
  return TypeSource::find_member(type, path);
}

}  // namespace perfcore
