#include "pipeline/moment_token.hpp"

#include <gtest/gtest.h>

namespace millrace::pipeline {
namespace {

constexpr std::int64_t now = 5'000'000'000;

TEST(MomentToken, IsReadByTheProcessThatMadeIt) {
  for (const std::int64_t moment : {std::int64_t{1}, now - 1, now}) {
    EXPECT_EQ(moment_of(moment_token(moment), now), moment);
  }
}

TEST(MomentToken, WhateverElseItIsMeansNow) {
  const std::string own = moment_token(7);
  const std::string process = own.substr(0, own.find('-'));
  std::string others = own;
  others[0] = others[0] == '0' ? '1' : '0';
  for (const std::string& token :
       {std::string(), std::string("-"), process, process + "-", process + "-x", process + "-7 ", process + "--7",
        " " + own, own + "-7", process + "-ffffffffffffffff", process + "-10000000000000000", moment_token(now + 1),
        others, std::string("0/16B3748"), std::string(100'000, 'f')}) {
    EXPECT_EQ(moment_of(token, now), now) << token.substr(0, 100);
  }
}

}  // namespace
}  // namespace millrace::pipeline
