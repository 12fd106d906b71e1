#pragma once

#include <boost/unordered/unordered_flat_set.hpp>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "integration/freshness.hpp"

namespace millrace::integration {

/// The transactions that the change stream has told of, for the question whether those are all that others see.
///
/// What is written to disk is told; but a transaction that commits without waiting for the disk is seen before. It
/// shows as one that is over and wasn't told. So does one that has changed nothing that is followed, was rolled back,
/// or was a part of another: nobody knows which. Not thread-safe.
class ToldXids {
 public:
  void add(Xid xid);
  /// Whether all that `now` sees and the last `accept`ed one didn't were told.
  bool are_all_of(const XidSnapshot& now) const;
  /// Those that keep `are_all_of` from being so, with their epochs. Empty: there are none, or more than `most`, or too
  /// many to be looked at.
  std::vector<std::uint64_t> not_told_of(const XidSnapshot& now, std::size_t most) const;
  /// All that it sees is accounted for, whether it was told or not.
  void accept(XidSnapshot now);

 private:
  /// Calls `take` with each that isn't told, until it answers false. False: it can't be said.
  template <typename Take>
  bool each_not_told(const XidSnapshot& now, Take take) const;

  boost::unordered_flat_set<Xid> told_;  ///< that aren't seen by `accepted_`, or not known to be
  std::optional<XidSnapshot> accepted_;
};

}  // namespace millrace::integration
