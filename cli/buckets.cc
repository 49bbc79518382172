// SPDX-License-Identifier: LGPL-2.1-or-later
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "analyzers/registry.h"
#include "analyzers/releases.h"
#include "bucket_quality.h"
#include "commands.h"
#include "crash_record.h"
#include "dashboard.h"
#include "exit_codes.h"
#include "guard.h"
#include "json_value.h"
#include "perfcore/store.h"
#include "session.h"

namespace perfcore::cli {
namespace {

constexpr int64_t kSecondsPerDay = 86400;
constexpr size_t kShownCrashes = 20;
constexpr size_t kShownRelated = 20;  // with their titles

std::string iso_time(int64_t time) {
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(static_cast<std::time_t>(time)));
}
std::string iso_day(int64_t day) {
  return fmt::format("{:%Y-%m-%d}", fmt::gmtime(static_cast<std::time_t>(day * kSecondsPerDay)));
}
Json time_json(const std::optional<int64_t>& time) {
  return time ? Json(iso_time(*time)) : Json(nullptr);
}

struct KnownFix {
  Reference reference;
  std::string releases;
};
struct RootCause {
  std::string rule, title;
  std::vector<KnownFix> fixes;
  bool regression = false;  ///< a kernel that should have all fixes crashed all the same
};

/// "6.18.20" -> Release; nullopt for words.
std::optional<Release> parse_release(std::string_view text) {
  Release release;
  const char* at = text.data();
  const char* const end = at + text.size();
  for (int* part : {&release.major, &release.minor, &release.patch}) {
    const auto [next, error] = std::from_chars(at, end, *part);
    if (error != std::errc()) return std::nullopt;
    at = next;
    if (at == end) return release;
    if (*at != '.') return std::nullopt;
    ++at;
  }
  return std::nullopt;
}

/// Does the release have a change that is in these: "7.0; 6.18.20, 6.19.10"? The first is the mainline's,
/// with which all later ones have it; the others are of their stable series.
bool has_change(const Release& release, std::string_view releases) {
  bool mainline = true;
  while (!releases.empty()) {
    const size_t end = releases.find_first_of(";,");
    std::string_view word = releases.substr(0, end);
    while (!word.empty() && word.front() == ' ') word.remove_prefix(1);
    while (!word.empty() && word.back() == ' ') word.remove_suffix(1);
    if (const auto since = parse_release(word)) {
      if (mainline && release >= *since) return true;
      if (release.major == since->major && release.minor == since->minor && release >= *since) return true;
    }
    mainline = false;
    if (end == releases.npos) break;
    releases.remove_prefix(end + 1);
  }
  return false;
}

std::optional<RootCause> root_cause_of(const StoredBucket& bucket) {
  const std::string id = bucket.cause.substr(0, bucket.cause.find('/'));
  const auto rules = all_rules();
  const auto rule =
      std::find_if(rules.begin(), rules.end(), [&](const RuleInfo& known) { return known.id == id; });
  if (rule == rules.end()) return std::nullopt;
  RootCause cause{rule->id, rule->title, {}, false};
  if (!rule->knowledge) return cause;
  for (const KnownCommit& commit : rule->knowledge().commits)
    if (commit.reference.kind == "fix") cause.fixes.push_back({commit.reference, commit.releases});
  if (cause.fixes.empty()) return cause;
  for (const auto& [kernel, version] : bucket.kernel_versions) {
    const auto release = upstream_release(kernel, version);
    cause.regression |=
        release && std::all_of(cause.fixes.begin(), cause.fixes.end(),
                               [&](const KnownFix& fix) { return has_change(*release, fix.releases); });
  }
  return cause;
}

/// "7.0; 6.18.20, 6.19.10" as a list.
Json releases_json(const std::string& releases) {
  Json list = Json::array();
  for (size_t at = 0; at < releases.size();) {
    const size_t end = std::min(releases.find_first_of(";,", at), releases.size());
    list.push_back(releases.substr(at, end - at));
    at = std::min(releases.find_first_not_of(";, ", end), releases.size());
  }
  return list;
}

/// Crashes of the last seven days, up to the newest crash of all, less those of the seven before.
int64_t trend_of(const StoredBucket& bucket, int64_t today) {
  int64_t trend = 0;
  for (const auto& [day, count] : bucket.days) {
    if (day > today - 7)
      trend += count;
    else if (day > today - 14)
      trend -= count;
  }
  return trend;
}

/// Those with most crashes first, then the fastest growing.
int64_t sort_buckets(std::vector<StoredBucket>* buckets) {
  int64_t today = 0;
  for (const StoredBucket& bucket : *buckets)
    if (!bucket.days.empty()) today = std::max(today, bucket.days.rbegin()->first);
  std::stable_sort(buckets->begin(), buckets->end(), [&](const StoredBucket& a, const StoredBucket& b) {
    return std::pair(a.count, trend_of(a, today)) > std::pair(b.count, trend_of(b, today));
  });
  return today;
}

Json to_json_value(const StoredBucket& bucket) {
  Json days = Json::object();
  for (const auto& [day, count] : bucket.days) days[iso_day(day)] = count;
  Json root = nullptr;
  if (const auto cause = root_cause_of(bucket)) {
    Json fixes = Json::array();
    for (const KnownFix& fix : cause->fixes)
      fixes.push_back({{"id", fix.reference.id},
                       {"title", fix.reference.title},
                       {"releases", releases_json(fix.releases)}});
    root = {{"rule", cause->rule},
            {"title", cause->title},
            {"fix", std::move(fixes)},
            {"regression", cause->regression}};
  }
  Json map = nullptr;
  if (!bucket.exemplar.pmu_map.empty()) map = Json::parse(bucket.exemplar.pmu_map, nullptr, false);
  if (map.is_discarded()) map = nullptr;
  return {{"id", bucket.id},
          {"title", bucket.title},
          {"class", bucket.crash_class},
          {"cause", bucket.cause},
          {"partial", bucket.partial},
          {"facts", bucket.facts},
          {"facets", bucket.facets},
          {"count", bucket.count},
          {"first_seen", time_json(bucket.first_seen)},
          {"last_seen", time_json(bucket.last_seen)},
          {"days", std::move(days)},
          {"kernels", bucket.kernels},
          {"hosts", bucket.hosts},
          {"related", bucket.related},
          {"root_cause", std::move(root)},
          {"story", bucket.exemplar.story},
          {"pmu_map", std::move(map)},
          {"exemplar",
           {{"path", bucket.exemplar.path},
            {"host", bucket.exemplar.host},
            {"time", time_json(bucket.exemplar.time)},
            {"kernel", bucket.exemplar.kernel},
            {"summary", bucket.exemplar.summary}}}};
}

std::string export_json(const std::vector<StoredBucket>& buckets) {
  Json list = Json::array();
  for (const StoredBucket& bucket : buckets) list.push_back(to_json_value(bucket));
  return dump({{"schema", "perfcore.buckets-export/1"},
               {"generated", iso_time(static_cast<int64_t>(std::time(nullptr)))},
               {"buckets", std::move(list)}});
}

void render_cause(TextWriter& out, const StoredBucket& bucket, size_t indent) {
  const auto cause = root_cause_of(bucket);
  if (!cause) return;
  out.field("cause", cause->title, 9, indent);
  for (const KnownFix& fix : cause->fixes)
    out.field("fix", fmt::format("{} ({}), in {}", fix.reference.id, fix.reference.title, fix.releases), 9,
              indent);
  if (cause->regression)
    out.field("", Text{{"regression? a kernel that should have the fix crashed", Style::kBad}}, 9, indent);
}

std::string seen(const StoredBucket& bucket) {
  if (!bucket.first_seen) return "at unknown times";
  const std::string first = iso_day(*bucket.first_seen / kSecondsPerDay),
                    last = iso_day(*bucket.last_seen / kSecondsPerDay);
  return first == last ? first : fmt::format("{} to {}", first, last);
}

template <typename Map>
std::string first_keys(const Map& map, size_t most = 4) {
  std::string text;
  size_t shown = 0;
  for (const auto& [key, count] : map) {
    if (shown++ == most) return text + fmt::format(" and {} more", map.size() - most);
    text += fmt::format("{}{} ({})", text.empty() ? "" : ", ", key, count);
  }
  return text;
}

std::string list_text(const std::vector<StoredBucket>& buckets, int64_t today, TextWriter out) {
  if (buckets.empty()) {
    out.paragraph("The store is empty: perfcore batch PATH... fills it.");
    return out.text();
  }
  int64_t crashes = 0;
  for (const StoredBucket& bucket : buckets) crashes += bucket.count;
  out.paragraph(fmt::format("{} crashes in {} buckets, those with most first.{}", crashes, buckets.size(),
                            today == 0
                                ? ""
                                : fmt::format(" +N, -N: so many more or fewer in the week up to {} than "
                                              "in the week before.",
                                              iso_day(today))));
  for (const StoredBucket& bucket : buckets) {
    const int64_t trend = trend_of(bucket, today);
    out.line(
        Text{{fmt::format("{:>6}", bucket.count), Style::kStrong},
             {trend == 0 ? "      " : fmt::format(" {:<+5}", trend), trend > 0 ? Style::kBad : Style::kGood},
             {fmt::format(" {}  ", bucket.id)},
             {bucket.title, Style::kStrong}});
    std::vector<std::string> about = {seen(bucket)};
    if (!bucket.kernels.empty()) about.push_back(first_keys(bucket.kernels));
    if (!bucket.hosts.empty())
      about.push_back(bucket.hosts.size() == 1 ? "1 host" : fmt::format("{} hosts", bucket.hosts.size()));
    if (bucket.partial) about.emplace_back("partial: not all of it could be read");
    out.paragraph(fmt::format("{}", fmt::join(about, "; ")), 13, 2, Style::kFaint);
    render_cause(out, bucket, 13);
  }
  return out.text();
}

StoredBucket one_bucket(Store& store, const std::string& id) {
  std::vector<StoredBucket> found = store.buckets(id);
  if (!found.empty()) return std::move(found.front());
  std::vector<std::string> alike;
  for (const StoredBucket& bucket : store.buckets())
    if (bucket.id.starts_with(id)) alike.push_back(bucket.id);
  if (alike.empty())
    throw UsageError(fmt::format("there is no bucket {} in the store; perfcore buckets list shows them", id));
  throw UsageError(
      fmt::format("{} buckets have an id that begins with {}: {}{}", alike.size(), id,
                  fmt::join(alike.begin(), alike.begin() + std::min<ptrdiff_t>(4, std::ssize(alike)), ", "),
                  alike.size() > 4 ? ", ..." : ""));
}

Json to_json_value(const StoredCrash& crash) {
  return {{"id", crash.identity},          {"bucket", crash.bucket},  {"signature", crash.signature},
          {"time", time_json(crash.time)}, {"host", crash.host},      {"kernel", crash.kernel},
          {"source", crash.source},        {"path", crash.path},      {"rule", crash.rule},
          {"verdict", crash.verdict},      {"summary", crash.summary}};
}

int run_show_bucket(Session& session, Store& store, const std::string& id) {
  const StoredBucket bucket = one_bucket(store, id);
  std::vector<StoredCrash> crashes;
  store.crashes(bucket.id, [&](StoredCrash&& crash) { crashes.push_back(std::move(crash)); });
  if (session.options().json()) {
    Json list = Json::array();
    for (const StoredCrash& crash : crashes) list.push_back(to_json_value(crash));
    session.answer_text(dump({{"schema", "perfcore.buckets-show/1"},
                              {"bucket", to_json_value(bucket)},
                              {"merged", bucket.merged},
                              {"crashes", std::move(list)}}));
    return kExitDone;
  }
  TextWriter out = session.text_writer();
  out.heading(bucket.title, bucket.id);
  out.field("crashes", fmt::format("{}, {}", bucket.count, seen(bucket)), 9, 2);
  if (!bucket.kernels.empty()) out.field("kernels", first_keys(bucket.kernels), 9, 2);
  if (!bucket.hosts.empty()) out.field("hosts", fmt::format("{}", fmt::join(bucket.hosts, ", ")), 9, 2);
  out.field("key",
            fmt::format("class {}, cause {}{}", bucket.crash_class, bucket.cause,
                        bucket.partial ? ", partial: not all of it could be read" : ""),
            9, 2);
  for (const std::string& fact : bucket.facts) out.field("", fact, 9, 2);
  for (const auto& [name, value] : bucket.facets) out.field("", fmt::format("{}: {}", name, value), 9, 2);
  render_cause(out, bucket, 2);
  if (!bucket.exemplar.story.empty()) out.heading("Story", bucket.exemplar.path);
  for (size_t i = 0; i < bucket.exemplar.story.size(); ++i)
    out.paragraph(fmt::format("{}. {}", i + 1, bucket.exemplar.story[i]), 2, 3);
  out.heading("Crashes");
  for (size_t i = 0; i < std::min(crashes.size(), kShownCrashes); ++i)
    out.line(
        fmt::format("{}  {}  {}  {}", crashes[i].time ? iso_time(*crashes[i].time) : "unknown time        ",
                    crashes[i].host.empty() ? "-" : crashes[i].host, crashes[i].source, crashes[i].path),
        2);
  if (crashes.size() > kShownCrashes)
    out.line(fmt::format("... and {} more (perfcore buckets export)", crashes.size() - kShownCrashes), 2);
  if (!bucket.related.empty()) out.heading("Related buckets");
  for (size_t i = 0; i < bucket.related.size(); ++i) {
    const auto related = i < kShownRelated ? store.buckets(bucket.related[i]) : std::vector<StoredBucket>();
    out.line(related.empty() ? bucket.related[i]
                             : fmt::format("{}  {} ({} crashes)", bucket.related[i], related.front().title,
                                           related.front().count),
             2);
  }
  session.answer_text(out.text());
  return kExitDone;
}

int run_diff(Session& session, Store& store, const std::string& a, const std::string& b) {
  const StoredBucket first = one_bucket(store, a), second = one_bucket(store, b);
  struct Difference {
    std::string what, first, second;
    bool in_key;
  };
  std::vector<Difference> differences;
  const auto compare = [&](const std::string& what, const std::string& x, const std::string& y, bool in_key) {
    if (x != y) differences.push_back({what, x, y, in_key});
  };
  compare("schema", std::to_string(first.schema), std::to_string(second.schema), true);
  compare("class", first.crash_class, second.crash_class, true);
  compare("cause", first.cause, second.cause, true);
  std::map<std::string, std::pair<std::string, std::string>> facts, facets;
  for (const std::string& fact : first.facts) facts[fact.substr(0, fact.find('='))].first = fact;
  for (const std::string& fact : second.facts) facts[fact.substr(0, fact.find('='))].second = fact;
  for (const auto& [name, pair] : facts) compare(name, pair.first, pair.second, true);
  for (const auto& [name, value] : first.facets) facets[name].first = value;
  for (const auto& [name, value] : second.facets) facets[name].second = value;
  for (const auto& [name, pair] : facets) compare(name, pair.first, pair.second, false);
  compare("kernels", first_keys(first.kernels), first_keys(second.kernels), false);
  if (session.options().json()) {
    Json list = Json::array();
    for (const Difference& difference : differences)
      list.push_back({{"what", difference.what},
                      {"first", difference.first},
                      {"second", difference.second},
                      {"in_key", difference.in_key}});
    session.answer_text(dump({{"schema", "perfcore.buckets-diff/1"},
                              {"first", first.id},
                              {"second", second.id},
                              {"differences", std::move(list)}}));
    return kExitDone;
  }
  TextWriter out = session.text_writer();
  for (const bool in_key : {true, false}) {
    out.heading(in_key ? "What makes them two buckets" : "What else differs");
    bool any = false;
    for (const Difference& difference : differences) {
      if (difference.in_key != in_key) continue;
      any = true;
      out.field(difference.what, fmt::format("{}  |  {}", difference.first, difference.second), 12, 2);
    }
    if (!any) out.paragraph("nothing", 2);
  }
  session.answer_text(out.text());
  return kExitDone;
}

int run_export(Session& session, Store& store) {
  if (session.options().json()) {
    std::vector<StoredBucket> buckets = store.buckets();
    sort_buckets(&buckets);
    session.answer_text(export_json(buckets));
    return kExitDone;
  }
  // A crash at a time: the store may be larger than memory.
  const std::string& output = session.options().output;
  std::FILE* const file = output.empty() ? stdout : std::fopen(output.c_str(), "we");
  bool good = file != nullptr;
  if (good)
    store.crashes(
        "",
        [&](StoredCrash&& crash) {
          restart_time_limit();
          Json line = to_json_value(crash);
          Json answer = Json::parse(crash.answer, nullptr, false);
          line["answer"] = answer.is_discarded() ? Json(nullptr) : std::move(answer);
          const std::string text = line.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
          good = good && std::fwrite(text.data(), 1, text.size(), file) == text.size();
        },
        true);
  if (file != nullptr) good = (output.empty() ? std::fflush(file) : std::fclose(file)) == 0 && good;
  if (!good)
    throw InputError(fmt::format("{}: cannot be written: {}", output.empty() ? "standard output" : output,
                                 std::strerror(errno)));
  return kExitDone;
}

int run_dashboard(Session& session, Store& store) {
  const std::string& directory = session.options().output;
  if (directory.empty()) throw UsageError("where to? Give a directory by -o");
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  if (error) throw InputError(fmt::format("{}: not a directory to write to: {}", directory, error.message()));
  std::vector<StoredBucket> buckets = store.buckets();
  sort_buckets(&buckets);
  const std::string path = directory + "/index.html";
  std::ofstream file(path, std::ios::binary);
  file << dashboard_page(export_json(buckets));
  file.close();
  if (!file) throw InputError(fmt::format("{}: cannot be written: {}", path, std::strerror(errno)));
  return kExitDone;
}

int run_rebucket(Session& session, Store& store) {
  std::map<std::string, Signature> changed;
  std::map<std::pair<std::string, std::string>, size_t> table;
  size_t unusable = 0;
  store.crashes(
      "",
      [&](StoredCrash&& crash) {
        restart_time_limit();
        const auto signature = signature_in(crash.answer);
        if (!signature) {
          ++unusable;
          return;
        }
        if (signature->id == crash.signature) return;
        ++table[{crash.signature, signature->id}];
        changed[crash.identity] = *signature;
      },
      true);
  if (!session.options().dry_run) store.resign(changed);
  if (session.options().json()) {
    Json moves = Json::array();
    for (const auto& [move, count] : table)
      moves.push_back({{"from", move.first}, {"to", move.second}, {"count", count}});
    session.answer_text(dump({{"schema", "perfcore.buckets-rebucket/1"},
                              {"dry_run", session.options().dry_run},
                              {"signature_schema", kSignatureSchema},
                              {"moved", changed.size()},
                              {"unusable", unusable},
                              {"moves", std::move(moves)}}));
    return kExitDone;
  }
  TextWriter out = session.text_writer();
  out.paragraph(
      fmt::format("{} crashes {} to another bucket (signature version {}){}.", changed.size(),
                  session.options().dry_run ? "would move" : "moved", kSignatureSchema,
                  unusable == 0 ? "" : fmt::format("; the answers of {} could not be used", unusable)));
  for (const auto& [move, count] : table)
    out.line(fmt::format("{} -> {}  {}", move.first, move.second, count), 2);
  session.answer_text(out.text());
  return kExitDone;
}

/// Crash or path, and label: CSV with two columns, or JSONL of {"crash" or "path" or "id", "label"}.
std::map<std::string, std::string> read_labels(const std::string& path) {
  std::ifstream file(path);
  if (!file) throw InputError(fmt::format("{}: {}", path, std::strerror(errno)));
  std::map<std::string, std::string> labels;
  std::string line;
  for (size_t number = 1; std::getline(file, line); ++number) {
    while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.pop_back();
    if (line.empty() || line.front() == '#') continue;
    if (line.front() == '{') {
      const Json json = Json::parse(line, nullptr, false);
      const auto text = [&](const char* name) {
        return json.is_object() && json.contains(name) && json[name].is_string()
                   ? json[name].get<std::string>()
                   : std::string();
      };
      std::string crash = text("crash");
      if (crash.empty()) crash = text("path");
      if (crash.empty()) crash = text("id");
      if (crash.empty() || text("label").empty())
        throw InputError(fmt::format("{}:{}: no {{\"crash\" or \"path\", \"label\"}}", path, number));
      labels[crash] = text("label");
      continue;
    }
    const size_t comma = line.rfind(',');
    if (comma == line.npos) throw InputError(fmt::format("{}:{}: no comma", path, number));
    labels[line.substr(0, comma)] = line.substr(comma + 1);
  }
  return labels;
}

int run_eval(Session& session, Store& store, const std::string& path) {
  const std::map<std::string, std::string> labels = read_labels(path);
  std::map<std::string, std::string> by_identity;
  std::vector<std::pair<std::string, std::string>> placed;
  std::set<std::string> used;
  size_t partial = 0, other = 0;
  const auto place = [&](const StoredCrash& crash, const std::string& name, const std::string& label) {
    used.insert(name);
    by_identity[crash.identity] = label;
    placed.emplace_back(crash.bucket, label);
    partial += crash.bucket.ends_with("~partial") ? 1 : 0;
    other += crash.rule.empty() ? 1 : 0;
  };
  // By the end of their paths, as the store has a path as the batch was given it: counts if only one has it.
  std::map<std::string, std::vector<StoredCrash>> by_end;
  store.crashes("", [&](StoredCrash&& crash) {
    auto label = labels.find(crash.identity);
    if (label == labels.end()) label = labels.find(crash.path);
    // A line of a JSONL file by its id.
    if (label == labels.end() && crash.path.find('#') != crash.path.npos)
      label = labels.find(crash.path.substr(crash.path.rfind('#') + 1));
    if (label != labels.end()) return place(crash, label->first, label->second);
    for (size_t slash = crash.path.find('/'); slash != crash.path.npos;
         slash = crash.path.find('/', slash + 1)) {
      label = labels.find(crash.path.substr(slash + 1));
      if (label == labels.end()) continue;
      by_end[label->first].push_back(std::move(crash));
      return;
    }
  });
  size_t ambiguous = 0;
  for (const auto& [name, crashes] : by_end) {
    if (used.contains(name)) continue;
    if (crashes.size() == 1)
      place(crashes.front(), name, labels.at(name));
    else
      ++ambiguous;
  }
  const size_t missing = labels.size() - used.size() - ambiguous;
  store.set_labels(by_identity);
  if (placed.empty())
    throw InputError(fmt::format(
        "{}: none of the {} crashes that it names is in the store{}; names are paths, the ends of paths or "
        "ids "
        "of crashes as perfcore buckets export shows them",
        path, labels.size(),
        ambiguous == 0 ? "" : fmt::format(" (the names of {} fit more than one crash)", ambiguous)));
  const BucketQuality quality = quality_of(placed);
  const auto all = static_cast<double>(placed.size());
  const double partial_share = static_cast<double>(partial) / all,
               unexplained = static_cast<double>(other) / all;
  if (session.options().json()) {
    session.answer_text(dump(
        {{"schema", "perfcore.buckets-eval/1"},
         {"crashes", quality.crashes},
         {"labels", quality.labels},
         {"buckets", quality.buckets},
         {"pairwise", {{"precision", quality.precision}, {"recall", quality.recall}, {"f1", quality.f1}}},
         {"b_cubed",
          {{"precision", quality.b_cubed_precision},
           {"recall", quality.b_cubed_recall},
           {"f1", quality.b_cubed_f1}}},
         {"spray", quality.spray},
         {"glue", quality.glue},
         {"missing", missing},
         {"ambiguous", ambiguous},
         {"partial_share", partial_share},
         {"unexplained_share", unexplained}}));
    return kExitDone;
  }
  TextWriter out = session.text_writer();
  out.paragraph(fmt::format("{} crashes with {} labels are in {} buckets.", quality.crashes, quality.labels,
                            quality.buckets));
  if (missing > 0)
    out.paragraph(
        fmt::format("{} of {} labels are of crashes that are not in the store, or not under that path.",
                    missing, labels.size()));
  if (ambiguous > 0)
    out.paragraph(
        fmt::format("{} of {} labels fit more than one crash and were left out.", ambiguous, labels.size()));
  out.field("spray", fmt::format("{:.3f} buckets a label", quality.spray), 10, 2);
  out.field("glue", fmt::format("{:.3f} labels a bucket", quality.glue), 10, 2);
  out.field("pairs",
            fmt::format("F1 {:.3f}, precision {:.3f}, recall {:.3f}", quality.f1, quality.precision,
                        quality.recall),
            10, 2);
  out.field("B-cubed",
            fmt::format("F1 {:.3f}, precision {:.3f}, recall {:.3f}", quality.b_cubed_f1,
                        quality.b_cubed_precision, quality.b_cubed_recall),
            10, 2);
  out.field("partial",
            fmt::format("{:.1f}%; without a root cause {:.1f}%", partial_share * 100, unexplained * 100), 10,
            2);
  session.answer_text(out.text());
  return kExitDone;
}

}  // namespace

