#include "sql/statement.hpp"

#include <algorithm>
#include <charconv>

#include "sql/explained_text.hpp"
#include "sql/known_functions.hpp"
#include "sql/pg_tree.h"
#include "sql/reference_list.hpp"
#include "sql/scan_guard.hpp"
#include "sql/stack_left.hpp"

namespace millrace::sql {

namespace {

using What = SessionChange::What;

struct Root {
  StatementKind kind;
  bool writes;  ///< whether it does by itself, whatever stands in it
};

Root meaning_of(pg_tree_root root) {
  switch (root) {
    case PG_TREE_SELECT:
      return {StatementKind::select, false};
    case PG_TREE_SELECT_INTO:
      return {StatementKind::ddl, true};
    case PG_TREE_INSERT:
      return {StatementKind::insert, true};
    case PG_TREE_UPDATE:
      return {StatementKind::update, true};
    case PG_TREE_DELETE:
      return {StatementKind::delete_, true};
    case PG_TREE_MERGE:
      return {StatementKind::merge, true};
    case PG_TREE_COPY_FROM:
      return {StatementKind::copy_from, true};
    case PG_TREE_COPY_TO_CLIENT:
      return {StatementKind::copy_to, false};
    case PG_TREE_COPY_TO_FILE:
      return {StatementKind::copy_to, true};
    case PG_TREE_TRANSACTION:
      return {StatementKind::transaction, false};
    case PG_TREE_SET:
      return {StatementKind::set, false};
    case PG_TREE_SHOW:
      return {StatementKind::show, false};
    case PG_TREE_PREPARE:
      return {StatementKind::prepare, false};
    case PG_TREE_EXECUTE:
      return {StatementKind::execute, true};
    case PG_TREE_DEALLOCATE:
      return {StatementKind::deallocate, false};
    case PG_TREE_DECLARE_CURSOR:
      return {StatementKind::declare_cursor, false};
    case PG_TREE_FETCH:
      return {StatementKind::fetch, true};
    case PG_TREE_CLOSE_CURSOR:
      return {StatementKind::close_cursor, false};
    case PG_TREE_LISTEN:
      return {StatementKind::listen, false};
    case PG_TREE_UNLISTEN:
      return {StatementKind::unlisten, false};
    case PG_TREE_NOTIFY:
      return {StatementKind::notify, true};
    case PG_TREE_DISCARD:
      return {StatementKind::discard, false};
    case PG_TREE_LOCK:
      return {StatementKind::lock, true};
    case PG_TREE_TRUNCATE:
      return {StatementKind::truncate, true};
    case PG_TREE_CALL:
      return {StatementKind::call, true};
    case PG_TREE_DO_BLOCK:
      return {StatementKind::do_block, true};
    case PG_TREE_EXPLAIN:
    case PG_TREE_EXPLAIN_ANALYZE:
      return {StatementKind::explain, false};
    case PG_TREE_DDL:
      return {StatementKind::ddl, true};
    case PG_TREE_NONE:
    case PG_TREE_UTILITY:
      break;
  }
  return {StatementKind::utility, true};
}

/// Settings that SET changes for the current transaction only, although it isn't SET LOCAL.
bool ends_with_transaction(std::string_view setting) {
  return setting == "transaction_isolation" || setting == "transaction_read_only" ||
         setting == "transaction_deferrable";
}

std::string lower(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? char(c - 'A' + 'a') : c; });
  return out;
}

constexpr std::uint32_t most_parameters = 65535;

/// Puts a Statement together from the facts of the tree.
class Reader {
 public:
  Reader(std::string_view text, Statement& statement) : text_(text), statement_(statement) {
    statement_.kind = StatementKind::empty;
    statement_.writes = false;
  }

  void begin(pg_tree_root root, std::size_t location, std::size_t length) {
    const Root meaning = meaning_of(root);
    if (++statement_.statements > 1) statement_.transaction_tag.clear();
    statement_.kind = statement_.statements == 1 ? meaning.kind : StatementKind::multiple;
    statement_.kinds |= bit(meaning.kind);
    statement_.writes |= meaning.writes;
    statement_.copies_in |= root == PG_TREE_COPY_FROM;
    only_plans_ = root == PG_TREE_EXPLAIN || root == PG_TREE_PREPARE;
    slice_ = text_.substr(location, length == 0 ? std::string_view::npos : length);
    switch (root) {
      case PG_TREE_LISTEN:
        return pin("listen");
      case PG_TREE_DO_BLOCK:  // a script in another language: it may do all that this file looks for
        return pin("do block");
      case PG_TREE_CALL:
        return pin("procedure");
      default:
        return;
    }
  }

