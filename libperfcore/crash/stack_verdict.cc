// SPDX-License-Identifier: LGPL-2.1-or-later
#include "crash/stack_verdict.h"

#include "crash/frame_roles.h"

namespace perfcore {
namespace {

bool usable(const Frame& frame) {
  return frame.reliable && !frame.inlined;
}

}  // namespace

StackVerdict judge_stack(const Stack& stack) {
  StackVerdict verdict;
  const std::vector<Frame>& frames = stack.frames;
  const auto role_of = [&](size_t i) {
    return usable(frames[i]) ? frame_role(frames[i].function) : std::nullopt;
  };
  // The outermost sign of dying: a second oops in panic() is not the cause. A WARNING kills nobody by itself;
  // it is the cause where panic() was called from it, and not where it was interrupted.
  size_t dying = frames.size();
  bool same_context = true;
  for (size_t i = 0; i < frames.size(); ++i) {
    same_context = same_context && !frames[i].interrupted;
    const auto role = role_of(i);
    const bool warned = role == FrameRole::kWarning && verdict.dying && same_context;
    if (role != FrameRole::kDying && role != FrameRole::kOops && !warned) continue;
    verdict.dying = same_context = true;
    dying = i;
  }
  if (!verdict.dying) return verdict;

  // The context that died: from the last interrupted frame above it to the next one below.
  size_t begin = dying, end = dying + 1;
  while (begin > 0 && !frames[begin].interrupted) --begin;
  while (end < frames.size() && !frames[end].interrupted) ++end;
  // Of inlined frames at one address the last one is the function that the symbol table knows.
  size_t boundary = end;
  while (boundary + 1 < frames.size() && frames[boundary].inlined) ++boundary;
  if (boundary < frames.size()) verdict.interrupted = boundary;

  bool oops = false;
  for (size_t i = begin; i < end; ++i) {
    const auto role = role_of(i);
    oops = oops || role == FrameRole::kOops || role == FrameRole::kWarning;
    if (i > dying && !verdict.decided && usable(frames[i]) && role != FrameRole::kHelper) verdict.decided = i;
  }
  if (oops && verdict.interrupted) {
    verdict.fault = verdict.interrupted;
    verdict.decided.reset();
  }
  const size_t last = verdict.fault ? *verdict.fault + 1 : end;
  for (const FunctionClass& row : function_classes()) {
    if (row.needs_oops && !oops) continue;
    for (size_t i = begin; i < last; ++i) {
      if (!usable(frames[i]) || without_compiler_suffix(frames[i].function) != row.function) continue;
      verdict.crash_class = row.crash_class;
      return verdict;
    }
  }
  return verdict;
}

}  // namespace perfcore
