// SPDX-License-Identifier: LGPL-2.1-or-later
#include "perfcore/store.h"

#include <fmt/format.h>
#include <nettle/sha2.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <iterator>
#include <set>

#include "bucket/database.h"
#include "bucket/store_schema.h"

namespace perfcore {
namespace {

constexpr int64_t kSecondsPerDay = 86400;
constexpr size_t kFacetValues = 5;
constexpr size_t kRelatedBuckets = 20;
/// Frames of a stack that are worth a row each; of hostile dumps more may come.
constexpr size_t kMaxFrames = 128;

/// Ends the transaction one way or the other.
class Transaction {
 public:
  enum class For { kReading, kWriting };
  Transaction(Database& database, For what) : database_(database) {
    if (what == For::kWriting)
      database_.begin_write();
    else
      database_.begin_read();
  }
  ~Transaction() {
    if (!done_) database_.rollback();
  }
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;
  void commit() {
    database_.commit();
    done_ = true;
  }

 private:
  Database& database_;
  bool done_ = false;
};

/// Length of the UTF-8 sequence at the start of the text; 0 where there is none that is valid (RFC 3629).
size_t sequence_length(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(0);
  if (lead == 0) return 0;
  if (lead < 0x80) return 1;
  const size_t length = lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 0;
  if (length == 0 || length > text.size()) return 0;
  for (size_t i = 1; i < length; ++i)
    if ((byte(i) & 0xc0) != 0x80) return 0;
  const bool overlong = (lead == 0xe0 && byte(1) < 0xa0) || (lead == 0xf0 && byte(1) < 0x90);
  const bool surrogate = lead == 0xed && byte(1) > 0x9f;
  const bool too_large = lead == 0xf4 && byte(1) > 0x8f;
  return overlong || surrogate || too_large ? 0 : length;
}

/// Text as both databases take it: PostgreSQL refuses NUL and what is no UTF-8.
std::string storable(std::string_view text) {
  std::string result;
  result.reserve(text.size());
  while (!text.empty()) {
    const size_t length = sequence_length(text);
    if (length == 0)
      result += "\xef\xbf\xbd";
    else
      result += text.substr(0, length);
    text.remove_prefix(std::max<size_t>(length, 1));
  }
  return result;
}

std::string joined(const std::vector<std::string>& lines) {
  std::string text;
  for (std::string line : lines) {
    std::replace(line.begin(), line.end(), '\n', ' ');
    text += (text.empty() ? "" : "\n") + line;
  }
  return text;
}

std::vector<std::string> split(std::string_view text) {
  std::vector<std::string> lines;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    lines.emplace_back(text.substr(0, end));
    if (end == text.npos) break;
    text.remove_prefix(end + 1);
  }
  return lines;
}

/// What a copy of a crash says, against other copies: less is more.
int64_t rank_of(const CrashRecord& crash) {
  constexpr std::string_view kSources[] = {"vmcore", "minimal", "recording", "text"};
  const auto source = std::find(std::begin(kSources), std::end(kSources), crash.source);
  return (crash.signature.partial ? 10 : 0) + (source - std::begin(kSources));
}

}  // namespace

std::string SqlRow::text(size_t column) const {
  if (column < values_.size()) {
    if (const auto* text = std::get_if<std::string>(&values_[column])) return *text;
    if (std::holds_alternative<std::nullptr_t>(values_[column])) return "";
  }
  throw StoreError(
      fmt::format("the store holds no text in column {} of a result: its tables were changed", column));
}

std::optional<int64_t> SqlRow::number(size_t column) const {
  if (column < values_.size()) {
    if (const auto* number = std::get_if<int64_t>(&values_[column])) return *number;
    if (std::holds_alternative<std::nullptr_t>(values_[column])) return std::nullopt;
  }
  throw StoreError(
      fmt::format("the store holds no number in column {} of a result: its tables were changed", column));
}

std::string crash_identity(std::span<const std::string> parts) {
  sha256_ctx context;
  sha256_init(&context);
  for (const std::string& part : parts) {
    // With the length, so that no two lists of parts are the same bytes.
    const std::string length = fmt::format("{}:", part.size());
    sha256_update(&context, length.size(), reinterpret_cast<const uint8_t*>(length.data()));
    sha256_update(&context, part.size(), reinterpret_cast<const uint8_t*>(part.data()));
  }
  std::array<uint8_t, 16> digest;
  sha256_digest(&context, digest.size(), digest.data());
  std::string text;
  for (const uint8_t byte : digest) text += fmt::format("{:02x}", byte);
  return text;
}

