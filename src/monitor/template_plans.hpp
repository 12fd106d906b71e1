#pragma once

#include <array>
#include <boost/unordered/unordered_flat_map.hpp>
#include <chrono>
#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace millrace {

/// How PostgreSQL would run a statement, when that was asked.
struct TemplatePlan {
  std::vector<std::string> outline = {};  ///< a line a step, indented by what it feeds; without costs and conditions
  double total_cost = 0, rows = 0;        ///< by its estimates
  std::chrono::system_clock::time_point at = {};
  std::int64_t at_ns = 0;     ///< the same, of `now_ns()`
  std::string why_none = {};  ///< where there is none
};

/// A template's statement is run another way than it was.
struct PlanChange {
  std::uint64_t number = 0;  ///< counts them from 1
  std::uint64_t fingerprint = 0;
  TemplatePlan before = {};  ///< as it was seen last
  TemplatePlan after = {};
};

/// How they differ, "A where there was B": in how the first table is read that is read another way, else in the first
/// step that is another one. Their `serial_outline`s are compared.
std::string difference(const PlanChange& change);

/// With whose text, constants and user a plan was asked for.
enum class PlanOf : std::uint8_t { its_template, slow_query };

/// The last plan of each template that was asked for, and when plans changed: ways are told apart by their
/// `serial_outline`. A way that was seen within the last hour is no change: there are statements that PostgreSQL runs
/// in one of two ways, by their constants. Bounded. Thread-safe.
class TemplatePlans {
 public:
  static constexpr std::size_t most_watched = 500, most_noted = 1000, most_changes = 200, most_ways = 8;

  /// What came of asking, of a template that is watched for changes. Answers a change, if it is one.
  /// Plans of its template's text and of a slow query's aren't compared.
  std::optional<PlanChange> put(std::uint64_t fingerprint, TemplatePlan plan, PlanOf of = PlanOf::its_template);
  /// What came of asking now and then: that says nothing of changes, as it is too long ago what it was before.
  void note(std::uint64_t fingerprint, TemplatePlan plan);

  /// What was answered last, also if that is why there is none; of a template that is watched, not what was noted.
  /// Nothing: nobody has asked.
  std::optional<TemplatePlan> find(std::uint64_t fingerprint) const;
  /// Of the last plan. Nothing: there was none yet.
  std::optional<double> total_cost(std::uint64_t fingerprint) const;

  /// Since when it is run as it is, and how before that. Also where it is run so again within the hour, which is no
  /// change (`number` is 0), unless the way before was seen only once. Nothing: it was always run so.
  std::optional<PlanChange> last_turn(std::uint64_t fingerprint) const;

  /// The newest first.
  std::vector<PlanChange> changes() const;
  std::uint64_t changes_found() const;

 private:
  struct Answers {
    std::optional<TemplatePlan> last = {};     ///< also if that is why there is none; it is there
    std::optional<TemplatePlan> planned = {};  ///< the last plan
  };
  struct Way {
    std::vector<std::string> serial_outline;
    std::int64_t seen_ns = 0;
  };
  struct Watched {
    Answers answers = {};
    std::vector<Way> ways = {};
    std::size_t run = 0;                  ///< how often in a row it was planned so
    std::optional<PlanChange> turn = {};  ///< to the way that it is planned now
  };

  static void take(Answers& answers, TemplatePlan plan);
  std::vector<const Watched*> watched(std::uint64_t fingerprint) const;  ///< with the lock held

  mutable std::mutex mutex_;
  std::array<boost::unordered_flat_map<std::uint64_t, Watched>, 2> watched_;  ///< by PlanOf
  boost::unordered_flat_map<std::uint64_t, Answers> noted_;
  std::deque<PlanChange> changes_;
  std::uint64_t numbered_ = 0;
};

}  // namespace millrace
