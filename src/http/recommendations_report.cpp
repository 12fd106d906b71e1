#include "http/recommendations_report.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "base/clock.hpp"
#include "optimizer/identifier.hpp"

namespace millrace::http {
namespace {

constexpr auto longest_window = std::chrono::hours(24);
constexpr double mb = 1 << 20, ns_a_ms = 1e6, few_mb = 10;
constexpr std::size_t shown_characters = 500, most_queries = 20;

bool is_planned(std::string_view kind) {
  return kind == "select" || kind == "insert" || kind == "update" || kind == "delete";
}

/// The same for the same text, in any process (FNV-1a).
std::string id_of(std::string_view text) {
  std::uint64_t hash = 0xcbf29ce484222325;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return fmt::format("rec_{:016x}", hash);
}

std::string beginning(const std::string& text) {
  if (text.size() <= shown_characters) return text;
  auto end = shown_characters;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80) --end;
  return text.substr(0, end);
}

int priority_of(double share_percent) {
  constexpr double steps[] = {2, 5, 10, 20};
  return 1 + static_cast<int>(std::ranges::count_if(steps, [&](double step) { return share_percent >= step; }));
}

std::string size_text(double bytes) {
  return bytes < few_mb * mb ? fmt::format("{:.1f} MB", bytes / mb) : fmt::format("{:.0f} MB", bytes / mb);
}

OptimizationRecommendation recommended(const optimizer::AdvisedIndex& advised, bool measured) {
  const auto& index = advised.index;
  IndexRecommendation said{.table_name = index.schema + "." + index.table,
                           .columns = index.columns,
                           .include = index.include,
                           .where = index.where.empty() ? std::nullopt : std::optional(index.where),
                           .estimated_size_mb = advised.bytes / mb,
                           .estimated_improvement_percent = advised.improvement_percent,
                           .workload_improvement_percent = advised.share_percent,
                           .usage_frequency = advised.uses_per_hour,
                           .creation_cost = advised.creation_cost,
                           .maintenance_cost = advised.maintenance_cost,
                           .sql_statement = advised.statement,
                           .priority = priority_of(advised.share_percent),
                           .measured = measured,
                           .supersedes = advised.supersedes,
                           .queries = {}};
  for (const auto& gain : advised.serves) {
    if (said.queries.size() >= most_queries) break;
    said.queries.push_back({.query_hash = gain.id,
                            .query = beginning(gain.shown),
                            .executions = gain.executions,
                            .cost_before = gain.cost_before,
                            .cost_after = gain.cost_after});
  }
  const auto count = advised.serves.size();
  auto description = fmt::format(
      "An index on {} would serve {} that ran about {:.0f} times an hour: {}, {} {:.0f} % less, which is {:.1f} % of "
      "what "
      "all queries take. It needs {}.",
      index.name(), count == 1 ? "a query" : fmt::format("{} queries", count), advised.uses_per_hour,
      measured ? "planned by PostgreSQL with the index in mind" : "by Millrace's own estimate",
      count == 1 ? "it costs" : "they cost", advised.improvement_percent, advised.share_percent,
      size_text(advised.bytes));
  if (!advised.supersedes.empty())
    description += fmt::format(" With it {} {} no longer needed, as its beginning does the same.",
                               fmt::join(advised.supersedes, ", "), advised.supersedes.size() == 1 ? "is" : "are");
  OptimizationRecommendation recommendation{
      .recommendation_id = id_of(advised.statement),
      .type = RecommendationType::query_optimization,
      .description = std::move(description),
      .affected_queries = {},
      .estimated_improvement_percent = advised.improvement_percent,
      .priority = said.priority,
      .sql_changes = {advised.statement},
      .configuration_changes = {},
      .monitoring_metrics = {"pg_stat_user_indexes.idx_scan", "GET /api/v1/performance/templates: mean_ms"},
      .table_name = said.table_name,
      .index = {}};
  for (const auto& query : said.queries) recommendation.affected_queries.push_back(query.query);
  recommendation.index = std::move(said);
  return recommendation;
}

OptimizationRecommendation recommended(const optimizer::IndexFinding& finding) {
  using enum optimizer::IndexFinding::Kind;
  return {.recommendation_id = id_of(finding.statements.front()),
          .type = RecommendationType::resource_optimization,
          .description = finding.sentence + ".",
          .affected_queries = {},
          .estimated_improvement_percent = {},
          .implementation_effort = ImplementationEffort::Low,
          .priority = finding.kind == invalid     ? 4
                      : finding.kind == duplicate ? 3
                                                  : 2,
          .sql_changes = finding.statements,
          .configuration_changes = {},
          .monitoring_metrics = {"pg_stat_user_tables.n_tup_upd and n_tup_hot_upd"},
          .table_name = finding.schema + "." + finding.table,
          .index = {}};
}

}  // namespace

