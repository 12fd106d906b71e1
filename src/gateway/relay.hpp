#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <boost/unordered/unordered_flat_set.hpp>

#include "backend/server_state.hpp"
#include "base/result.hpp"
#include "gateway/name_map.hpp"
#include "gateway/prepared_texts.hpp"
#include "pgwire/protocol/frame.hpp"
#include "pipeline/pipeline.hpp"

namespace millrace::gateway {

/// What lies between a client and a server connection, without a socket: reads the messages of both, tells what may be
/// passed on, keeps what the server still owes an answer for, and in transaction mode translates what ties a client to
/// one server connection (prepared statements, settings).
///
/// A message is passed on as it came unless a name in it has to change. Nothing but messages that must be understood is
/// ever held back; the rest streams through in parts. Not thread-safe.
class Relay {
 public:
  enum class Mode { session, transaction };

  struct Options {
    Mode mode = Mode::session;
    std::uint32_t max_message = 1u << 30;
    std::string_view user, database;  ///< for the records; must outlive the relay
  };

  Relay(pipeline::Pipeline& pipeline, PreparedTexts& texts, Options options);

  enum class Next {
    more,         ///< wait for more bytes
    need_server,  ///< attach a server connection, then call again
    parse,        ///< have `take_to_parse` parsed elsewhere, say what is `parsed`, then call again
    answer,       ///< call again when the server has answered: `asking` says whether it is still to come
    terminate,    ///< the client said goodbye
    broken,       ///< the client broke the protocol: `error`
  };
  struct FromClient {
    std::size_t used;       ///< the rest comes again, with more
    pgwire::Bytes forward;  ///< to the server; valid until the next call, and as long as the input is
    pgwire::Bytes answer;   ///< to the client, without the server; valid until the next call
    Next next;
  };
  /// `in` begins where the last call's `used` ended.
  FromClient from_client(pgwire::Bytes in, std::int64_t now);

  struct FromServer {
    std::size_t used;
    pgwire::Bytes forward;  ///< to the client
    bool broken;            ///< the server broke the protocol: `error`
  };
  FromServer from_server(pgwire::Bytes in, std::int64_t now);

  /// The server connection is gone, or given up: what was under way has ended.
  void lost(std::int64_t now);
  /// No server connection could be had, for this reason: what the client asked for in `in` has ended.
  void refused(pgwire::Bytes in, std::string_view sqlstate, std::int64_t now);

  void attach(backend::ServerState& server);
  void detach();

  /// In transaction mode: the server connection holds nothing of this client and may go to another.
  bool releasable() const;
  /// Nothing is under way: no answer is owed, no transaction is open, no message is half sent.
  bool idle() const;
  /// The server has been sent a part of a message, whose rest the client still has.
  bool client_mid_message() const { return client_stream_left_ > 0; }
  /// Of the input that `from_client` left: so much are whole messages that wait for one that needs the server. What the
  /// client has begun to say comes after them.
  std::size_t waiting() const { return waiting_; }
  /// The client has been sent a part of a message.
  bool server_mid_message() const { return server_stream_left_ > 0 && !server_stream_hidden_; }
  bool in_copy() const { return copy_in_; }
  bool query_under_way() const { return first_ < owed_.size(); }
  bool unsynced() const { return unsynced_; }
  char transaction_status() const { return status_; }
  /// After the client's last message: those that end what it left half done, with nothing of it done, as PostgreSQL
  /// does ("" if the server connection can't be saved).
  std::string ending();

  /// Whether a client's bytes may call currval() or lastval().
  static bool mentions_sequence_state(pgwire::Bytes bytes);
  /// Of this client; never 0.
  std::uint64_t id() const { return id_; }

  /// Why the client keeps its server connection; empty: it doesn't.
  const std::string& pinned() const { return pinned_; }
  /// Whether the next message must wait until the server has answered what was sent: what it is sent as depends on
  /// that.
  bool asking() const { return asking_; }

