#pragma once

#include <memory>
#include <optional>

#include "backend/server_state.hpp"
#include "pipeline/read_cache.hpp"

namespace millrace::gateway {

/// Whether a client's reads are to be answered from memory, as it begins. `wanted`: where it doesn't say.
bool wants_answers(const backend::ParameterList& startup, bool wanted);

/// Whether a comment in the text asks for an answer from memory (`consistency=eventual`), or not to have it from there
/// (`cache=off`, or another level). Null: it says nothing of it.
std::optional<bool> asks_for_answers(std::string_view text);

/// Of a client's session: the scope that its reads belong to, as of what it has set.
class SessionScope {
 public:
  /// `cache`: null: there is none. `startup`: what its server connections begin with. `wanted`: whether reads are
  /// answered from memory where the client says nothing. The texts must outlive this.
  SessionScope(pipeline::ReadCache* cache, std::string_view database, std::string_view user,
               std::shared_ptr<const backend::ParameterList> startup, bool wanted)
      : cache_(cache), database_(database), user_(user), startup_(std::move(startup)), wanted_(wanted) {}

  bool has_cache() const { return cache_ != nullptr; }
  /// Null: there is no cache.
  const pipeline::Scope* of(const std::shared_ptr<const backend::Settings>& settings);
  /// A comment has asked for what the session doesn't: from now on its scope is one for answers.
  void ask_by_comment() {
    if (!std::exchange(asked_by_comment_, true)) known_.reset();
  }
  /// Whether the client wants its reads answered from memory, as of the last `of`.
  bool wanted() const { return wants_; }

 private:
  pipeline::Scope make(const backend::Settings* settings);

  pipeline::ReadCache* cache_;
  const std::string_view database_, user_;
  const std::shared_ptr<const backend::ParameterList> startup_;
  const bool wanted_;
  bool wants_ = false;
  bool asked_by_comment_ = false;
  std::shared_ptr<const backend::Settings> known_for_;
  std::shared_ptr<const pipeline::Scope> known_;
};

}  // namespace millrace::gateway
