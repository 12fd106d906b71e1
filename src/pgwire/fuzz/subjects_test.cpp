// Every fuzzed subject over its samples, over everything that can be cut off them, and over the corpus.
#include "pgwire/fuzz/subjects.hpp"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <random>

#include "pgwire/protocol/reader.hpp"

namespace millrace::pgwire::fuzz {
namespace {

std::vector<std::string> corpus(std::string_view name) {
  std::vector<std::string> inputs;
  for (const auto& entry : std::filesystem::directory_iterator(std::filesystem::path("src/pgwire/corpus") / name)) {
    std::ifstream file(entry.path(), std::ios::binary);
    inputs.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  }
  return inputs;
}

TEST(Messages, AreTakenWholeAndNotOtherwise) {
  for (const Message& message : messages()) {
    for (const std::string& body : message.samples) {
      SCOPED_TRACE(message.name);
      EXPECT_TRUE(message.accepts(as_bytes(body)));
      for (std::size_t length = 0; length < body.size(); ++length) {
        EXPECT_FALSE(message.accepts(as_bytes(body).first(length))) << "cut at " << length;
      }
      EXPECT_FALSE(message.accepts(as_bytes(body + "x")));
    }
  }
}

TEST(Messages, WithAnyByteChangedNeverBreakARule) {
  for (const Message& message : messages()) {
    for (std::string body : message.samples) {
      for (char& byte : body) {
        const char before = byte;
        for (const int value : {0x00, 0x01, 0x7f, 0x80, 0xff}) {
          byte = static_cast<char>(value);
          message.accepts(as_bytes(body));
        }
        byte = before;
      }
    }
  }
}

TEST(Messages, KeepTheRulesOverTheCorpus) {
  for (const Message& message : messages()) {
    const auto inputs = corpus(message.name);
    EXPECT_FALSE(inputs.empty()) << message.name;
    for (const std::string& input : inputs) message.accepts(as_bytes(input));
  }
}

TEST(Machines, KeepTheRulesOverSamplesAndCorpus) {
  std::minstd_rand random;
  for (const Machine& machine : machines()) {
    auto inputs = corpus(machine.name);
    EXPECT_FALSE(inputs.empty()) << machine.name;
    inputs.insert(inputs.end(), machine.samples.begin(), machine.samples.end());
    for (std::string input : inputs) {
      for (std::size_t length = 0; length <= input.size(); ++length) machine.run(as_bytes(input).first(length));
      for (int i = 0; i < 100 && !input.empty(); ++i) {
        input[random() % input.size()] = static_cast<char>(random());
        machine.run(as_bytes(input));
      }
    }
  }
}

}  // namespace
}  // namespace millrace::pgwire::fuzz
