#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "sql/statement.hpp"

namespace millrace::sql {

/// From a statement's raw text to its Statement, so that the second time costs a hash look-up and no allocation.
///
/// Two keys lead to an entry: the text itself, and the text with its plain numbers and plain quoted strings taken out
/// (where that is certain to lex the same, see template_key.hpp), so that `WHERE id = 1` and `WHERE id = 2` share one.
/// Only queries and DML are shared in this way: what the gateway learns of them doesn't depend on constants. Keys are
/// compared in full; a collision of hashes costs time and never gives another text's answer.
///
/// Not thread-safe: one a core. Bounded in entries, and in bytes (2 KiB an entry on average; those not used lately go).
class StatementMemo {
 public:
  explicit StatementMemo(std::size_t max_entries = 4096, ParseLimits limits = {});
  ~StatementMemo();

  /// The statement if it is known, if it is over the limits (then it is `unparsed`), or if it is short enough to be
  /// parsed here and now; otherwise null, and the caller asks a ParsePool and calls `remember`.
  std::shared_ptr<const Statement> find_or_parse(std::string_view text);
  void remember(std::string_view text, std::shared_ptr<const Statement> statement);

  struct Counts {
    std::uint64_t hits = 0;
    std::uint64_t misses = 0;
    std::size_t entries = 0;
    std::size_t bytes = 0;
  };
  Counts counts() const;  ///< safe to call from any thread

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace millrace::sql
