// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// Names of Rust functions, as kernels with CONFIG_RUST have them in their symbol table.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace perfcore {

/// "_RNvMs_NtCs1_7toy_drv4ringNtB4_4Ring4push" -> "<toy_drv::ring::Ring>::push": the path of a symbol in the
/// v0 mangling (RFC 2603, the kernel's since it has Rust) without hashes. nullopt for any other text, and for
/// one that is longer or deeper than any name that a compiler makes. Constants in generic arguments become
/// "_".
std::optional<std::string> rust_path(std::string_view symbol);

}  // namespace perfcore
