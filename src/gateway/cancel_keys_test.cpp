#include "gateway/cancel_keys.hpp"

#include <gtest/gtest.h>

#include <set>

namespace millrace::gateway {
namespace {

/// Stands for a session; nobody looks inside.
std::shared_ptr<Session> some_session() {
  const auto owner = std::make_shared<int>();
  return {owner, reinterpret_cast<Session*>(owner.get())};
}

TEST(CancelKeys, FindWhoHoldsTheKey) {
  CancelKeys keys;
  const auto one = some_session(), two = some_session();
  const auto key_one = keys.add(one), key_two = keys.add(two);
  EXPECT_EQ(keys.find(key_one), one);
  EXPECT_EQ(keys.find(key_two), two);
}

TEST(CancelKeys, AnotherSecretFindsNobody) {
  CancelKeys keys;
  const auto session = some_session();
  auto key = keys.add(session);
  ++key.secret;
  EXPECT_FALSE(keys.find(key));
}

TEST(CancelKeys, WhatIsRemovedOrGoneIsNotFound) {
  CancelKeys keys;
  const auto session = some_session();
  const auto removed = keys.add(session);
  keys.remove(removed);
  EXPECT_FALSE(keys.find(removed));
  auto brief = some_session();
  const auto gone = keys.add(brief);
  brief.reset();
  EXPECT_FALSE(keys.find(gone));
}

TEST(CancelKeys, AreDistinctNumbersOfNoProcess) {
  constexpr std::uint32_t largest_process = 1U << 22;
  CancelKeys keys;
  const auto session = some_session();
  std::set<std::uint32_t> ids;
  for (int i = 0; i < 1000; ++i) ids.insert(keys.add(session).process_id);
  EXPECT_EQ(ids.size(), 1000U);
  EXPECT_GT(*ids.begin(), largest_process);
  EXPECT_LE(*ids.rbegin(), 0x7fff'ffffU);
}

TEST(CancelKeys, HaveTheServersProcessWhereThereIsOne) {
  CancelKeys keys;
  const auto one = some_session(), two = some_session();
  const auto key_one = keys.add(one, 4711), key_two = keys.add(two, 4711);
  EXPECT_EQ(key_one.process_id, 4711U);
  EXPECT_EQ(key_two.process_id, 4711U);
  EXPECT_EQ(keys.find(key_one), one);
  EXPECT_EQ(keys.find(key_two), two);
  keys.remove(key_one);
  EXPECT_FALSE(keys.find(key_one));
  EXPECT_EQ(keys.find(key_two), two);
}

}  // namespace
}  // namespace millrace::gateway
