#include "gateway/session_names.hpp"

#include "gateway/shrink.hpp"

namespace millrace::gateway {
namespace {

using What = sql::SessionChange::What;

/// FETCH and EXECUTE have those of what they name, and PostgreSQL compares nothing.
bool has_columns_of_its_own(const Prepared& prepared) {
  using Kind = sql::StatementKind;
  return !prepared.statement || (prepared.statement->kind != Kind::fetch && prepared.statement->kind != Kind::execute);
}

template <typename Matches>
Reply* first_of(std::span<Reply> replies, Matches matches) {
  const auto found = std::ranges::find_if(replies, matches);
  return found == replies.end() ? nullptr : &*found;
}

/// What will have changed the statement of this name; null: nothing.
Reply* changes_statement(std::span<Reply> later, std::string_view name) {
  return first_of(later,
                  [name](const Reply& one) { return one.changes == Reply::Changes::statement && one.name == name; });
}

Reply* changes_portal(std::span<Reply> later, std::string_view portal) {
  return first_of(later,
                  [portal](const Reply& one) { return one.changes == Reply::Changes::portal && one.portal == portal; });
}

}  // namespace

Prepared* SessionNames::find(std::string_view statement) {
  if (statement.empty()) return unnamed ? &*unnamed : nullptr;
  const auto found = statements.find(statement);
  return found == statements.end() ? nullptr : &found->second;
}

BoundPortal SessionNames::find_portal(std::string_view portal) const {
  if (portal.empty()) return unnamed_portal;
  const auto found = portals.find(portal);
  return found == portals.end() ? BoundPortal() : found->second;
}

bool SessionNames::is_under_way(const NameMap<Touch>& touched, std::string_view name) const {
  if (touched.empty()) return false;
  const auto found = touched.find(name);
  return found != touched.end() && replies_.is_under_way(found->second);
}

bool SessionNames::is_statement_under_way(std::string_view name) const {
  if (!moves_) return false;
  if (name.empty()) return replies_.is_under_way(touched_unnamed_);
  return replies_.is_under_way(touched_all_) || is_under_way(touched_statements_, name);
}

bool SessionNames::is_portal_under_way(std::string_view name) const {
  if (!moves_) return false;
  return name.empty() ? replies_.is_under_way(touched_unnamed_portal_) : is_under_way(touched_portals_, name);
}

void SessionNames::touch(NameMap<Touch>& touched, std::string_view name, Touch touch) {
  if (!moves_ || touch.number == 0) return;  // what wasn't sent isn't under way
  if (touched.size() > 2 * replies_.size() + 64) {
    const std::uint64_t oldest = replies_.all().front().number;
    boost::unordered::erase_if(touched, [oldest](const auto& entry) { return entry.second.number < oldest; });
  }
  touched.insert_or_assign(std::string(name), touch);
}

void SessionNames::parse(std::string_view name, Prepared prepared, Reply& reply) {
  reply.changes = Reply::Changes::statement;
  reply.name = name;
  if (name.empty()) {
    reply.statement_was = std::exchange(unnamed, std::move(prepared));
    touched_unnamed_ = reply.touch();
    return;
  }
  if (const auto found = statements.find(name); found == statements.end()) {
    statements.emplace(name, std::move(prepared));
  } else {
    reply.statement_was = std::exchange(found->second, std::move(prepared));
  }
  touch(touched_statements_, name, reply.touch());
}

void SessionNames::bind(std::string_view portal, BoundPortal bound, Reply& reply) {
  reply.changes = Reply::Changes::portal;
  reply.portal = portal;
  if (portal.empty()) {
    reply.portal_was = std::exchange(unnamed_portal, std::move(bound));
    touched_unnamed_portal_ = reply.touch();
    return;
  }
  if (const auto found = portals.find(portal); found != portals.end()) {
    reply.portal_was = std::exchange(found->second, std::move(bound));
  } else {
    portals.emplace(portal, std::move(bound));
  }
  touch(touched_portals_, portal, reply.touch());
}

void SessionNames::close_statement(std::string_view name, Reply& reply) {
  reply.changes = Reply::Changes::statement;
  if (name.empty()) {
    reply.statement_was = std::exchange(unnamed, std::nullopt);
    touched_unnamed_ = reply.touch();
    return;
  }
  reply.name = name;
  reply.closes_sql_name = in_sql.erase(name) > 0;
  if (const auto found = statements.find(name); found != statements.end()) {
    reply.statement_was = std::move(found->second);
    statements.erase(found);
  }
  touch(touched_statements_, name, reply.touch());
}

void SessionNames::close_portal(std::string_view name, Reply& reply) {
  reply.changes = Reply::Changes::portal;
  reply.portal = name;
  if (name.empty()) {
    reply.portal_was = std::exchange(unnamed_portal, {});
    touched_unnamed_portal_ = reply.touch();
    return;
  }
  const auto found = portals.find(name);
  if (found == portals.end()) return;
  reply.portal_was = std::move(found->second);
  portals.erase(found);
  touch(touched_portals_, name, reply.touch());
}

void SessionNames::query(Reply& reply) {
  reply.changes = Reply::Changes::statement;
  reply.statement_was = std::exchange(unnamed, std::nullopt);
  touched_unnamed_ = reply.touch();
}

void SessionNames::run(const sql::Statement& statement, const Reply& reply) {
  for (const auto& change : statement.changes) {
    if (change.what == What::deallocate || change.what == What::prepare) {
      touch(touched_statements_, change.name, reply.touch(true));
    } else if (change.what == What::deallocate_all || change.what == What::discard_all) {
      touched_all_ = reply.touch(true);
    }
  }
}

void SessionNames::undo(Reply& reply, std::span<Reply> later) {
  if (reply.changes == Reply::Changes::statement) undo_statement(reply, later);
  if (reply.changes == Reply::Changes::portal) undo_portal(reply, later);
}

void SessionNames::undo_statement(Reply& reply, std::span<Reply> later) {
  auto before = std::move(reply.statement_was);
  if (reply.name.empty() && reply.failed) before.reset();  // it drops the unnamed one first
  if (Reply* const next = changes_statement(later, reply.name)) {
    next->statement_was = std::move(before);
  } else if (reply.name.empty()) {
    unnamed = std::move(before);
  } else if (before) {
    statements.insert_or_assign(reply.name, std::move(*before));
  } else {
    statements.erase(reply.name);
  }
  if (reply.closes_sql_name) in_sql.insert(reply.name);
}

void SessionNames::undo_portal(Reply& reply, std::span<Reply> later) {
  auto before = std::move(reply.portal_was);
  if (Reply* const next = changes_portal(later, reply.portal)) {
    next->portal_was = std::move(before);
  } else if (reply.portal.empty()) {
    unnamed_portal = std::move(before);
  } else if (before.statement) {
    portals.insert_or_assign(reply.portal, std::move(before));
  } else {
    portals.erase(reply.portal);
  }
}

void SessionNames::on_tag(std::string_view tag, Reply& reply) {
  const auto& changes = reply.exchange.statement->changes;
  const What what = tag == "PREPARE" ? What::prepare : What::deallocate;
  while (reply.names_done < changes.size()) {
    const auto& change = changes[reply.names_done++];
    if (change.what != what) continue;
    if (what == What::prepare) {
      in_sql.insert(change.name);
      return;
    }
    in_sql.erase(change.name);
    forget(change.name, replies_.all().subspan(1));
    return;
  }
}

void SessionNames::on_described(std::string_view name, const Text& text, std::uint64_t columns) {
  const auto found = statements.find(name);
  if (found != statements.end() && found->second.text == text && has_columns_of_its_own(found->second)) {
    found->second.columns = columns;
  }
}

void SessionNames::replace_text(std::string_view name, const Text& text, const Text& by) {
  const auto found = statements.find(name);
  if (found != statements.end() && found->second.text == text) found->second.text = by;
}

/// The server has dropped it.
void SessionNames::forget(std::string_view name, std::span<Reply> later) {
  if (Reply* const next = changes_statement(later, name)) {
    next->statement_was.reset();
  } else {
    statements.erase(name);
  }
}

void SessionNames::forget_statements() {
  const auto later = replies_.all().subspan(1);
  boost::unordered::erase_if(statements,
                             [&](const auto& named) { return changes_statement(later, named.first) == nullptr; });
  for (Reply& reply : later) {
    if (reply.changes != Reply::Changes::statement || reply.name.empty()) continue;
    if (changes_statement(later, reply.name) == &reply) reply.statement_was.reset();
  }
  in_sql.clear();
}

void SessionNames::forget_portals() {
  if (!portals.empty()) portals.clear();
  unnamed_portal = {};
}

void SessionNames::on_all_answered() {
  touched_statements_.clear();
  touched_portals_.clear();
}

std::size_t SessionNames::give_back_memory() {
  return shrink(statements) + shrink(portals) + shrink(touched_statements_) + shrink(touched_portals_);
}

}  // namespace millrace::gateway