  /// What the client gave at its start that isn't part of the server connection's own start: each outlives a RESET.
  void start_with(std::shared_ptr<const backend::Settings> start) { settings_ = start_ = std::move(start); }
  const std::shared_ptr<const backend::Settings>& settings() const { return settings_; }
  /// Those that the client has made: it can tell them from settings that were never set.
  const backend::PlaceholderNames& placeholders() const { return placeholders_; }
  std::shared_ptr<const backend::ParameterList> parameters;  ///< as the client knows them
  std::string_view application;                              ///< for the records

  /// The client's buffer has moved on by the time that it is parsed, so this is a copy.
  std::string take_to_parse() { return std::exchange(to_parse_, {}); }
  /// What `take_to_parse` is; for the next call.
  void parsed(std::shared_ptr<const sql::Statement> statement) { parsed_ = std::move(statement); }
  const Error& error() const { return error_; }
  bool fatal_seen() const { return fatal_seen_; }
  /// A statement was passed on that wants a database unused, such as DROP DATABASE; cleared by asking.
  bool take_wants_no_idle_sessions() { return std::exchange(wants_no_idle_sessions_, false); }
  /// A statement was executed that changes what new sessions start with, such as ALTER ROLE; cleared by asking.
  bool take_new_sessions_differ() { return std::exchange(new_sessions_differ_, false); }
  /// How many messages wait for an answer.
  std::size_t backlog() const { return owed_.size() - first_; }
  void count_wait(std::int64_t ns) { waited_ns_ = ns; }
  /// For a client that rests: what it once needed more of goes back. Answers how many bytes about.
  std::size_t give_back_memory();

 private:
  using Text = std::shared_ptr<const PreparedText>;
  using StatementPtr = std::shared_ptr<const sql::Statement>;

  struct Prepared {
    StatementPtr statement;
    Text text;                  ///< transaction mode only
    std::uint64_t columns = 0;  ///< identifies the result's columns as the client was told them; 0: it wasn't
  };
  enum class Refusal : std::uint8_t { none, columns_differ, name_taken };
  /// A message whose answer the server owes, in the order sent.
  struct Owed {
    enum class Kind : std::uint8_t { query, function_call, parse, bind, describe, execute, close, sync, copy_end };
    Kind kind = Kind::sync;
    bool hidden = false;       ///< Millrace's own: the answer isn't passed on
    bool hides_error = false;  ///< of a hidden one: nor is its error
    bool failed = false;
    Refusal refusal = Refusal::none;  ///< it was made to fail, for this reason
    bool flushed = false;             ///< the client has asked for the answers up to this one
    bool own = false;                 ///< it is no statement of the client's
    bool restores = false;            ///< what the client had at its start, behind what resets it
    std::uint32_t names_done = 0;     ///< of the statement's changes: those of names before it are done
    std::uint32_t settings_done = 0;  ///< likewise of settings
    bool others_are_set = false;
    std::uint64_t number = 0;  ///< counts what is owed
    std::array<char, 6> sqlstate = {};
    std::int64_t started = 0;
    std::int64_t first_byte = 0;
    std::int64_t waited = 0;
    std::uint64_t rows = 0;
    std::uint64_t bytes_in = 0;
    std::uint64_t bytes_out = 0;
    StatementPtr statement;
    Text text;                  ///< of parse, bind, describe: what it is about, in transaction mode
    std::string name;           ///< the client's name for it
    std::string portal;         ///< of bind, close
    std::string sql_name;       ///< of our own Parse: SQL is to find the client's statement of this name by it
    std::uint64_t closes = 0;   ///< of our own Close: the number of the text
    std::uint64_t expects = 0;  ///< of our own Describe: the columns that the client knows
    Text twin;                  ///< of our own Describe: the client may have this one, if it has the same columns
    std::optional<Prepared> statement_was;            ///< what a Parse, Close or Query has replaced or dropped
    StatementPtr portal_was;                          ///< what a Bind or Close has
    std::optional<std::uint64_t> server_unnamed_was;  ///< of what changes the server's unnamed statement
    bool closes_sql_name = false;
    bool of_unnamed = false;  ///< a Parse of the unnamed statement
    bool begins = false;      ///< a BEGIN that the client has heard the answer to
    bool discards = false;    ///< DISCARD SEQUENCES
  };
  /// What a message that is under way does to a name. Until it is answered, what comes in a later batch can't know
  /// whether that has happened: the server skips what follows an error up to Sync.
  struct Touch {
    std::uint64_t number = 0;  ///< of what is owed
    std::uint64_t batch = 0;
    bool at_answer = false;  ///< it isn't done before, for its own batch either
  };

