#include "pipeline/parameter_texts.hpp"

#include <gtest/gtest.h>

#include <random>

namespace millrace::pipeline {
namespace {

using namespace std::string_literals;

TEST(ParameterTexts, TextIsAsItIsAndBinaryInHexadecimal) {
  const std::string bound = "\0\2\0\0\0\1\0\3"s + "\0\0\0\2hi"s + "\0\0\0\4\0\0\0\x2a"s + "\xff\xff\xff\xff"s + "\0\0"s;
  EXPECT_EQ(parameter_texts(bound), (ParameterTexts{"hi", "\\x0000002a", std::nullopt}));
  EXPECT_EQ(parameter_texts("\0\1\0\1\0\1\0\0\0\1a\0\0"s), (ParameterTexts{"\\x61"}));
  EXPECT_EQ(parameter_texts("\0\0\0\0\0\0"s), ParameterTexts());
  EXPECT_EQ(parameter_texts(""), ParameterTexts());
}

TEST(ParameterTexts, WhatIsCutOffIsLeftOut) {
  const std::string bound = "\0\0\0\2"s + "\0\0\0\2hi"s + "\0\0\0\3you"s + "\0\0"s;
  EXPECT_EQ(parameter_texts(bound.substr(0, bound.size() - 3)), (ParameterTexts{"hi"}));
  std::mt19937 random(3);
  for (std::size_t size = 0; size < bound.size(); ++size) EXPECT_LE(parameter_texts(bound.substr(0, size)).size(), 2);
  for (int round = 0; round < 2'000; ++round) {
    std::string any(random() % 40, '\0');
    for (char& byte : any) byte = static_cast<char>(random());
    EXPECT_LE(parameter_texts(any).size(), any.size());
  }
}

}  // namespace
}  // namespace millrace::pipeline
