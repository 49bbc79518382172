// SPDX-License-Identifier: LGPL-2.1-or-later
#include <fmt/format.h>
#include <sqlite3.h>

#include <filesystem>
#include <unordered_map>

#include "bucket/database.h"
#include "perfcore/store.h"

namespace perfcore {
namespace {

constexpr int kBusyTimeoutMs = 60'000;

struct CloseDatabase {
  void operator()(sqlite3* handle) const { sqlite3_close_v2(handle); }
};
struct Finalize {
  void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
};
struct Reset {
  void operator()(sqlite3_stmt* statement) const { sqlite3_reset(statement); }
};

SqlValue column(sqlite3_stmt* statement, int index) {
  switch (sqlite3_column_type(statement, index)) {
    case SQLITE_NULL:
      return nullptr;
    case SQLITE_INTEGER:
      return static_cast<int64_t>(sqlite3_column_int64(statement, index));
    default:
      return std::string(reinterpret_cast<const char*>(sqlite3_column_text(statement, index)),
                         static_cast<size_t>(sqlite3_column_bytes(statement, index)));
  }
}

class Sqlite : public Database {
 public:
  explicit Sqlite(const std::string& path) : path_(path) {
    const std::filesystem::path directory = std::filesystem::path(path).parent_path();
    std::error_code error;
    if (!directory.empty()) std::filesystem::create_directories(directory, error);
    sqlite3* handle = nullptr;
    const int status =
        sqlite3_open_v2(path.c_str(), &handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, nullptr);
    handle_.reset(handle);
    if (status != SQLITE_OK) fail("cannot be opened");
    sqlite3_busy_timeout(handle, kBusyTimeoutMs);
    // In WAL mode FULL syncs the log at each commit: what is acknowledged survives a power cut as well.
    execute("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;");
  }

  void execute(const std::string& sql) override {
    if (sqlite3_exec(handle_.get(), dialect(sql).c_str(), nullptr, nullptr, nullptr) != SQLITE_OK)
      fail("cannot be used");
  }

  void query(const std::string& sql, std::span<const SqlValue> parameters,
             const std::function<void(const SqlRow&)>& each) override {
    sqlite3_stmt* statement = prepared(sql);
    const std::unique_ptr<sqlite3_stmt, Reset> reset(statement);
    for (size_t i = 0; i < parameters.size(); ++i) bind(statement, static_cast<int>(i + 1), parameters[i]);
    int status;
    while ((status = sqlite3_step(statement)) == SQLITE_ROW) {
      std::vector<SqlValue> values;
      const int columns = sqlite3_column_count(statement);
      for (int i = 0; i < columns; ++i) values.push_back(column(statement, i));
      each(SqlRow(std::move(values)));
    }
    if (status != SQLITE_DONE) fail("cannot be used");
  }

  void begin_write() override { execute("BEGIN IMMEDIATE"); }
  void begin_read() override { execute("BEGIN"); }
  void commit() override { execute("COMMIT"); }
  void rollback() noexcept override {
    if (sqlite3_get_autocommit(handle_.get()) == 0)
      sqlite3_exec(handle_.get(), "ROLLBACK", nullptr, nullptr, nullptr);
  }

 private:
  static std::string dialect(std::string sql) {
    constexpr std::string_view kStrict = "/*strict*/";
    for (size_t at = 0; (at = sql.find(kStrict, at)) != sql.npos;) sql.replace(at, kStrict.size(), "STRICT");
    constexpr std::string_view kBigint = "BIGINT";
    for (size_t at = 0; (at = sql.find(kBigint, at)) != sql.npos;) sql.replace(at, kBigint.size(), "INTEGER");
    return sql;
  }

  sqlite3_stmt* prepared(const std::string& sql) {
    auto& statement = statements_[sql];
    if (!statement) {
      sqlite3_stmt* made = nullptr;
      if (sqlite3_prepare_v3(handle_.get(), sql.data(), static_cast<int>(sql.size()),
                             SQLITE_PREPARE_PERSISTENT, &made, nullptr) != SQLITE_OK)
        fail("cannot be used");
      statement.reset(made);
    }
    return statement.get();
  }

  void bind(sqlite3_stmt* statement, int index, const SqlValue& value) {
    // The parameters outlive the steps: no copies are made.
    int status;
    if (const auto* text = std::get_if<std::string>(&value))
      status = sqlite3_bind_text64(statement, index, text->data(), text->size(), SQLITE_STATIC, SQLITE_UTF8);
    else if (const auto* number = std::get_if<int64_t>(&value))
      status = sqlite3_bind_int64(statement, index, *number);
    else
      status = sqlite3_bind_null(statement, index);
    if (status != SQLITE_OK) fail("cannot be used");
  }

  [[noreturn]] void fail(std::string_view what) {
    const int code = handle_ ? sqlite3_errcode(handle_.get()) : SQLITE_NOMEM;
    const char* hint = code == SQLITE_BUSY     ? "; another process has been writing for too long"
                       : code == SQLITE_NOTADB ? "; name another file by --store"
                       : code == SQLITE_CORRUPT
                           ? "; the file is damaged: move it away and run the batch again"
                           : "";
    throw StoreError(fmt::format("the store {} {}: {}{}", path_, what,
                                 handle_ ? sqlite3_errmsg(handle_.get()) : "no memory", hint));
  }

  std::string path_;
  std::unique_ptr<sqlite3, CloseDatabase> handle_;
  std::unordered_map<std::string, std::unique_ptr<sqlite3_stmt, Finalize>> statements_;
};

}  // namespace

std::unique_ptr<Database> open_sqlite(const std::string& path) {
  return std::make_unique<Sqlite>(path);
}

}  // namespace perfcore
