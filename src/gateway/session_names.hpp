#pragma once

#include <boost/unordered/unordered_flat_set.hpp>

#include "gateway/name_map.hpp"
#include "gateway/replies.hpp"

namespace millrace::gateway {

/// What a client's session calls by a name: statements and portals. A message that is sent is taken to do what it asks
/// for; `undo` takes that back. Until it is answered, what depends on it in a later batch waits: `is_*_under_way`; but
/// not for a client that keeps its server connection, which has the names itself.
class SessionNames {
 public:
  /// `replies`: what was sent and isn't answered yet. `moves`: see `SessionState`.
  SessionNames(Replies& replies, bool moves) : replies_(replies), moves_(moves) {}

  NameMap<Prepared> statements;
  std::optional<Prepared> unnamed;
  /// Of statements that SQL has prepared, on the connection that the client keeps.
  boost::unordered_flat_set<std::string, NameHash, std::equal_to<>> in_sql;
  NameMap<BoundPortal> portals;
  BoundPortal unnamed_portal;

  /// Null: there is none.
  Prepared* find(std::string_view statement);
  bool is_taken(std::string_view name) const { return statements.contains(name) || in_sql.contains(name); }
  /// Of what isn't known here, a cursor of an SQL DECLARE, say, it has no statement.
  BoundPortal find_portal(std::string_view portal) const;

  bool is_statement_under_way(std::string_view name) const;
  bool is_portal_under_way(std::string_view name) const;

  // What a message does that was sent. `reply`: what is owed for it.
  void parse(std::string_view name, Prepared prepared, Reply& reply);
  void bind(std::string_view portal, BoundPortal bound, Reply& reply);
  void close_statement(std::string_view name, Reply& reply);
  void close_portal(std::string_view name, Reply& reply);
  /// A Query drops the unnamed statement.
  void query(Reply& reply);
  /// A Query or Execute of a text with PREPARE, DEALLOCATE or DISCARD ALL in it: which statements there are will be
  /// known when it is answered.
  void run(const sql::Statement& statement, const Reply& reply);
  /// It is being prepared on the server connection once more.
  void touch(std::string_view name, const Reply& reply) { touch(touched_statements_, name, reply.touch()); }
  void touch_unnamed(const Reply& reply) { touched_unnamed_ = reply.touch(); }

  /// It failed, or was skipped. `later`: what was sent in later batches, which depends on none of it, but may have
  /// replaced it.
  void undo(Reply& reply, std::span<Reply> later);

  /// The next of the text's statements is done that has this tag: PREPARE or DEALLOCATE. `reply` is the oldest.
  void on_tag(std::string_view tag, Reply& reply);
  void on_described(std::string_view name, const Text& text, std::uint64_t columns);
  /// `by`: null: the server has the statement by the client's own name.
  void replace_text(std::string_view name, const Text& text, const Text& by);
  /// The oldest reply's statement has dropped all but the unnamed one.
  void forget_statements();
  void forget_portals();
  void on_all_answered();
  /// Answers how many bytes about.
  std::size_t give_back_memory();

 private:
  void forget(std::string_view name, std::span<Reply> later);
  bool is_under_way(const NameMap<Touch>& touched, std::string_view name) const;
  void touch(NameMap<Touch>& touched, std::string_view name, Touch touch);
  void undo_statement(Reply& reply, std::span<Reply> later);
  void undo_portal(Reply& reply, std::span<Reply> later);

  Replies& replies_;
  const bool moves_;
  NameMap<Touch> touched_statements_, touched_portals_;
  Touch touched_unnamed_, touched_unnamed_portal_, touched_all_;
};

}  // namespace millrace::gateway
