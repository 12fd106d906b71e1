#pragma once

#include <string>

#include "gateway/session_names.hpp"
#include "gateway/session_settings.hpp"

namespace millrace::gateway {

/// What a client's session is, without any server in it. What the client has set is changed by what the server has
/// answered; its names by what was sent, which can be undone.
struct SessionState {
  /// `stays`: it keeps its first server connection whatever it does. `known`: what it is, is known here all the same.
  SessionState(bool stays_there, bool known, Replies& replies)
      : stays(stays_there), moves(!stays_there || known), pin(moves), names(replies, moves), settings(pin, moves) {}

  const bool stays;  ///< session mode
  /// Nothing ties it to a server connection, unless `pin` says so. Otherwise the connection has the client's statements
  /// by their own names, and its settings.
  const bool moves;
  Pin pin;
  SessionNames names;
  SessionSettings settings;
  std::string held_begin;  ///< the text of a BEGIN that was answered and is sent when the server is needed; "": none
  bool read_in_held_begin = false;  ///< a read was answered in it: it has begun to be executed
};

}  // namespace millrace::gateway
