#include "pipeline/tidying.hpp"

#include <algorithm>

#include "sql/references.hpp"

namespace millrace::pipeline {
namespace {

constexpr std::string_view unlock = "pg_advisory_unlock_all";

bool only_unlocks(const sql::References& references) {
  sql::References expected;
  expected.functions = {{.schema = "", .name = std::string(unlock)}};
  return references == expected;
}

}  // namespace

bool only_tidies(const sql::Statement& statement) {
  using Kind = sql::StatementKind;
  constexpr auto tidying = bit(Kind::select) | bit(Kind::close_cursor) | bit(Kind::unlisten) | bit(Kind::set);
  if (statement.kinds == 0 || (statement.kinds & ~tidying) != 0) return false;
  const auto resets = [](const sql::SessionChange& change) {
    return change.what == sql::SessionChange::What::reset_all;
  };
  return std::ranges::all_of(statement.changes, resets) && statement.other_settings.empty() &&
         !statement.in_transaction_block_only && (!statement.references || only_unlocks(*statement.references));
}

bool tidies_as_known(const sql::Statement& statement, const catalog::Snapshot& snapshot) {
  if (!statement.references) return true;
  const auto* functions = snapshot.functions(unlock);
  return functions != nullptr && functions->built_in;
}

}  // namespace millrace::pipeline
