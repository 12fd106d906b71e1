// The fuzzed rules over the samples, over everything that can be cut off them, and over the corpus.
#include "gateway/fuzz/relay_exchange.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>

namespace millrace::gateway::fuzz {
namespace {

pgwire::Bytes bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }

std::vector<std::string> inputs() {
  std::vector<std::string> all;
  for (auto& sample : samples()) all.push_back(std::move(sample.input));
  for (const auto& entry : std::filesystem::directory_iterator("src/gateway/corpus/relay")) {
    std::ifstream file(entry.path(), std::ios::binary);
    all.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  }
  return all;
}

TEST(RelayExchange, SamplesAreWholeConversations) {
  for (const auto& sample : samples()) {
    if (sample.name.ends_with("_transaction")) EXPECT_TRUE(relay(bytes_of(sample.input))) << sample.name;
  }
}

TEST(RelayExchange, KeepsTheRulesOverSamplesAndCorpus) {
  for (const auto& input : inputs()) {
    relay(bytes_of(input));
    relay_sliced(bytes_of(input));
  }
}

TEST(RelayExchange, KeepsTheRulesWithAnyByteChanged) {
  std::minstd_rand random;
  for (auto input : inputs()) {
    for (int i = 0; i < 30 && !input.empty(); ++i) {
      input[random() % input.size()] = static_cast<char>(random());
      relay(bytes_of(input));
      relay_sliced(bytes_of(input));
    }
  }
}

}  // namespace
}  // namespace millrace::gateway::fuzz
