#pragma once

#include <memory>
#include <optional>

#include "backend/server_state.hpp"
#include "pipeline/consistency.hpp"
#include "pipeline/read_cache.hpp"

namespace millrace::gateway {

using pipeline::Consistency;

/// Whether a client's reads are to be answered from memory, as it begins; or may be, later. `level`: where it doesn't
/// say; null: not.
bool wants_answers(pipeline::ReadCache* cache, std::string_view database, const backend::ParameterList& startup,
                   std::optional<Consistency> level);

/// Of a client's session: the scope that its reads belong to, as of what it has set.
class SessionScope {
 public:
  /// `cache`: null: there is none. `startup`: what its server connections begin with. `level`: of answers from memory
  /// where the client says nothing; null: there are none then. `rewriting`: its statements may be rewritten, where the
  /// client doesn't say. The texts must outlive this.
  SessionScope(pipeline::ReadCache* cache, std::string_view database, std::string_view user,
               std::shared_ptr<const backend::ParameterList> startup, std::optional<Consistency> level,
               bool rewriting = false);

  bool has_cache() const { return cache_ != nullptr; }
  /// Another number when new server connections of the user may begin otherwise than those that are open.
  std::uint64_t epoch();
  /// Null: there is no cache.
  const pipeline::Scope* of(const std::shared_ptr<const backend::Settings>& settings);
  /// As of the last `of`.
  const std::shared_ptr<const pipeline::Scope>& shared() const { return known_; }
  /// A comment has asked for what the session doesn't: from now on its scope is one for answers.
  void ask_by_comment() {
    if (!std::exchange(asked_by_comment_, true)) known_.reset();
  }
  /// Whether the client wants its reads answered from memory, as of the last `of`, and its level can be met.
  bool wanted() const { return wants_; }
  /// Whether the client's statements may be rewritten, as of the last `of`.
  bool rewrites() const { return rewrites_; }
  /// It does, but the level can't be met: the database's changes aren't followed.
  bool lacks_stream() const { return level_ && !wants_; }
  /// Of an answer from memory to this text, by what the client has set or by a comment. Null: none is wanted, or its
  /// level can't be met.
  std::optional<Consistency> level_of(std::string_view text) const;

 private:
  pipeline::Scope make(const backend::Settings* settings);
  /// What was proved before the server was lost still is.
  bool is_followed() const { return freshness_->is_followed() || freshness_->is_frozen(); }
  bool can_be_met(const Consistency& level) const { return !level.needs_stream() || is_followed(); }

  pipeline::ReadCache* cache_;
  std::shared_ptr<const std::atomic<std::uint64_t>> epoch_of_user_;  ///< null: it wasn't asked for
  const std::string_view database_, user_;
  const std::shared_ptr<const backend::ParameterList> startup_;
  const std::optional<Consistency> wanted_;
  const bool rewriting_;
  std::shared_ptr<const integration::Freshness> freshness_;  ///< null: there is no cache
  std::optional<Consistency> level_;
  std::int64_t after_ = 0;  ///< the moment of the last token that the client has set
  bool wants_ = false;
  bool rewrites_ = false;
  bool known_followed_ = false;
  bool asked_by_comment_ = false;
  std::shared_ptr<const backend::Settings> known_for_;
  std::shared_ptr<const pipeline::Scope> known_;
};

}  // namespace millrace::gateway