  void take(pg_tree_fact fact, std::string_view name, std::string_view value) {
    switch (fact) {
      case PG_TREE_SET_VALUE:
        return set(name, value);
      case PG_TREE_SET_CURRENT:
        return pin("set from current");
      case PG_TREE_SET_LOCAL:
        statement_.in_transaction_block_only = true;
        // Not the modes of the transaction, nor its constraints.
        if (!name.empty() && !name.starts_with("TRANSACTION")) statement_.other_settings.push_back(lower(name));
        return;
      case PG_TREE_SET_DEFAULT_TX:
        return set_default_of_transactions(name, value);
      case PG_TREE_RESET:
        return change(What::reset, lower(name));
      case PG_TREE_RESET_ALL:
        return change(What::reset_all);
      case PG_TREE_DISCARD_ALL:
        statement_.writes = true;
        return change(What::discard_all);
      case PG_TREE_DISCARD_TEMPORARY:
        statement_.writes = true;
        return;
      case PG_TREE_DEALLOCATE_NAME:
        return change(What::deallocate, std::string(name));
      case PG_TREE_DEALLOCATE_ALL:
        return change(What::deallocate_all);
      case PG_TREE_BEGIN:
        transaction_tag(name);
        statement_.begin_modes = statement_.transaction_tag.empty() ? "" : value;
        return step(TransactionStep::begin);
      case PG_TREE_COMMIT:
        transaction_tag(name);
        statement_.writes = true;  // deferred triggers and constraints run now
        return step(TransactionStep::commit);
      case PG_TREE_ROLLBACK:
        transaction_tag(name);
        return step(TransactionStep::rollback);
      case PG_TREE_CHAIN:
        return step(TransactionStep::begin);
      case PG_TREE_SAVEPOINT:
        return step(TransactionStep::savepoint);
      case PG_TREE_ROLLBACK_TO:
        return step(TransactionStep::rollback_to);
      case PG_TREE_RELEASE:
        return step(TransactionStep::release);
      case PG_TREE_PREPARE_TRANSACTION:
        statement_.writes = true;
        return step(TransactionStep::prepare);
      case PG_TREE_FINISH_PREPARED:
        statement_.writes = true;
        return step(TransactionStep::other);
      case PG_TREE_CURSOR_WITH_HOLD:
        return pin("cursor with hold");
      case PG_TREE_EXPLAIN_MILLRACE:
        asks_millrace_ = true;
        return;
      case PG_TREE_SHOWS:
        statement_.shows_token = lower(name) == "millrace.token";
        return;
      case PG_TREE_PARAMETER: {
        std::uint32_t number = 0;
        std::from_chars(name.data(), name.data() + name.size(), number);
        statement_.explained_parameters = std::max(statement_.explained_parameters, number);
        return;
      }
      case PG_TREE_LOAD:
        return pin("loaded library");
      case PG_TREE_UNUSED_DATABASE:
        statement_.wants_unused_database = true;
        if (!name.empty()) statement_.unused_databases.emplace_back(name);
        return;
      case PG_TREE_NEW_SESSIONS:
        statement_.affects_new_sessions = true;
        return;
      case PG_TREE_PREPARE_NAME:
        return change(What::prepare, std::string(name));
      case PG_TREE_EXECUTE_NAME:
        return change(What::execute, std::string(name));
      case PG_TREE_WRITE:
      case PG_TREE_UNKNOWN:
        statement_.writes |= !only_plans_;
        return;
      case PG_TREE_FUNCTION:
        return call(name, value, false);
      case PG_TREE_FUNCTION_LOCAL:
        return call(name, value, true);
      case PG_TREE_TEMPORARY_TABLE:
        return pin("temporary table");
      case PG_TREE_TEMPORARY_VIEW:
        return pin("temporary view");
      case PG_TREE_TEMPORARY_SEQUENCE:
        return pin("temporary sequence");
      case PG_TREE_TEMPORARY_SCHEMA:
        return pin("temporary schema");
      default:
        sql::take(references_, fact, name, value);
        return;
    }
  }

  void end() {
    if (statement_.statements != 1) statement_.shows_token = false;
    // More parameters than the protocol can count are for PostgreSQL to refuse.
    if (asks_millrace_ && statement_.statements == 1 && statement_.explained_parameters <= most_parameters) {
      const std::string_view explained = explained_text(text_);
      if (!explained.empty()) statement_.explained = parse(explained);
    }
    if ((statement_.kinds & kinds_with_references) == 0) return;
    finish(references_);
    statement_.references = std::make_shared<const References>(std::move(references_));
  }

 private:
  void change(What what, std::string name = {}, std::string text = {}) {
    statement_.changes.push_back({what, std::move(name), std::move(text)});
  }

  void pin(std::string_view name) {
    const bool known = std::ranges::any_of(
        statement_.changes, [&](const SessionChange& c) { return c.what == What::pin && c.name == name; });
    if (!known) change(What::pin, std::string(name));
  }

  void step(TransactionStep step) { statement_.steps.push_back(step); }
  void transaction_tag(std::string_view tag) { statement_.transaction_tag = statement_.statements == 1 ? tag : ""; }

  void set(std::string_view name, std::string_view value) {
    std::string setting = lower(name);
    if (ends_with_transaction(setting)) {
      statement_.in_transaction_block_only = true;
    } else if (setting == "session_authorization") {
      pin("session authorization");
    } else if (setting == "seed") {
      pin("random seed");
    } else {
      change(What::set, std::move(setting), slice());
      statement_.changes.back().value = value;
    }
  }

