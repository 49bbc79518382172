// SPDX-License-Identifier: LGPL-2.1-or-later
/// \file
/// The little of a database that the store needs, alike for SQLite and PostgreSQL.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace perfcore {

/// NULL, BIGINT or TEXT: no other types are used.
using SqlValue = std::variant<std::nullptr_t, int64_t, std::string>;

/// A row of a result. Throws StoreError where a column has another type than the statement says.
class SqlRow {
 public:
  explicit SqlRow(std::vector<SqlValue> values) : values_(std::move(values)) {}
  std::string text(size_t column) const;  ///< "" for NULL
  std::optional<int64_t> number(size_t column) const;

 private:
  std::vector<SqlValue> values_;
};

/// A connection. Parameters are $1, $2, ... Errors are StoreError. One thread.
class Database {
 public:
  virtual ~Database() = default;

  /// One statement or several without parameters. In a schema BIGINT is the type of integers, and
  /// "/*strict*/" stands behind each table.
  virtual void execute(const std::string& sql) = 0;
  /// Prepares the statement on first use.
  virtual void query(const std::string& sql, std::span<const SqlValue> parameters,
                     const std::function<void(const SqlRow&)>& each) = 0;
  /// Waits until no other process writes.
  virtual void begin_write() = 0;
  virtual void begin_read() = 0;  ///< all reads up to commit() see the same state
  virtual void commit() = 0;
  virtual void rollback() noexcept = 0;
};

std::unique_ptr<Database> open_sqlite(const std::string& path);
std::unique_ptr<Database> open_postgresql(const std::string& url);

}  // namespace perfcore