std::string Store::default_url() {
  const char* state = std::getenv("XDG_STATE_HOME");
  if (state != nullptr && *state == '/') return fmt::format("{}/perfcore/crashes.db", state);
  const char* home = std::getenv("HOME");
  if (home == nullptr || *home == '\0')
    throw StoreError("there is no place for the store: HOME is not set; name one by --store");
  return fmt::format("{}/.local/state/perfcore/crashes.db", home);
}

std::unique_ptr<Store> Store::open(const std::string& url) {
  std::unique_ptr<Database> database;
  if (url.starts_with("postgresql://") || url.starts_with("postgres://")) {
    database = open_postgresql(url);
  } else {
    constexpr std::string_view kScheme = "sqlite:";
    database = open_sqlite(url.starts_with(kScheme) ? url.substr(kScheme.size()) : url);
  }
  std::unique_ptr<Store> store(new Store(std::move(database)));
  store->migrate();
  return store;
}

Store::Store(std::unique_ptr<Database> database) : database_(std::move(database)) {}
Store::~Store() = default;

int64_t Store::version() {
  int64_t version = 0;
  database_->query("SELECT version FROM schema_version", {},
                   [&](const SqlRow& row) { version = row.number(0).value_or(0); });
  return version;
}

void Store::migrate() {
  constexpr auto kLast = static_cast<int64_t>(kStoreMigrations.size());
  // Who only reads a store that is up to date must not wait for who writes to it.
  try {
    if (version() == kLast) return;
  } catch (const StoreError&) {
    // It has no tables yet.
  }
  Transaction transaction(*database_, Transaction::For::kWriting);
  database_->execute("CREATE TABLE IF NOT EXISTS schema_version (version BIGINT NOT NULL) /*strict*/");
  const int64_t found = version();
  if (found > kLast)
    throw StoreError(fmt::format(
        "the store has version {}, this perfcore knows versions up to {}: use a newer one", found, kLast));
  for (int64_t i = found; i < kLast; ++i) database_->execute(kStoreMigrations[static_cast<size_t>(i)]);
  if (found == 0)
    database_->query("INSERT INTO schema_version (version) VALUES ($1)", std::array{SqlValue(kLast)},
                     [](const SqlRow&) {});
  else if (found < kLast)
    database_->query("UPDATE schema_version SET version = $1", std::array{SqlValue(kLast)},
                     [](const SqlRow&) {});
  transaction.commit();
}

namespace {

void run(Database& database, const std::string& sql, std::span<const SqlValue> parameters) {
  database.query(sql, parameters, [](const SqlRow&) {});
}

SqlValue nullable(const std::optional<int64_t>& number) {
  return number ? SqlValue(*number) : SqlValue(nullptr);
}

Signature signature_of(const SqlRow& row) {
  Signature signature;
  signature.id = row.text(0);
  signature.schema = static_cast<int>(row.number(1).value_or(0));
  signature.crash_class = row.text(2);
  signature.cause = row.text(3);
  signature.facts = split(row.text(4));
  signature.partial = row.number(5).value_or(0) != 0;
  return signature;
}

constexpr const char* kSignatureColumns = "id, schema_version, crash_class, cause, facts, partial";

}  // namespace

std::string Store::bucket_of(const std::string& signature) {
  std::string bucket = signature;
  database_->query("SELECT bucket FROM alias WHERE id = $1 AND kind = 'merged'",
                   std::array{SqlValue(signature)}, [&](const SqlRow& row) { bucket = row.text(0); });
  return bucket;
}

/// Merges a partial bucket into the complete one that it may be, if there is one only. Which it is follows
/// from the buckets that there are, in whatever order they came.
void Store::link(const std::string& partial) {
  run(*database_, "DELETE FROM alias WHERE id = $1 AND kind = 'merged'", std::array{SqlValue(partial)});
  std::optional<Signature> signature;
  database_->query(fmt::format("SELECT {} FROM bucket WHERE id = $1", kSignatureColumns),
                   std::array{SqlValue(partial)}, [&](const SqlRow& row) { signature = signature_of(row); });
  if (!signature) return;
  std::vector<std::string> candidates;
  // Only of a panic the class may not be known (compatible()).
  database_->query(
      fmt::format("SELECT {} FROM bucket WHERE (crash_class = $1 OR $1 = 'panic') AND partial = 0",
                  kSignatureColumns),
      std::array{SqlValue(signature->crash_class)}, [&](const SqlRow& row) {
        const Signature complete = signature_of(row);
        if (compatible(*signature, complete)) candidates.push_back(complete.id);
      });
  if (candidates.size() == 1)
    run(*database_, "INSERT INTO alias (id, bucket, kind, level) VALUES ($1, $2, 'merged', '')",
        std::array{SqlValue(partial), SqlValue(candidates.front())});
}

