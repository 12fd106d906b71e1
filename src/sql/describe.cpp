#include "sql/describe.hpp"

namespace millrace::sql {

namespace {

std::string_view name(SessionChange::What what) {
  using enum SessionChange::What;
  switch (what) {
    case set:
      return "set";
    case reset:
      return "reset";
    case reset_all:
      return "reset all";
    case discard_all:
      return "discard all";
    case deallocate:
      return "deallocate";
    case deallocate_all:
      return "deallocate all";
    case prepare:
      return "prepare";
    case execute:
      return "execute";
    case pin:
      return "pin";
  }
  return "?";
}

std::string_view name(TransactionStep step) {
  using enum TransactionStep;
  switch (step) {
    case begin:
      return "begin";
    case commit:
      return "commit";
    case rollback:
      return "rollback";
    case savepoint:
      return "savepoint";
    case rollback_to:
      return "rollback to";
    case release:
      return "release";
    case prepare:
      return "prepare";
    case other:
      return "other";
  }
  return "?";
}

}  // namespace

std::string describe(const Statement& statement) {
  std::string out(name(statement.kind));
  if (statement.kind == StatementKind::multiple) out += " " + std::to_string(statement.statements);
  if (statement.shows_token) out += " token";
  if (statement.explained) out += " millrace (" + describe(*statement.explained) + ")";
  if (statement.writes) out += " writes";
  if (statement.uses_sequence_state) out += " sequence-state";
  if (statement.in_transaction_block_only) out += " local";
  if (statement.affects_new_sessions) out += " new-sessions";
  if (statement.wants_unused_database) out += " unused-database";
  for (const auto& name : statement.unused_databases) out += " {" + name + "}";
  for (const auto& change : statement.changes) {
    out += "; ";
    out += name(change.what);
    if (!change.name.empty()) out += " " + change.name;
    if (!change.text.empty()) out += " {" + change.text + "}";
  }
  for (const auto& name : statement.other_settings) out += "; sets " + (name.empty() ? "?" : name);
  for (const auto step : statement.steps) {
    out += ", ";
    out += name(step);
  }
  if (!statement.transaction_tag.empty())
    out.append(" = ").append(statement.transaction_tag).append(statement.begin_modes);
  return out;
}

}  // namespace millrace::sql
