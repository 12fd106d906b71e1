#include "base/fuzz/subject.hpp"
#include "gateway/fuzz/parts.hpp"
#include "gateway/fuzz/relay_exchange.hpp"

millrace::fuzz::Subject millrace::fuzz::find_subject(std::string_view name) {
  if (name == "relay") return gateway::fuzz::relay;
  if (name == "relay_sliced") return gateway::fuzz::relay_sliced;
  if (name == "client_reader") return gateway::fuzz::client_reader;
  if (name == "replies") return gateway::fuzz::replies;
  if (name == "session_names") return gateway::fuzz::session_names;
  return nullptr;
}
