#include "pipeline/pipeline.hpp"

#include "base/log.hpp"
#include "pipeline/question_key.hpp"
#include "pipeline/tidying.hpp"
#include "sql/comments.hpp"
#include "sql/references.hpp"

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

bool may_only_read(const sql::Statement& statement) {
  return statement.kind == sql::StatementKind::select && !statement.writes && !statement.uses_sequence_state &&
         statement.changes.empty() && statement.other_settings.empty() && statement.references;
}

Pipeline::Pipeline(std::size_t core, QueryPerformanceMonitor& monitor, sql::ParseLimits limits, ReadCache* cache)
    : core_(core), monitor_(monitor), limits_(limits), memo_(memo_entries, limits), cache_(cache) {}

std::shared_ptr<const sql::Statement> Pipeline::understand(std::string_view text) {
  return memo_.find_or_parse(sql::without_comments(text, plain_));
}

void Pipeline::remember(std::string_view text, std::shared_ptr<const sql::Statement> statement) {
  memo_.remember(sql::without_comments(text, plain_), std::move(statement));
}

/// A transaction begins on the server with the first statement that needs the server; one without any needs none. What
/// now() and its snapshot would have been can't be seen as long as nothing of it ran.
Verdict Pipeline::decide(const Exchange& exchange, std::string_view text, const SessionView& session) {
  using What = Verdict::What;
  const auto& statement = exchange.statement;
  if (!statement) return {};
  if (!statement->transaction_tag.empty()) {
    const bool begins = statement->steps.front() == sql::TransactionStep::begin;
    const bool warns = begins == session.begin_held;  // which is for the server to say
    return {.what = session.holds_begin && !warns ? What::answer_transaction : What::send};
  }
  if (session.scope == nullptr) return {};
  const bool tidies = session.untouched && only_tidies(*statement);
  if (!tidies && !may_only_read(*statement)) return {};
  auto entry =
      look_up(*session.scope, {.kind = Question::Kind::query, .text = text, .parameters = {}}, exchange.started);
  if (!entry || (entry->head().empty() && !tidies)) return {};
  return {.what = What::answer, .entry = std::move(entry)};
}

std::string_view Pipeline::make_key(const Scope& scope, const Question& question) {
  write_key(scope, question, key_, plain_);
  return key_;
}

cache::EntryPtr Pipeline::look_up(const Scope& scope, const Question& question, std::int64_t now) {
  const std::string_view key = make_key(scope, question);
  return cache_->l1().find(key, cache::hash_of(key), now);
}

std::uint64_t Pipeline::flight_of(const Scope& scope, const Question& question) {
  const std::uint64_t key = cache::hash_of(make_key(scope, question));
  return cache_->flights().is_led(key) ? key : 0;
}

std::shared_ptr<Fill> Pipeline::begin_fill(const Scope& scope, const Question& question, const StatementPtr& statement,
                                           std::int64_t now) {
  const auto refuse = [&](std::string_view code) {
    if (question.kind != Question::Kind::columns) judgements_.count_refusal(code);  // of a statement once
    return nullptr;
  };
  const bool tidies = question.kind == Question::Kind::query && only_tidies(*statement);
  if (!tidies && !may_only_read(*statement)) return refuse(cacheability_by_text(*statement).code);
  cache_->begin_use();
  auto& versions = cache_->versions();
  // Before the catalog itself is looked at.
  std::vector<cache::Seen> seen = {versions.see(scope.catalog), versions.see(scope.everything)};
  const auto catalog = scope.source->current();
  if (!catalog) return refuse("catalog_unknown");
  static const Judgement nothing_read;
  if (tidies && !tidies_as_known(*statement, *catalog)) return refuse("function");
  const Judgement& judgement = tidies ? nothing_read : judgements_.of(statement, scope, *catalog);
  if (!judgement.read.code.empty()) return refuse(judgement.read.code);
  if (sql::mentions_moments(question.text) || sql::mentions_moments(question.parameters))
    return refuse("constant_of_time");
  const auto hints = sql::hints_of(question.text.substr(0, question.text.find('\0')));
  auto fill = std::make_shared<Fill>();
  if (question.kind != Question::Kind::columns) {
    for (const auto table : judgement.read.reads)
      seen.push_back(versions.see(ReadCache::of_table(scope.database, table)));
  }
  fill->seen = std::move(seen);
  fill->key = make_key(scope, question);
  fill->hash = cache::hash_of(fill->key);
  fill->fingerprint = statement->fingerprint;
  fill->started_ns = now;
  fill->ttl_ns = std::chrono::nanoseconds(hints.ttl.value_or(std::chrono::seconds(0))).count();
  if (fill->ttl_ns == 0) fill->ttl_ns = cache_->ttl().count();
  for (const auto& tag : hints.tags) fill->seen.push_back(versions.see(ReadCache::of_tag(tag)));
  fill->tags = hints.tags;
  fill->most_bytes = cache_->l1().max_entry_bytes();
  return fill;
}

void Pipeline::count_refusal(const sql::Statement& statement, std::string_view code_of_session) {
  const bool is_for_memory = may_only_read(statement) || only_tidies(statement);
  judgements_.count_refusal(is_for_memory ? code_of_session : std::string_view(cacheability_by_text(statement).code));
}

