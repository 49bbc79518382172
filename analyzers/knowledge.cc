// SPDX-License-Identifier: LGPL-2.1-or-later
#include "analyzers/knowledge.h"

namespace perfcore {

std::vector<Reference> references_of(const std::vector<KnownCommit>& commits) {
  std::vector<Reference> references;
  for (const KnownCommit& commit : commits) references.push_back(commit.reference);
  return references;
}

std::string words_for(std::span<const ReleaseRange> ranges) {
  std::string text;
  for (const ReleaseRange& range : ranges) {
    if (!text.empty()) text += "; ";
    text += range.first.to_string();
    Release last = range.end;
    if (last.patch == 0) {
      text += " and later before " + range.end.to_string();
      continue;
    }
    last.patch--;
    if (last != range.first) text += " - " + last.to_string();
  }
  return text;
}

}  // namespace perfcore
