#pragma once

#include <cstdint>
#include <string_view>

#include "pipeline/refusal.hpp"
#include "pipeline/scope.hpp"

namespace millrace::gateway {

/// What of a session, or of its transaction, keeps its reads from being answered from memory, and their answers from
/// being kept.
enum class Hindrance : std::uint8_t {
  none,
  no_cache,
  settings_under_way,  ///< a SET isn't answered yet
  asked_too_late,      ///< in session mode it is asked for as the session begins
  not_wanted,
  no_stream,      ///< the level that it wants can't be met: the database's changes aren't followed
  names_unclear,  ///< which tables its names mean may have been set, unseen
  settings,       ///< `Scope::why_not` says which
  pinned,
  transaction,  ///< something is under way, or ran in this transaction, that may not only read
  failed_transaction,
  isolation,  ///< a transaction doesn't see what is committed before each of its statements; or nobody knows
  server_state,
};

/// For counting; "" for none.
std::string_view code_of(Hindrance hindrance, const pipeline::Scope* scope);
/// `scope`: null: there is none. `pin`: why the client keeps its server connection. For all but none.
pipeline::Refusal refusal_of(Hindrance hindrance, const pipeline::Scope* scope, std::string_view pin);

}  // namespace millrace::gateway