void Pipeline::complete(Fill& fill, std::int64_t now) {
  if (fill.dropped) return judgements_.count_refusal("too_large");
  if (fill.first_rows != 0) {
    set_first_rows(fill.key, fill.first_rows);
    fill.hash = cache::hash_of(fill.key);
  }
  cache_->l1().insert({.key = fill.key,
                       .hash = fill.hash,
                       .head = fill.head,
                       .body = fill.body,
                       .seen = fill.seen,
                       .tags = fill.tags,
                       .rows = fill.rows,
                       .fingerprint = fill.fingerprint,
                       .columns = fill.columns,
                       .now_ns = fill.started_ns,
                       .ttl_ns = fill.ttl_ns,
                       .cost_ns = now - fill.started_ns,
                       .owner = {}});
}

bool Pipeline::only_reads(const Scope& scope, const StatementPtr& statement) {
  if (!statement || !may_only_read(*statement)) return false;
  const auto catalog = scope.source->current();
  return catalog && judgements_.of(statement, scope, *catalog).read.code.empty();
}

bool Pipeline::reads_committed(const Scope& scope) {
  const auto catalog = scope.source->current();
  if (!catalog) return false;
  const auto defaults = catalog->defaults(scope.user);
  return defaults && defaults->isolation == "read committed";
}

/// What it may change, by its kind; the rest is for the catalog to say.
enum class Reach : std::uint8_t { nothing, data, everything, catalog };

Reach reach_of(const sql::Statement& statement) {
  using Kind = sql::StatementKind;
  constexpr auto nothing = bit(Kind::empty) | bit(Kind::transaction) | bit(Kind::set) | bit(Kind::show) |
                           bit(Kind::prepare) |  // what it prepares is run by EXECUTE
                           bit(Kind::deallocate) | bit(Kind::close_cursor) | bit(Kind::listen) | bit(Kind::unlisten) |
                           bit(Kind::notify) | bit(Kind::discard) | bit(Kind::lock);
  constexpr auto everything = bit(Kind::truncate) | bit(Kind::declare_cursor) | bit(Kind::fetch) | bit(Kind::explain);
  const auto finishes_prepared = [](sql::TransactionStep step) { return step == sql::TransactionStep::other; };
  if (std::ranges::any_of(statement.steps, finishes_prepared)) return Reach::catalog;
  if (statement.kinds == 0 && statement.kind != Kind::empty) return Reach::catalog;
  if ((statement.kinds & ~(nothing | everything | sql::kinds_with_references)) != 0) {
    const auto is_temporary = [](const sql::SessionChange& change) {
      return change.what == sql::SessionChange::What::pin && change.name == "temporary table";
    };
    const bool only_temporary =
        statement.kind == Kind::ddl && std::ranges::any_of(statement.changes, is_temporary);  // nobody else sees it
    return only_temporary ? Reach::everything : Reach::catalog;
  }
  if ((statement.kinds & everything) != 0) return Reach::everything;
  return (statement.kinds & sql::kinds_with_references) != 0 ? Reach::data : Reach::nothing;
}

std::optional<bool> Pipeline::is_seen_through(const Scope& scope, const StatementPtr& statement) {
  const Reach reach = reach_of(*statement);
  if (reach == Reach::nothing) return true;
  using Kind = sql::StatementKind;
  constexpr auto opaque = bit(Kind::call) | bit(Kind::do_block) | bit(Kind::execute) | bit(Kind::unparsed);
  if ((statement->kinds & opaque) != 0 || statement->kinds == 0) return false;
  if (reach != Reach::data) return true;
  const auto catalog = scope.source->current();
  if (!catalog) return std::nullopt;
  return judgements_.of(statement, scope, *catalog).changes.has_value();
}

void Pipeline::add_changes(Changes& changes, const Scope& scope, const StatementPtr& statement, bool names_are_clear) {
  const Reach reach = statement ? reach_of(*statement) : Reach::catalog;
  if (reach == Reach::nothing) return;
  if (reach == Reach::catalog) {
    changes.everything = true;
    if (!changes.catalog) changes.catalog = scope.source->hold();
  }
  if (!cache_->in_use()) {
    changes.unseen = true;
    return;
  }
  const auto catalog = reach == Reach::data ? scope.source->current() : nullptr;
  const auto names_tables = [](const sql::References& references) {
    return !references.reads.empty() || !references.writes.empty();
  };
  if (!catalog || (!names_are_clear && names_tables(*statement->references))) {
    changes.everything = true;
    return;
  }
  const auto& tables = judgements_.of(statement, scope, *catalog).changes;
  if (!tables) {
    changes.everything = true;
    return;
  }
  for (const auto table : *tables) {
    if (std::ranges::find(changes.tables, table) == changes.tables.end()) changes.tables.push_back(table);
  }
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
      .cache = exchange.cache,
      .sqlstate = exchange.sqlstate,
  };
  monitor_.record(core_, record);
  auto& counters = monitor_.wire(core_);
  if (exchange.cache == CacheUse::hit) counters.cache_hits.add();
  if (exchange.cache == CacheUse::miss) counters.cache_misses.add();
  if (exchange.cache == CacheUse::bypass) counters.cache_bypasses.add();
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
