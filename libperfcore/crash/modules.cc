// SPDX-License-Identifier: LGPL-2.1-or-later
#include <fmt/format.h>

#include "crash/taint.h"
#include "perfcore/crash.h"

namespace perfcore {
namespace {

constexpr size_t kMaxModules = 4096;

// enum module_state, include/linux/module.h: a module being set up has nothing to show yet.
constexpr uint64_t kStateUnformed = 3;

void read_text_range(const Object& module, ModuleInfo& info) {
  // struct module_memory since ac3b43283923 ("module: replace module_layout with module_memory", 6.4); its
  // element MOD_TEXT is the first one. struct module_layout since 7523e4dc5057 (4.5).
  const bool memory = module.has_member("mem");
  const auto begin = module.member(memory ? "mem[0].base" : "core_layout.base").u64();
  const auto size = module.member(memory ? "mem[0].size" : "core_layout.text_size").u64();
  if (!begin.has_value() || !size.has_value() || *begin + *size < *begin) return;
  info.text_begin = *begin;
  info.text_end = *begin + *size;
}

}  // namespace

ModuleList read_modules(Kernel& kernel) {
  ModuleList list;
  const Object head = kernel.variable("modules");
  if (head.unread()) {
    list.incomplete = *head.unread();
    return list;
  }
  ListWalk walk = list_entries(head, "struct module", "list", kMaxModules);
  list.incomplete = std::move(walk.incomplete);
  for (const Object& module : walk.entries) {
    if (module.member("state").u64().is(kStateUnformed)) continue;
    ModuleInfo info;
    if (const auto address = module.address(); address.has_value()) info.address = *address;
    const auto name = module.member("name").string(64);
    if (!name.has_value()) {
      if (!list.incomplete) list.incomplete = name.unread();
      continue;
    }
    info.name = *name;
    read_text_range(module, info);
    if (const auto taints = module.member("taints").u64(); taints.has_value())
      info.taints = taint_letters(*taints);
    else if (!list.incomplete)
      list.incomplete = taints.unread();
    list.modules.push_back(std::move(info));
  }
  return list;
}

}  // namespace perfcore
