#pragma once

#include <deque>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/relay.hpp"

/// What is fuzzed: clients and a server that send anything, through a Relay, as a session would pass it.
///
/// An input is a byte whose lowest bit picks the mode, and then records: two bytes whose highest bit says who speaks
/// (0: the client) and whose other bits how many bytes follow. A client that has been let go of by its server
/// connection gets the other of two; after the client's end the next one takes its place.
namespace millrace::gateway::fuzz {

/// Aborts where a rule is broken: all that is forwarded is whole messages but for the one in the middle, a relay that
/// lets go of its server connection owes nothing, and in session mode nothing is changed. False: it ended before the
/// input did.
bool relay(std::span<const std::byte> input);

/// Aborts unless bytes that come one by one have the same effect as those that come at once.
void relay_sliced(std::span<const std::byte> input);

/// Inputs that are conversations, by name.
struct Sample {
  std::string name;
  std::string input;
};
std::vector<Sample> samples();

}  // namespace millrace::gateway::fuzz
