// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// All rules that perfcore knows.
#pragma once

#include <span>

#include "perfcore/diagnosis.h"

namespace perfcore {

/// In the order in which they run. The span lives as long as the program.
std::span<const RuleInfo> all_rules();

// One declaration per file of this folder.
RuleInfo amd_ibs_add_nmi_race_rule();
RuleInfo perf_aux_poll_hang_rule();
RuleInfo perf_event_time_race_rule();
RuleInfo x86_null_events_rule();
RuleInfo x86_stopped_migrated_unprogrammed_rule();
RuleInfo x86_state_corruption_rule();
RuleInfo x86_xmm_user_regs_rule();

}  // namespace perfcore
