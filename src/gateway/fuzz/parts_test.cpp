// The fuzzed rules of the parts over the samples, over the corpus, and over inputs of any bytes.
#include "gateway/fuzz/parts.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>

#include "base/fuzz/subject.hpp"

namespace millrace::gateway::fuzz {
namespace {

struct Part {
  std::string name;
  millrace::fuzz::Subject subject;
};

class Parts : public testing::TestWithParam<Part> {
 protected:
  void run(std::string_view input) const { GetParam().subject(std::as_bytes(std::span(input))); }
  static std::vector<std::string> inputs() {
    std::vector<std::string> all;
    for (auto& sample : part_samples()) {
      if (sample.subject == GetParam().name) all.push_back(std::move(sample.input));
    }
    for (const auto& entry : std::filesystem::directory_iterator("src/gateway/corpus/" + GetParam().name)) {
      std::ifstream file(entry.path(), std::ios::binary);
      all.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
    }
    return all;
  }
};

TEST_P(Parts, KeepTheRulesOverSamplesAndCorpus) {
  const auto all = inputs();
  EXPECT_FALSE(all.empty());
  for (const auto& input : all) run(input);
}

TEST_P(Parts, KeepTheRulesWithAnyByteChanged) {
  std::minstd_rand random;
  for (auto input : inputs()) {
    for (int i = 0; i < 30; ++i) {
      input[random() % input.size()] = static_cast<char>(random());
      run(input);
    }
  }
}

TEST_P(Parts, KeepTheRulesOverAnything) {
  std::minstd_rand random;
  for (int i = 0; i < 500; ++i) {
    std::string input(random() % 300, '\0');
    for (char& byte : input) byte = static_cast<char>(random() >> 8);
    run(input);
  }
}

INSTANTIATE_TEST_SUITE_P(All, Parts,
                         testing::Values(Part{"client_reader", client_reader}, Part{"replies", replies},
                                         Part{"session_names", session_names}),
                         [](const auto& part) { return part.param.name; });

}  // namespace
}  // namespace millrace::gateway::fuzz
