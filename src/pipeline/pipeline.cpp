#include "pipeline/pipeline.hpp"

#include "base/clock.hpp"
#include "pipeline/passes_on.hpp"
#include "pipeline/question_key.hpp"
#include "pipeline/rows_read.hpp"
#include "pipeline/tidying.hpp"
#include "sql/comments.hpp"
#include "sql/references.hpp"

namespace millrace::pipeline {
namespace {

using Reach = Effects::Reach;

constexpr std::size_t memo_entries = 4096;
/// What asking memory costs is measured of one in so many: reading the clock isn't free.
constexpr std::uint32_t measured_of = 64;

/// Whether the change stream tells of it. What is partitioned holds no rows itself.
bool is_told(catalog::Oid table, const integration::Freshness::Tables& followed, const catalog::Snapshot& catalog) {
  if (followed.contains(table)) return true;
  const auto* relation = catalog.find(table);
  return relation != nullptr && relation->kind == 'p';
}

/// Of what isn't kept, as the server answers it, about.
constexpr std::int64_t usual_cost_ns = 200'000;

/// Whether the catalogs that are known are as of the last time that something ran which may have been DDL: what a
/// statement reads, or changes, may be something else by it.
bool is_catalog_certain(const Scope& scope) {
  return scope.freshness->left(scope.untold) <= scope.freshness->certain_until();
}

cache::Follows follows(const Scope& scope, const catalog::Snapshot& catalog, std::span<const catalog::Oid> tables) {
  const auto followed = scope.freshness->followed();
  const bool all = std::ranges::all_of(tables, [&](const auto table) { return is_told(table, *followed, catalog); });
  return all && scope.freshness->is_followed() ? cache::Follows::yes : cache::Follows::no;
}

/// Whether names in it could come to mean something else.
bool has_names(const sql::Statement& statement) {
  const auto& names = *statement.references;
  return !names.reads.empty() || !names.functions.empty() || !names.operators.empty() || !names.types.empty() ||
         !names.collations.empty() || !names.fields.empty();
}

/// Whether what was told of the tables is what a statement that begins now sees.
bool is_visible(const Scope& scope, std::span<const catalog::Oid> tables, std::span<const cache::Seen> seen,
                std::size_t columns) {
  if (scope.freshness->all_is_visible()) return true;
  std::vector<cache::Dependency> of_tables = {scope.everything};
  for (const auto table : tables) of_tables.push_back(ReadCache::of_table(scope.database, table));
  std::vector<cache::Dependency> depends_on;
  for (const auto& one : seen) depends_on.push_back(one.dependency);
  return scope.freshness->all_visible({.tables = of_tables, .seen = depends_on, .columns = columns});
}

/// The number of the column that is tracked for it; 0: none.
std::size_t see(std::vector<cache::Seen>& seen, ReadCache& cache, std::string_view database, const RowsRead& rows) {
  auto& versions = cache.versions();
  if (rows.column.empty()) {
    seen.push_back(versions.see(ReadCache::of_table(database, rows.table)));
    return 0;
  }
  // Before their versions are looked at.
  const auto column = cache.tracked_columns().add(database, rows.table, rows.column);
  if (!column) {
    for (const auto part : rows.parts) seen.push_back(versions.see(ReadCache::of_table(database, part)));
    return 0;
  }
  // A change of values is told of the table that is named, too; one of which nobody knows more, of the part perhaps
  // alone.
  for (const auto part : rows.parts) seen.push_back(versions.see(ReadCache::of_unknown_rows(database, part)));
  seen.push_back(versions.see(ReadCache::of_unknown_values(database, rows.table, rows.column)));
  for (const auto& value : rows.values) {
    seen.push_back(versions.see(ReadCache::of_value(database, rows.table, rows.column, value)));
  }
  return *column;
}

}  // namespace

bool may_only_read(const sql::Statement& statement) {
  return statement.kind == sql::StatementKind::select && !statement.writes && !statement.uses_sequence_state &&
         statement.changes.empty() && statement.other_settings.empty() && statement.references;
}

std::int64_t shown_until(const cache::Entry& entry) {
  return entry.follows() == cache::Follows::nothing ? 0 : entry.stored_ns() + entry.cost_ns();
}

Pipeline::Pipeline(std::size_t core, QueryPerformanceMonitor& monitor, sql::ParseLimits limits, ReadCache* cache,
                   Rewrites* rewrites)
    : core_(core),
      monitor_(monitor),
      limits_(limits),
      memo_(memo_entries, limits),
      cache_(cache),
      rewrites_(cache == nullptr ? nullptr : rewrites) {}

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
  const Question question{.kind = Question::Kind::query, .text = text, .parameters = {}};
  auto* const payoff = tidies ? nullptr : payoff_of(*session.scope, *statement, session.level);
  if (passes_on(payoff, text, exchange.started)) return {.passes = true};
  auto found = look_up(*session.scope, question, exchange.started, session.needed);
  if (!found.entry || (found.entry->head().empty() && !tidies)) return {.unproved = found.unproved};
  return {.what = What::answer, .entry = std::move(found.entry), .payoff = payoff};
}

