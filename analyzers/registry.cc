// SPDX-License-Identifier: LGPL-2.1-or-later
#include "analyzers/registry.h"

#include <array>

namespace perfcore {

std::span<const RuleInfo> all_rules() {
  static const std::array kRules = {
      x86_null_events_rule(),      x86_stopped_migrated_unprogrammed_rule(),
      x86_state_corruption_rule(), amd_ibs_add_nmi_race_rule(),
      perf_event_time_race_rule(), perf_aux_poll_hang_rule(),
      x86_xmm_user_regs_rule(),
  };
  return kRules;
}

}  // namespace perfcore