int run_buckets(Session& session) {
  const Options& options = session.options();
  const std::vector<std::string>& arguments = options.arguments;
  const std::string& what = arguments.front();
  const std::map<std::string, size_t> known = {{"list", 0},     {"show", 1}, {"diff", 2},     {"export", 0},
                                               {"rebucket", 0}, {"eval", 1}, {"dashboard", 0}};
  const auto found = known.find(what);
  if (found == known.end()) throw UsageError(fmt::format("\"{}\" is nothing that buckets knows", what));
  constexpr std::string_view kTakes[] = {"no argument", "one argument", "two arguments"};
  if (arguments.size() != found->second + 1)
    throw UsageError(fmt::format("buckets {} takes {}", what, kTakes[found->second]));
  set_activity("reading the store");
  // A name with a slip in it is not to look like a store without crashes. Only the list as JSON makes a
  // store: a fleet's run asks for it before its first batch, to see whether the store can be used at all.
  constexpr std::string_view kScheme = "sqlite:";
  const std::string file =
      options.store.starts_with(kScheme) ? options.store.substr(kScheme.size()) : options.store;
  std::error_code error;
  const bool may_make = what == "list" && options.json();
  if (!may_make && !file.empty() && file.find("://") == file.npos && !std::filesystem::exists(file, error) &&
      !error)
    throw InputError(
        fmt::format("there is no store {}: perfcore batch --store {} PATH... makes it", file, file));
  const auto store = Store::open(options.store.empty() ? Store::default_url() : options.store);
  if (what == "show") return run_show_bucket(session, *store, arguments[1]);
  if (what == "diff") return run_diff(session, *store, arguments[1], arguments[2]);
  if (what == "export") return run_export(session, *store);
  if (what == "rebucket") return run_rebucket(session, *store);
  if (what == "eval") return run_eval(session, *store, arguments[1]);
  if (what == "dashboard") return run_dashboard(session, *store);
  std::vector<StoredBucket> buckets = store->buckets();
  const int64_t today = sort_buckets(&buckets);
  session.answer_text(options.json() ? export_json(buckets)
                                     : list_text(buckets, today, session.text_writer()));
  return kExitDone;
}

}  // namespace perfcore::cli