std::string_view Pipeline::make_key(const Scope& scope, const Question& question) {
  write_key(scope, question, key_, plain_);
  return key_;
}

/// What was asked for the first time says nothing of how often it will be asked again, until what is kept of it
/// displaces something else; nor does what is stale since all is.
void Pipeline::count_miss(const Fill& fill, const Scope& scope, std::int64_t now, std::int64_t waited_in_vain) {
  using enum cache::Readers::Outcome;
  if (looked_.hash != fill.hash) return;
  const auto& [how, stored_ns, stale_by] = looked_.found;
  const bool all_is_stale = how == stale && (stale_by == scope.catalog || stale_by == scope.everything);
  if (all_is_stale) return;
  const bool was_there = looked_.unproved || how == stale || how == expired;
  const bool counts =
      was_there ? stored_ns >= fill.payoff->tried_since() : how == absent && cache_->l1().is_nearly_full();
  if (counts) fill.payoff->missed(now, waited_in_vain);
}

/// A proof is there before the versions are compared, so that what it holds of is in them.
Pipeline::Found Pipeline::look_up(const Scope& scope, const Question& question, std::int64_t now,
                                  const Needed& wanted) {
  const auto certain = scope.freshness->certain_until();
  const auto proved = scope.freshness->proved_until();
  // What the stream was still to tell when the server was lost it doesn't tell any more, whoever has written it.
  const auto written = scope.freshness->is_frozen() ? now : wanted.written;
  const bool is_measured = ++lookups_ % measured_of == 0;
  looked_ = {.since = is_measured ? now_ns() : 0};
  const std::string_view key = make_key(scope, question);
  looked_.hash = cache::hash_of(key);
  auto entry = cache_->l1().find(key, looked_.hash, now, looked_.found);
  // Of what was written through Millrace the catalogs must be as new: they say whether the stream tells it.
  auto needed = wanted.all;
  const auto least = std::min(proved, certain);
  if (entry && written > least && scope.freshness->last_left() > least) {
    for (const auto& seen : entry->seen()) {
      const auto left = std::min(scope.freshness->left(seen.dependency), written);
      needed = {.rows = std::max(needed.rows, left), .catalogs = std::max(needed.catalogs, left)};
    }
  }
  if (!entry || entry->stored_ns() >= needed.rows || entry->follows() == cache::Follows::nothing)
    return {std::move(entry)};
  if (entry->follows() == cache::Follows::no) {
    looked_.found.how = cache::Readers::Outcome::stale;  // for all that is known
    return {};
  }
  if (proved >= needed.rows && certain >= needed.catalogs) return {std::move(entry)};
  looked_.unproved = true;
  if (!scope.freshness->is_followed()) return {};
  return {.entry = {}, .unproved = {.moments = needed, .cost_ns = entry->cost_ns()}};
}

std::uint64_t Pipeline::flight_of(const Scope& scope, const Question& question) {
  const std::uint64_t key = cache::hash_of(make_key(scope, question));
  return cache_->flights().is_led(key) ? key : 0;
}

MeantByNames Pipeline::meant_by_names(const StatementPtr& statement, const Scope& scope) {
  const auto catalog = may_only_read(*statement) ? scope.source->current() : nullptr;
  return catalog ? judgements_.of(statement, scope, *catalog).meant : MeantByNames();
}

