#include "cache/policy.hpp"

#include <gtest/gtest.h>

#include <deque>
#include <random>
#include <set>
#include <vector>

namespace millrace::cache {
namespace {

PolicyNode& make(std::deque<PolicyNode>& nodes, std::uint64_t id, std::size_t bytes, double cost) {
  auto& node = nodes.emplace_back();
  node.hash = id * 0x9E3779B97F4A7C15ULL;
  node.bytes = bytes;
  node.cost = cost;
  return node;
}

TEST(Policy, TheLeastUsedGoesFirst) {
  Policy policy;
  std::deque<PolicyNode> nodes;
  for (std::uint64_t i = 0; i < 10; ++i) policy.insert(make(nodes, i, 1, 1));
  for (std::size_t i = 0; i < 10; ++i) {
    if (i != 7) policy.hit(nodes[i]);
  }
  EXPECT_EQ(policy.evict(), &nodes[7]);
}

TEST(Policy, TheCheapAndTheLargeGoBeforeTheDearAndTheSmall) {
  Policy policy;
  std::deque<PolicyNode> nodes;
  policy.insert(make(nodes, 1, 1000, 10));
  policy.insert(make(nodes, 2, 100, 10));
  policy.insert(make(nodes, 3, 1000, 1));
  EXPECT_EQ(policy.evict(), &nodes[2]);
  EXPECT_EQ(policy.evict(), &nodes[0]);
  EXPECT_EQ(policy.evict(), &nodes[1]);
  EXPECT_EQ(policy.evict(), nullptr);
}

TEST(Policy, AScanDoesNotFlushWhatIsUsed) {
  Policy policy;
  std::deque<PolicyNode> nodes;
  std::set<PolicyNode*> used;
  for (std::uint64_t i = 0; i < 100; ++i) used.insert(&make(nodes, i, 1, 1));
  for (auto* node : used) policy.insert(*node);
  for (int round = 0; round < 3; ++round) {
    for (auto* node : used) policy.hit(*node);
  }
  for (std::uint64_t i = 0; i < 100; ++i) policy.insert(make(nodes, 1000 + i, 1, 1));
  std::size_t lost = 0;
  for (std::uint64_t i = 0; i < 200; ++i) {  // a scan of twice the cache
    policy.insert(make(nodes, 2000 + i, 1, 1));
    lost += used.contains(policy.evict());
  }
  EXPECT_EQ(lost, 0U);
}

TEST(Policy, OfALoopOverMoreThanFitsAPartStays) {
  Policy policy;
  std::deque<PolicyNode> nodes;
  for (std::uint64_t i = 0; i < 1250; ++i) make(nodes, i, 1, 1);
  std::set<PolicyNode*> in;
  std::size_t hits = 0;
  for (int round = 0; round < 40; ++round) {
    hits = 0;
    for (auto& node : nodes) {
      if (in.contains(&node)) {
        policy.hit(node);
        ++hits;
        continue;
      }
      policy.insert(node);
      in.insert(&node);
      if (in.size() > 1000) in.erase(policy.evict());
    }
  }
  EXPECT_GT(hits, 400U);  // LRU: none
}

TEST(Policy, WhatIsNoLongerUsedGoesInTheEnd) {
  Policy policy;
  std::deque<PolicyNode> nodes;
  auto& once_hot = make(nodes, 1, 1, 1);
  policy.insert(once_hot);
  for (int i = 0; i < 50; ++i) policy.hit(once_hot);
  for (std::uint64_t i = 0; i < 10; ++i) policy.insert(make(nodes, 100 + i, 1, 1));
  bool gone = false;
  for (std::uint64_t i = 0; i < 20'000 && !gone; ++i) {
    policy.insert(make(nodes, 1000 + i, 1, 1));
    gone = policy.evict() == &once_hot;
  }
  EXPECT_TRUE(gone);
}

TEST(Policy, AgreesWithWhatIsInItWhateverIsDone) {
  std::mt19937_64 random(7);
  Policy policy;
  std::deque<PolicyNode> nodes;
  std::vector<PolicyNode*> in;
  for (std::uint64_t step = 0; step < 50'000; ++step) {
    switch (random() % 5) {
      case 0:
      case 1:
        in.push_back(&make(nodes, random() % 1000, 1 + random() % 5000, static_cast<double>(1 + random() % 1000)));
        policy.insert(*in.back());
        break;
      case 2:
        if (!in.empty()) policy.hit(*in[random() % in.size()]);
        break;
      case 3:
        if (auto* gone = policy.evict()) {
          ASSERT_EQ(std::erase(in, gone), 1U);
        }
        break;
      default:
        if (in.empty()) break;
        std::swap(in[random() % in.size()], in.back());
        policy.erase(*in.back());
        in.pop_back();
    }
    ASSERT_EQ(policy.size(), in.size());
  }
}

}  // namespace
}  // namespace millrace::cache
