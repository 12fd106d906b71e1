#pragma once

#include <optional>
#include <string>

#include "base/result.hpp"
#include "gateway/client_input.hpp"
#include "pgwire/protocol/decode.hpp"

namespace millrace::gateway {

/// What the server has said in an ErrorResponse. All of it is the server's text, which may hold users' data: it is for
/// who asked, not for the log.
Error error_of(pgwire::Bytes error_response_body);

/// The answer to one statement, as a wire client would get it, put together for who isn't one: columns, rows, how it
/// ended. No socket, no waiting. Rows are kept as they came until they are taken.
class StatementAnswer {
 public:
  /// `by_all`: a large message counts in it, as one of a client's does. Must outlive it.
  explicit StatementAnswer(HeldBytes& by_all) : by_all_(by_all) {}
  ~StatementAnswer() { hold(0); }
  StatementAnswer(const StatementAnswer&) = delete;
  StatementAnswer& operator=(const StatementAnswer&) = delete;

  /// `bytes` follow what came before, and may end anywhere. False: a message is so large that all would hold too
  /// much; it and all rows behind it are dropped.
  bool read(pgwire::Bytes bytes);

  bool has_rows() const { return !rows_.empty(); }
  /// Whole DataRow messages, one behind the other.
  std::string take_rows();
  /// From now on no rows are kept.
  void drop_rows();
  /// There were rows that nobody has taken.
  bool lacks_rows() const { return lacks_rows_; }

  std::optional<std::string> columns;  ///< a RowDescription's body
  std::optional<std::string> tag;      ///< it has completed; "": there was nothing to execute
  std::optional<std::uint64_t> rows;   ///< by the tag
  std::optional<Error> error;          ///< the first
  bool copies_out = false;             ///< the server sends COPY data, which is dropped

 private:
  bool is_wanted(char type) const;
  void on_message(pgwire::Bytes message);
  bool hold(std::size_t bytes);

  HeldBytes& by_all_;
  std::size_t held_ = 0;
  std::string partial_;        ///< the beginning of a message
  std::uint64_t skipped_ = 0;  ///< of a message that nobody wants: so much is to come
  std::string rows_;
  bool drops_ = false;
  bool lacks_rows_ = false;
};

}  // namespace millrace::gateway