std::shared_ptr<Fill> Pipeline::begin_fill(const Scope& scope, const Question& question, const StatementPtr& statement,
                                           const Consistency& consistency, std::int64_t now,
                                           std::int64_t waited_in_vain, std::optional<std::uint64_t> meant) {
  const auto refuse = [&](std::string_view code) {
    if (question.kind != Question::Kind::columns) judgements_.count_refusal(code);  // of a statement once
    return nullptr;
  };
  const bool tidies = question.kind == Question::Kind::query && only_tidies(*statement);
  if (!tidies && !may_only_read(*statement)) return refuse(cacheability_by_text(*statement).code);
  const bool counts = !tidies && question.kind != Question::Kind::columns;
  auto* const payoff = counts ? payoff_of(scope, *statement, consistency.level) : nullptr;
  if (passes_on(payoff, question.text, now)) return refuse("does_not_pay");
  const bool is_measured = payoff == nullptr || !payoff->is_filling_known() || ++fills_ % measured_of == 0;
  const auto began = is_measured ? now_ns() : 0;
  cache_->begin_use();
  auto& versions = cache_->versions();
  // Before the catalog itself is looked at.
  std::vector<cache::Seen> seen = {versions.see(scope.catalog), versions.see(scope.everything)};
  const auto catalog = scope.source->current();
  if (!catalog) return refuse("catalog_unknown");
  if (!is_catalog_certain(scope)) {
    scope.freshness->want_in_passing({.rows = now, .catalogs = now}, usual_cost_ns, now);
    return refuse("catalog_unknown");
  }
  static const Judgement nothing_read;
  if (tidies && !tidies_as_known(*statement, *catalog)) return refuse("function");
  const Judgement& judgement = tidies ? nothing_read : judgements_.of(statement, scope, *catalog);
  if (!judgement.read.code.empty()) return refuse(judgement.read.code);
  // PostgreSQL looks again what names mean only if something that they meant has changed.
  if (meant && *meant != judgement.meant.number) return refuse("prepared_before");
  if (sql::mentions_moments(question.text) || sql::mentions_moments(question.parameters))
    return refuse("constant_of_time");
  const auto hints = sql::hints_of(question.text.substr(0, question.text.find('\0')));
  auto fill = std::make_shared<Fill>();
  fill->follows = cache::Follows::nothing;
  if (!tidies && has_names(*statement)) fill->follows = follows(scope, *catalog, {});
  if (question.kind != Question::Kind::columns && !judgement.read.reads.empty()) {
    std::size_t columns = 0;
    for (const auto& rows : rows_read(question, judgement.read.reads, *catalog, judgement.search_path))
      columns = std::max(columns, see(seen, *cache_, scope.database, rows));
    fill->follows = follows(scope, *catalog, judgement.read.reads);
    if (!is_visible(scope, judgement.read.reads, seen, columns)) return refuse("not_visible");
  }
  if (fill->follows == cache::Follows::no && consistency.needs_stream()) return refuse("not_followed");
  if (fill->follows == cache::Follows::no) seen.push_back(versions.see(scope.untold));
  fill->seen = std::move(seen);
  fill->key = make_key(scope, question);
  fill->hash = cache::hash_of(fill->key);
  fill->fingerprint = statement->fingerprint;
  fill->meant = judgement.meant.number;
  fill->may_lead = !tidies;  // nobody looks for one that tidies up
  fill->started_ns = now;
  fill->ttl_ns = std::chrono::nanoseconds(hints.ttl.value_or(std::chrono::seconds(0))).count();
  if (fill->ttl_ns == 0) fill->ttl_ns = cache_->ttl().count();
  for (const auto& tag : hints.tags) fill->seen.push_back(versions.see(ReadCache::of_tag(tag)));
  fill->tags = hints.tags;
  fill->most_bytes = cache_->l1().max_entry_bytes();
  if (counts) {
    fill->payoff = &cache_->payoffs().make(statement->fingerprint, scope.everything, consistency.level);
    count_miss(*fill, scope, now, waited_in_vain);
    if (began != 0) fill->beginning_took_ns = now_ns() - began;
  }
  return fill;
}

void Pipeline::count_refusal(const sql::Statement& statement, std::string_view code_of_session) {
  const bool is_for_memory = may_only_read(statement) || only_tidies(statement);
  judgements_.count_refusal(is_for_memory ? code_of_session : std::string_view(cacheability_by_text(statement).code));
}

void Pipeline::complete(Fill& fill, std::int64_t now) {
  if (fill.payoff != nullptr) fill.payoff->origin_took(now - fill.started_ns);
  if (fill.dropped) return judgements_.count_refusal("too_large");
  const auto began = fill.beginning_took_ns != 0 ? now_ns() : 0;
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
                       .meant = fill.meant,
                       .follows = fill.follows,
                       .now_ns = fill.started_ns,
                       .ttl_ns = fill.ttl_ns,
                       .cost_ns = now - fill.started_ns,
                       .owner = {}});
  if (began != 0) fill.payoff->filling_took(fill.beginning_took_ns + now_ns() - began);
}

bool Pipeline::reads_committed(const Scope& scope) {
  const auto catalog = scope.source->current();
  if (!catalog) return false;
  const auto defaults = catalog->defaults(scope.user);
  return defaults && defaults->isolation == "read committed";
}