/// A bucket came or went: partial ones that it concerns are linked anew.
void Store::link_around(const Signature& signature) {
  if (signature.partial) {
    link(signature.id);
    return;
  }
  std::vector<std::string> partial;
  database_->query(fmt::format("SELECT {} FROM bucket WHERE crash_class IN ($1, 'panic') AND partial = 1",
                               kSignatureColumns),
                   std::array{SqlValue(signature.crash_class)}, [&](const SqlRow& row) {
                     const Signature other = signature_of(row);
                     if (compatible(other, signature)) partial.push_back(other.id);
                   });
  for (const std::string& id : partial) link(id);
}

bool Store::add_bucket(const Signature& signature) {
  bool known = false;
  database_->query("SELECT id FROM bucket WHERE id = $1", std::array{SqlValue(signature.id)},
                   [&](const SqlRow&) { known = true; });
  if (known) return false;
  run(*database_,
      "INSERT INTO bucket (id, schema_version, crash_class, cause, facts, partial, title) "
      "VALUES ($1, $2, $3, $4, $5, $6, $7)",
      std::array{SqlValue(signature.id), SqlValue(int64_t{signature.schema}),
                 SqlValue(storable(signature.crash_class)), SqlValue(storable(signature.cause)),
                 SqlValue(storable(joined(signature.facts))), SqlValue(int64_t{signature.partial}),
                 SqlValue(storable(signature.title))});
  link_around(signature);
  return true;
}

void Store::remove_crash(const std::string& identity, const std::string& signature) {
  run(*database_, "DELETE FROM crash WHERE id = $1", std::array{SqlValue(identity)});
  if (!signature.empty()) drop_unused(signature);
}

void Store::drop_unused(const std::string& signature) {
  bool used = false;
  database_->query("SELECT id FROM crash WHERE signature = $1 LIMIT 1", std::array{SqlValue(signature)},
                   [&](const SqlRow&) { used = true; });
  if (used) return;
  std::optional<Signature> gone;
  database_->query(fmt::format("SELECT {} FROM bucket WHERE id = $1", kSignatureColumns),
                   std::array{SqlValue(signature)}, [&](const SqlRow& row) { gone = signature_of(row); });
  run(*database_, "DELETE FROM alias WHERE id = $1 AND kind = 'merged'", std::array{SqlValue(signature)});
  run(*database_, "DELETE FROM bucket WHERE id = $1", std::array{SqlValue(signature)});
  if (gone && !gone->partial) link_around(*gone);
}

Added Store::add_one(const CrashRecord& crash) {
  const int64_t rank = rank_of(crash);
  const std::string path = storable(crash.path);
  Added added{Added::How::kNew, "", false};
  std::optional<std::string> replaced;
  bool keep = false;
  database_->query("SELECT signature, rank, path FROM crash WHERE id = $1",
                   std::array{SqlValue(crash.identity)}, [&](const SqlRow& row) {
                     replaced = row.text(0);
                     keep = std::pair(row.number(1).value_or(0), row.text(2)) < std::pair(rank, path);
                   });
  if (keep) return {Added::How::kKnown, bucket_of(*replaced), false};
  if (replaced) {
    added.how = Added::How::kReplaced;
    remove_crash(crash.identity, *replaced == crash.signature.id ? std::string() : *replaced);
  }
  const bool fresh = add_bucket(crash.signature);
  added.new_bucket = fresh && !replaced;
  write_crash(crash, rank);
  return added;
}