  // from_client
  bool on_query(pgwire::Bytes message);
  bool on_parse(pgwire::Bytes message);
  bool on_bind(pgwire::Bytes message, std::size_t total);
  bool on_describe(pgwire::Bytes message);
  bool on_execute(pgwire::Bytes message);
  bool on_close(pgwire::Bytes message);
  StatementPtr understand(std::string_view text);
  void expect_placeholders(pgwire::Bytes message);
  bool needs_server(pgwire::Bytes rest);
  bool answer_transaction(pgwire::Bytes message);
  void send_begin();
  void discard_sequences(const sql::Statement& statement, bool in_batch);
  void run_in_batch(std::string& out, std::string_view sql);
  void judge_lexing();
  void note(const sql::Statement& statement);
  void note_placeholder(std::string_view name);
  bool settle();
  bool is_under_way(const Touch& touch) const;
  bool is_under_way(const NameMap<Touch>& touched, std::string_view name) const;
  bool is_statement_under_way(std::string_view name) const;
  bool is_portal_under_way(std::string_view name) const;
  /// Of a Parse message: an empty query without types.
  static constexpr std::string_view nothing_to_execute{"\0\0\0", 3};
  void touch(NameMap<Touch>& touched, std::string_view name, bool at_answer = false);
  void bind_portal(std::string_view name, StatementPtr statement, Owed& owed);
  bool depends_on_names(const sql::Statement& statement) const;
  bool has_names(const sql::Statement& statement);
  void touch_names(const sql::Statement& statement);
  bool is_text_under_way(const PreparedText& text) const;
  bool refuse_name(std::string_view name, std::string_view query_and_types, const StatementPtr& statement);
  void set_start_again(const sql::Statement& statement, bool in_batch);
  std::string start_to_set_again(const sql::Statement& statement) const;
  bool name_on_server(const sql::Statement& statement);
  Owed& hold_name(std::string_view name, std::string_view query_and_types = nothing_to_execute);
  bool keep_meanings(const sql::Statement& statement);
  const TextMeaning& meaning();
  Text text_of_parse(std::string_view query_and_types, const StatementPtr& statement, bool named);
  void follow_names(Prepared& prepared);
  void close_unneeded();
  void append_parse_of(std::string_view name, std::string_view query_and_types);
  void ensure_on_server(const Text& text);
  enum class Columns { same, differ, asked };
  Columns compare_columns(const Prepared& prepared);
  void ensure_unnamed_on_server();
  void unnamed_becomes(std::uint64_t number, Owed& owed);
  void make_room_on_server();
  Owed& owe(Owed::Kind kind);
  Owed& owe_own(Owed::Kind kind);
  void note_wait();
  void start_is_unknown();
  void pin(std::string_view why);
  void pin_unseen(std::string_view why);
  bool break_off(std::string message, std::string sqlstate = "08P01");

