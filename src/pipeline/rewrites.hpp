#pragma once

#include <array>
#include <atomic>
#include <boost/describe/class.hpp>
#include <boost/describe/enum.hpp>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "pipeline/exchange.hpp"
#include "pipeline/scope.hpp"

namespace millrace::pipeline {

/// What a statement is sent as instead, proved under one version of the catalogs. Immutable and shared.
struct ProvedRewrite {
  std::string key;  ///< of its case
  std::vector<std::string> rules;
  std::uint64_t catalog_version = 0;
  /// What the server is asked each time before a row of it is shown, and what it must answer: that all of the catalogs
  /// that the proof stands on is as it was, in the transaction that reads.
  std::array<std::string, 3> guard_parameters;
  std::string guard;
  std::string rewritten;  ///< the text
};

/// From when on it is worth trying a statement in another way, and sending it so. Tests have others.
struct RewriteLimits {
  std::int64_t least_ns = 1'000'000;          ///< what takes less isn't worth the guard
  std::uint64_t least_executions = 3;         ///< and from so many of those on,
  std::int64_t least_total_ns = 100'000'000;  ///< if they took so long altogether, it is tried
  double most_share_of_cost = 0.9;            ///< by EXPLAIN, as optimize-query has it
  double most_share_of_time = 0.8;            ///< what it saves has to pay for the guard,
  double least_ms_saved = 0.5;                ///< and for what runs differ by anyway
  std::uint64_t least_uses = 20;              ///< fewer don't show that it is slower in traffic
  int rest = 4;                               ///< so many times what a proof took, before the next
  std::int64_t pause_ns = 500'000'000;        ///< before it is tried again; doubled each time, up to `longest_pause_ns`
  /// What was of no use is tried again after so long, as data and plans change; and by other catalogs, but not sooner
  /// than that.
  std::int64_t try_again_ns = 600'000'000'000, try_again_by_catalogs_ns = 10'000'000'000;

  static constexpr std::int64_t longest_pause_ns = 30'000'000'000;
};

/// Of a session whose statement is to be tried both ways: to begin another one that is the same.
struct RewriteAsker {
  std::shared_ptr<const Scope> scope;
  std::vector<std::pair<std::string, std::string>> startup;
  std::vector<std::string> settings;  ///< texts that set them again, in their order
  std::string time_zone;
};

enum class RewriteState : std::uint8_t {
  candidate,  ///< it takes long enough to be worth it, and waits: to be executed again, or for its turn
  proving,
  active,
  rejected,  ///< nothing can be done, or it isn't better
  demoted,   ///< it was active, and turned out to be wrong, or slower
};
BOOST_DESCRIBE_ENUM(RewriteState, candidate, proving, active, rejected, demoted)
std::string_view name(RewriteState state);

/// One statement of one scope, for people and for the file. Times in ms.
struct RewriteReport {
  std::string database = {}, user = {}, settings = {};
  std::string query = {};      ///< without its comments
  std::string types = {};      ///< the parameters' types as the client gave them, as in a Parse message; bytes in hex
  std::string rewritten = {};  ///< "": nothing was found
  std::vector<std::string> rules = {};
  RewriteState state = RewriteState::candidate;
  std::string reason = {};                             ///< of the state
  double before_ms = 0, after_ms = 0;                  ///< of the runs that were compared: the quickest of each
  double traffic_before_ms = 0, traffic_after_ms = 0;  ///< means, as clients have seen it; after: with the guard
  std::uint64_t runs_compared = 0, mismatches = 0;
  std::uint64_t executions = 0;  ///< as it was written, of those that took long enough to be looked at
  std::uint64_t uses = 0;        ///< rewritten
  std::string template_id = {};  ///< the statement's fingerprint, as the monitor shows it
};
BOOST_DESCRIBE_STRUCT(RewriteReport, (),
                      (database, user, settings, query, types, rewritten, rules, state, reason, before_ms, after_ms,
                       traffic_before_ms, traffic_after_ms, runs_compared, mismatches, executions, uses, template_id))

/// What is to be tried both ways.
struct RewriteTask {
  std::string key;
  std::string query;  ///< without its comments
  std::string types;  ///< what follows it in a Parse message, with the NUL
  RewriteAsker asker;
  std::vector<std::string> samples;  ///< of Bind messages all that follows the names
  double before_ms = 0;              ///< in traffic
  int tries = 0;                     ///< before this one, in which something that may pass was in the way
  /// Null: it wasn't proved before, or was wrong. Where nothing that it stood on has changed, what its runs have shown
  /// is still so.
  std::shared_ptr<const ProvedRewrite> last = {};
};

/// What came of it.
struct RewriteOutcome {
  RewriteState state = RewriteState::rejected;  ///< active, rejected, demoted (it was different); candidate: try again
  std::string reason;
  std::string rewritten;
  std::vector<std::string> rules;
  double before_ms = 0, after_ms = 0;
  std::uint64_t runs_compared = 0, mismatches = 0;
  std::uint64_t catalog = 0;  ///< the version of the catalogs that are the reason; 0: they aren't, or it isn't known
  std::shared_ptr<const ProvedRewrite> proved;  ///< of active
};

/// A Query is asked about as what it would be in the extended protocol: this follows its text in a Parse, and this the
/// names in a Bind.
inline constexpr std::string_view no_types{"\0\0\0", 3}, no_parameters{"\0\0\0\0\0\0", 6};

/// The ledger of what is rewritten on the wire, and on what evidence. What takes no time isn't looked at; of the rest
/// the time is added up, and what has cost enough becomes a candidate: with the parameters of its next executions
/// somebody (`next`) tries it both ways, off the query's way. Bounded. Thread-safe.
class Rewrites {
 public:
  static constexpr std::size_t longest_text = 16 * 1024, longest_sample = 8 * 1024;

