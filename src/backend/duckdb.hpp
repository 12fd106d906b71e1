#pragma once

#include <concepts>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/result.hpp"

/// DuckDB, embedded: a file, statements, rows. Its library is loaded when the first file is opened: who opens none has
/// no cost of it.
///
/// An error's `message` says what of ours failed, its `detail` is DuckDB's text, its `sqlstate` one of these.
namespace millrace::backend {

namespace duckdb_error {
inline constexpr std::string_view no_library = "58P01", in_use = "55006", newer_version = "0A000", corrupted = "XX001",
                                  input_output = "58030", other = "XX000";
}

/// Bytes that are no text.
struct Blob {
  std::string_view bytes;
};

template <typename T>
struct IsOptional : std::false_type {};
template <typename T>
struct IsOptional<std::optional<T>> : std::true_type {};

/// What takes values one after the other: parameters of a statement, columns of a row. bool, integers, double, text
/// (which must be UTF-8: what somebody else wrote is a Blob), Blob, and optionals of these: null without a value.
class DuckDbValues {
 public:
  virtual ~DuckDbValues() = default;

  template <typename... T>
  void put_all(const T&... values) {
    (put(values), ...);
  }

 private:
  template <typename T>
  void put(const T& value) {
    if constexpr (IsOptional<T>::value) {
      value ? put(*value) : null();
    } else if constexpr (std::same_as<T, bool>) {
      boolean(value);
    } else if constexpr (std::signed_integral<T>) {
      signed_number(value);
    } else if constexpr (std::unsigned_integral<T>) {
      number(value);
    } else if constexpr (std::floating_point<T>) {
      real(value);
    } else if constexpr (std::same_as<T, Blob>) {
      blob(value.bytes);
    } else {
      text(std::string_view(value));
    }
  }

  virtual void null() = 0;
  virtual void boolean(bool value) = 0;
  virtual void signed_number(std::int64_t value) = 0;
  virtual void number(std::uint64_t value) = 0;
  virtual void real(double value) = 0;
  virtual void text(std::string_view value) = 0;
  virtual void blob(std::string_view value) = 0;
};

/// The rows that a statement answers, some thousands in memory at a time. Ends before its statement and its DuckDb.
class DuckDbRows {
 public:
  struct State;
  explicit DuckDbRows(std::unique_ptr<State> state);
  DuckDbRows(DuckDbRows&&) noexcept;
  ~DuckDbRows();

  /// Goes to the next row, at first to the first one. False: there is none.
  Result<bool> next();

  // Of the row, by the column's number; its type must be one that the names say. Texts live until `next`.
  bool is_null(std::size_t column) const;
  bool boolean(std::size_t column) const;
  std::int64_t signed_number(std::size_t column) const;  ///< of any integer type up to 64 bits, as is `number`
  std::uint64_t number(std::size_t column) const;
  double real(std::size_t column) const;
  std::string_view text(std::size_t column) const;  ///< VARCHAR or BLOB

 private:
  friend class DuckDbAppender;
  std::unique_ptr<State> state_;
};

/// A prepared statement. Ends before its DuckDb.
class DuckDbStatement {
 public:
  struct State;
  explicit DuckDbStatement(std::unique_ptr<State> state);
  DuckDbStatement(DuckDbStatement&&) noexcept;
  ~DuckDbStatement();

  /// Runs it with these parameters. What it answers is read while it runs.
  template <typename... T>
  Result<DuckDbRows> query(const T&... parameters) {
    begin().put_all(parameters...);
    return query_bound();
  }
  /// Runs it to its end.
  template <typename... T>
  Result<> run(const T&... parameters) {
    begin().put_all(parameters...);
    return run_bound();
  }

 private:
  DuckDbValues& begin();
  Result<DuckDbRows> query_bound();
  Result<> run_bound();

