#pragma once

#include <string>

#include "gateway/session_names.hpp"
#include "gateway/session_settings.hpp"

namespace millrace::gateway {

/// What a client's session is, without any server in it. What the client has set is changed by what the server has
/// answered; its names by what was sent, which can be undone.
struct SessionState {
  SessionState(bool may_move, Replies& replies)
      : moves(may_move), pin(may_move), names(replies, may_move), settings(pin, may_move) {}

  /// It isn't tied to a server connection, unless `pin` says so: transaction mode. Otherwise it keeps its first, which
  /// has the client's statements by their own names.
  const bool moves;
  Pin pin;
  SessionNames names;
  SessionSettings settings;
  std::string held_begin;  ///< a BEGIN that was answered and is sent when the server is needed; "": none
};

}  // namespace millrace::gateway
