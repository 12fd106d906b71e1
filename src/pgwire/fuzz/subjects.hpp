#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "pgwire/protocol/frame.hpp"

/// What is fuzzed, by name: a subject of pgwire_fuzz each, and the same checks over samples and corpus in the tests.
namespace millrace::pgwire::fuzz {

/// The body of one kind of message.
struct Message {
  std::string_view name;
  /// Decodes, goes through every list, and encodes again, which must give the same bytes; aborts where it doesn't.
  /// False: refused.
  bool (*accepts)(Bytes body);
  std::vector<std::string> samples;
};
std::span<const Message> messages();

/// A parser or state machine that is fed what the other side sends.
struct Machine {
  std::string_view name;
  /// Aborts where a rule is broken, such as an acceptance without a proof.
  void (*run)(Bytes input);
  std::vector<std::string> samples;
};
std::span<const Machine> machines();

/// Aborts: a fuzzer's and a test's way to fail.
void require(bool rule);

}  // namespace millrace::pgwire::fuzz