void Store::write_crash(const CrashRecord& crash, int64_t rank) {
  const auto text = [](std::string_view value) { return SqlValue(storable(value)); };
  run(*database_,
      "INSERT INTO crash (id, signature, kernel, kernel_version, build_id, host, crash_time, source, path, "
      "title, rule, verdict, taint, summary, story, pmu_map, answer, rank) VALUES ($1, $2, $3, $4, $5, $6, "
      "$7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)",
      std::array{SqlValue(crash.identity), SqlValue(crash.signature.id), text(crash.kernel),
                 text(crash.kernel_version), text(crash.build_id), text(crash.host), nullable(crash.time),
                 text(crash.source), text(crash.path), text(crash.signature.title), text(crash.rule),
                 text(crash.verdict),
                 crash.taint ? SqlValue(static_cast<int64_t>(*crash.taint)) : SqlValue(nullptr),
                 text(crash.summary), text(joined(crash.story)),
                 crash.pmu_map.empty() ? SqlValue(nullptr) : text(crash.pmu_map), text(crash.answer),
                 SqlValue(rank)});
  const SqlValue id = crash.identity;
  int64_t position = 0;
  for (const StoredFinding& finding : crash.findings) {
    run(*database_,
        "INSERT INTO finding (crash, position, rule, title, verdict, stage, cause_of_crash, score) VALUES "
        "($1, $2, $3, $4, $5, $6, $7, $8)",
        std::array{id, SqlValue(position++), text(finding.rule), text(finding.title), text(finding.verdict),
                   text(finding.stage), SqlValue(int64_t{finding.cause_of_crash}), SqlValue(finding.score)});
    for (const auto& [name, value] : finding.facts)
      write_fact(crash.identity, finding.rule, "finding", name, value);
  }
  for (const std::string& fact : crash.signature.facts) {
    const size_t equals = fact.find('=');
    if (equals != fact.npos)
      write_fact(crash.identity, "", "key", fact.substr(0, equals), fact.substr(equals + 1));
  }
  for (const auto& [name, value] : crash.signature.facets)
    write_fact(crash.identity, "", "facet", name, value);
  position = 0;
  for (const StoredFrame& frame : crash.frames) {
    if (position == static_cast<int64_t>(kMaxFrames)) break;
    run(*database_, "INSERT INTO frame (crash, position, function, module) VALUES ($1, $2, $3, $4)",
        std::array{id, SqlValue(position++), text(frame.function), text(frame.module)});
  }
  for (const RelatedSignature& related : crash.signature.related)
    run(*database_,
        "INSERT INTO alias (id, bucket, kind, level) VALUES ($1, $2, 'related', $3) ON CONFLICT DO NOTHING",
        std::array{SqlValue(related.id), SqlValue(crash.signature.id), text(related.level)});
}

void Store::write_fact(const std::string& crash, const std::string& rule, const std::string& kind,
                       const std::string& name, const std::string& value) {
  run(*database_,
      "INSERT INTO fact (crash, rule, kind, name, value) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
      std::array{SqlValue(crash), SqlValue(rule), SqlValue(kind), SqlValue(storable(name)),
                 SqlValue(storable(value))});
}

std::vector<Added> Store::add(std::span<const CrashRecord> crashes, std::span<const StoredInput> inputs) {
  Transaction transaction(*database_, Transaction::For::kWriting);
  std::vector<Added> results;
  for (const CrashRecord& crash : crashes) results.push_back(add_one(crash));
  for (size_t i = 0; i < results.size(); ++i)
    if (results[i].bucket.empty()) results[i].bucket = bucket_of(crashes[i].signature.id);
  for (const StoredInput& input : inputs)
    run(*database_,
        "INSERT INTO input (path, size, mtime_ns, inode, outcome, why) VALUES ($1, $2, $3, $4, $5, $6) "
        "ON CONFLICT (path) DO UPDATE SET size = excluded.size, mtime_ns = excluded.mtime_ns, "
        "inode = excluded.inode, outcome = excluded.outcome, why = excluded.why",
        std::array{SqlValue(storable(input.path)), SqlValue(input.size), SqlValue(input.mtime_ns),
                   SqlValue(input.inode), SqlValue(input.outcome), SqlValue(storable(input.why))});
  transaction.commit();
  return results;
}

bool Store::is_done(const StoredInput& input) {
  bool done = false;
  database_->query("SELECT size, mtime_ns, inode, outcome FROM input WHERE path = $1",
                   std::array{SqlValue(storable(input.path))}, [&](const SqlRow& row) {
                     done = row.number(0) == input.size && row.number(1) == input.mtime_ns &&
                            row.number(2) == input.inode && row.text(3) != "failed";
                   });
  return done;
}

