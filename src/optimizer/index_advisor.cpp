#include "optimizer/index_advisor.hpp"

#include <algorithm>
#include <map>
#include <optional>

namespace millrace::optimizer {
namespace {

using Set = std::vector<std::size_t>;  // ascending

constexpr double page = 8192;

bool has(const Set& set, std::size_t one) { return std::ranges::binary_search(set, one); }

Set with(Set set, std::size_t one) {
  set.insert(std::ranges::lower_bound(set, one), one);
  return set;
}

Set without(Set set, std::size_t one) {
  std::erase(set, one);
  return set;
}

class Advisor {
 public:
  explicit Advisor(const AdvisorTask& task)
      : task_(task), costs_(task.statements.size()), users_(task.candidates.size()) {
    for (std::size_t i = 0; i < task.statements.size(); ++i) {
      for (const auto candidate : task.statements[i].candidates) users_[candidate].push_back(i);
    }
  }

  Advised advise() {
    Advised advised{.cost_before = total({})};
    least_ = task_.margin * std::max(advised.cost_before, 0.0);
    drop_useless();
    Set chosen = grow();
    chosen = improved(shrunk(std::move(chosen)));
    if (const auto single = best_single(); single && total({*single}) < total(chosen))
      chosen = shrunk(grow_from({*single}));
    advised.cost_after = total(chosen);
    advised.bytes = bytes_of(chosen);
    for (const auto each : chosen) advised.gains.push_back(total(without(chosen, each)) - advised.cost_after);
    advised.chosen = std::move(chosen);
    order(advised);
    for (std::size_t i = 0; i < task_.statements.size(); ++i) advised.costs.push_back(cost(i, sorted(advised.chosen)));
    advised.costs_asked = asked_;
    advised.out_of_time = late_;
    return advised;
  }

 private:
  static Set sorted(Set set) {
    std::ranges::sort(set);
    return set;
  }

  double cost(std::size_t statement, const Set& set) {
    const auto& one = task_.statements[statement];
    Set relevant;
    std::ranges::set_intersection(one.candidates, set, std::back_inserter(relevant));
    if (relevant.empty()) return one.cost;
    auto& known = costs_[statement];
    if (const auto found = known.find(relevant); found != known.end()) return found->second;
    late_ = late_ || task_.out_of_time();
    if (late_) return one.cost;  // nothing is promised that wasn't asked
    ++asked_;
    const double answer = std::min(one.cost, task_.cost(statement, relevant));
    return known.emplace(std::move(relevant), answer).first->second;
  }

  double total(const Set& set) {
    double sum = 0;
    for (std::size_t i = 0; i < task_.statements.size(); ++i) sum += task_.statements[i].weight * cost(i, set);
    for (const auto each : set) sum += task_.candidates[each].write_cost;
    return sum;
  }

  /// What `to` costs less than `from`; they differ in `changed` only.
  double gain(const Set& from, const Set& to, const Set& changed) {
    Set statements;
    for (const auto each : changed) {
      for (const auto user : users_[each]) statements.push_back(user);
    }
    std::ranges::sort(statements);
    const auto doubles = std::ranges::unique(statements);
    statements.erase(doubles.begin(), doubles.end());
    double sum = 0;
    for (const auto statement : statements)
      sum += task_.statements[statement].weight * (cost(statement, from) - cost(statement, to));
    for (const auto each : changed)
      sum += has(to, each) ? -task_.candidates[each].write_cost : task_.candidates[each].write_cost;
    return sum;
  }

  double bytes_of(const Set& set) const {
    double sum = 0;
    for (const auto each : set) sum += task_.candidates[each].bytes;
    return sum;
  }
  bool fits(const Set& set) const { return bytes_of(set) <= task_.budget_bytes; }

  /// What gains nothing alone isn't tried with others.
  void drop_useless() {
    for (std::size_t i = 0; i < task_.candidates.size(); ++i) {
      if (!fits({i})) continue;
      if (gain({}, {i}, {i}) > least_) useful_.push_back(i);
      if (late_) return;
    }
  }

  Set grow() { return grow_from({}); }

  Set grow_from(Set chosen) {
    while (!late_) {
      double best_rate = 0;
      std::optional<Set> best;
      for (const auto each : useful_) {
        if (has(chosen, each)) continue;
        Set next = with(chosen, each), changed{each};
        for (const auto superfluous : task_.candidates[each].replaces) {
          if (!has(next, superfluous)) continue;
          next = without(std::move(next), superfluous);
          changed.push_back(superfluous);
        }
        if (!fits(next)) continue;
        const double gained = gain(chosen, next, changed);
        const double rate = gained / std::max(bytes_of(next) - bytes_of(chosen), page);
        if (gained <= least_ || rate <= best_rate) continue;
        best_rate = rate;
        best = std::move(next);
      }
      if (!best) break;
      chosen = *std::move(best);
    }
    return chosen;
  }

  /// Without what the others do as well.
  Set shrunk(Set chosen) {
    for (bool again = true; again && !late_;) {
      again = false;
      for (const auto each : Set(chosen)) {
        const Set less = without(chosen, each);
        if (gain(less, chosen, {each}) > least_) continue;
        chosen = less;
        again = true;
      }
    }
    return chosen;
  }

  /// With one for another, as long as that is better.
  Set improved(Set chosen) {
    bool again = true;
    for (int rounds = 0; again && !late_ && rounds < 8; ++rounds) {
      again = false;
      for (const auto old : Set(chosen)) {
        for (const auto other : useful_) {
          if (has(chosen, other) || !has(chosen, old)) continue;
          const Set next = with(without(chosen, old), other);
          if (!fits(next) || gain(chosen, next, {old, other}) <= least_) continue;
          chosen = grow_from(next);
          again = true;
        }
      }
    }
    return shrunk(std::move(chosen));
  }

  std::optional<std::size_t> best_single() {
    std::optional<std::size_t> best;
    double most = 0;
    for (const auto each : useful_) {
      const double gained = gain({}, {each}, {each});
      if (gained <= most) continue;
      most = gained;
      best = each;
    }
    return best;
  }

  void order(Advised& advised) const {
    std::vector<std::pair<double, std::size_t>> rates;
    for (std::size_t i = 0; i < advised.chosen.size(); ++i)
      rates.emplace_back(-advised.gains[i] / std::max(task_.candidates[advised.chosen[i]].bytes, page), i);
    std::ranges::sort(rates);
    const auto chosen = advised.chosen;
    const auto gains = advised.gains;
    for (std::size_t i = 0; i < rates.size(); ++i) {
      advised.chosen[i] = chosen[rates[i].second];
      advised.gains[i] = gains[rates[i].second];
    }
  }

  const AdvisorTask& task_;
  std::vector<std::map<Set, double>> costs_;  ///< by statement
  std::vector<Set> users_;                    ///< statements, by candidate
  Set useful_;
  double least_ = 0;
  std::size_t asked_ = 0;
  bool late_ = false;
};

}  // namespace

Advised advise_indexes(const AdvisorTask& task) { return Advisor(task).advise(); }

}  // namespace millrace::optimizer
