// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// The store of crashes: what batches found out, kept as buckets, crashes, facts and frames in an SQL
/// database. SQLite without further ado, PostgreSQL by URL, with the same tables and the same statements.
///
/// Several processes may write: one at a time, the others wait. What add() has returned from survives the
/// death of the process; what it has not is in the store as a whole or not at all.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "perfcore/signature.h"

namespace perfcore {

/// The database cannot be opened, read or written; the message names it and says what to do.
class StoreError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// A finding as the store keeps it.
struct StoredFinding {
  std::string rule, title, verdict, stage;
  bool cause_of_crash = false;
  int64_t score = 0;
  std::map<std::string, std::string> facts;
};

struct StoredFrame {
  std::string function, module;
};

/// A crash: one of which there is a dump, or a report in console text. Bytes that are no UTF-8, and NUL, are
/// replaced when it is stored.
struct CrashRecord {
  std::string identity;  ///< of the crash, not of the file: crash_identity()
  Signature signature;
  std::string kernel;          ///< release
  std::string kernel_version;  ///< utsname.version; empty: unknown
  std::string build_id;
  std::string host;
  std::optional<int64_t> time;  ///< of the crash by the dump, seconds since 1970; never the time of import
  std::string source;           ///< "vmcore", "minimal", "recording", "text"
  std::string path;             ///< of the file; of a line of a JSONL file with "#ID"
  std::string rule;             ///< that explains the crash; empty without one
  std::string verdict;          ///< of that rule
  std::optional<uint64_t> taint;
  std::string summary;             ///< one sentence
  std::vector<std::string> story;  ///< what happened, step by step
  std::vector<StoredFinding> findings;
  std::vector<StoredFrame> frames;
  std::string pmu_map;  ///< the counters of the guilty CPU as a JSON object; empty without one
  std::string answer;   ///< what `triage` or `report` says, as compact JSON
};

/// SHA-256 over texts, as 32 hex digits: the identity of a crash from what it consists of.
std::string crash_identity(std::span<const std::string> parts);

/// A file as it was when a batch read it. The same one is not read again.
struct StoredInput {
  std::string path;
  int64_t size = 0;
  int64_t mtime_ns = 0;
  int64_t inode = 0;
  std::string outcome;  ///< "done", "empty" (no crash in it), "failed"
  std::string why;      ///< of a failure
};

/// What add() did with a crash.
struct Added {
  enum class How { kNew, kReplaced, kKnown } how = How::kKnown;
  std::string bucket;       ///< where it is now
  bool new_bucket = false;  ///< the first crash of its signature
};

/// What the store knows of a bucket. Lists are sorted.
struct StoredBucket {
  std::string id, title, crash_class, cause;
  int64_t schema = 0;
  bool partial = false;
  std::vector<std::string> facts;
  std::map<std::string, std::string> facets;  ///< values by frequency, joined by ", "; of many the first five
  int64_t count = 0;
  std::optional<int64_t> first_seen, last_seen;
  std::map<int64_t, int64_t> days;                     ///< days since 1970 -> crashes
  std::map<std::string, int64_t> kernels;              ///< release -> crashes
  std::map<std::string, std::string> kernel_versions;  ///< release -> an utsname.version of it
  std::vector<std::string> hosts;
  std::vector<std::string> related;  ///< ids of buckets in the store, by a common related id
  std::vector<std::string> merged;   ///< partial ids that are taken for this bucket
  std::string rule;                  ///< that explains its crashes; empty without one
  struct Exemplar {
    std::string identity, path, host, kernel, summary, pmu_map;
    std::optional<int64_t> time;
    std::vector<std::string> story;
  } exemplar;  ///< the most telling crash: complete, from the best source, the earliest
};

struct StoredCrash {
  std::string identity, bucket, signature, kernel, host, source, path, rule, verdict, summary, answer;
  std::optional<int64_t> time;
};

/// One thread at a time; open twice for two.
class Store {
 public:
  /// \param url  "postgresql://...", "sqlite:PATH" or a path. Makes what is missing. Throws StoreError, also
  ///             for a store of a newer version.
  static std::unique_ptr<Store> open(const std::string& url);
  /// $XDG_STATE_HOME/perfcore/crashes.db, else below ~/.local/state.
  static std::string default_url();
  ~Store();

  /// Adds crashes and inputs in one transaction and returns when it is on disk. A crash is its content: of
  /// several copies the store keeps the one that says most (complete before partial, vmcore before minimal
  /// before recording before text, then by path), whatever order they come in.
  std::vector<Added> add(std::span<const CrashRecord> crashes, std::span<const StoredInput> inputs = {});

  /// Whether this very file was read to the end.
  bool is_done(const StoredInput& input);

  /// All buckets, by id. \param only  this one, also by a merged id or the beginning of an id that only one
  /// has; empty: all
  std::vector<StoredBucket> buckets(std::string_view only = {});
  /// The crashes of a bucket (empty: all), by time and identity.
  void crashes(std::string_view bucket, const std::function<void(StoredCrash&&)>& each,
               bool with_answer = false);
  /// Gives crashes new signatures, in one transaction.
  void resign(const std::map<std::string, Signature>& by_identity);

  /// Labels by hand, of crashes by identity: those that were there are replaced.
  void set_labels(const std::map<std::string, std::string>& by_identity);

 private:
  explicit Store(std::unique_ptr<class Database> database);
  int64_t version();
  void migrate();
  Added add_one(const CrashRecord& crash);
  bool add_bucket(const Signature& signature);
  void write_crash(const CrashRecord& crash, int64_t rank);
  void write_fact(const std::string& crash, const std::string& rule, const std::string& kind,
                  const std::string& name, const std::string& value);
  void drop_unused(const std::string& signature);
  void remove_crash(const std::string& identity, const std::string& signature);
  void link(const std::string& partial);
  void link_around(const Signature& signature);
  std::string bucket_of(const std::string& signature);

  std::unique_ptr<class Database> database_;
};

}  // namespace perfcore