std::vector<StoredBucket> Store::buckets(std::string_view only) {
  Transaction transaction(*database_, Transaction::For::kReading);
  std::map<std::string, StoredBucket> all;
  std::map<std::string, std::string> merged;
  database_->query("SELECT id, bucket FROM alias WHERE kind = 'merged'", {},
                   [&](const SqlRow& row) { merged[row.text(0)] = row.text(1); });
  database_->query(fmt::format("SELECT {} FROM bucket", kSignatureColumns), {}, [&](const SqlRow& row) {
    Signature signature = signature_of(row);
    const auto alias = merged.find(signature.id);
    if (alias != merged.end()) {
      all[alias->second].merged.push_back(signature.id);
      return;
    }
    StoredBucket& bucket = all[signature.id];
    bucket.id = signature.id;
    bucket.schema = signature.schema;
    bucket.crash_class = signature.crash_class;
    bucket.cause = signature.cause;
    bucket.facts = std::move(signature.facts);
    bucket.partial = signature.partial;
  });
  if (!only.empty()) {
    std::string id(only);
    if (const auto alias = merged.find(id); alias != merged.end()) id = alias->second;
    const bool exact = all.contains(id);
    std::erase_if(
        all, [&](const auto& entry) { return exact ? entry.first != id : !entry.first.starts_with(id); });
    if (all.size() != 1) return {};
  }
  // Of one bucket only its own rows are read.
  const std::string chosen = only.empty() ? "" : all.begin()->first;
  const auto select = [&](const std::string& columns, const std::string& from, const std::string& rest,
                          const std::function<void(StoredBucket&, const SqlRow&)>& take) {
    const auto each = [&](const SqlRow& row) {
      const auto found = all.find(row.text(0));
      if (found != all.end()) take(found->second, row);
    };
    const std::string where = chosen.empty() ? "" : " WHERE placed.bucket = $1";
    std::vector<SqlValue> parameters;
    if (!chosen.empty()) parameters.emplace_back(chosen);
    database_->query(fmt::format("SELECT {} FROM {}{} {}", columns, from, where, rest), parameters, each);
  };
  select(fmt::format("bucket, crash_time / {0}, COUNT(*), MIN(crash_time), MAX(crash_time)", kSecondsPerDay),
         "placed", fmt::format("GROUP BY bucket, crash_time / {}", kSecondsPerDay),
         [](StoredBucket& bucket, const SqlRow& row) {
           const int64_t count = row.number(2).value_or(0);
           bucket.count += count;
           if (!row.number(1)) return;
           bucket.days[*row.number(1)] += count;
           bucket.first_seen = std::min(bucket.first_seen.value_or(*row.number(3)), *row.number(3));
           bucket.last_seen = std::max(bucket.last_seen.value_or(*row.number(4)), *row.number(4));
         });
  select("bucket, kernel, COUNT(*), MAX(kernel_version)", "placed", "GROUP BY bucket, kernel",
         [](StoredBucket& bucket, const SqlRow& row) {
           if (row.text(1).empty()) return;
           bucket.kernels[row.text(1)] = row.number(2).value_or(0);
           bucket.kernel_versions[row.text(1)] = row.text(3);
         });
  select("bucket, host", "placed", "GROUP BY bucket, host", [](StoredBucket& bucket, const SqlRow& row) {
    if (!row.text(1).empty()) bucket.hosts.push_back(row.text(1));
  });
  std::map<std::string, std::map<std::string, std::vector<std::pair<int64_t, std::string>>>> facets;
  select("placed.bucket, fact.name, fact.value, COUNT(*)",
         "placed JOIN fact ON fact.crash = placed.id AND fact.kind = 'facet'",
         "GROUP BY placed.bucket, fact.name, fact.value", [&](StoredBucket& bucket, const SqlRow& row) {
           facets[bucket.id][row.text(1)].emplace_back(-row.number(3).value_or(0), row.text(2));
         });
  for (auto& [id, names] : facets)
    for (auto& [name, values] : names) {
      std::sort(values.begin(), values.end());
      std::string& text = all[id].facets[name];
      for (size_t i = 0; i < std::min(values.size(), kFacetValues); ++i)
        text += (i == 0 ? "" : ", ") + values[i].second;
    }
  // The exemplar: what says most, then the earliest, then by identity.
  select("bucket, id, path, host, kernel, summary, pmu_map, crash_time, story, title, rule",
         "(SELECT placed.*, ROW_NUMBER() OVER (PARTITION BY bucket ORDER BY rank, COALESCE(crash_time, "
         "9223372036854775807), id) AS place FROM placed) AS placed",
         chosen.empty() ? "WHERE place = 1" : "AND place = 1", [](StoredBucket& bucket, const SqlRow& row) {
           StoredBucket::Exemplar& exemplar = bucket.exemplar;
           exemplar.identity = row.text(1);
           exemplar.path = row.text(2);
           exemplar.host = row.text(3);
           exemplar.kernel = row.text(4);
           exemplar.summary = row.text(5);
           exemplar.pmu_map = row.text(6);
           exemplar.time = row.number(7);
           exemplar.story = split(row.text(8));
           bucket.title = row.text(9);
           bucket.rule = row.text(10);
         });
  // Buckets that have an id under which related ones are found in common, or that are such an id.
  const auto placed_in = [&](const std::string& id) {
    const auto alias = merged.find(id);
    return alias == merged.end() ? id : alias->second;
  };
  std::map<std::string, std::set<std::string>> by_related;
  database_->query("SELECT id, bucket FROM alias WHERE kind = 'related'", {},
                   [&](const SqlRow& row) { by_related[row.text(0)].insert(placed_in(row.text(1))); });
  database_->query("SELECT id FROM bucket", {}, [&](const SqlRow& row) {
    const auto found = by_related.find(row.text(0));
    if (found != by_related.end()) found->second.insert(placed_in(row.text(0)));
  });
  std::map<std::string, std::set<std::string>> relatives;
  for (const auto& [related, members] : by_related)
    for (const std::string& member : members)
      for (const std::string& other : members) {
        std::set<std::string>& known = relatives[member];
        if (known.size() >= kRelatedBuckets) break;
        if (other != member) known.insert(other);
      }
  transaction.commit();
  std::vector<StoredBucket> result;
  for (auto& [id, bucket] : all) {
    std::sort(bucket.hosts.begin(), bucket.hosts.end());
    std::sort(bucket.merged.begin(), bucket.merged.end());
    const std::set<std::string>& related = relatives[id];
    bucket.related.assign(related.begin(), related.end());
    result.push_back(std::move(bucket));
  }
  return result;
}

