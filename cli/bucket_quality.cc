// SPDX-License-Identifier: LGPL-2.1-or-later
#include "bucket_quality.h"

#include <map>

namespace perfcore::cli {
namespace {

double pairs(size_t count) {
  return static_cast<double>(count) * (static_cast<double>(count) - 1) / 2;
}

double ratio(double part, double whole) {
  return whole == 0 ? 1 : part / whole;
}

double harmonic(double a, double b) {
  return a + b == 0 ? 0 : 2 * a * b / (a + b);
}

}  // namespace

BucketQuality quality_of(const std::vector<std::pair<std::string, std::string>>& placed) {
  BucketQuality quality;
  std::map<std::string, size_t> buckets, labels;
  std::map<std::pair<std::string, std::string>, size_t> both;
  for (const auto& crash : placed) {
    ++buckets[crash.first];
    ++labels[crash.second];
    ++both[crash];
  }
  quality.crashes = placed.size();
  quality.labels = labels.size();
  quality.buckets = buckets.size();
  if (placed.empty()) return quality;
  double together = 0, in_bucket = 0, in_label = 0, precise = 0, recalled = 0;
  for (const auto& [cell, count] : both) {
    together += pairs(count);
    const auto squared = static_cast<double>(count) * static_cast<double>(count);
    precise += squared / static_cast<double>(buckets[cell.first]);
    recalled += squared / static_cast<double>(labels[cell.second]);
  }
  for (const auto& entry : buckets) in_bucket += pairs(entry.second);
  for (const auto& entry : labels) in_label += pairs(entry.second);
  const auto all = static_cast<double>(placed.size());
  quality.precision = ratio(together, in_bucket);
  quality.recall = ratio(together, in_label);
  quality.f1 = harmonic(quality.precision, quality.recall);
  quality.b_cubed_precision = precise / all;
  quality.b_cubed_recall = recalled / all;
  quality.b_cubed_f1 = harmonic(quality.b_cubed_precision, quality.b_cubed_recall);
  quality.spray = static_cast<double>(both.size()) / static_cast<double>(labels.size());
  quality.glue = static_cast<double>(both.size()) / static_cast<double>(buckets.size());
  return quality;
}

}  // namespace perfcore::cli
