#pragma once

#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/unordered/unordered_flat_map.hpp>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <utility>

#include "http/asked_query.hpp"
#include "monitor/performance_watch.hpp"
#include "monitor/template_plans.hpp"

namespace millrace::http {

/// Asks PostgreSQL how it would run slow queries, and now and then the statements that take the most: on a connection
/// of Millrace's own, logged in as who sent them, off any query's way. There is a budget: one question at a time, one
/// in two seconds at most, and of a template one a minute, and one at once when its calls begin to take longer; of
/// several what costs the most comes first. What is left of the budget goes to all others that are called, each once an
/// hour at most; their plans are only noted. Only statements are asked about that are kept whole, with their constants.
class PlanAsker : public std::enable_shared_from_this<PlanAsker> {
 public:
  struct Budget {
    std::chrono::nanoseconds between = std::chrono::seconds(2);          ///< questions
    std::chrono::nanoseconds between_of_one = std::chrono::seconds(60);  ///< about the same template
    std::chrono::nanoseconds between_of_others = std::chrono::hours(1);  ///< about one that isn't among those
    std::chrono::nanoseconds before_first = std::chrono::seconds(5);     ///< that it is among those that take the most
    /// Where nobody asks any more Millrace doesn't either: its connection would be in the way of who drops a database.
    std::chrono::nanoseconds recently = std::chrono::minutes(1);
    /// A log-in: PostgreSQL logs each, and accounts may be locked after some.
    std::chrono::nanoseconds after_refusal = std::chrono::minutes(10);
  };

  /// `context`: on whose thread the answers come.
  PlanAsker(std::shared_ptr<QueryPerformanceMonitor> monitor, std::shared_ptr<TemplatePlans> plans, Planner planner,
            asio::io_context& context, const Budget& budget)
      : monitor_(std::move(monitor)),
        plans_(std::move(plans)),
        planner_(std::move(planner)),
        context_(context),
        budget_(budget) {}

  /// Each second, on one thread. `templates`: those that take the most. `suspects`: those whose calls take longer, the
  /// most urgent first.
  void look(const TemplateSeries& templates, const std::vector<std::uint64_t>& suspects,
            const std::function<void(const PlanChange&)>& changed);

 private:
  struct Question {
    std::uint64_t fingerprint = 0;
    std::optional<std::uint64_t> key = {};  ///< its template's; nothing: it is about a query
    optimizer::PlanRequest request;
    bool is_of_others = false;
    PlanOf of = PlanOf::its_template;
  };
  /// A question that had no answer, as there was no log-in.
  struct Refusal {
    std::uint64_t fingerprint = 0;
    std::optional<std::uint64_t> key = {};
    std::pair<std::string, std::string> user_and_database = {};
    std::string sqlstate = {};
  };
  struct Asked {
    std::int64_t at_ns = 0;   ///< when it was asked about last; until then so that it is due in time
    std::uint64_t calls = 0;  ///< of late, as one of those that take the most
    bool is_asked = false;
    bool is_urgent = false;  ///< its calls have begun to take longer since
  };
  struct Other {
    std::uint64_t calls = 0, total_ns = 0;  ///< at the last look
    std::int64_t called_ns = 0;
    std::optional<std::int64_t> asked_ns = {};
    std::uint64_t look = 0;  ///< at which it was known
  };

  void add_slow(std::int64_t now);
  void add_suspects(const std::vector<std::uint64_t>& suspects, std::int64_t now);
  void see_calls(std::int64_t now);
  void see_refusal(std::int64_t now);
  bool is_refused(const Question& question) const;
  std::optional<Question> next(const TemplateSeries& templates, std::int64_t now);
  std::optional<Question> of_series(const TemplateSeries& templates, std::int64_t now, bool only_urgent);
  std::optional<Question> of_others(const TemplateSeries& templates, std::int64_t now);
  std::optional<Question> question_of(std::uint64_t fingerprint);
  bool may_ask(std::uint64_t fingerprint, std::int64_t now) const;
  asio::awaitable<void> answer(Question question);

  const std::shared_ptr<QueryPerformanceMonitor> monitor_;
  const std::shared_ptr<TemplatePlans> plans_;
  const Planner planner_;
  asio::io_context& context_;
  const Budget budget_;

  std::atomic<bool> under_way_ = false;
  std::optional<Refusal> refusal_ = {};  ///< of the last question; for `answer` while it is under way, else for `look`
  std::map<std::pair<std::string, std::string>, std::int64_t> refused_ = {};  ///< when, by user and database
  std::uint64_t slow_queries_seen_ = 0;
  std::uint64_t changes_told_ = 0;
  std::optional<std::int64_t> last_ns_ = {};
  std::vector<std::uint64_t> suspects_ = {};                     ///< as they were last, in their order
  std::optional<Question> slow_;                                 ///< the newest of a template that is due
  boost::unordered_flat_map<std::uint64_t, Asked> asked_ = {};   ///< by fingerprint
  boost::unordered_flat_map<std::uint64_t, Other> others_ = {};  ///< likewise, of all templates
  std::uint64_t looks_ = 0;
};

}  // namespace millrace::http
