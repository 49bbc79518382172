// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// How well buckets fit labels by hand.
#pragma once

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

namespace perfcore::cli {

/// All of [0, 1] but spray and glue, which are 1 at best. Without any pair to find or found, precision and
/// recall are 1.
struct BucketQuality {
  size_t crashes = 0, labels = 0, buckets = 0;
  double precision = 1, recall = 1, f1 = 1;  ///< over pairs of crashes
  double b_cubed_precision = 1, b_cubed_recall = 1, b_cubed_f1 = 1;
  double spray = 1;  ///< buckets that a label is in, mean over labels
  double glue = 1;   ///< labels that a bucket has, mean over buckets
};

/// \param placed  bucket and label of each crash
BucketQuality quality_of(const std::vector<std::pair<std::string, std::string>>& placed);

}  // namespace perfcore::cli
