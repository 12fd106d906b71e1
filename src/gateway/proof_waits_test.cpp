#include "gateway/proof_waits.hpp"

#include <gtest/gtest.h>

namespace millrace::gateway {
namespace {

/// How many of `reads` that need a proof wait for it, if each proof saves this.
int waits(ProofWaits& proofs, int reads, std::int64_t wait, std::int64_t cost, std::int64_t saves) {
  int waited = 0;
  for (int i = 0; i < reads; ++i) {
    if (!proofs.pays(wait, cost)) continue;
    ++waited;
    proofs.waited(wait);
    proofs.saved(saves);
  }
  return waited;
}

TEST(ProofWaits, AtOnceWhereTheServerTakesLonger) {
  ProofWaits proofs;
  EXPECT_TRUE(proofs.pays(100, 100));
}

TEST(ProofWaits, OnceAsMuchWasSpentOnTheServer) {
  ProofWaits proofs;
  for (int i = 0; i < 9; ++i) EXPECT_FALSE(proofs.pays(1000, 100));
  EXPECT_TRUE(proofs.pays(1000, 100));
  EXPECT_FALSE(proofs.pays(1000, 100)) << "it begins anew";
}

TEST(ProofWaits, LessAndLessWhereItSavesLessThanItTakes) {
  ProofWaits proofs;
  EXPECT_EQ(waits(proofs, 10, 1000, 100, 100), 1);
  EXPECT_EQ(waits(proofs, 20, 1000, 100, 100), 1);
  EXPECT_EQ(waits(proofs, 40, 1000, 100, 100), 1);
  waits(proofs, 10'000, 1000, 100, 100);
  EXPECT_EQ(waits(proofs, 640 * 5, 1000, 100, 100), 5) << "but still some";
}

TEST(ProofWaits, SoonAgainWhereItSavesMore) {
  ProofWaits proofs;
  waits(proofs, 10'000, 1000, 100, 100);
  waits(proofs, 10'000, 1000, 100, 5000);
  EXPECT_EQ(waits(proofs, 100, 1000, 100, 5000), 100) << "at once";
  waits(proofs, 10, 1000, 100, 100);
  EXPECT_LT(waits(proofs, 1000, 1000, 100, 100), 20) << "and not any more";
}

TEST(ProofWaits, LessWhereItDoesNotCome) {
  ProofWaits proofs;
  proofs.waited_in_vain();
  for (int i = 0; i < 19; ++i) EXPECT_FALSE(proofs.pays(1000, 100));
  EXPECT_TRUE(proofs.pays(1000, 100));
}

TEST(ProofWaits, WhatNeededNoProofIsNotCounted) {
  ProofWaits proofs;
  proofs.saved(1'000'000);
  EXPECT_EQ(waits(proofs, 10, 1000, 100, 0), 1);
  EXPECT_EQ(waits(proofs, 20, 1000, 100, 0), 1);
}

}  // namespace
}  // namespace millrace::gateway
