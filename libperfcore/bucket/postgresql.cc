// SPDX-License-Identifier: LGPL-2.1-or-later
#include <fmt/format.h>
#include <libpq-fe.h>

#include <charconv>
#include <unordered_map>

#include "bucket/database.h"
#include "perfcore/store.h"

namespace perfcore {
namespace {

/// pg_type.dat: what integers come back as.
constexpr Oid kInt8 = 20, kInt4 = 23, kInt2 = 21;

struct Finish {
  void operator()(PGconn* connection) const { PQfinish(connection); }
};
struct Clear {
  void operator()(PGresult* result) const { PQclear(result); }
};
using Result = std::unique_ptr<PGresult, Clear>;

std::string trimmed(const char* message) {
  std::string text = message;
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  return text;
}

class Postgresql : public Database {
 public:
  explicit Postgresql(const std::string& url) : connection_(PQconnectdb(url.c_str())) {
    if (PQstatus(connection_.get()) != CONNECTION_OK) fail();
    PQsetNoticeProcessor(
        connection_.get(), [](void*, const char*) {}, nullptr);
    if (PQsetClientEncoding(connection_.get(), "UTF8") != 0) fail();
  }

  void execute(const std::string& sql) override {
    // "/*strict*/" is a comment here: all tables are strict.
    check(Result(PQexec(connection_.get(), sql.c_str())));
  }

  void query(const std::string& sql, std::span<const SqlValue> parameters,
             const std::function<void(const SqlRow&)>& each) override {
    const std::string& name = prepared(sql);
    std::vector<std::string> numbers(parameters.size());
    std::vector<const char*> values(parameters.size());
    for (size_t i = 0; i < parameters.size(); ++i) {
      if (const auto* text = std::get_if<std::string>(&parameters[i])) {
        values[i] = text->c_str();
      } else if (const auto* number = std::get_if<int64_t>(&parameters[i])) {
        numbers[i] = std::to_string(*number);
        values[i] = numbers[i].c_str();
      }
    }
    if (PQsendQueryPrepared(connection_.get(), name.c_str(), static_cast<int>(values.size()), values.data(),
                            nullptr, nullptr, 0) != 1 ||
        PQsetSingleRowMode(connection_.get()) != 1)
      fail();
    // Row by row: a result may be larger than memory. All of it is taken, as the connection is not free
    // before.
    std::exception_ptr thrown;
    std::string error;
    while (Result result{PQgetResult(connection_.get())}) {
      const ExecStatusType status = PQresultStatus(result.get());
      if (status != PGRES_SINGLE_TUPLE && status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK) {
        error = trimmed(PQresultErrorMessage(result.get()));
      } else if (!thrown) {
        try {
          for (int i = 0; i < PQntuples(result.get()); ++i) each(row(result.get(), i));
        } catch (...) {
          thrown = std::current_exception();
        }
      }
    }
    if (thrown) std::rethrow_exception(thrown);
    if (!error.empty()) fail(error);
  }

  void begin_write() override {
    execute("BEGIN");
    // One writer at a time, as in SQLite: what a transaction concludes from the buckets that it sees stays
    // true. The number is the store's own; it means nothing.
    execute("SELECT pg_advisory_xact_lock(7374726531)");
  }
  void begin_read() override { execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"); }
  void commit() override { execute("COMMIT"); }
  void rollback() noexcept override {
    if (PQtransactionStatus(connection_.get()) != PQTRANS_IDLE)
      Result(PQexec(connection_.get(), "ROLLBACK")).reset();
  }

 private:
  static SqlRow row(PGresult* result, int index) {
    std::vector<SqlValue> values;
    for (int i = 0; i < PQnfields(result); ++i) {
      if (PQgetisnull(result, index, i)) {
        values.emplace_back(nullptr);
        continue;
      }
      const std::string_view text(PQgetvalue(result, index, i),
                                  static_cast<size_t>(PQgetlength(result, index, i)));
      const Oid type = PQftype(result, i);
      if (type == kInt8 || type == kInt4 || type == kInt2) {
        int64_t number = 0;
        std::from_chars(text.data(), text.data() + text.size(), number);
        values.emplace_back(number);
      } else {
        values.emplace_back(std::string(text));
      }
    }
    return SqlRow(std::move(values));
  }

  const std::string& prepared(const std::string& sql) {
    std::string& name = statements_[sql];
    if (name.empty()) {
      const std::string fresh = fmt::format("s{}", statements_.size());
      check(Result(PQprepare(connection_.get(), fresh.c_str(), sql.c_str(), 0, nullptr)));
      name = fresh;
    }
    return name;
  }

  void check(const Result& result) {
    const ExecStatusType status = PQresultStatus(result.get());
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) fail();
  }

  [[noreturn]] void fail(std::string why = {}) {
    if (why.empty()) why = connection_ ? trimmed(PQerrorMessage(connection_.get())) : "no memory";
    const char* host = connection_ ? PQhost(connection_.get()) : nullptr;
    const char* database = connection_ ? PQdb(connection_.get()) : nullptr;
    // Not the URL: it may hold a password.
    throw StoreError(fmt::format("the PostgreSQL store {} on {}: {}", database ? database : "?",
                                 host && *host ? host : "localhost", why));
  }

  std::unique_ptr<PGconn, Finish> connection_;
  std::unordered_map<std::string, std::string> statements_;
};

}  // namespace

std::unique_ptr<Database> open_postgresql(const std::string& url) {
  return std::make_unique<Postgresql>(url);
}

}  // namespace perfcore
