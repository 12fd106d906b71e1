// Conversations to begin with: every kind of message, in both modes.
#include "gateway/fuzz/messages.hpp"
#include "gateway/fuzz/relay_exchange.hpp"

namespace millrace::gateway::fuzz {
namespace {

using namespace wire;

/// Builds an input, see relay_exchange.hpp.
class Conversation {
 public:
  explicit Conversation(Relay::Mode mode) { input_ += mode == Relay::Mode::transaction ? '\1' : '\0'; }

  Conversation& client(const std::string& bytes) { return record(0, bytes); }
  Conversation& server(const std::string& bytes) { return record(0x8000, bytes); }
  const std::string& input() const { return input_; }

 private:
  Conversation& record(unsigned who, const std::string& bytes) {
    const auto head = static_cast<unsigned>(bytes.size()) | who;
    input_ += static_cast<char>(head >> 8);
    input_ += static_cast<char>(head);
    input_ += bytes;
    return *this;
  }

  std::string input_;
};

std::string run(std::string_view sql) { return parse("", sql) + bind("") + execute(); }
std::string done(std::string_view tag) { return parsed() + bound() + complete(tag); }

void converse(std::string_view name, Conversation& talk) {
  if (name == "simple") {
    talk.client(query("SELECT 1")).server(columns() + row("1") + complete("SELECT 1") + ready());
    talk.client(query("") + query("SELEC")).server(empty_query() + ready() + error("42601", "syntax error") + ready());
    talk.client(query("SELECT 1; LISTEN c")).server(notice("n") + columns() + complete("SELECT 0"));
    talk.server(complete("LISTEN") + notification("c") + parameter("TimeZone", "UTC") + ready());
    talk.client(terminate());
  } else if (name == "prepared") {
    talk.client(parse("s", "SELECT $1") + describe_statement("s") + sync());
    talk.server(parsed() + parameter_types() + columns() + ready());
    talk.client(bind("s") + execute() + sync());
    talk.server(parsed() + parameter_types() + columns());
    talk.server(bound() + row("1") + complete("SELECT 1") + ready());
    talk.client(bind("s", "p") + describe_portal("p") + execute("p", 1) + flush());
    talk.server(bound() + columns() + row("1") + suspended());
    talk.client(execute("p") + close_portal("p") + close_statement("s") + sync());
    talk.server(complete("SELECT 0") + closed() + closed() + ready());
  } else if (name == "names") {
    talk.client(parse("a", "SELECT 1") + parse("b", "SELECT 1") + sync());
    talk.server(parsed() + parsed() + parameter_types() + columns() + ready());
    talk.client(parse("a", "SELECT 2") + sync()).server(parsed() + error("42P05", "\"a\" already exists") + ready());
    talk.client(query("EXECUTE b")).server(closed() + parsed() + complete("SELECT 1") + ready() + ready());
    talk.client(query("DEALLOCATE a")).server(closed() + parsed() + complete("DEALLOCATE") + ready() + ready());
    talk.client(run("DEALLOCATE ALL") + parse("c", "SELECT 3") + bind("c") + sync());
    talk.server(done("DEALLOCATE ALL") + parsed() + bound() + ready());
  } else if (name == "errors") {
    talk.client(parse("a", "SELECT 1") + sync()).server(parsed() + ready());
    talk.client(bind("nobody") + close_statement("a") + parse("b", "SELECT 1") + parse("", "SELECT 2") + sync());
    talk.server(error("26000", "prepared statement \"nobody\" does not exist") + ready());
    talk.client(bind("a") + flush()).server(error("08P01", "prepared statement \"mr_1\" requires 1"));
    talk.client(execute() + query("SELECT 1") + sync()).server(ready());
    talk.client(bind("") + sync()).server(error("26000", "there is none") + ready());
    talk.server(error("57P01", "terminating connection", "FATAL"));
  } else if (name == "settings") {
    talk.client(query("SET work_mem = '1MB'")).server(complete("SET") + ready());
    talk.client(query("BEGIN") + query("SET search_path = a") + query("ROLLBACK"));
    talk.server(complete("BEGIN") + ready('T') + complete("SET") + ready('T') + complete("ROLLBACK") + ready());
    talk.client(run("BEGIN") + run("SET datestyle = 'ISO'") + run("COMMIT") + sync());
    talk.server(done("BEGIN") + done("SET") + done("COMMIT") + ready());
    talk.client(query("SET a = 1; RESET ALL")).server(complete("SET") + complete("RESET") + ready());
    talk.client(query("SAVEPOINT s")).server(complete("SAVEPOINT") + ready('T'));
    talk.client(query("SET b = 1")).server(complete("SET") + ready('T'));
    talk.client(query("ROLLBACK TO s")).server(complete("ROLLBACK") + ready('E'));
    talk.client(query("DISCARD ALL")).server(complete("DISCARD ALL") + ready());
  } else if (name == "copy") {
    talk.client(query("COPY t FROM STDIN")).server(copy_in());
    talk.client(copy_data("1\n") + copy_done()).server(complete("COPY 1") + ready());
    talk.client(run("COPY t FROM STDIN") + sync()).server(parsed() + bound() + copy_in());
    talk.client(copy_data("1\n") + flush() + sync() + copy_fail() + sync());
    talk.server(error("57014", "COPY from stdin failed") + ready());
    talk.client(run("COPY t FROM STDIN") + sync() + copy_data("1\n") + copy_done() + sync());
    talk.server(parsed() + bound() + copy_in() + complete("COPY 1") + ready());
    talk.client(query("COPY t TO STDOUT")).server(copy_out() + copy_data("1\n") + copy_done());
    talk.server(complete("COPY 1") + ready());
  } else if (name == "long") {
    const std::string words(300, 'w');
    talk.client(query("SELECT 1 -- a text of more than forty-eight bytes, parsed elsewhere"));
    talk.server(columns() + row(words) + complete("SELECT 1") + ready());
    talk.client(query("SELECT '" + words + "'").substr(0, 200)).client(query("SELECT '" + words + "'").substr(200));
    talk.server(error("42601", words) + ready());
    talk.client(parse("s", "SELECT '" + words + "'") + bind("s") + execute() + sync());
    talk.server(parsed() + bound() + row(words) + complete("SELECT 1") + ready());
  } else if (name == "explain") {
    const std::string sql = "EXPLAIN (MILLRACE) SELECT 1";
    talk.client(query(sql)).client(parse("e", sql) + describe_statement("e") + flush());
    talk.client(bind("e") + execute("", 1) + execute() + sync() + close_statement("e") + sync());
    talk.client(query("BEGIN") + query("SELECT 1") + query(sql) + run(sql) + sync());
    talk.server(complete("BEGIN") + ready('T') + complete("SELECT 0") + ready('T'));
    talk.client(run("SELECT 1") + run(sql) + sync());
    talk.server(done("SELECT 0") + parsed() + bound() + error("42601", "unrecognized EXPLAIN option") + ready('E'));
    talk.client(run(sql) + sync()).server(error("25P02", "current transaction is aborted") + ready('E'));
    talk.client(query("EXPLAIN (MILLRACE) SELECT 1 -- of more than forty-eight bytes"));
    talk.server(error("25P02", "current transaction is aborted") + ready('E'));
  } else if (name == "token") {
    const std::string sql = "SHOW millrace.token";
    talk.client(parse("t", sql) + sync() + query(sql) + run("BEGIN") + run(sql) + bind("t", "p") +
                describe_portal("p"));
    talk.client(execute("p", 1) + parse("", sql) + describe_statement("") + flush());
    talk.server(done("BEGIN") + parsed() + bound() + row("150000") + complete("SHOW") + parsed() + bound() + columns());
    talk.server(row("150000").substr(0, 3)).server(row("150000").substr(3) + suspended() + parsed() + columns());
    talk.client(query(sql)).server(columns() + row("150000") + complete("SHOW") + ready('T'));
    talk.client(run("SELECT 1/0") + run(sql) + sync()).client(query(sql));
    talk.server(parsed() + bound() + error("22012", "division by zero") + ready('E'));
    talk.server(error("25P02", "current transaction is aborted") + ready('E'));
  } else if (name == "function") {
    talk.client(query("SELECT nextval('s')")).server(columns() + row("1") + complete("SELECT 1") + ready());
    talk.client(query("SELECT lastval()")).server(columns() + row("1") + complete("SELECT 1") + ready());
    talk.client(function_call()).server(function_result() + ready());
  }
}

}  // namespace

std::vector<Sample> samples() {
  std::vector<Sample> all;
  for (const std::string_view name :
       {"simple", "prepared", "names", "errors", "settings", "copy", "long", "explain", "token", "function"}) {
    for (const auto mode : {Relay::Mode::session, Relay::Mode::transaction}) {
      Conversation talk(mode);
      converse(name, talk);
      all.push_back(
          {fmt::format("{}_{}", name, mode == Relay::Mode::session ? "session" : "transaction"), talk.input()});
    }
  }
  return all;
}

}  // namespace millrace::gateway::fuzz
