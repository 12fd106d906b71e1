#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "backend/server_connection.hpp"
#include "integration/freshness.hpp"
#include "integration/row_values.hpp"
#include "net/signal.hpp"

namespace millrace::integration {

/// Reads what RowValues wants to know of one database, a table at a time and a part of it at a time, and not all the
/// time. Belongs to its io_context's thread, which must be the change stream's.
class RowReader : public std::enable_shared_from_this<RowReader> {
 public:
  using Rows = Result<std::vector<backend::ServerConnection::Row>>;
  using Query = std::function<boost::asio::awaitable<Rows>(std::string sql)>;

  RowReader(boost::asio::io_context& io, Query query, std::shared_ptr<Freshness> freshness, std::size_t most_rows)
      : io_(io), query_(std::move(query)), freshness_(std::move(freshness)), values_(most_rows), ended_(io) {}

  RowValues& values() { return values_; }
  const RowValues& values() const { return values_; }
  /// There may be something to read.
  void look();
  /// Thread-safe.
  void stop();

 private:
  enum class Outcome : std::uint8_t {
    read,
    again,    ///< it is another by now, or couldn't be read at this moment
    refused,  ///< not to this role, or it has more rows than may be kept
  };

  boost::asio::awaitable<void> run(std::shared_ptr<RowReader> self);
  boost::asio::awaitable<void> check(RowValues::Check check);
  boost::asio::awaitable<Outcome> read(RowValues::Load& load);
  /// Once all is told that the readers could see.
  boost::asio::awaitable<Outcome> take(RowValues::Load& load);
  struct Table {
    std::string form;  ///< its file, and its columns' names and numbers; empty: it isn't there, or there was no answer
    std::uint64_t pages = 0;
    double rows = 0;  ///< by PostgreSQL's estimate; -1: none
  };
  boost::asio::awaitable<Table> table(Oid oid);
  boost::asio::awaitable<bool> all_is_visible();
  /// Until the stream has told all that anybody can have seen by now. False: it won't soon.
  boost::asio::awaitable<bool> all_is_told();
  boost::asio::awaitable<void> pause(std::int64_t ns);
  /// Others have their turn on this thread.
  boost::asio::awaitable<void> give_way();

  boost::asio::io_context& io_;
  const Query query_;
  const std::shared_ptr<Freshness> freshness_;
  RowValues values_;
  net::Signal ended_;
  bool running_ = false, stopped_ = false;
  std::int64_t next_at_ = 0;  ///< of now_ns()
  int failures_ = 0;          ///< one after the other
};

}  // namespace millrace::integration
