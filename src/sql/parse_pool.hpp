#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "sql/statement.hpp"

namespace millrace::sql {

/// Parses texts that are too long for an I/O thread, on threads whose stacks are large enough for any text that a
/// Statement is made of.
///
/// Thread-safe. Texts wait in line. Who has no more than one in it at a time, as a client, waits at most for one of
/// everybody else.
class ParsePool {
 public:
  using Done = std::function<void(std::shared_ptr<const Statement>)>;

  explicit ParsePool(std::size_t threads = 1);
  /// Finishes what is being parsed; what waits is answered `unparsed`.
  ~ParsePool();
  ParsePool(const ParsePool&) = delete;
  ParsePool& operator=(const ParsePool&) = delete;

  /// `done` is called once, on a thread of the pool or on the caller's.
  void parse(std::string text, Done done);
  /// For whatever else takes a large stack; behind all that waits. Not called at all once the pool ends.
  void run(std::function<void()> job);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace millrace::sql
