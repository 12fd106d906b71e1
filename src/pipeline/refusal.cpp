#include "pipeline/refusal.hpp"

#include <algorithm>
#include <array>

namespace millrace::pipeline {

std::string_view what_helps(std::string_view code) {
  constexpr auto advice = std::to_array<std::pair<std::string_view, std::string_view>>({
      {"cache_off", "leave cache=off out of the statement's comment"},
      {"catalog_unknown", "ask again in a moment"},
      {"consistency", "say eventual, bounded, session, read_after_write or strong in the statement's comment"},
      {"constant_of_time", "give the moment itself, as in '2024-01-31', rather than the word"},
      {"current_date", "give the day as a parameter"},
      {"current_timestamp", "give the moment as a parameter"},
      {"does_not_pay",
       "ask the same more often between its tables' changes; ALTER TABLE ... REPLICA IDENTITY FULL, so that a change "
       "makes fewer answers stale; nothing, as passing it on is quicker"},
      {"isolation", "let default_transaction_isolation be read committed"},
      {"no_cache", "set ENABLE_MULTI_LEVEL_CACHING"},
      {"no_stream",
       "GET /api/v1/optimization/status says why, and what to run; millrace.consistency=eventual and bounded(ms) do "
       "without it"},
      {"not_asked",
       "options=-c millrace.consistency=session in the connection string; in transaction mode also SET "
       "millrace.consistency = session, or /* millrace: consistency=session */ in the statement; for all clients "
       "CACHE_CONSISTENCY_LEVEL"},
      {"not_followed", "GET /api/v1/optimization/status says which tables aren't, and what to run"},
      {"pinned", "end what ties the session to its connection: see docs/pooling.md"},
      {"prepared_before", "prepare the statement anew"},
      {"server_state", "ask again in a moment; else connect anew, or in transaction mode end the transaction"},
      {"stable_function", "give what the function would answer as a parameter"},
      {"too_large", "ask for fewer rows or columns, or raise L1_CACHE_SIZE_MB"},
      {"transaction", "read before the transaction's first write, or outside of it"},
      {"unknown_relation", "name the schema, and let all who may use the database use it"},
      {"volatile_function", "give what the function would answer as a parameter"},
  });
  const auto found = std::ranges::find(advice, code, [](const auto& each) { return each.first; });
  return found == advice.end() ? std::string_view() : found->second;
}

}  // namespace millrace::pipeline
