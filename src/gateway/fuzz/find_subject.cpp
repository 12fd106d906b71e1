#include "base/fuzz/subject.hpp"
#include "gateway/fuzz/relay_exchange.hpp"

millrace::fuzz::Subject millrace::fuzz::find_subject(std::string_view name) {
  if (name == "relay") return gateway::fuzz::relay;
  if (name == "relay_sliced") return gateway::fuzz::relay_sliced;
  return nullptr;
}
