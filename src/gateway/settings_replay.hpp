#pragma once

#include <string>
#include <vector>

#include "backend/server_state.hpp"

namespace millrace::gateway {

/// A Query that makes a server connection more like a client's session.
struct ReplayStep {
  std::string sql;
  bool may_fail = false;  ///< the session would hardly be another
  bool operator==(const ReplayStep&) const = default;
};

/// What makes a server connection as a client's session left another: its settings (`wanted`; null: none) and the names
/// of custom settings that it knows. To be sent in this order, each as a Query of its own: a text is read as a whole
/// before any of it is executed, so what decides how texts are read, such as standard_conforming_strings, has to be as
/// it was when the client wrote them.
std::vector<ReplayStep> replay(const backend::ServerState& server, const backend::Settings* wanted,
                               const backend::PlaceholderNames& known);

}  // namespace millrace::gateway