void Store::crashes(std::string_view bucket, const std::function<void(StoredCrash&&)>& each,
                    bool with_answer) {
  const std::string sql = fmt::format(
      "SELECT id, bucket, signature, kernel, host, source, path, rule, verdict, summary, crash_time{} FROM "
      "placed{} ORDER BY COALESCE(crash_time, 9223372036854775807), id",
      with_answer ? ", answer" : "", bucket.empty() ? "" : " WHERE bucket = $1");
  std::vector<SqlValue> parameters;
  if (!bucket.empty()) parameters.emplace_back(std::string(bucket));
  database_->query(sql, parameters, [&](const SqlRow& row) {
    each({row.text(0), row.text(1), row.text(2), row.text(3), row.text(4), row.text(5), row.text(6),
          row.text(7), row.text(8), row.text(9), with_answer ? row.text(11) : "", row.number(10)});
  });
}

void Store::resign(const std::map<std::string, Signature>& by_identity) {
  Transaction transaction(*database_, Transaction::For::kWriting);
  for (const auto& [identity, signature] : by_identity) {
    std::string old;
    database_->query("SELECT signature FROM crash WHERE id = $1", std::array{SqlValue(identity)},
                     [&](const SqlRow& row) { old = row.text(0); });
    if (old.empty() || old == signature.id) continue;
    add_bucket(signature);
    run(*database_, "UPDATE crash SET signature = $1 WHERE id = $2",
        std::array{SqlValue(signature.id), SqlValue(identity)});
    drop_unused(old);
  }
  transaction.commit();
}

void Store::set_labels(const std::map<std::string, std::string>& by_identity) {
  Transaction transaction(*database_, Transaction::For::kWriting);
  run(*database_, "DELETE FROM label", {});
  for (const auto& [identity, label] : by_identity)
    run(*database_, "INSERT INTO label (crash, label) VALUES ($1, $2)",
        std::array{SqlValue(identity), SqlValue(storable(label))});
  transaction.commit();
}

}  // namespace perfcore
