#include "gateway/session_names.hpp"

#include <array>
#include <deque>
#include <map>
#include <set>

#include "gateway/fuzz/parts.hpp"
#include "gateway/fuzz/require.hpp"
#include "pgwire/protocol/frame.hpp"

namespace millrace::gateway::fuzz {
namespace {

using What = sql::SessionChange::What;

/// Statements and portals, as whole as can be copied. The unnamed are those without a name.
struct State {
  std::map<std::string, StatementPtr> statements, portals;
  std::set<std::string> in_sql;  ///< statements that SQL has prepared
  bool operator==(const State&) const = default;
};

struct Message {
  enum class Does { parse, fails, bind, close_statement, close_portal, query, execute, sync };
  Does does = Does::sync;
  std::string name{};  ///< of a statement
  std::string portal{};
  StatementPtr statement{};  ///< what it prepares or, by what the session knows, uses
  /// It is taken to be done already.
  void send(State& state) const {
    switch (does) {
      case Does::parse:
        state.statements[name] = statement;
        break;
      case Does::bind:
        state.portals[portal] = statement;
        break;
      case Does::close_statement:
        state.statements.erase(name);
        state.in_sql.erase(name);
        break;
      case Does::close_portal:
        state.portals.erase(portal);
        break;
      case Does::query:
        state.statements.erase("");
        break;
      default:
        break;
    }
  }
};

StatementPtr find(const std::map<std::string, StatementPtr>& named, const std::string& name) {
  const auto found = named.find(name);
  return found == named.end() ? nullptr : found->second;
}

/// A client in a transaction that stays open, and its server. Messages may be refused at any time.
class Session {
 public:
  explicit Session(bool moves) : moves_(moves), names_(replies_, moves) {}

  void act(unsigned what, unsigned first, unsigned second) {
    const std::string name = name_of(first), other = name_of(second);
    switch (what % 24) {  // as many answers as messages
      case 0:
      case 1:
        parse(name);
        break;
      case 2:
      case 3:
        bind(name, other);
        break;
      case 4:
        close_statement(name);
        break;
      case 5:
        close_portal(name);
        break;
      case 6:
        run(Message::Does::query, sql(first, second));
        break;
      case 7:
        execute(name);
        break;
      case 8:
        sync();
        break;
      case 9:
        run(Message::Does::query, nullptr);
        break;
      case 10:
        run(Message::Does::execute, sql(first, second));
        break;
      case 11:
        if (!replies_.empty()) break;  // the transaction's end
        names_.forget_portals();
        server_.portals.clear();
        break;
      case 12:
        names_.give_back_memory();
        break;
      default:
        answer(first % 4 == 0);
        break;
    }
    check();
  }

 private:
  /// Few, so that they meet; or many.
  static std::string name_of(unsigned number) {
    if (number >= 240) return "n" + std::to_string(number);
    return std::array{"", "a", "b"}[number % 3];
  }
  static StatementPtr sql(unsigned first, unsigned second) {
    auto statement = std::make_shared<sql::Statement>();
    for (const unsigned each : {first, second}) {
      const auto what = std::array{What::prepare, What::deallocate, What::deallocate_all, What::set}[each / 4 % 4];
      const bool names = what == What::prepare || what == What::deallocate;
      statement->changes.push_back({what, names ? name_of(1 + each % 2) : "", ""});
    }
    return statement;
  }

  // The client.

  /// Waits as the relay does. False: the server skips what the client sends.
  bool ready(bool under_way) {
    if (under_way) {
      while (!replies_.empty()) answer(++waits_ % 3 == 0);
    }
    return !replies_.skipping;
  }
  Reply& send(Message::Does does, Message message, Reply::Kind kind) {
    message.does = does;
    sent_.push_back(std::move(message));
    return replies_.owe(kind, 1);
  }

  void parse(const std::string& name) {
    if (!ready(!name.empty() && names_.is_statement_under_way(name))) return;
    auto statement = std::make_shared<const sql::Statement>();
    if (moves_ && !name.empty() && names_.is_taken(name)) {
      send(Message::Does::fails, {.name = name}, Reply::Kind::describe);
      return;
    }
    Reply& reply = send(Message::Does::parse, {.name = name, .statement = statement}, Reply::Kind::parse);
    names_.parse(name, {.statement = statement, .text = nullptr}, reply);
  }
  void bind(const std::string& portal, const std::string& name) {
    if (!ready(names_.is_statement_under_way(name) || (!portal.empty() && names_.is_portal_under_way(portal)))) return;
    const Prepared* const prepared = names_.find(name);
    const StatementPtr statement = prepared == nullptr ? nullptr : prepared->statement;
    Reply& reply =
        send(Message::Does::bind, {.name = name, .portal = portal, .statement = statement}, Reply::Kind::bind);
    names_.bind(portal, {statement}, reply);
  }
  void close_statement(const std::string& name) {
    if (!ready(names_.is_statement_under_way(name))) return;
    names_.close_statement(name, send(Message::Does::close_statement, {.name = name}, Reply::Kind::close));
  }
  void close_portal(const std::string& portal) {
    if (!ready(names_.is_portal_under_way(portal))) return;
    names_.close_portal(portal, send(Message::Does::close_portal, {.portal = portal}, Reply::Kind::close));
  }
  void execute(const std::string& portal) {
    if (!ready(names_.is_portal_under_way(portal))) return;
    const StatementPtr statement = names_.find_portal(portal).statement;
    Reply& reply = send(Message::Does::execute, {.portal = portal, .statement = statement}, Reply::Kind::execute);
    reply.exchange.statement = statement;
  }
  /// Of a text with names in it. An Execute is one of a portal that the server was given.
  void run(Message::Does does, const StatementPtr& statement) {
    if (!ready(statement && moves_)) return;
    const bool is_query = does == Message::Does::query;
    Reply& reply =
        send(does, {.portal = "sql", .statement = statement}, is_query ? Reply::Kind::query : Reply::Kind::execute);
    reply.exchange.statement = statement;
    if (is_query) names_.query(reply);
    if (statement) names_.run(*statement, reply);
  }
  void sync() {
    replies_.skipping = false;
    send(Message::Does::sync, {}, Reply::Kind::sync);
  }

