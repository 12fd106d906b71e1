#include "pipeline/pipeline.hpp"

#include "base/log.hpp"

namespace millrace::pipeline {
namespace {

constexpr std::size_t memo_entries = 4096;
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

Pipeline::Pipeline(std::size_t core, QueryPerformanceMonitor& monitor, sql::ParseLimits limits)
    : core_(core), monitor_(monitor), limits_(limits), memo_(memo_entries, limits) {}

std::shared_ptr<const sql::Statement> Pipeline::understand(std::string_view text) { return memo_.find_or_parse(text); }

void Pipeline::remember(std::string_view text, std::shared_ptr<const sql::Statement> statement) {
  memo_.remember(text, std::move(statement));
}

/// A transaction begins on the server with the first statement that needs the server; one without any needs none. What
/// now() and its snapshot would have been can't be seen as long as nothing of it ran.
Verdict Pipeline::decide(const Exchange& exchange, const SessionView& session) const {
  const auto& statement = exchange.statement;
  if (!session.moves || session.has_server || !statement || statement->transaction_tag.empty()) return Verdict::send;
  const bool begins = statement->steps.front() == sql::TransactionStep::begin;
  const bool warns = begins == session.begin_held;  // which is for the server to say
  return warns ? Verdict::send : Verdict::answer_transaction;
}

void Pipeline::ended(const Exchange& exchange, const Caller& caller, std::int64_t now) {
  const std::int64_t started = exchange.started - exchange.waited;
  const auto kind = exchange.statement ? exchange.statement->kind : exchange.assumed;
  const QueryRecord record{
      .fingerprint = exchange.statement ? exchange.statement->fingerprint : 0,
      .kind = static_cast<std::uint8_t>(kind),
      .user = caller.user,
      .database = caller.database,
      .application = caller.application,
      .started_ns = started,
      .queue_ns = exchange.waited,
      .first_byte_ns = exchange.first_byte == 0 ? 0 : exchange.first_byte - started,
      .duration_ns = now - started,
      .rows = exchange.rows,
      .bytes_in = exchange.bytes_in,
      .bytes_out = exchange.bytes_out,
      .sqlstate = exchange.sqlstate,
  };
  monitor_.record(core_, record);
  if (slow_ns_ > 0 && record.duration_ns >= slow_ns_) {
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

void Pipeline::publish_counts() {
  const auto counts = memo_.counts();
  auto& counters = monitor_.wire(core_);
  counters.memo_hits.set(counts.hits);
  counters.memo_misses.set(counts.misses);
  counters.statements_parsed.set(counts.misses);
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
