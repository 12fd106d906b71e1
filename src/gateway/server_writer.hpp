#pragma once

#include <string>
#include <string_view>

#include "backend/server_state.hpp"
#include "gateway/prepared_texts.hpp"
#include "gateway/replies.hpp"
#include "gateway/rewrite_guard.hpp"
#include "gateway/session_state.hpp"
#include "pipeline/cacheability.hpp"

namespace millrace::gateway {

/// What one server connection must be sent so that a client's message means there what it means in the client's
/// session: statements that it lacks, names, a BEGIN that was held back. What is owed for it is noted in the Replies;
/// what the connection then has, in its ServerState.
class ServerWriter {
 public:
  ServerWriter(PreparedTexts& texts, SessionState& session, Replies& replies)
      : texts_(texts), session_(session), replies_(replies) {}

  void attach(backend::ServerState& server, std::uint64_t client);
  void detach();
  bool attached() const { return server_ != nullptr; }
  backend::ServerState& server() { return *server_; }

  // What the message at hand is sent as.
  std::string before;     ///< goes out before it
  std::string behind;     ///< goes out behind it
  bool replaced = false;  ///< it isn't sent itself
  void begin_message(std::int64_t now);

  /// The message at hand waits until all that is under way is answered, which decides what it is to be sent as.
  void await_answers();
  /// Sends the BEGIN that was held back. Whoever needs the server waits until the transaction has begun: were BEGIN to
  /// fail, as when it is cancelled, the statement must not run outside of it.
  void send_begin(bool fails);
  bool begin_under_way() const;

  // Before a statement is executed.
  /// Whether the server must be given prepared statements for it.
  bool depends_on_names(const sql::Statement& statement) const;
  /// SQL's PREPARE, EXECUTE and DEALLOCATE may name a statement that the client prepared in the protocol: the server is
  /// to have it by that name. Nothing that touches it is under way. Answers whether anything had to be sent.
  bool name_on_server(const sql::Statement& statement);
  /// What was prepared before a setting changes how its constants are read keeps its meaning: elsewhere it would be
  /// prepared under the new setting, so all of it is had on this server connection, and the client stays. Answers
  /// whether anything had to be sent.
  bool keep_meanings(const sql::Statement& statement);
  /// Both, before a Query. Nothing is under way. True: `stand_in` is to be called when the Query is owed.
  bool give_names(const sql::Statement& statement);
  void stand_in();
  /// A text with EXECUTE in it that is prepared is read with the statement that it names. False: something must be
  /// answered before.
  bool has_names(const sql::Statement& statement);
  /// What currval() and lastval() would say is another client's, so it is discarded.
  void discard_sequences(const sql::Statement& statement, bool in_batch);
  /// Behind what resets what the client had at its start, so that it belongs to the same transaction.
  void set_start_again(const sql::Statement& statement, bool in_batch);