  // The server.

  /// The oldest message is done, or refused.
  void answer(bool refused) {
    Reply* const reply = replies_.front();
    if (reply == nullptr) return;
    const Message message = sent_.front();
    const bool done = execute(message, refused, *reply);
    if (done || reply->ends_batch()) {
      sent_.pop_front();
      replies_.pop();
    } else {
      reply->failed = true;
      replies_.skip_to_sync([this](Reply& skipped, std::span<Reply> later) {
        require(later.empty() || later.front().kind == Reply::Kind::sync);
        names_.undo(skipped, later);
        sent_.pop_front();
      });
    }
    if (replies_.empty()) names_.on_all_answered();
  }

  bool execute(const Message& message, bool refused, Reply& reply) {
    const bool is_taken = server_.statements.contains(message.name) || server_.in_sql.contains(message.name);
    switch (message.does) {
      case Message::Does::sync:
        return true;
      case Message::Does::fails:
        require(is_taken);
        return false;
      case Message::Does::parse:
        if (message.name.empty()) server_.statements.erase("");
        require(!moves_ || message.name.empty() || !is_taken);
        if (refused || (is_taken && !message.name.empty())) return false;
        break;
      case Message::Does::bind:
        // Without a wait the client's earlier batches may have failed: then the portal isn't known for what it is.
        require(!moves_ || find(server_.statements, message.name) == message.statement);
        if (refused || !is_taken) return false;
        break;
      case Message::Does::close_statement:
      case Message::Does::close_portal:
        break;
      case Message::Does::query:
        server_.statements.erase("");
        return !refused && (!message.statement || run_sql(*message.statement, reply));
      case Message::Does::execute:
        if (message.portal == "sql") return !refused && run_sql(*message.statement, reply);
        require(!moves_ || find(server_.portals, message.portal) == message.statement);
        return !refused && server_.portals.contains(message.portal);
    }
    message.send(server_);
    return true;
  }

  bool run_sql(const sql::Statement& statement, Reply& reply) {
    for (const auto& [what, name, text, value] : statement.changes) {
      switch (what) {
        case What::prepare:
          if (server_.statements.contains(name) || !server_.in_sql.insert(name).second) return false;
          names_.on_tag("PREPARE", reply);
          break;
        case What::deallocate:
          if (server_.statements.erase(name) + server_.in_sql.erase(name) == 0) return false;
          names_.on_tag("DEALLOCATE", reply);
          break;
        case What::deallocate_all:
          std::erase_if(server_.statements, [](const auto& named) { return !named.first.empty(); });
          server_.in_sql.clear();
          names_.forget_statements();
          break;
        default:
          break;
      }
    }
    return true;
  }

  // Both.

  void check() const {
    State expected = server_;
    for (const auto& message : sent_) message.send(expected);
    State known;
    for (const auto& [name, prepared] : names_.statements) known.statements[name] = prepared.statement;
    if (names_.unnamed) known.statements[""] = names_.unnamed->statement;
    for (const auto& [name, portal] : names_.portals) known.portals[name] = portal.statement;
    if (names_.unnamed_portal.statement) known.portals[""] = names_.unnamed_portal.statement;
    known.in_sql = {names_.in_sql.begin(), names_.in_sql.end()};
    for (State* const state : {&expected, &known}) {
      std::erase_if(state->portals, [](const auto& named) { return !named.second; });  // it isn't known of what
      if (!moves_) state->in_sql.clear();                                              // nobody asks for it
    }
    require(known == expected);
  }

  const bool moves_;
  Replies replies_;
  SessionNames names_;
  State server_;
  std::deque<Message> sent_;
  unsigned waits_ = 0;
};

}  // namespace

void session_names(pgwire::Bytes input) {
  if (input.empty()) return;
  Session session((input.front() & std::byte{1}) != std::byte{0});
  for (input = input.subspan(1); input.size() >= 3; input = input.subspan(3)) {
    const auto at = [&](std::size_t index) { return static_cast<unsigned>(input[index]); };
    session.act(at(0), at(1), at(2));
  }
}

}  // namespace millrace::gateway::fuzz
