#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "monitor/template_latencies.hpp"
#include "monitor/template_plans.hpp"

namespace millrace {

/// Templates whose calls take longer, which is one vote, until something else says so too: the template's plan has
/// changed, or other series are unusual. Who finds no other vote within five minutes is forgotten, and so is what is
/// over. Only what costs something is suspected: half as long again, a millisecond more, and ten seconds an hour in
/// all. What is only a hint is suspected for half a minute, and nothing but another plan confirms it. Bounded; not
/// thread-safe.
class TemplateSuspects {
 public:
  static constexpr std::size_t most = 100;

  struct Agreed {
    std::vector<TemplateChange> changes = {};  ///< what costs the most first; with a plan it is one
    std::optional<PlanChange> plan = {};
  };

  /// Whether it is a vote: it costs something, and isn't over. `now` in seconds since 1970.
  bool add(TemplateChange change, double now);

  /// Those that something else says too, which are forgotten then: of one the plan, or of all those for which
  /// `others(since)`: whether other series voted since then. The latter not more often than each five minutes, and
  /// a minute after the first was found: it may be over by then, as after a restart, or PostgreSQL be asked for its
  /// plan. `plans`: null: nobody asks.
  std::optional<Agreed> look(double now, const TemplatePlans* plans, const std::function<bool(double since)>& others);

  /// Whose plans are worth asking for; what costs the most first.
  std::vector<std::uint64_t> fingerprints() const;

 private:
  struct Suspect {
    TemplateChange about;
    double found_at = 0;
  };

  /// With its plan.
  struct Told {
    std::uint64_t fingerprint = 0;
    double at = 0, ms = 0;
    std::int64_t plan_at_ns = 0;
  };

  /// Nothing: it wasn't lately, or takes three times as long by now.
  const Told* told(const TemplateChange& change) const;
  std::optional<PlanChange> turned(const TemplatePlans& plans, const Suspect& suspect) const;

  std::vector<Suspect> suspects_;
  std::vector<Told> told_;
  std::optional<double> last_together_at_ = {};
};

}  // namespace millrace
