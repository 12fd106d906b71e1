#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include <boost/unordered/unordered_flat_map.hpp>

#include "sql/statement.hpp"

namespace millrace::gateway {

/// The text of a prepared statement and its parameter types, as in a Parse message after the name. Clients that prepare
/// the same share one, and so may share it on a server connection, under the name `server_name`.
struct PreparedText {
  std::uint64_t number;
  std::string query_and_types;
  std::shared_ptr<const sql::Statement> statement;

  std::string server_name;
};

/// Thread-safe; used when a client prepares, not when it executes.
class PreparedTexts {
 public:
  /// `prefix` begins the names on server connections. By default it is chosen at random, so that no client hits on the
  /// name of another's statement.
  explicit PreparedTexts(std::string prefix = random_prefix());

  std::string server_name(std::uint64_t number) const;
  std::shared_ptr<const PreparedText> intern(std::string_view query_and_types,
                                             const std::shared_ptr<const sql::Statement>& statement);

 private:
  static std::string random_prefix();

  const std::string prefix_;
  std::mutex mutex_;
  std::uint64_t next_ = 1;
  boost::unordered_flat_map<std::string_view, std::weak_ptr<const PreparedText>> known_;  ///< keys live in the values
};

}  // namespace millrace::gateway
