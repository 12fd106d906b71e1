#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include <boost/unordered/unordered_flat_map.hpp>

#include "gateway/text_meaning.hpp"
#include "sql/statement.hpp"

namespace millrace::gateway {

/// The text of a prepared statement and its parameter types, as in a Parse message after the name, and what the text
/// means. Clients that prepare the same share one, and so may share it on a server connection, under the name
/// `server_name`.
struct PreparedText {
  std::uint64_t number;
  std::string query_and_types;
  TextMeaning meaning;  ///< `constants` only if it holds any
  bool holds_constants;
  bool shared;  ///< false: it is one client's, whose settings may be others than are known
  std::shared_ptr<const sql::Statement> statement;

  std::string server_name;
  std::string key;
};

/// Thread-safe; used when a client prepares, not when it executes.
class PreparedTexts {
 public:
  /// Names on server connections are chosen at random, so that no client hits on the name of another's statement, and
  /// that those in pg_prepared_statements don't tell how many there are or which came first.
  PreparedTexts();
  /// Names are this and a number.
  explicit PreparedTexts(std::string prefix);

  std::string server_name(std::uint64_t number) const;
  /// No statement ever has this name: where the server looks for it, it fails.
  const std::string& nobodys_name() const { return nobodys_name_; }
  /// Of Millrace's own statements.
  const std::string& own_name() const { return own_name_; }
  /// The one that whoever prepares this now is to share.
  std::shared_ptr<const PreparedText> intern(std::string_view query_and_types, const TextMeaning& meaning,
                                             const std::shared_ptr<const sql::Statement>& statement);
  /// One that nobody else has. `shared`: it may become `preferred`.
  std::shared_ptr<const PreparedText> make(std::string_view query_and_types, const TextMeaning& meaning,
                                           const std::shared_ptr<const sql::Statement>& statement, bool shared);
  /// From now on `intern` answers this one for what is the same.
  void prefer(const std::shared_ptr<const PreparedText>& text);

 private:
  std::shared_ptr<const PreparedText> add(std::string key, std::string_view query_and_types, const TextMeaning& meaning,
                                          const std::shared_ptr<const sql::Statement>& statement, bool shared);

  const std::string prefix_;
  const std::optional<std::uint64_t> secret_;
  // No text has these numbers.
  const std::string nobodys_name_ = server_name(0);
  const std::string own_name_ = server_name(~std::uint64_t{0});
  std::mutex mutex_;
  std::uint64_t next_ = 1;
  boost::unordered_flat_map<std::string_view, std::weak_ptr<const PreparedText>> known_;  ///< keys live in the values
};

}  // namespace millrace::gateway
