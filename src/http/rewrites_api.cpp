#include "http/rewrites_api.hpp"

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <algorithm>

#include "http/json_types.hpp"
#include "sql/normalized_text.hpp"

namespace millrace::http {
namespace {

using pipeline::RewriteReport;
using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

struct RewritesAnswer {
  bool enabled = false;                      ///< whether anything is rewritten on the wire at present
  std::vector<RewriteReport> rewrites = {};  ///< what has cost most first
  std::uint64_t uses = 0;                    ///< statements that were sent rewritten
  std::uint64_t guards_failed = 0;           ///< and those that weren't, as the catalogs weren't as they were
  std::uint64_t proofs = 0, mismatches = 0, demotions = 0;
};
BOOST_DESCRIBE_STRUCT(RewritesAnswer, (), (enabled, rewrites, uses, guards_failed, proofs, mismatches, demotions))

RewritesAnswer answer(const pipeline::Rewrites* rewrites, bool shows_constants) {
  RewritesAnswer all;
  if (rewrites == nullptr) return all;
  all.enabled = rewrites->is_on();
  all.rewrites = rewrites->report();
  std::ranges::sort(all.rewrites, std::ranges::greater(), [](const RewriteReport& one) {
    return one.traffic_before_ms * static_cast<double>(one.executions + one.uses);
  });
  // A setting's name, and the SET that makes it: each ends with a NUL.
  for (auto& one : all.rewrites) {
    std::ranges::replace(one.settings, '\0', ' ');
    if (shows_constants) continue;
    for (auto* text : {&one.query, &one.rewritten, &one.settings}) *text = sql::normalized(*text);
  }
  const auto counts = rewrites->counts();
  all.uses = counts.uses;
  all.guards_failed = counts.guards_failed;
  all.proofs = counts.proofs;
  all.mismatches = counts.mismatches;
  all.demotions = counts.demotions;
  return all;
}

asio::awaitable<RewritesAnswer> list(const pipeline::Rewrites* rewrites, bool shows_constants) {
  co_return answer(rewrites, shows_constants);
}

ClientMetric metric(MetricType type, std::uint64_t value, std::vector<ClientMetric::Label> labels = {}) {
  ClientMetric one;
  one.label = std::move(labels);
  (type == MetricType::Counter ? one.counter.value : one.gauge.value) = static_cast<double>(value);
  return one;
}

}  // namespace

void add_rewrites(ApiTable& table, const pipeline::Rewrites* rewrites, bool shows_constants) {
  table.add("GET",
            {.path = "/api/v1/optimization/rewrites",
             .summary = "What is rewritten on the wire, and on what evidence",
             .description =
                 "Statements that take long enough to be worth it, by database, user, settings and text. state: "
                 "candidate (it waits to be tried), proving, active (it is sent as rewritten says), rejected (reason "
                 "says why), demoted (it was active, and was wrong or slower). before_ms and after_ms are of the runs "
                 "that were compared; traffic_before_ms and traffic_after_ms means of what clients have waited.",
             .also_at = {"/api/v1/optimization/optimization/rewrites"}},
            [rewrites, shows_constants] { return list(rewrites, shows_constants); });
}

std::string rewrite_metrics_text(const pipeline::Rewrites& rewrites) {
  const auto counts = rewrites.counts();
  MetricFamily states{"millrace_rewrites", "Statements in the ledger of rewrites, by state.", MetricType::Gauge, {}};
  for (std::size_t at = 0; at < counts.states.size(); ++at) {
    const auto state = pipeline::name(static_cast<pipeline::RewriteState>(at));
    states.metric.push_back(
        metric(MetricType::Gauge, counts.states[at], {{.name = "state", .value = std::string(state)}}));
  }
  std::vector<MetricFamily> families{std::move(states)};
  const auto add = [&families](const char* name, const char* help, std::uint64_t value) {
    families.push_back({name, help, MetricType::Counter, {metric(MetricType::Counter, value)}});
  };
  add("millrace_statements_rewritten_total", "Statements that were sent rewritten.", counts.uses);
  add("millrace_rewrite_guards_failed_total",
      "Statements that weren't sent rewritten, as the catalogs weren't as they were at the proof.",
      counts.guards_failed);
  add("millrace_rewrite_proofs_total", "Statements that were tried both ways, or found not to be worth it.",
      counts.proofs);
  add("millrace_rewrite_mismatches_total", "Of these, those whose rows were different.", counts.mismatches);
  add("millrace_rewrite_demotions_total", "Rewrites that were active and are no more.", counts.demotions);
  return prometheus::TextSerializer().Serialize(families);
}

}  // namespace millrace::http
