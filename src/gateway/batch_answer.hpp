#pragma once

#include <functional>
#include <optional>
#include <string>

#include <boost/container/small_vector.hpp>

#include "gateway/batch_walk.hpp"
#include "gateway/server_writer.hpp"
#include "gateway/session_state.hpp"
#include "pipeline/pipeline.hpp"

namespace millrace::gateway {

/// Answers a batch of extended messages from memory, if all of it can be. That a text can be prepared, a statement
/// bound with these values, and what its columns are, is known from an answer that the server gave to the same; so
/// nothing is said that it wouldn't say. One for each batch.
class BatchAnswer final : public BatchWalk {
 public:
  /// What an answer from memory must be like.
  struct Wanted {
    pipeline::Consistency::Level level;
    pipeline::Needed needed;
  };
  struct Given {
    const pipeline::Scope& scope;
    /// Of an answer to a text, behind answers of this batch that have shown what was there at `shown`. Null: none is
    /// wanted.
    std::function<std::optional<Wanted>(std::string_view text, std::int64_t shown)> wanted;
    char status;  ///< of its transaction, as ReadyForQuery says it
    std::int64_t now;
    bool has_finished;           ///< the client's unnamed portal was answered here, to its end
    bool answers_empty = false;  ///< a text that holds nothing is answered too
  };
  BatchAnswer(pipeline::Pipeline& pipeline, SessionState& session, ServerWriter& writer, const Given& given)
      : BatchWalk(given.status),
        pipeline_(pipeline),
        session_(session),
        writer_(writer),
        scope_(given.scope),
        wanted_(given.wanted),
        now_(given.now),
        has_finished_(given.has_finished),
        answers_empty_(given.answers_empty),
        begin_held_(!session.held_begin.empty()),
        read_in_begin_(session.read_in_held_begin) {}

  /// What it was asked and that isn't known: why it gave up. Null: for another reason. Valid as long as the input.
  const std::optional<pipeline::Question>& missed() const { return missed_; }
  const pipeline::Unproved& unproved() const { return unproved_; }
  /// The last moment that something is of which it has shown.
  std::int64_t shown_until() const { return shown_until_; }
  /// What it takes the server to answer the same.
  std::int64_t saved_ns() const { return saved_ns_; }

 private:
  struct Parsed {
    std::string_view name, query_and_types;
    StatementPtr statement;
    bool known = false;  ///< the server has taken it before
    std::uint64_t columns = 0;
    pipeline::SentText sent = {};
  };
  struct Bound {
    StatementPtr statement;
    std::size_t bytes_in = 0;
    bool is_plain = false;                                   ///< see `is_plain`; else:
    std::string_view query_and_types = {}, parameters = {};  ///< what it asks
    pipeline::Needed needed = {};
    pipeline::Payoff* payoff = nullptr;
    std::uint64_t columns = 0;   ///< as the client was told them
    std::uint64_t meant = 0;     ///< as in Named
    cache::EntryPtr entry = {};  ///< the whole answer; null: not looked up
    bool owes_head = false;      ///< it was described
    bool executed = false, suspended = false;
    pipeline::SentText sent = {};
  };
  struct Named {
    StatementPtr statement;
    std::string_view query_and_types;  ///< "": not known
    Parsed* parsed = nullptr;          ///< in this batch
    std::uint64_t columns = 0;         ///< likewise
    pipeline::SentText sent = {};
    std::uint64_t meant = 0;  ///< by its names, where the server that the client is at has it; 0: not known
  };

  bool parse(pgwire::Bytes body) override;
  bool bind(const ClientReader::Item& item) override;
  bool describe(pgwire::Bytes body) override;
  bool execute(const ClientReader::Item& item) override;
  bool execute_finished(std::uint64_t bytes_in);
  bool close_statement(std::string_view name) override;
  bool may_follow(char type) const override;
  Portal portal() const override;
  void drop_portal() override { portal_.reset(); }
  bool apply() override;

  bool append_head(const cache::Entry& entry);
  std::optional<std::uint64_t> append_rows(std::uint32_t most);
  cache::EntryPtr look_up(std::uint32_t first_rows);
  bool have_whole();
  static bool is_of_another(const cache::Entry& entry, std::uint64_t meant);
  bool drop_parsed(std::string_view name);
  std::optional<Named> find(std::string_view name);
  bool is_plain(const StatementPtr& statement) const;
  bool step_transaction(const sql::Statement& statement);

  pipeline::Pipeline& pipeline_;
  SessionState& session_;
  ServerWriter& writer_;
  const pipeline::Scope& scope_;
  const std::function<std::optional<Wanted>(std::string_view text, std::int64_t shown)> wanted_;
  const std::int64_t now_;
  const bool has_finished_, answers_empty_;
  bool begin_held_, read_in_begin_;
  std::string begin_;  ///< the BEGIN that is held
  bool ended_transaction_ = false;

  boost::container::small_vector<Parsed, 2> parsed_;
  boost::container::small_vector<std::string_view, 2> closed_;
  std::optional<Bound> portal_;  ///< the unnamed one
  std::optional<pipeline::Question> missed_;
  pipeline::Unproved unproved_;
  std::int64_t shown_until_ = 0;
  std::int64_t saved_ns_ = 0;
};

}  // namespace millrace::gateway
