#include "pipeline/explanation.hpp"

#include "pipeline/judgements.hpp"
#include "pipeline/passes_on.hpp"
#include "pipeline/pipeline.hpp"
#include "pipeline/question_key.hpp"
#include "pipeline/rows_read.hpp"
#include "pipeline/tidying.hpp"
#include "sql/comments.hpp"

namespace millrace::pipeline {
namespace {

Explanation begin(std::string_view database, std::string_view user, std::string_view text,
                  const sql::Statement& statement) {
  Explanation said;
  said.kind = statement.kind;
  said.fingerprint = statement.fingerprint;
  said.database = database;
  said.user = user;
  std::string buffer;
  said.text = sql::without_comments(text, buffer);
  return said;
}

/// The settings of a scope: names and values from the start, or the SET that the client has sent.
std::string words_of(std::string_view settings) {
  std::string words;
  const auto take = [&settings] {
    const auto end = std::min(settings.find('\0'), settings.size());
    const auto part = settings.substr(0, end);
    settings.remove_prefix(std::min(end + 1, settings.size()));
    return part;
  };
  while (!settings.empty()) {
    const auto name = take();
    const auto value = take();
    if (!words.empty()) words += "; ";
    const bool is_statement = value.size() > 4 && (value[0] | 0x20) == 's' && (value[1] | 0x20) == 'e' &&
                              (value[2] | 0x20) == 't' && std::string_view(" \t\n\r\f/-").contains(value[3]);
    if (!is_statement) words.append(name).append("=");
    words += value;
  }
  return words;
}

std::string name_of(catalog::Oid oid, const catalog::Snapshot& catalog) {
  const auto* table = catalog.find(oid);
  return table == nullptr ? std::to_string(oid) : table->schema + "." + table->name;
}

/// "public.people", "public.people (id = 1)", "public.people (id in 1, 2)".
std::string words_of(const RowsRead& rows, const catalog::Snapshot& catalog) {
  std::string words = name_of(rows.table, catalog);
  if (rows.column.empty()) return words;
  words.append(" (").append(rows.column).append(rows.values.size() == 1 ? " = " : " in ");
  for (std::size_t i = 0; i < rows.values.size(); ++i) words.append(i == 0 ? "" : ", ").append(rows.values[i]);
  return words + ")";
}

/// As it is decided, and counted: what the text shows, what of the session is in the way, what the catalog says.
void judge(Explanation& said, const Scope& scope, const Question& question, const sql::Statement& statement,
           std::optional<Refusal> session, std::optional<Refusal> payoff) {
  const auto refuse = [&said](std::string code, std::string why) {
    said.refusals.push_back({std::move(code), std::move(why)});
  };
  const auto catalog = scope.source ? scope.source->current() : nullptr;
  if (catalog) said.search_path = search_path_of(scope, *catalog);
  const bool tidies = only_tidies(statement);
  const auto by_text = tidies ? Cacheable() : cacheability_by_text(statement);
  if (!by_text()) refuse(by_text.code, by_text.why_not);
  if (session) said.refusals.push_back(std::move(*session));
  if (!by_text()) return;
  if (payoff) said.refusals.push_back(*std::move(payoff));
  if (!catalog) return refuse("catalog_unknown", "the database's catalogs aren't known at present");
  if (tidies) {
    if (!tidies_as_known(statement, *catalog)) return refuse("function", "calls a function that isn't PostgreSQL's");
    said.reads.emplace();
    return;
  }
  if (!said.search_path) return refuse("search_path", "the session's search path isn't known");
  const auto judged = cacheability(statement, *catalog, *said.search_path);
  if (!judged()) return refuse(judged.code, judged.why_not);
  if (sql::mentions_moments(question.text) || sql::mentions_moments(question.parameters)) {
    return refuse("constant_of_time", "has a constant or parameter that may stand for the time, such as 'now'");
  }
  said.reads.emplace();
  for (const auto table : judged.reads) said.reads->push_back(name_of(table, *catalog));
  for (const auto& rows : rows_read(question, judged.reads, *catalog, *said.search_path)) {
    said.rows.push_back(words_of(rows, *catalog));
  }
}

/// At the level, or at the first of which something is known.
const Payoff* payoff_at(const std::optional<Consistency>& level, ReadCache& cache, const Scope& scope,
                        const sql::Statement& statement) {
  using enum Consistency::Level;
  for (const auto each : {session, read_after_write, eventual, bounded, strong}) {
    if (level && level->level != each) continue;
    if (const auto* const found = cache.payoffs().find(statement.fingerprint, scope.everything, each)) return found;
  }
  return nullptr;
}

/// Why it is passed on though it may be kept. Null: it isn't passed on.
std::optional<Refusal> judge_payoff(Explanation& said, ReadCache& cache, const Scope& scope,
                                    const sql::Statement& statement, const std::optional<Consistency>& level,
                                    std::string_view text, std::int64_t now) {
  const auto* const payoff = payoff_at(level, cache, scope, statement);
  if (payoff == nullptr) return std::nullopt;
  said.payoff = payoff->figures();
  if (!passes_on(payoff, text, now)) return std::nullopt;
  return Refusal{"does_not_pay", words_of(*said.payoff)};
}

std::optional<Explanation::Kept> kept_under(cache::L1Cache& l1, const Scope& scope, const Question& question,
                                            std::int64_t now) {
  using State = Explanation::Kept::State;
  std::string key, plain;
  write_key(scope, question, key, plain);
  const auto entry = l1.peek(key, cache::hash_of(key));
  if (!entry) return std::nullopt;
  const State state = l1.is_live(*entry, now)      ? State::fresh
                      : now >= entry->expires_ns() ? State::expired
                                                   : State::stale;
  const std::int64_t remaining = state == State::fresh ? entry->expires_ns() - now : 0;
  return Explanation::Kept{.state = state,
                           .age = std::chrono::nanoseconds(now - entry->stored_ns()),
                           .remaining = std::chrono::nanoseconds(remaining),
                           .rows = entry->rows(),
                           .bytes = entry->memory_bytes(),
                           .followed = entry->follows() != cache::Follows::no};
}

}  // namespace

Explanation explain(ReadCache& cache, const Scope& scope, const Question& question, const sql::Statement& statement,
                    std::optional<Refusal> session, const std::optional<Consistency>& level, std::int64_t now) {
  Explanation said = begin(scope.database, scope.user, text_of(question), statement);
  if (scope.wanted) said.settings = words_of(scope.settings);
  auto payoff = judge_payoff(said, cache, scope, statement, level, text_of(question), now);
  const bool may_be_hit = !session && !payoff;
  judge(said, scope, question, statement, std::move(session), std::move(payoff));

  if (level) said.consistency = level->text();
  auto hints = sql::hints_of(text_of(question));
  said.ttl = hints.ttl ? std::chrono::nanoseconds(*hints.ttl) : cache.ttl();
  said.tags = std::move(hints.tags);
  if (scope.wanted && scope.number != 0) said.kept = kept_under(cache.l1(), scope, question, now);

  // What is fresh is answered while the catalogs are being read anew, too.
  const bool is_there = said.kept && said.kept->state == Explanation::Kept::State::fresh &&
                        (said.kept->followed || !level || !level->needs_stream());
  if (may_be_hit && is_there && (may_only_read(statement) || only_tidies(statement))) {
    said.decision = CacheUse::hit;
    said.refusals.clear();
  } else if (said.refusals.empty()) {
    said.decision = CacheUse::miss;
  }
  return said;
}

Explanation explain_without_cache(std::string_view database, std::string_view user, std::string_view text,
                                  const sql::Statement& statement) {
  Explanation said = begin(database, user, text, statement);
  said.refusals.push_back({"no_cache", "there is no cache: ENABLE_MULTI_LEVEL_CACHING is off"});
  return said;
}

}  // namespace millrace::pipeline
