#include "gateway/fuzz/messages.hpp"
#include "gateway/fuzz/parts.hpp"

namespace millrace::gateway::fuzz {
namespace {

using namespace wire;

std::string bytes(std::initializer_list<int> values) {
  std::string out;
  for (const int value : values) out += static_cast<char>(value);
  return out;
}

/// `how`: see `manner_of`.
PartSample from_client(std::string name, int how, const std::string& sent) {
  return {"client_reader", std::move(name), bytes({how, 7}) + sent};
}

std::string with_length(std::string message, int length) {
  message.replace(1, 4, bytes({0, 0, length >> 8, length & 0xff}));
  return message;
}

// What is done, see `Session::act`: 0 parse, 2 bind, 4 close a statement, 5 a portal, 6 a Query of SQL, 7 execute, 8
// sync, 9 another Query, 10 an Execute of SQL, 11 the transaction's end, 13 an answer; 1, 0, 0 answers, 0, 0, 0
// refuses.
using Acts = std::initializer_list<std::array<int, 3>>;
void add_names(std::vector<PartSample>& all, const std::string& name, Acts acts) {
  for (const int moves : {0, 1}) {
    std::string input = bytes({moves});
    for (const auto& act : acts) input += bytes({act[0], act[1], act[2]});
    all.push_back({"session_names", name + (moves == 1 ? "_transaction" : "_session"), input});
  }
}

}  // namespace

std::vector<PartSample> part_samples() {
  constexpr int parse = 0, bind = 2, close = 4, close_portal = 5, query = 6, run = 7, sync = 8, other_query = 9,
                run_sql = 10, answer = 13;
  constexpr int unnamed = 0, a = 1, b = 2;
  constexpr int yes = 1, no = 0;
  constexpr int deallocate = 4, deallocate_all = 8, set = 12;  // deallocate: a

  const std::string batch = wire::parse("s", "SELECT currval('a')") + wire::bind("s") + describe_portal() + execute() +
                            wire::close_statement("s") + wire::sync();
  const std::string talk = batch + wire::query("COPY t FROM STDIN") + copy_data("1\n2\n") + copy_done() + flush() +
                           function_call() + terminate();
  std::vector<PartSample> all;
  for (const int how : {2, 3, 7, 11, 15, 19, 31}) all.push_back(from_client(fmt::format("talk_{}", how), how, talk));
  all.push_back(from_client("goodbye", 3, wire::parse("", "SELECT 1") + terminate()));
  all.push_back(from_client("unknown_type", 3, batch + "p" + bytes({0, 0, 0, 4})));
  all.push_back(from_client("short_length", 3, batch + with_length(wire::sync(), 3)));
  all.push_back(from_client("long_sync", 3, batch + with_length(wire::sync(), 10'001)));
  all.push_back(from_client("long_goodbye", 3, with_length(terminate(), 10'001)));
  all.push_back(from_client("too_long_behind", 1, wire::parse("", "") + wire::parse("", std::string(80, ' '))));

  all.push_back({"replies", "batch", bytes({0, 2, 0, 3, 0, 5, 0, 7, 4, 2, 5, 0, 3, 1})});
  all.push_back({"replies", "queries", bytes({2, 201, 3, 90, 2, 100, 3, 150, 7, 0, 3, 255, 7, 0})});
  all.push_back({"replies", "copy", bytes({0, 5, 0, 7, 0, 8, 0, 7, 6, 0, 3, 1, 3, 1})});
  all.push_back({"replies", "copy_of_query", bytes({0, 0, 0, 7, 0, 7, 6, 0, 7, 0, 4, 0})});
  all.push_back({"replies", "skipped_copy_end", bytes({0, 2, 0, 5, 0, 8, 0, 7, 5, 0, 4, 7})});

  add_names(all, "prepared",
            {{parse, a, 0},
             {bind, b, a},
             {run, b, 0},
             {sync, 0, 0},
             {answer, yes, 0},
             {answer, yes, 0},
             {answer, yes, 0},
             {answer, yes, 0},
             {close, a, 0},
             {close_portal, b, 0},
             {sync, 0, 0},
             {answer, yes, 0}});
  add_names(all, "refused",
            {{parse, a, 0},
             {parse, unnamed, 0},
             {sync, 0, 0},
             {parse, a, 0},
             {other_query, 0, 0},
             {answer, no, 0},
             {answer, yes, 0},
             {answer, no, 0}});
  add_names(all, "deallocated",
            {{parse, a, 0},
             {parse, b, 0},
             {sync, 0, 0},
             {query, deallocate, set},
             {parse, a, 0},
             {sync, 0, 0},
             {query, deallocate_all, set},
             {bind, unnamed, b},
             {sync, 0, 0},
             {answer, yes, 0},
             {answer, yes, 0},
             {answer, yes, 0},
             {answer, yes, 0}});
  // What waits in transaction mode.
  add_names(
      all, "unnamed_bound_later",
      {{parse, unnamed, 0}, {sync, 0, 0}, {bind, b, unnamed}, {answer, no, 0}, {answer, yes, 0}, {answer, yes, 0}});
  add_names(all, "unnamed_portal_run_later",
            {{parse, a, 0},
             {sync, 0, 0},
             {answer, yes, 0},
             {answer, yes, 0},
             {bind, unnamed, a},
             {sync, 0, 0},
             {run, unnamed, 0},
             {answer, no, 0},
             {answer, yes, 0},
             {answer, yes, 0}});
  add_names(all, "deallocated_then_bound",
            {{parse, a, 0},
             {sync, 0, 0},
             {answer, yes, 0},
             {answer, yes, 0},
             {run_sql, deallocate, set},
             {bind, b, a},
             {answer, yes, 0},
             {answer, yes, 0}});
  // Faults that were found.
  add_names(all, "portal_bound_later",
            {{parse, a, 0},
             {sync, 0, 0},
             {answer, yes, 0},
             {answer, yes, 0},
             {bind, b, a},
             {sync, 0, 0},
             {bind, b, a},
             {sync, 0, 0},
             {answer, no, 0}});
  add_names(all, "unnamed_closed_later",
            {{parse, unnamed, 0},
             {close, unnamed, 0},
             {parse, unnamed, 0},
             {sync, 0, 0},
             {close, unnamed, 0},
             {answer, no, 0}});
  add_names(all, "unnamed_portal_closed",
            {{parse, a, 0}, {bind, unnamed, a}, {sync, 0, 0}, {close_portal, unnamed, 0}, {answer, yes, 0}});
  add_names(all, "dropped_then_closed",
            {{parse, a, 0},
             {sync, 0, 0},
             {run_sql, deallocate_all, set},
             {bind, unnamed, b},
             {close, a, 0},
             {answer, yes, 0},
             {answer, yes, 0},
             {answer, yes, 0},
             {answer, no, 0}});
  return all;
}

}  // namespace millrace::gateway::fuzz
