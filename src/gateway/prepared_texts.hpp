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
/// the same share one, and so may share it on a server connection, under the name `server_name()`.
struct PreparedText {
  std::uint64_t number;
  std::string query_and_types;
  std::shared_ptr<const sql::Statement> statement;

  std::string server_name() const;
};

/// Thread-safe; used when a client prepares, not when it executes.
class PreparedTexts {
 public:
  std::shared_ptr<const PreparedText> intern(std::string_view query_and_types,
                                             const std::shared_ptr<const sql::Statement>& statement);

 private:
  std::mutex mutex_;
  std::uint64_t next_ = 1;
  boost::unordered_flat_map<std::string_view, std::weak_ptr<const PreparedText>> known_;  ///< keys live in the values
};

/// What begins the names that Millrace gives to statements on server connections.
inline constexpr std::string_view server_name_prefix = "mr_";

}  // namespace millrace::gateway