  explicit Rewrites(RewriteLimits limits = {}) : limits_(limits) {}
  const RewriteLimits& limits() const { return limits_; }

  void turn(bool on) { on_.store(on, std::memory_order_relaxed); }
  bool is_on() const { return on_.load(std::memory_order_relaxed); }

  // On a query's way.

  /// Whether there is anything to be asked about a statement of this fingerprint. A load.
  bool concerns(std::uint64_t fingerprint) const {
    return concerned_[slot_of(fingerprint)].load(std::memory_order_relaxed) != 0;
  }
  struct Use {
    std::shared_ptr<const ProvedRewrite> rewrite;  ///< null: it is sent as it is
    bool wants_sample = false;
  };
  /// `catalog`: the version that is known now.
  Use find(const Scope& scope, const Question& question, std::uint64_t catalog);
  void add_sample(const Question& question, RewriteAsker asker);
  /// It took so long as it was written: at least `RewriteLimits::least_ns`.
  void spent(const Scope& scope, const Question& question, std::uint64_t fingerprint, std::int64_t ns);
  /// It took so long as it was rewritten, with the guard.
  void used(const ProvedRewrite& rewrite, std::int64_t ns);
  /// The catalogs aren't those that it was proved under: it is off until it is proved again.
  void is_out_of_date(const ProvedRewrite& rewrite);
  /// The server didn't take it, for this reason: which may be the parameters', unless it is so several times.
  void failed(const ProvedRewrite& rewrite, std::string_view sqlstate);

  // Who proves.

  std::optional<RewriteTask> next();
  void done(const std::string& key, RewriteOutcome outcome);
  /// Called when there may be something, on any thread; must not call back.
  void on_work(std::function<void()> wake);

  // For people.

  std::vector<RewriteReport> report() const;
  std::optional<RewriteReport> report(const Scope& scope, const Question& question) const;
  struct Counts {
    std::array<std::uint64_t, 5> states = {};  ///< how many are in each now
    std::uint64_t uses = 0;                    ///< statements that were sent rewritten
    std::uint64_t guards_failed = 0;           ///< and those that weren't, as the catalogs were others
    std::uint64_t proofs = 0, mismatches = 0, demotions = 0;
  };
  Counts counts() const;

  /// As it was kept before a restart. What was active is a candidate again.
  void restore(const std::vector<RewriteReport>& kept);
  /// Whether there is something to be kept that wasn't there before; cleared by asking.
  bool take_changed() { return changed_.exchange(false); }

 private:
  struct Case {
    RewriteReport report;
    std::string key;
    std::uint64_t fingerprint = 0;
    std::string types;            ///< as they are
    bool watched = true;          ///< nothing but its time is known yet: it is no candidate
    bool has_turn = false;        ///< a candidate that has its samples
    std::int64_t ns = 0;          ///< of `executions`
    double after_ns = 0;          ///< in traffic, of the last uses
    std::uint64_t uses_now = 0;   ///< since it became active
    std::int64_t judged = 0;      ///< when it was rejected or demoted
    bool stays = false;           ///< rejected or demoted for good
    std::uint64_t judged_by = 0;  ///< `RewriteOutcome::catalog`
    RewriteAsker asker;
    std::vector<std::string> samples;
    std::shared_ptr<const ProvedRewrite> proved;
    std::shared_ptr<const ProvedRewrite> last;     ///< what was proved before
    std::shared_ptr<const ProvedRewrite> doubted;  ///< what a guard has failed for last
    int tries = 0;                                 ///< one after the other, in which something was in the way
    std::int64_t not_before = 0;                   ///< it is tried again
    int refusals = 0;                              ///< of its parameters, one after the other
    int guards_failed = 0;                         ///< one after the other, though nothing was found to have changed
  };

  static constexpr std::size_t slots = 4096;
  static std::size_t slot_of(std::uint64_t fingerprint) { return (fingerprint ^ (fingerprint >> 32)) % slots; }

  static bool is_concerned(const Case& one);
  template <typename Change>
  void change(Case& one, Change&& how);
  Case* find_case(const std::string& key);
  Case* make_room_for(const std::string& key);
  void begin_sampling(Case& one, std::string reason);
  void demote(Case& one, std::string reason, bool stays);
  void wake();

  const RewriteLimits limits_;
  std::atomic<bool> on_ = false;
  std::array<std::atomic<std::uint32_t>, slots> concerned_ = {};
  std::atomic<bool> changed_ = false;

  mutable std::mutex mutex_;
  std::map<std::string, std::unique_ptr<Case>, std::less<>> cases_;
  std::string hand_;  ///< from where on room is looked for next; a key
  Counts counts_;
  std::function<void()> wake_;
};

}  // namespace millrace::pipeline
