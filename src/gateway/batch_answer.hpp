#pragma once

#include <optional>
#include <string>

#include <boost/container/small_vector.hpp>

#include "gateway/client_reader.hpp"
#include "gateway/server_writer.hpp"
#include "gateway/session_state.hpp"
#include "pipeline/pipeline.hpp"

namespace millrace::gateway {

/// Answers a batch of extended messages from memory, if all of it can be: from its first message up to its Sync, or to
/// a Flush. That a text can be prepared, a statement bound with these values, and what its columns are, is known from
/// an answer that the server gave to the same; so nothing is said that it wouldn't say. One for each batch.
class BatchAnswer {
 public:
  using Exchanges = boost::container::small_vector<pipeline::Exchange, 2>;

  struct Given {
    const pipeline::Scope& scope;
    bool wanted;  ///< whether the client wants answers from memory where a text doesn't say
    char status;  ///< of its transaction, as ReadyForQuery says it
    std::int64_t now;
  };
  BatchAnswer(pipeline::Pipeline& pipeline, SessionState& session, ServerWriter& writer, const Given& given)
      : pipeline_(pipeline),
        session_(session),
        writer_(writer),
        scope_(given.scope),
        wanted_(given.wanted),
        now_(given.now),
        status_(given.status),
        begin_held_(!session.held_begin.empty()),
        read_in_begin_(session.read_in_held_begin) {}

  /// `in` begins with the batch. Answers how many bytes of it were answered, and appends the answer to `out`; 0: it
  /// can't be, and nothing has changed.
  std::size_t answer(pgwire::Bytes in, std::string& out);
  /// Whether the unnamed portal isn't the server's any more.
  bool changes_portal() const { return portal_changed_; }
  /// What it was asked and that isn't known: why it gave up. Null: for another reason. Valid as long as the input.
  const std::optional<pipeline::Question>& missed() const { return missed_; }
  /// What it has executed.
  const Exchanges& exchanges() const { return exchanges_; }

 private:
  struct Parsed {
    std::string_view name, query_and_types;
    StatementPtr statement;
    bool known = false;  ///< the server has taken it before
    std::uint64_t columns = 0;
  };
  struct Portal {
    StatementPtr statement;
    std::size_t bytes_in = 0;
    bool steps = false;                                      ///< it begins or ends a transaction; else:
    std::string_view query_and_types = {}, parameters = {};  ///< what it asks
    std::uint64_t columns = 0;                               ///< as the client was told them
    cache::EntryPtr entry = {};                              ///< the whole answer; null: not looked up
    bool owes_head = false;                                  ///< it was described
    bool executed = false, suspended = false;
  };
  struct Named {
    StatementPtr statement;
    std::string_view query_and_types;  ///< "": not known
    Parsed* parsed = nullptr;          ///< in this batch
    std::uint64_t columns = 0;         ///< likewise
  };

  std::size_t give_up(std::size_t before);
  bool take(const ClientReader::Item& item);
  bool parse(pgwire::Bytes body);
  bool bind(const ClientReader::Item& item);
  bool describe(pgwire::Bytes body);
  bool execute(const ClientReader::Item& item);
  bool append_head(const cache::Entry& entry);
  std::optional<std::uint64_t> append_rows(std::uint32_t most);
  cache::EntryPtr look_up(std::uint32_t first_rows);
  bool have_whole();
  bool close(pgwire::Bytes body);
  bool drop_parsed(std::string_view name);
  std::optional<Named> find(std::string_view name);
  bool step_transaction(const sql::Statement& statement);
  void apply();

  pipeline::Pipeline& pipeline_;
  SessionState& session_;
  ServerWriter& writer_;
  const pipeline::Scope& scope_;
  const bool wanted_;
  const std::int64_t now_;
  char status_;
  bool begin_held_, read_in_begin_;
  std::string begin_;  ///< the BEGIN that is held
  bool ended_transaction_ = false;

  std::string* out_ = nullptr;
  boost::container::small_vector<Parsed, 2> parsed_;
  boost::container::small_vector<std::string_view, 2> closed_;
  std::optional<Portal> portal_;  ///< the unnamed one
  bool portal_changed_ = false;
  std::optional<pipeline::Question> missed_;
  Exchanges exchanges_;
};

}  // namespace millrace::gateway