  std::unique_ptr<State> state_;
};

/// Adds many rows to a table, far quicker than INSERT does; in a transaction. Ends before its DuckDb.
class DuckDbAppender {
 public:
  struct State;
  explicit DuckDbAppender(std::unique_ptr<State> state);
  DuckDbAppender(DuckDbAppender&&) noexcept;
  ~DuckDbAppender();

  /// A value for each of the table's columns, in their order.
  template <typename... T>
  void add(const T&... values) {
    begin().put_all(values...);
    end();
  }
  /// All rows that are left, of the same types; and finishes.
  Result<> add_all(DuckDbRows& rows);
  /// Says what was wrong with a row, if something was: then the transaction is to be rolled back.
  Result<> finish();

 private:
  DuckDbValues& begin();
  void end();

  std::unique_ptr<State> state_;
};

/// A database in a file, and a connection to it. One thread's at a time. It doesn't look for extensions, other files
/// (unless it is open_for_files) or the network, uses one thread, which is the caller's, and `memory_mb` for its
/// buffers.
class DuckDb {
 public:
  struct State;
  static constexpr int least_memory_mb = 48;

  /// Makes the file if it isn't there; the folder must be. `path` empty: in memory.
  static Result<DuckDb> open(const std::string& path, int memory_mb = least_memory_mb);
  /// In memory, for statements that name files, which nobody else's words may come into. Keeps rows in their order.
  static Result<DuckDb> open_for_files(int memory_mb);
  DuckDb(DuckDb&&) noexcept;
  DuckDb& operator=(DuckDb&&) noexcept;
  /// Writes what is in the log of the file into the file.
  ~DuckDb();

  /// One statement or several, without parameters and without rows.
  Result<> run(const std::string& sql);
  Result<DuckDbStatement> prepare(std::string_view sql);
  /// Prepares and runs it.
  template <typename... T>
  Result<> run_with(std::string_view sql, const T&... parameters) {
    auto statement = prepare(sql);
    if (!statement) return std::unexpected(std::move(statement).error());
    return statement->run(parameters...);
  }
  /// Calls `visit(row)`, which answers a Result<>, for each row of a query, until one fails. It may not use this
  /// DuckDb meanwhile.
  template <typename Visit, typename... T>
  Result<> each(std::string_view sql, Visit visit, const T&... parameters) {
    auto statement = prepare(sql);
    if (!statement) return std::unexpected(std::move(statement).error());
    auto rows = statement->query(parameters...);
    if (!rows) return std::unexpected(std::move(rows).error());
    while (true) {
      const auto more = rows->next();
      if (!more) return std::unexpected(more.error());
      if (!*more) return {};
      if (Result<> done = visit(std::as_const(*rows)); !done) return done;
    }
  }
  Result<DuckDbAppender> append_to(const std::string& table);

  /// Fills a row's values; false: there are none left. They are read before the next call, and must be UTF-8.
  using NextRow = std::function<bool(std::vector<std::optional<std::string_view>>& values)>;
  /// From then on `FROM name()` has these rows, of texts in columns c0, c1 and so on, at one time at most.
  Result<> add_rows(const std::string& name, std::size_t columns, NextRow next);

  /// What `work()` does happens as a whole or not at all.
  template <typename F>
  Result<> in_transaction(F work) {
    if (auto begun = run("BEGIN"); !begun) return begun;
    Result<> done = work();
    if (done) done = run("COMMIT");
    if (!done) static_cast<void>(run("ROLLBACK"));  // after some errors there is nothing to roll back
    return done;
  }

  /// Writes all tables into another file, which mustn't be there, and runs `then` in it. What was deleted here is still
  /// in this file, in blocks that are free; there it isn't.
  Result<> copy_to(const std::string& path, const std::string& then);

  /// After some errors nothing works any more, until it is opened again.
  bool works();

 private:
  explicit DuckDb(std::unique_ptr<State> state);
  static Result<DuckDb> open_with(const std::string& path, std::vector<std::pair<const char*, std::string>> options);
  std::unique_ptr<State> state_;
};

}  // namespace millrace::backend
