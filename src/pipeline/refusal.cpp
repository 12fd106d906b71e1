#include "pipeline/refusal.hpp"

#include <algorithm>
#include <array>

namespace millrace::pipeline {

std::string_view what_helps(std::string_view code) {
  constexpr auto advice = std::to_array<std::pair<std::string_view, std::string_view>>({
      {"cache_off", "leave cache=off out of the statement's comment"},
      {"catalog_unknown", "ask again in a moment"},
      {"consistency", "leave the level out of the statement's comment, or say consistency=eventual there"},
      {"constant_of_time", "give the moment itself, as in '2024-01-31', rather than the word"},
      {"current_date", "give the day as a parameter"},
      {"current_timestamp", "give the moment as a parameter"},
      {"isolation", "let default_transaction_isolation be read committed"},
      {"no_cache", "set ENABLE_MULTI_LEVEL_CACHING"},
      {"not_asked",
       "options=-c millrace.consistency=eventual in the connection string; in transaction mode also SET "
       "millrace.consistency = eventual, or /* millrace: consistency=eventual */ in the statement; for all clients "
       "CACHE_CONSISTENCY_LEVEL=eventual"},
      {"pinned", "end what ties the session to its connection: see docs/pooling.md"},
      {"server_state", "connect anew; in transaction mode end the transaction"},
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
