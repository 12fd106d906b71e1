#pragma once

#include <cstdint>

#include "pgwire/protocol/frame.hpp"

namespace millrace::gateway {

/// Of a statement's rows what it takes to say whether another one gives the same: as a multiset, and in their order.
/// Rows themselves aren't kept. Hashes of 128 bits, under a secret of the process.
class ComparedRows {
 public:
  void add(pgwire::Bytes data_row);

  std::uint64_t rows() const { return rows_; }
  bool same_rows(const ComparedRows& other) const;
  bool same_order(const ComparedRows& other) const;

 private:
  struct Sum {
    std::uint64_t low = 0, high = 0;
    bool operator==(const Sum&) const = default;
  };
  std::uint64_t rows_ = 0;
  Sum multiset_, sequence_;
};

}  // namespace millrace::gateway