  /// SET SESSION CHARACTERISTICS sets the defaults of transactions to come; one change a mode, so that each can be
  /// reset by its name.
  void set_default_of_transactions(std::string_view mode, std::string_view value) {
    std::string setting = "default_" + std::string(mode);
    std::string text = "SET " + setting + " = '" + std::string(value) + "'";
    change(What::set, std::move(setting), std::move(text));
  }

  void call(std::string_view name, std::string_view argument, bool local) {
    const FunctionEffect effect = effect_of_function(name);
    statement_.writes |= effect.writes && !only_plans_;
    statement_.uses_sequence_state |= effect.uses_sequence_state;
    const bool ends_with_transaction = local && name == "set_config";
    if (name == "set_config") statement_.other_settings.push_back(lower(argument));
    if (!effect.pin.empty() && !ends_with_transaction) pin(effect.pin);
  }

  /// The current statement's text, as it can be sent again.
  std::string slice() const {
    constexpr std::string_view kSpace = " \t\n\r\f";
    std::string_view text = slice_;
    const std::size_t first = text.find_first_not_of(kSpace);
    text.remove_prefix(first == std::string_view::npos ? text.size() : first);
    // The last statement of a text reaches to its end.
    const std::size_t last = text.find_last_not_of(kSpace);
    text = text.substr(0, last + 1);
    std::string out(text);
    if (out.contains("--")) out += '\n';  // whatever comes after it isn't part of a comment
    return out;
  }

  std::string_view text_;
  Statement& statement_;
  std::string_view slice_;
  References references_;
  bool asks_millrace_ = false;
  bool only_plans_ = false;  ///< what stands in the statement isn't run by it
};

pg_tree_visitor visitor_of(Reader& reader) {
  return {
      .context = &reader,
      .statement = [](void* context, pg_tree_root root, std::size_t location,
                      std::size_t length) noexcept { static_cast<Reader*>(context)->begin(root, location, length); },
      .fact =
          [](void* context, pg_tree_fact fact, const char* name, const char* value) noexcept {
            static_cast<Reader*>(context)->take(fact, name == nullptr ? "" : name, value == nullptr ? "" : value);
          },
      .restrictions = false,
  };
}

}  // namespace

std::string_view name(StatementKind kind) {
  switch (kind) {
    case StatementKind::empty:
      return "empty";
    case StatementKind::select:
      return "select";
    case StatementKind::insert:
      return "insert";
    case StatementKind::update:
      return "update";
    case StatementKind::delete_:
      return "delete";
    case StatementKind::merge:
      return "merge";
    case StatementKind::copy_from:
      return "copy_from";
    case StatementKind::copy_to:
      return "copy_to";
    case StatementKind::transaction:
      return "transaction";
    case StatementKind::set:
      return "set";
    case StatementKind::show:
      return "show";
    case StatementKind::prepare:
      return "prepare";
    case StatementKind::execute:
      return "execute";
    case StatementKind::deallocate:
      return "deallocate";
    case StatementKind::declare_cursor:
      return "declare_cursor";
    case StatementKind::fetch:
      return "fetch";
    case StatementKind::close_cursor:
      return "close_cursor";
    case StatementKind::listen:
      return "listen";
    case StatementKind::unlisten:
      return "unlisten";
    case StatementKind::notify:
      return "notify";
    case StatementKind::discard:
      return "discard";
    case StatementKind::truncate:
      return "truncate";
    case StatementKind::lock:
      return "lock";
    case StatementKind::call:
      return "call";
    case StatementKind::do_block:
      return "do_block";
    case StatementKind::explain:
      return "explain";
    case StatementKind::ddl:
      return "ddl";
    case StatementKind::utility:
      return "utility";
    case StatementKind::multiple:
      return "multiple";
    case StatementKind::unparsed:
      return "unparsed";
  }
  return "unparsed";
}

std::shared_ptr<const Statement> unparsed(std::string why) {
  auto statement = std::make_shared<Statement>();
  statement->why_unparsed = std::move(why);
  return statement;
}

std::shared_ptr<const Statement> parse(std::string_view text) {
  if (text.contains('\0')) return unparsed("the text holds a NUL byte");
  if (stack_left() < stack_needed(text.size())) return unparsed("the text is too long for this thread's stack");

  if (scans_slowly(text)) return unparsed("the text holds long runs of operator characters");

  const std::string terminated(text);
  auto statement = std::make_shared<Statement>();
  Reader reader(text, *statement);
  const pg_tree_visitor visitor = visitor_of(reader);
  pg_tree_result result;
  pg_tree_visit(terminated.c_str(), &visitor, &result);
  if (!result.parsed) {
    auto unread = std::make_shared<Statement>();
    unread->why_unparsed = result.error;
    unread->is_syntax_error = true;
    return unread;
  }
  reader.end();
  statement->fingerprint = result.fingerprint;
  statement->text = text.substr(0, Statement::most_text);
  return statement;
}

}  // namespace millrace::sql
