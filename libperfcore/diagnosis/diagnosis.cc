// SPDX-License-Identifier: LGPL-2.1-or-later
#include "perfcore/diagnosis.h"

#include <algorithm>

namespace perfcore {

std::string_view to_string(Verdict verdict) {
  switch (verdict) {
    case Verdict::kProven:
      return "proven";
    case Verdict::kLikely:
      return "likely";
    case Verdict::kPossible:
      return "possible";
    case Verdict::kLatent:
      return "latent";
    case Verdict::kContradicted:
      return "contradicted";
    case Verdict::kNotApplicable:
      return "not-applicable";
    case Verdict::kUndetermined:
      return "undetermined";
  }
  return "?";
}

std::string_view to_string(Stage stage) {
  switch (stage) {
    case Stage::kNone:
      return "none";
    case Stage::kLatent:
      return "latent";
    case Stage::kPrimed:
      return "primed";
    case Stage::kArmed:
      return "armed";
    case Stage::kFired:
      return "fired";
    case Stage::kCrashed:
      return "crashed";
  }
  return "?";
}

std::string_view to_string(EvidenceResult result) {
  switch (result) {
    case EvidenceResult::kSupports:
      return "supports";
    case EvidenceResult::kContradicts:
      return "contradicts";
    case EvidenceResult::kUndetermined:
      return "undetermined";
  }
  return "?";
}

std::string_view to_string(Certainty certainty) {
  switch (certainty) {
    case Certainty::kSource:
      return "source";
    case Certainty::kBinary:
      return "binary";
    case Certainty::kReproduced:
      return "reproduced";
    case Certainty::kChangelog:
      return "changelog";
    case Certainty::kPublic:
      return "public";
    case Certainty::kExpert:
      return "expert";
    case Certainty::kUnknown:
      return "unknown";
  }
  return "?";
}

std::string_view to_string(EvidenceRole role) {
  switch (role) {
    case EvidenceRole::kRequired:
      return "required";
    case EvidenceRole::kSupports:
      return "supports";
    case EvidenceRole::kContradicts:
      return "contradicts";
  }
  return "?";
}

Diagnosis::Diagnosis(Kernel& kernel) : kernel_(kernel) {}
Diagnosis::~Diagnosis() = default;

const KernelLog& Diagnosis::log() {
  if (!log_) {
    log_ = read_log(kernel_);
    if (log_->incomplete) note_unread(*log_->incomplete);
  }
  return *log_;
}

Unwinder& Diagnosis::unwinder() {
  if (!unwinder_) unwinder_ = std::make_unique<Unwinder>(kernel_);
  return *unwinder_;
}

const CrashState& Diagnosis::crash() {
  if (!crash_) {
    crash_ = read_crash_state(kernel_, unwinder(), log());
    for (const Unread& unread : crash_->unread) note_unread(unread);
  }
  return *crash_;
}

const SystemFacts& Diagnosis::system() {
  if (!system_) {
    system_ = read_system_facts(kernel_);
    for (const Unread& unread : system_->unread) note_unread(unread);
  }
  return *system_;
}

PmuState& Diagnosis::pmu() {
  if (!pmu_) pmu_.emplace(kernel_);
  return *pmu_;
}

const EventList& Diagnosis::events() {
  if (!events_) events_ = find_events(pmu());
  return *events_;
}

const Stack& Diagnosis::stack(int cpu) {
  if (crash().cpu == cpu && !crash().stack.frames.empty()) return crash().stack;
  auto found = stacks_.find(cpu);
  if (found == stacks_.end()) {
    Stack stack;
    if (const CpuStatus* status = kernel_.status_of(cpu)) {
      stack = unwinder().unwind(status->registers, cpu);
    } else {
      stack.method = "none";
      stack.stopped = Unread{UnreadReason::kNotInDump, 0, "registers of CPU " + std::to_string(cpu),
                             "the dump has no NT_PRSTATUS note for it"};
    }
    found = stacks_.emplace(cpu, std::move(stack)).first;
  }
  return found->second;
}

const NullEventsProbe& Diagnosis::null_events_probe() {
  if (!null_events_) null_events_ = probe_null_events(kernel_);
  return *null_events_;
}

void Diagnosis::note_unread(const Unread& unread) {
  const auto same = [&](const Unread& other) {
    return other.path == unread.path && other.address == unread.address && other.reason == unread.reason;
  };
  if (std::none_of(unread_.begin(), unread_.end(), same)) unread_.push_back(unread);
}

}  // namespace perfcore
