#include "pipeline/flights.hpp"

#include <atomic>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

namespace millrace::pipeline {
namespace {

TEST(Flights, OneLeadsAndTheOthersHearWhenItHasLanded) {
  Flights flights;
  int landed = 0;
  auto leader = flights.lead(7);
  ASSERT_TRUE(leader);
  EXPECT_FALSE(flights.lead(7));
  EXPECT_TRUE(flights.is_led(7));
  EXPECT_FALSE(flights.is_led(8)) << "another key";
  EXPECT_TRUE(flights.wait(7, [&] { ++landed; }));
  EXPECT_TRUE(flights.wait(7, [&] { ++landed; }));
  EXPECT_EQ(landed, 0);
  leader.reset();
  EXPECT_EQ(landed, 2);
  EXPECT_FALSE(flights.is_led(7));
  EXPECT_FALSE(flights.wait(7, [&] { ++landed; })) << "it has landed";
  leader = flights.lead(7);
  EXPECT_TRUE(leader) << "the next";
  leader.reset();
  EXPECT_EQ(landed, 2);
}

TEST(Flights, ALeaderMayOutliveThem) {
  auto flights = std::make_unique<Flights>();
  auto leader = flights->lead(1);
  int landed = 0;
  ASSERT_TRUE(flights->wait(1, [&] { ++landed; }));
  flights.reset();
  leader.reset();
  EXPECT_EQ(landed, 1);
}

TEST(Flights, NobodyIsForgottenOrToldTwice) {
  Flights flights;
  std::atomic<int> leads = 0;
  std::atomic<int> waits = 0;
  std::atomic<int> landed = 0;
  std::vector<std::jthread> threads;
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&] {
      for (int round = 0; round < 20'000; ++round) {
        const auto key = static_cast<std::uint64_t>(round % 3);
        if (auto leader = flights.lead(key)) {
          ++leads;
        } else if (flights.wait(key, [&] { ++landed; })) {
          ++waits;
        }
      }
    });
  }
  threads.clear();
  EXPECT_GT(leads, 0);
  EXPECT_EQ(waits, landed);
}

}  // namespace
}  // namespace millrace::pipeline
