#pragma once

#include <array>
#include <functional>
#include <optional>
#include <string>

#include "gateway/batch_walk.hpp"
#include "gateway/millrace_answer.hpp"
#include "gateway/server_writer.hpp"
#include "gateway/session_state.hpp"
#include "pipeline/pipeline.hpp"

namespace millrace::gateway {

/// Answers a batch of extended messages that is about EXPLAIN (MILLRACE) and SHOW millrace.token alone. What holds
/// anything else, and what PostgreSQL would find wrong, is for PostgreSQL. One for each batch; nothing is under way.
class MillraceBatch final : public BatchWalk {
 public:
  struct Given {
    char status;  ///< of the transaction, as ReadyForQuery says it
    std::int64_t now;
    std::function<pipeline::Explanation(const pipeline::Question&, const sql::Statement&)> explain;
    /// The ParameterDescription that PostgreSQL gave to a Parse of this text with its types; "": not known.
    std::function<std::string(std::string_view query_and_types)> parameters;
  };
  MillraceBatch(pipeline::Pipeline& pipeline, SessionState& session, ServerWriter& writer, Given given)
      : BatchWalk(given.status), pipeline_(pipeline), session_(session), writer_(writer), given_(std::move(given)) {}

  /// Whether the batch that begins with this message may be one. Quick where it isn't.
  static bool may_begin_with(const ClientReader::Item& item, pipeline::Pipeline& pipeline, SessionState& session);

 private:
  struct Parsed {
    std::string_view name, query_and_types;
    StatementPtr statement;
    pipeline::SentText text = {};
  };
  struct Bound {
    StatementPtr statement;
    MillraceRows rows;
    std::size_t sent = 0;
    std::array<std::int16_t, 2> formats = {0, 0};
    std::size_t bytes_in = 0;
    pipeline::SentText text = {};
  };
  struct Named {
    StatementPtr statement;
    std::string_view query_and_types;
    pipeline::SentText text = {};
  };

  bool parse(pgwire::Bytes body) override;
  bool bind(const ClientReader::Item& item) override;
  bool describe(pgwire::Bytes body) override;
  bool execute(const ClientReader::Item& item) override;
  bool close_statement(std::string_view name) override;
  Portal portal() const override;
  void drop_portal() override { portal_.reset(); }
  bool apply() override;

  std::optional<Named> find(std::string_view name);
  void append_declared_parameters(const Named& named);

  pipeline::Pipeline& pipeline_;
  SessionState& session_;
  ServerWriter& writer_;
  const Given given_;
  std::optional<Parsed> parsed_;
  std::optional<std::string_view> closed_;
  std::optional<Bound> portal_;
  std::size_t bound_ = 0;
};

}  // namespace millrace::gateway
