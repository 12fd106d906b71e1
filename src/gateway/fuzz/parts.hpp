#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

/// What is fuzzed: the relay's parts, each by itself. Each aborts where a rule is broken.
namespace millrace::gateway::fuzz {

/// The same bytes, at once and in slices, are the same messages, none too long; a server connection is wanted for the
/// first that asks for an answer, or is broken, and not before.
///
/// An input is a byte that says how long messages may be and how much of one is waited for, a byte that the slices'
/// lengths are made of, and what the client sends.
void client_reader(std::span<const std::byte> input);

/// Replies are a queue. An input is pairs of bytes: what is done, and with what.
void replies(std::span<const std::byte> input);

/// SessionNames are what the server has, once it has done what is under way; and in transaction mode what the client is
/// told of a name is still so when the server comes to the message.
///
/// An input is a byte whose lowest bit picks the mode, and then triples of bytes: what the client or the server does,
/// and two names.
void session_names(std::span<const std::byte> input);

struct PartSample {
  std::string_view subject;
  std::string name;
  std::string input;
};
/// Inputs to begin with.
std::vector<PartSample> part_samples();

}  // namespace millrace::gateway::fuzz