namespace {

Reach reach_of(const sql::Statement& statement) {
  using Kind = sql::StatementKind;
  constexpr auto nothing = bit(Kind::empty) | bit(Kind::transaction) | bit(Kind::set) | bit(Kind::show) |
                           bit(Kind::prepare) |  // what it prepares is run by EXECUTE
                           bit(Kind::deallocate) | bit(Kind::close_cursor) | bit(Kind::listen) | bit(Kind::unlisten) |
                           bit(Kind::notify) | bit(Kind::discard) | bit(Kind::lock);
  // What a procedure defines is noticed as what a function does. What isn't SQL mostly does nothing at all.
  constexpr auto everything = bit(Kind::truncate) | bit(Kind::declare_cursor) | bit(Kind::fetch) | bit(Kind::explain) |
                              bit(Kind::call) | bit(Kind::do_block);
  if (statement.is_syntax_error) return Reach::everything;
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

/// What its triggers do isn't seen, but is taken for no DDL.
bool only_truncates(const sql::Statement& statement) { return statement.kinds == bit(sql::StatementKind::truncate); }

}  // namespace

Effects Pipeline::effects_of(const Scope& scope, const StatementPtr& statement) {
  Effects effects;
  if (!statement) return effects;
  effects.reach = reach_of(*statement);
  // Where nobody wants answers from memory, nobody looks.
  if (!cache_->in_use()) return effects;
  if (effects.reach != Reach::data) {
    // Functions may be called by all others: in what is explained, in a cursor's query, a default, a trigger.
    effects.seen_through = effects.reach == Reach::nothing;
    effects.may_define = !only_truncates(*statement);
    return effects;
  }
  const auto& references = *statement->references;
  effects.names_tables = !references.reads.empty() || !references.writes.empty();
  const auto catalog = scope.source->current();
  if (!catalog) {
    effects.may_define = false;  // what it calls isn't known, but mostly rows are all that it changes
    effects.seen_through.reset();
    return effects;
  }
  const Judgement& judgement = judgements_.of(statement, scope, *catalog);
  effects.only_reads = may_only_read(*statement) && judgement.read.code.empty();
  effects.changes_nothing = judgement.changes_nothing && is_catalog_certain(scope);
  effects.seen_through = judgement.changes.has_value();
  effects.lacks_relations = judgement.lacks_relations;
  if (judgement.lacks_relations) effects.seen_through.reset();
  if (judgement.changes) effects.tables = &*judgement.changes;
  return effects;
}

void Pipeline::add_changes(Changes& changes, const Scope& scope, const Effects& effects, bool names_are_clear) {
  if (effects.reach == Reach::nothing) return;
  if (effects.reach == Reach::catalog) {
    changes.everything = true;
    if (!changes.catalog) changes.catalog = scope.source->hold();
  }
  if (!cache_->in_use()) {
    changes.unseen = true;
    return;
  }
  changes.opaque |= effects.tables == nullptr && effects.may_define;
  if (effects.tables == nullptr || (!names_are_clear && effects.names_tables) || !is_catalog_certain(scope)) {
    changes.everything = true;
    return;
  }
  for (const auto table : *effects.tables) {
    if (std::ranges::find(changes.tables, table) == changes.tables.end()) changes.tables.push_back(table);
  }
}

/// What isn't known to be nothing but rows of tables may be DDL, which isn't told.
void Pipeline::apply(const Changes& changes, const Scope& scope, std::int64_t now, bool is_certain) {
  // A proof of this moment wouldn't show them, and whether there will be another isn't known.
  if (!is_certain) cache_->apply(changes, scope.database, InvalidationReason::write);
  const bool are_rows = !changes.unseen && !changes.catalog;
  const auto catalog = are_rows && scope.freshness->is_followed() ? scope.source->current() : nullptr;
  if (!catalog) return cache_->apply(changes, scope.database, InvalidationReason::write);
  Changes untold;
  std::vector<cache::Dependency> left;
  const auto followed = scope.freshness->followed();
  for (const auto table : changes.tables) {
    if (is_told(table, *followed, *catalog)) {
      left.push_back(ReadCache::of_table(scope.database, table));
      left.push_back(ReadCache::of_unknown_rows(scope.database, table));
    } else {
      untold.tables.push_back(table);
    }
  }
  // Each answer depends on that, and needs a proof; what the stream doesn't tell is proved by nothing.
  if (changes.everything) left.push_back(scope.everything);
  if (changes.opaque) left.push_back(scope.untold);
  scope.freshness->leave(left, now);
  if (changes.everything) cache_->versions().changed(scope.untold);
  cache_->apply(untold, scope.database, InvalidationReason::write);
}

}  // namespace millrace::pipeline
