#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/prepared_texts.hpp"
#include "pipeline/exchange.hpp"

namespace millrace::gateway {

using StatementPtr = std::shared_ptr<const sql::Statement>;
using Text = std::shared_ptr<const PreparedText>;

/// What is kept of a text anyway is shared.
inline pipeline::SentText shared_with(const Text& text, pipeline::SentText sent) {
  return sent && text ? pipeline::SentText(text, &text->query_and_types) : std::move(sent);
}

/// A statement that the client has prepared in the protocol.
struct Prepared {
  StatementPtr statement;
  Text text;                  ///< null: the server connection has it by the client's own name
  std::uint64_t columns = 0;  ///< identifies the result's columns as the client was told them; 0: it wasn't
  pipeline::SentText sent = {};
};

/// What a portal of the client's runs. Null: not known here.
struct BoundPortal {
  StatementPtr statement;
  pipeline::SentText sent = {};
};

/// What a message that is under way does to a name. Until it is answered, what comes in a later batch can't know
/// whether that has happened: the server skips what follows an error up to Sync.
struct Touch {
  std::uint64_t number = 0;  ///< of the Reply
  std::uint64_t batch = 0;
  bool at_answer = false;  ///< it isn't done before, for its own batch either
};

struct AskedFor;

/// On what a statement may take.
struct Limit {
  enum class By : std::uint8_t {
    setting,  ///< QUERY_TIMEOUT_SECONDS
    client,
    quota,
  };
  std::int64_t ns = 0;         ///< from when it comes to when it has ended; 0: there is none
  By by = By::setting;         ///< who limits its time
  bool of_query = false;       ///< not of what takes long, or much memory, by its nature
  std::uint32_t quota_mb = 0;  ///< of PostgreSQL's process, by the quotas of whose it is; 0: there is none
  std::shared_ptr<const AskedFor> asked_for = {};  ///< whose it is; null: nobody is named
};

/// What the server owes for a message that it was sent.
struct Reply {
  enum class Kind : std::uint8_t { query, function_call, parse, bind, describe, execute, close, sync, copy_end };
  /// What of the answer is passed on to the client.
  enum class Shown : std::uint8_t { all, errors, nothing };
  enum class Purpose : std::uint8_t {
    clients,  ///< the client's message, or one without which it would fail: an error is the client's statement's
    // Millrace's own:
    begin,  ///< a BEGIN that the client has heard the answer to
    discard_sequences,
    restore_start,  ///< sets what the client had at its start, behind what resets it
    session,        ///< asks whether the session is as it was seen
    guard,          ///< what stands for the client's message, and whether that is still right
    stand_in,       ///< a Sync behind a Query: answers in its place, should what was sent before it make it be skipped
  };
  enum class Refusal : std::uint8_t { none, columns_differ, name_taken };
  /// What of the client's has another meaning, or none, once it is done.
  enum class Changes : std::uint8_t { nothing, statement, portal };

  Kind kind = Kind::sync;
  Shown shown = Shown::all;
  Purpose purpose = Purpose::clients;
  Refusal refusal = Refusal::none;  ///< it was made to fail, for this reason
  bool failed = false;
  bool flushed = false;      ///< the client has asked for the answers up to this one
  std::uint64_t number = 0;  ///< counts them
  std::uint64_t batch = 0;   ///< each ends with a Sync, Query or function call

  pipeline::Exchange exchange;
  std::string asked;       ///< for its record: `Exchange::text`
  std::string parameters;  ///< likewise

  // Of a text with several statements: how far it is executed, in `Statement::changes`.
  std::uint32_t names_done = 0;     ///< those of names before it are done
  std::uint32_t settings_done = 0;  ///< likewise of settings
  bool others_are_set = false;      ///< `Statement::other_settings`

  // What it does to the client's names, and what they were.
  Changes changes = Changes::nothing;
  std::string name;                       ///< the client's name for the statement; "" if `changes`: the unnamed one
  std::string portal;                     ///< of bind, close
  bool closes_sql_name = false;           ///< one that SQL has prepared
  std::optional<Prepared> statement_was;  ///< what a Parse, Close or Query has replaced or dropped
  BoundPortal portal_was;                 ///< what a Bind or Close has