  // Statements.
  /// It is being prepared on the server connection in an earlier batch, which may fail, or being closed.
  bool is_text_under_way(const PreparedText& text) const;
  /// What a client's Parse message prepares: shared with others where it is certain to mean the same to them.
  Text text_of_parse(std::string_view query_and_types, const StatementPtr& statement, bool named);
  /// For a Parse of a statement with a name: it is prepared anew. Text of others: the client may have it if it turns
  /// out the same.
  struct Anew {
    Text text;
    Text twin;
    bool describes = false;  ///< a Describe was sent behind it
  };
  /// `meant`: `MeantByNames::number`.
  Anew prepare_anew(Text text, std::string_view query_and_types, const StatementPtr& statement, std::uint64_t meant);
  /// Whether texts mean what they do to all of the session's scope.
  bool shares_texts() const;
  /// Binds the unnamed portal to it, with these parameters. Answers what is owed for the Bind.
  Reply& bind_unnamed(const Text& text, std::string_view parameters);
  /// Executes it, which is Millrace's own.
  void execute_own(const Text& text, std::span<const std::string> parameters = {});
  /// Asks `session_sql`, by itself.
  void ask_for_session();
  /// Whether what asks is prepared on the server.
  bool can_ask_for_session() const { return session_text_ && server_->prepared.contains(session_text_->number); }
  /// It is prepared anew when it is asked next.
  void close_session_question();
  /// Asks `guard_sql`. The next message waits for the answers.
  void ask_guard(std::span<const std::string> parameters);
  /// Somebody has deallocated it behind our back, or one of those that go with it.
  void forget(const PreparedRewrite& rewrite);
  /// The message at hand, a Parse, is sent with another text.
  void parse_instead(std::string_view name, std::string_view query_and_types);
  /// The name is taken. PostgreSQL says so when it has read and analysed the text, so it is given the text under a name
  /// of ours, and then made to fail.
  void refuse_name(std::string_view name, std::string_view query_and_types, const StatementPtr& statement,
                   const pipeline::SentText& sent);
  /// From now on the server has a statement of this name, for SQL.
  Reply& hold_name(std::string_view name, std::string_view query_and_types = nothing_to_execute);
  /// The server looks again what a statement's names stand for when the search path or the role has changed. Shared
  /// with sessions that have another one, it would have to each time.
  void follow_names(Prepared& prepared);
  /// `meant`: by its names now. Where that wasn't known when it was prepared, or was something else, it is prepared
  /// once more; but not where the client keeps its connection, and PostgreSQL may go on with what it meant.
  void ensure_on_server(const Text& text, const pipeline::MeantByNames& meant = {});
  void ensure_unnamed_on_server(std::uint64_t meant = 0);
  enum class Columns {
    same,
    differ,
    asked,  ///< wait for the answer, then ask again
  };
  /// A client reads rows by the columns that it was told when it prepared. On a connection of its own, PostgreSQL
  /// refuses to execute the statement once they have changed; prepared anew on another connection, it would not, so the
  /// server is asked for its columns there before anything is executed.
  Columns compare_columns(const Prepared& prepared);
  /// By what the server has it; where it is refused, a name that makes the message fail.
  std::string_view name_of(const Prepared& prepared, Columns compared) const;
  /// What its names meant when the server was last given it; 0: not known.
  std::uint64_t meant_on_server(const PreparedText& text, bool named) const;
  /// Closes the statements that turned out to be others' twins.
  void close_unneeded();
  /// What the server's unnamed statement is, once this is done.
  void unnamed_becomes(std::uint64_t number, Reply& reply, std::uint64_t meant = 0);

  // What the server has answered.
  void on_parsed(const Reply& reply);
  /// `columns`: 0: too many to compare.
  void on_described(const Reply& reply, std::uint64_t columns);
  void on_statements_gone();
  /// See `SessionNames::undo`.
  void undo(Reply& reply, std::span<Reply> later);

  /// After the client's last message: those that end what it left half done, with nothing of it done, as PostgreSQL
  /// does.
  std::string end_what_is_under_way(std::int64_t now);
  /// Answers how many bytes about.
  std::size_t give_back_memory();

  /// Of a Parse message: an empty query without types.
  static constexpr std::string_view nothing_to_execute{"\0\0\0", 3};

 private:
  Reply& owe_hidden(Reply::Kind kind);
  void append_parse_of(std::string_view name, std::string_view query_and_types);
  void run_in_batch(std::string& out, std::string_view sql, Reply::Purpose purpose);
  void settle_twin(const Reply& reply, std::uint64_t columns);
  void make_room();
  void close_text(std::uint64_t number);

  PreparedTexts& texts_;
  SessionState& session_;
  Replies& replies_;
  backend::ServerState* server_ = nullptr;
  std::int64_t now_ = 0;
  Text guard_, session_text_;  ///< null: not needed yet
};

}  // namespace millrace::gateway
