#pragma once

#include <array>
#include <functional>
#include <optional>
#include <string>

#include <boost/container/small_vector.hpp>

#include "gateway/client_reader.hpp"
#include "gateway/explain_answer.hpp"
#include "gateway/server_writer.hpp"
#include "gateway/session_state.hpp"
#include "pipeline/pipeline.hpp"

namespace millrace::gateway {

/// Answers a batch of extended messages that is about EXPLAIN (MILLRACE) alone, up to its Sync or to a Flush. What
/// holds anything else, and what PostgreSQL would find wrong, is for PostgreSQL. One for each batch; nothing is under
/// way.
class ExplainBatch {
 public:
  using Exchanges = boost::container::small_vector<pipeline::Exchange, 1>;

  struct Given {
    char status;  ///< of the transaction, as ReadyForQuery says it
    std::int64_t now;
    std::function<pipeline::Explanation(const pipeline::Question&, const sql::Statement&)> explain;
    /// The ParameterDescription that PostgreSQL gave to a Parse of this text with its types; "": not known.
    std::function<std::string(std::string_view query_and_types)> parameters;
  };
  ExplainBatch(pipeline::Pipeline& pipeline, SessionState& session, ServerWriter& writer, Given given)
      : pipeline_(pipeline), session_(session), writer_(writer), given_(std::move(given)) {}

  /// Whether the batch that begins with this message may be one. Quick where it isn't.
  static bool may_begin_with(const ClientReader::Item& item, pipeline::Pipeline& pipeline, SessionState& session);

  /// `in` begins with the batch. Answers how many bytes of it were answered, and appends the answer to `out`; 0: it
  /// isn't one, and nothing has changed.
  std::size_t answer(pgwire::Bytes in, std::string& out);
  /// It may be one; its end hasn't come yet.
  bool lacks_its_end() const { return lacks_its_end_; }
  /// Whether the unnamed portal isn't the server's any more.
  bool changes_portal() const { return portal_changed_; }
  /// What it has executed.
  const Exchanges& exchanges() const { return exchanges_; }

 private:
  struct Parsed {
    std::string_view name, query_and_types;
    StatementPtr statement;
  };
  struct Portal {
    StatementPtr statement;
    ExplainRows rows;
    std::size_t sent = 0;
    std::array<std::int16_t, 2> formats = {0, 0};
    std::size_t bytes_in = 0;
  };
  struct Named {
    StatementPtr statement;
    std::string_view query_and_types;
  };

  bool take(const ClientReader::Item& item);
  bool parse(pgwire::Bytes body);
  bool bind(const ClientReader::Item& item);
  bool describe(pgwire::Bytes body);
  bool execute(const ClientReader::Item& item);
  bool close(pgwire::Bytes body);
  std::optional<Named> find(std::string_view name);
  void append_declared_parameters(const Named& named);
  void apply();

  pipeline::Pipeline& pipeline_;
  SessionState& session_;
  ServerWriter& writer_;
  const Given given_;
  std::string* out_ = nullptr;
  std::optional<Parsed> parsed_;
  std::optional<std::string_view> closed_;
  std::optional<Portal> portal_;
  bool portal_changed_ = false;
  bool lacks_its_end_ = false;
  std::size_t bound_ = 0;
  Exchanges exchanges_;
};

}  // namespace millrace::gateway
