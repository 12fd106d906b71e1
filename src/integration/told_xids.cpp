#include "integration/told_xids.hpp"

#include <algorithm>

namespace millrace::integration {
namespace {

/// Of transactions between two questions, that are looked at one by one.
constexpr std::uint64_t most_between = 100'000;
/// As nobody may ask for long. Beyond, nothing is known until all is accepted once more.
constexpr std::size_t most_told = 1'000'000;

}  // namespace

void ToldXids::add(Xid xid) {
  if (told_.size() >= most_told) {
    told_.clear();
    accepted_.reset();
  }
  told_.insert(xid);
}

template <typename Take>
bool ToldXids::each_not_told(const XidSnapshot& now, Take take) const {
  if (!accepted_ || now.xmax < accepted_->xmax || now.xmax - accepted_->xmax > most_between) return false;
  const auto goes_on = [&](std::uint64_t xid) {
    return std::ranges::binary_search(now.running, xid) || told_.contains(static_cast<Xid>(xid)) || take(xid);
  };
  if (!std::ranges::all_of(accepted_->running, goes_on)) return true;
  for (auto xid = accepted_->xmax; xid < now.xmax; ++xid) {
    if (!goes_on(xid)) return true;
  }
  return true;
}

bool ToldXids::are_all_of(const XidSnapshot& now) const {
  bool all = true;
  return each_not_told(now, [&](std::uint64_t) { return all = false; }) && all;
}

std::vector<std::uint64_t> ToldXids::not_told_of(const XidSnapshot& now, std::size_t most) const {
  std::vector<std::uint64_t> xids;
  each_not_told(now, [&](std::uint64_t xid) {
    xids.push_back(xid);
    return xids.size() <= most;
  });
  return xids.size() <= most ? xids : std::vector<std::uint64_t>();
}

void ToldXids::accept(XidSnapshot now) {
  boost::unordered::erase_if(told_, [&](Xid xid) { return now.sees(xid); });
  accepted_ = std::move(now);
}

}  // namespace millrace::integration