  // What it does to the server connection, and what that was.
  Text executed;                                    ///< of execute: what was bound, as it was written; null: not known
  Text text;                                        ///< of parse, bind, describe: what it is about
  std::string sql_name;                             ///< of our own Parse: SQL finds the client's statement by it
  std::uint64_t closes = 0;                         ///< of our own Close: the number of the text
  std::uint64_t expects = 0;                        ///< of our own Describe: the columns that the client knows
  Text twin;                                        ///< of our own Describe: the client may have it, if its columns are
  std::optional<std::uint64_t> server_unnamed_was;  ///< of what changes the server's unnamed statement

  std::shared_ptr<const void> unused;  ///< of `ReadCache::let_go`, for what it runs

  Limit limit = {};  ///< on what it runs

  bool hidden() const { return shown != Shown::all; }
  bool own() const { return purpose != Purpose::clients; }
  bool runs() const { return kind == Kind::query || kind == Kind::execute || kind == Kind::function_call; }
  bool ends_batch() const { return kind == Kind::query || kind == Kind::function_call || kind == Kind::sync; }
  Touch touch(bool at_answer = false) const { return {.number = number, .batch = batch, .at_answer = at_answer}; }
};

/// Where the conversation with the server stands: what the client is owed, in its order, and what the server reads now.
class Replies {
 public:
  char status = 'I';      ///< of the transaction, as ReadyForQuery said
  bool copy_in = false;   ///< the server waits for the client's COPY data
  bool skipping = false;  ///< after an error in the extended protocol the server skips up to Sync
  bool unsynced = false;  ///< extended messages were sent and no Sync after them
  bool failed_since_ready = false;
  bool awaited = false;  ///< the next message waits until all of these are answered, or COPY begins

  Reply& owe(Reply::Kind kind, std::int64_t now);
  /// For a message of Millrace's own.
  Reply& owe_own(Reply::Kind kind, std::int64_t now, Reply::Purpose purpose);

  bool empty() const { return first_ == owed_.size(); }
  std::size_t size() const { return owed_.size() - first_; }
  /// The oldest first; valid until the next that is owed or taken.
  std::span<Reply> all() { return std::span(owed_).subspan(first_); }
  std::span<const Reply> all() const { return std::span(owed_).subspan(first_); }
  Reply& back() { return owed_.back(); }
  /// The oldest that an answer is to come for; null: none.
  Reply* front();
  void pop();
  /// Takes the oldest, if it is of this kind.
  bool pop(Reply::Kind kind);

  /// Of what is sent now.
  std::uint64_t batch() const { return batch_; }
  /// Whether the one at hand must wait for that.
  bool is_under_way(const Touch& touch) const;

  /// Null: none was sent.
  Reply* next_sync();
  /// What follows the oldest up to the next Sync won't be answered, nor is the oldest any more.
  /// `undo`: is called for each, the last first, with what remains behind them all.
  template <typename Undo>
  void skip_to_sync(Undo undo);

  enum class CopyIn {
    begins,
    swallows_sync,  ///< what was sent before the data's end held Syncs, which aren't answered
  };
  CopyIn begin_copy_in();

  /// None is answered: the server that was to is gone.
  void forget();

  bool nothing_under_way() const { return empty() && !unsynced; }
  /// Answers how many bytes about.
  std::size_t give_back_memory();

 private:
  void drop(std::size_t count);

  std::vector<Reply> owed_;
  std::size_t first_ = 0;
  std::uint64_t next_number_ = 1;
  std::uint64_t batch_ = 1;
};

template <typename Undo>
void Replies::skip_to_sync(Undo undo) {
  const auto owed = all();
  const Reply* const next = next_sync();
  const std::size_t sync = next == nullptr ? owed.size() : static_cast<std::size_t>(next - owed.data());
  for (std::size_t at = sync; at-- > 0;) undo(owed[at], owed.subspan(sync));
  drop(sync);
  if (empty()) skipping = true;
}

}  // namespace millrace::gateway
