#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "backend/server_state.hpp"
#include "gateway/replies.hpp"
#include "gateway/text_meaning.hpp"
#include "sql/statement.hpp"

namespace millrace::gateway {

/// Why a client keeps its server connection: it holds what can't be moved.
class Pin {
 public:
  /// `moves`: false for a client that keeps its connection anyway.
  explicit Pin(bool moves) : moves_(moves) {}

  bool is_set() const { return !why_.empty(); }
  const std::string& why() const { return why_; }
  void set(std::string_view why);
  void clear() {
    why_.clear();
    matters_to_reads_ = false;
  }
  /// What is read on it may not be what is read on another one, for what can't be moved. Where nobody knows what ran
  /// there, `ServerState::unclear` says so.
  bool matters_to_reads() const { return matters_to_reads_; }

 private:
  const bool moves_;
  bool matters_to_reads_ = false;
  std::string why_;
};

/// What a client has set in its session, as of what the server has answered: to be made on whatever server connection
/// it gets next (a client that keeps its connection has it there). And what follows from it for how its texts are read.
class SessionSettings {
 public:
  SessionSettings(Pin& pin, bool moves) : pin_(pin), moves_(moves) {}

  std::shared_ptr<const backend::ParameterList> parameters;  ///< as the client knows them

  /// What the client gave at its start that isn't part of the server connection's own start: each outlives a RESET.
  void start_with(std::shared_ptr<const backend::Settings> start) { settings_ = start_ = std::move(start); }
  const std::shared_ptr<const backend::Settings>& start() const { return start_; }
  const std::shared_ptr<const backend::Settings>& current() const { return settings_; }
  bool are_as_begun() const {
    static const backend::Settings none;
    return (settings_ ? *settings_ : none) == (start_ ? *start_ : none);
  }
  /// Those that the client has made: it can tell them from settings that were never set.
  const backend::PlaceholderNames& placeholders() const { return placeholders_; }
  /// A client that begins with setting a custom setting can't tell whether it was there before.
  void expect_placeholders(const sql::Statement& statement);
  /// The names of settings that no extension defines stay on the server connection, whatever happens to the settings.
  /// False: there are too many.
  bool note_placeholder(std::string_view name, backend::ServerState& server) const;

  /// Whether the parser, which takes backslashes and bytes for themselves, reads the text as the server does.
  bool reads_plainly(std::string_view text);
  /// What texts mean may be about to change, until nothing is under way.
  void expect_change_of(const MeaningChange& change) { changes_of_meaning_ |= change; }
  const MeaningChange& changes_of_meaning() const { return changes_of_meaning_; }
  /// Of what the client prepares when all that it has set is known to have taken effect.
  const TextMeaning& meaning();

  /// RESET goes back to what the server connection began with, which isn't what the client did. Answers the SQL that
  /// sets what it leaves reset as the client began; "": nothing is to be set.
  std::string start_to_set_again(const sql::Statement& statement) const;

  /// A statement of `reply` is done.
  void on_tag(std::string_view tag, Reply& reply, backend::ServerState& server);
  void on_discard_all(backend::ServerState& server);
  /// A Query's text is done, all of it; before `on_ready`.
  void on_text_done(const sql::Statement& statement, bool failed);
  void on_ready(char status, bool failed, backend::ServerState& server);
  void on_nothing_under_way() { changes_of_meaning_ = {}; }
  /// What a RESET left of what the client began with, where it isn't known whether it was undone: it is set again
  /// before anybody has the connection next.
  void start_is_unknown(backend::ServerState& server) const;
  /// Answers how many bytes about.
  std::size_t give_back_memory();

 private:
  void judge_lexing();
  void take_effect(const std::vector<sql::SessionChange>& changes, backend::ServerState& server);
  void placeholders_are_known(std::string_view tag, Reply& reply, const backend::ServerState& server);

  Pin& pin_;
  const bool moves_;
  std::shared_ptr<const backend::Settings> settings_;
  std::shared_ptr<const backend::Settings> start_;  ///< null: none
  backend::PlaceholderNames placeholders_;
  std::vector<sql::SessionChange> of_batch_;        ///< executed, the outcome isn't known yet
  std::vector<sql::SessionChange> of_transaction_;  ///< take effect when it commits
  MeaningChange changes_of_meaning_;
  TextMeaning meaning_;  ///< under `meaning_of_`
  std::shared_ptr<const backend::Settings> meaning_of_;
  std::shared_ptr<const backend::ParameterList> judged_;
  bool plain_lexing_ = true;  ///< under `judged_`
};

}  // namespace millrace::gateway