  // from_server
  bool on_message(char type, pgwire::Bytes body, std::size_t total);
  static bool fails_its_statement(Owed& owed);
  bool leaves_a_name(const Owed& owed) const;
  bool on_error(pgwire::Bytes body, std::size_t total);
  void on_tag(std::string_view tag, Owed& owed);
  bool on_ready(char status);
  void on_copy_in();
  static bool has_columns_of_its_own(const Prepared& prepared);
  bool on_described(std::uint64_t columns);
  void settle_twin(const Owed& owed, std::uint64_t columns);
  Owed* front();
  void pop();
  void all_is_answered();
  void on_parsed(const Owed& owed);
  void names_change(std::string_view tag, Owed& owed);
  void finish(Owed& owed);
  bool expect(Owed::Kind kind);
  void undo(Owed& owed, std::size_t later);
  void undo_unnamed(Owed& owed, std::size_t later);
  void changes_take_effect(const std::vector<sql::SessionChange>& changes);
  void placeholders_are_known(std::string_view tag, Owed& owed);
  void on_parameter(std::string_view name, std::string_view value);
  void forget_statements();
  void translate_names_in_error(pgwire::Bytes body, std::size_t total);

  pipeline::Pipeline& pipeline_;
  PreparedTexts& texts_;
  const Options options_;
  const std::uint64_t id_;
  backend::ServerState* server_ = nullptr;

  std::vector<Owed> owed_;
  std::size_t first_ = 0;
  std::int64_t now_ = 0;
  std::int64_t waited_ns_ = 0;
  char status_ = 'I';
  bool asking_ = false;
  bool skipping_ = false;  ///< after an error in the extended protocol the server skips up to Sync
  bool unsynced_ = false;  ///< extended messages were sent and no Sync after them
  bool copy_in_ = false;   ///< the server waits for the client's COPY data
  bool failed_since_ready_ = false;
  bool fatal_seen_ = false;
  std::array<char, 6> fatal_sqlstate_ = {};
  bool wants_no_idle_sessions_ = false;
  bool new_sessions_differ_ = false;

  std::string held_begin_;  ///< a BEGIN that was answered and is sent when the server is needed; "": none
  bool begin_under_way_ = false;
  std::size_t waiting_ = 0;  ///< see `waiting`

  std::uint64_t client_stream_left_ = 0;  ///< bytes of a client's message that are passed on unseen
  std::uint64_t server_stream_left_ = 0;
  bool server_stream_hidden_ = false;

  // Names and settings of the client's session.
  NameMap<Prepared> statements_;
  std::optional<Prepared> unnamed_;
  NameMap<StatementPtr> portals_;
  StatementPtr unnamed_portal_;
  NameMap<Touch> touched_statements_, touched_portals_;
  Touch touched_unnamed_, touched_unnamed_portal_, touched_all_;
  boost::unordered_flat_set<std::string, NameHash, std::equal_to<>>
      sql_names_;                  ///< of statements that SQL has prepared, on the pinned connection
  std::uint64_t next_number_ = 1;  ///< of what is owed
  std::uint64_t batch_ = 1;        ///< that is being sent: each ends with a Sync or Query
  std::shared_ptr<const backend::Settings> settings_;
  std::shared_ptr<const backend::Settings> start_;  ///< null: none
  backend::PlaceholderNames placeholders_;
  std::vector<sql::SessionChange> changes_of_batch_;        ///< executed, the outcome isn't known yet
  std::vector<sql::SessionChange> changes_of_transaction_;  ///< take effect when it commits
  MeaningChange meaning_changes_;  ///< since nothing was under way: what texts mean may be about to change
  TextMeaning meaning_;            ///< under `meaning_of_`
  std::shared_ptr<const backend::Settings> meaning_of_;
  std::string pinned_;
  std::shared_ptr<const backend::ParameterList> judged_;
  bool plain_lexing_ = true;

  std::string to_server_;  ///< what is passed on, where it isn't the input itself
  std::string to_client_;
  std::string answers_;      ///< to the client, to what the server isn't asked
  std::string replacement_;  ///< goes out in place of, or before, the message at hand
  std::string behind_;       ///< goes out behind it
  bool replaced_ = false;    ///< the message at hand isn't passed on itself
  bool dropped_ = false;     ///< nor is this one of the server's
  std::size_t taken_ = 0;    ///< of a message that is streamed: how much of it was taken at once
  Next stop_ = Next::more;
  std::string to_parse_;
  StatementPtr parsed_;
  Error error_;
};

}  // namespace millrace::gateway
