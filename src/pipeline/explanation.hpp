#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "monitor/query_record.hpp"
#include "pipeline/exchange.hpp"
#include "pipeline/payoff.hpp"
#include "pipeline/read_cache.hpp"
#include "pipeline/refusal.hpp"
#include "pipeline/rewrites.hpp"

namespace millrace::pipeline {

/// What would become of a statement, and why.
struct Explanation {
  CacheUse decision = CacheUse::bypass;  ///< never none
  /// Why neither answered from memory nor kept; the first is the one that is counted when it runs. Empty: but for
  /// bypass.
  std::vector<Refusal> refusals;
  sql::StatementKind kind = sql::StatementKind::unparsed;
  std::uint64_t fingerprint = 0;

  /// Tables whose rows it depends on, with their schemas; also those below them. Null: not known, or it may not be
  /// kept.
  std::optional<std::vector<std::string>> reads;
  /// The same, with which rows count where that is known, for people: "public.people (id = 1)", which stands for the
  /// tables below as well.
  std::vector<std::string> rows;

  // What the answer is kept under, so far as it is for people.
  std::string database, user;
  std::optional<std::string> settings;  ///< that the client has made; null: not known while it asks for nothing
  std::optional<std::vector<std::string>> search_path;
  std::string text;  ///< without its comments

  std::string consistency;         ///< the level that is asked for; "": none
  std::chrono::nanoseconds ttl{};  ///< of an answer that would be kept now
  std::vector<std::string> tags;   ///< by its comments

  struct Kept {
    enum class State : std::uint8_t { fresh, expired, stale };
    State state = State::fresh;
    std::chrono::nanoseconds age{}, remaining{};  ///< `remaining`: nothing, if it isn't fresh
    std::uint64_t rows = 0;
    std::size_t bytes = 0;  ///< of memory
    bool followed = false;  ///< when it changes is told by the change stream
  };
  std::optional<Kept> kept;  ///< what is there under the key

  std::optional<PayoffFigures> payoff;  ///< of its template; null: none of it was to be kept lately

  std::optional<RewriteReport> rewrite;  ///< null: it isn't in the ledger of rewrites
};

/// Of an asker of this scope. `session`: what of the session is in the way; null: nothing is. `level`: that it asks
/// for; whether a proof of it is there now isn't looked at. Looks only: nothing is counted, kept or read anew. A scope
/// without a number has nothing in the cache. Thread-safe; not for a query's way.
Explanation explain(ReadCache& cache, const Scope& scope, const Question& question, const sql::Statement& statement,
                    std::optional<Refusal> session, const std::optional<Consistency>& level, std::int64_t now);

/// Where there is no cache.
Explanation explain_without_cache(std::string_view database, std::string_view user, std::string_view text,
                                  const sql::Statement& statement);

}  // namespace millrace::pipeline