std::string with_parameters(std::string_view normalized) {
  std::string text;
  int number = 0;
  for (std::size_t i = 0; i < normalized.size(); ++i) {
    if (const char c = normalized[i]; c == '"') {  // a name may have a question mark
      const auto end = normalized.find('"', i + 1);
      const auto last = end == std::string_view::npos ? normalized.size() - 1 : end;
      text += normalized.substr(i, last - i + 1);
      i = last;
    } else if (normalized.substr(i).starts_with(", ...")) {
      i += std::string_view(", ...").size() - 1;
    } else if (c == '?') {
      text += fmt::format("${}", ++number);
    } else {
      text += c;
    }
  }
  return text;
}

RecordedWorkload recorded_workload(const QueryPerformanceMonitor& monitor, std::string_view database) {
  auto report = monitor.history()->report(SubjectKind::query_template, longest_window, now_ns());
  RecordedWorkload workload{.statements = {}, .seconds = report.seconds()};
  for (auto& subject : report.subjects) {
    if (subject.is_other || subject.about == nullptr || subject.about->database != database) continue;
    if (subject.about->engine != Engine::postgresql) continue;
    const auto& kinds = monitor.kinds();
    if (!is_planned(kinds[std::min<std::size_t>(subject.about->kind, kinds.size() - 1)].name)) continue;
    const auto& figures = subject.figures;
    const auto answered = figures.hits + figures.errors;
    if (figures.calls <= answered) continue;
    const double reached = static_cast<double>(figures.calls - answered);
    const double busy = static_cast<double>(figures.total_ns - std::min(figures.queue_ns, figures.total_ns));
    const auto& kept = subject.about->text;
    const bool has_constants = !kept.empty() && kept != subject.name;
    const bool mutilated = !has_constants && subject.name.contains('?');
    workload.statements.push_back({.id = fmt::format("{:016x}", subject.about->fingerprint),
                                   .shown = subject.name,
                                   .text = mutilated || kept.empty() ? with_parameters(subject.name) : kept,
                                   .user = subject.about->user,
                                   .parameters = mutilated ? ParameterTexts() : subject.about->parameters,
                                   .executions = reached,
                                   .milliseconds = busy / ns_a_ms,
                                   .rows = static_cast<double>(figures.rows)});
  }
  std::ranges::sort(workload.statements, std::ranges::greater(), &optimizer::WorkloadStatement::milliseconds);
  return workload;
}

RecommendationsAnswer recommendations_of(const optimizer::IndexAdvice& advice) {
  RecommendationsAnswer answer{.recommendations = {}, .basis = {}, .warnings = advice.warnings};
  std::vector<OptimizationRecommendation> all;
  for (const auto& index : advice.indexes) all.push_back(recommended(index, advice.measured));
  for (const auto& finding : advice.findings) all.push_back(recommended(finding));
  for (int priority = 5; priority >= 1; --priority) {  // in their order otherwise
    for (auto& one : all) {
      if (one.priority == priority) answer.recommendations.push_back(std::move(one));
    }
  }
  answer.basis.queries = advice.statements;
  answer.basis.executions = advice.executions;
  answer.basis.measured = advice.measured;
  answer.basis.budget_mb = advice.budget_bytes / mb;
  answer.basis.size_mb = advice.bytes / mb;
  answer.basis.workload_improvement_percent = advice.improvement_percent;
  answer.basis.plans = advice.plans;
  return answer;
}

}  // namespace millrace::http
