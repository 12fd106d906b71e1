// How a pipeline records what has ended.
#include "base/clock.hpp"
#include "base/log.hpp"
#include "pipeline/kept_text.hpp"
#include "pipeline/parameter_texts.hpp"
#include "pipeline/pipeline.hpp"
#include "sql/comment_labels.hpp"
#include "sql/comment_pairs.hpp"

namespace millrace::pipeline {
namespace {

constexpr auto last_kind = sql::StatementKind::unparsed;

StatementGroup group_of(sql::StatementKind kind) {
  using enum sql::StatementKind;
  switch (kind) {
    case select:
    case copy_to:
    case fetch:
    case show:
      return StatementGroup::read;
    case insert:
    case update:
    case delete_:
    case merge:
    case copy_from:
      return StatementGroup::write;
    case transaction:
      return StatementGroup::transaction;
    default:
      return StatementGroup::other;
  }
}

}  // namespace

void Pipeline::ended(const Exchange& exchange, const Caller& caller, std::int64_t now) {
  const std::int64_t started = exchange.started - exchange.waited;
  const auto kind = exchange.statement ? exchange.statement->kind : exchange.assumed;
  QueryRecord record{
      .fingerprint = exchange.statement ? exchange.statement->fingerprint : 0,
      .kind = static_cast<std::uint8_t>(kind),
      .user = caller.user,
      .user_id = caller.user_id,
      .database = caller.database,
      .application = caller.application,
      .project = caller.project_id,
      .started_ns = started,
      .queue_ns = exchange.waited,
      .first_byte_ns = exchange.first_byte == 0 ? 0 : exchange.first_byte - started,
      .duration_ns = now - started,
      .rows = exchange.rows,
      .bytes_in = exchange.bytes_in,
      .bytes_out = exchange.bytes_out,
      .cache = exchange.cache,
      .rewritten = exchange.rewrite != nullptr,
      .sqlstate = exchange.sqlstate,
  };
  if (exchange.payoff != nullptr) {
    exchange.payoff->hit();
    exchange.payoff->hit_waited(exchange.waited);
    if (looked_.since != 0) exchange.payoff->hit_took(now_ns() - std::exchange(looked_.since, 0));
  }
  record.slow = slow_ns_ > 0 && record.duration_ns >= slow_ns_;
  this->record(exchange, record);
  auto& counters = monitor_.wire(core_);
  if (exchange.cache == CacheUse::hit) counters.cache_hits.add();
  if (exchange.cache == CacheUse::miss) counters.cache_misses.add();
  if (exchange.cache == CacheUse::bypass) counters.cache_bypasses.add();
  if (record.slow) {
    log::warn("slow query", {{"duration_ms", record.duration_ns / 1'000'000},
                             {"kind", sql::name(kind)},
                             {"fingerprint", fmt::format("{:016x}", record.fingerprint)},
                             {"rows", record.rows},
                             {"user", record.user},
                             {"database", record.database},
                             {"application", record.application},
                             {"sqlstate", record.error_code()}});
  }
}

SentText Pipeline::sent(std::string_view text, const sql::Statement& statement) const {
  text = text.substr(0, sql::Statement::most_text);
  if (!records() || text.empty() || text == statement.text) return nullptr;
  return std::make_shared<const std::string>(text);
}

/// Texts are looked at where there is a comment, and copied where its template isn't known yet, or it was slow.
void Pipeline::record(const Exchange& exchange, QueryRecord& record) {
  if (!monitor_.records()) {
    monitor_.record(core_, record);
    return;
  }
  std::string_view text = exchange.statement ? std::string_view(exchange.statement->text) : std::string_view();
  if (exchange.sent) text = text_of(exchange.sent).substr(0, sql::Statement::most_text);
  if (!exchange.text.empty()) text = exchange.text.substr(0, sql::Statement::most_text);
  const auto labels = sql::labels_of(text);
  if (!labels.application.empty()) record.application = sql::decoded(labels.application, application_);
  if (!labels.project.empty()) record.project = sql::decoded(labels.project, project_);
  const bool is_new = monitor_.record(core_, record);
  if (!is_new && !record.slow) return;
  const auto kind = exchange.statement ? exchange.statement->kind : sql::StatementKind::unparsed;
  const bool as_sent = constants_may_be_kept(kind, text);
  const std::string kept = as_sent ? std::string(text) : without_constants(kind, text, record.failed());
  const auto parameters = as_sent ? parameter_texts(exchange.parameters) : ParameterTexts();
  if (is_new) {
    monitor_.describe(core_, {.fingerprint = record.fingerprint,
                              .engine = record.engine,
                              .kind = record.kind,
                              .text = kept,
                              .parameters = parameters,
                              .user = std::string(record.user),
                              .database = std::string(record.database)});
  }
  if (!record.slow) return;
  const auto took =
      std::chrono::duration_cast<std::chrono::system_clock::duration>(std::chrono::nanoseconds(record.duration_ns));
  monitor_.add_slow(core_, {.fingerprint = record.fingerprint,
                            .kind = record.kind,
                            .engine = record.engine,
                            .text = kept,
                            .parameters = parameters,
                            .user = std::string(record.user),
                            .user_id = std::string(record.user_id),
                            .database = std::string(record.database),
                            .application = std::string(record.application),
                            .project = std::string(record.project),
                            .route = sql::decoded(labels.route),
                            .traceparent = sql::decoded(labels.traceparent),
                            .started = std::chrono::system_clock::now() - took,
                            .duration_ns = record.duration_ns,
                            .queue_ns = record.queue_ns,
                            .rows = record.rows,
                            .bytes = record.bytes_out,
                            .cache = record.cache,
                            .rewritten = record.rewritten,
                            .sqlstate = record.sqlstate});
}

void Pipeline::publish_counts() {
  const auto counts = memo_.counts();
  auto& counters = monitor_.wire(core_);
  counters.memo_hits.set(counts.hits);
  counters.memo_misses.set(counts.misses);
  counters.statements_parsed.set(counts.misses);
  monitor_.tick(core_, now_ns());
  if (cache_ != nullptr) cache_->add_refusals(judgements_.take_refusals());
}

std::vector<StatementKindLabel> statement_kind_labels() {
  std::vector<StatementKindLabel> labels;
  for (std::uint8_t kind = 0; kind <= static_cast<std::uint8_t>(last_kind); ++kind) {
    const auto value = static_cast<sql::StatementKind>(kind);
    labels.push_back({sql::name(value), group_of(value)});
  }
  return labels;
}

}  // namespace millrace::pipeline
