#pragma once

#include <compare>
#include <string>
#include <string_view>
#include <vector>

namespace millrace::sql {

/// `schema`: "" where the text gives none.
struct Name {
  std::string schema, name;
  auto operator<=>(const Name&) const = default;
};

/// All that SELECT, INSERT, UPDATE, DELETE, MERGE or COPY names, as far as its text shows: for whoever has the
/// catalog. Each list is sorted and holds a name once. There may be too many names, never too few: a name that a WITH
/// clause gives may stand in `reads` too.
struct References {
  /// "": every node and field of the tree is one that this knows to depend on nothing but what is listed here and the
  /// session's settings. Else the first that isn't, in words for people: "FOR UPDATE", "TABLESAMPLE",
  /// "CURRENT_TIMESTAMP", "XMLTABLE".
  std::string not_known;
  bool only_clock = false;  ///< `not_known` is CURRENT_TIMESTAMP or its kin, or a lock of rows; all else is known

  std::vector<Name> reads;        ///< relations that are read, in whatever subquery
  std::vector<Name> writes;       ///< targets of INSERT, UPDATE, DELETE, MERGE, COPY FROM, also in WITH
  std::vector<std::string> with;  ///< names that WITH clauses give: an unqualified name in `reads` may be one
  std::vector<Name> functions;    ///< calls, also of aggregates
  std::vector<Name> operators;    ///< "=" is one; also those that BETWEEN, IN, LIKE, NULLIF and so on stand for
  std::vector<Name> types;        ///< of casts and typed constants, without array brackets and modifiers
  std::vector<Name> collations;
  std::vector<std::string> fields;  ///< of `a.b` and `(e).b`: the last name, which may be a function's
  /// What becomes a date, time or timestamp (or a range or array of those), other than constants and parameters: "a" a
  /// column, "f()" what a function gives, "+" what an operator gives, "::t" what was a `t` before, "" anything else. If
  /// it is of a type of text, then the text may be 'now'.
  std::vector<std::string> to_moments;
  /// Names that the text gives to columns, so that they may not be a relation's. "": those that a function in FROM has.
  std::vector<std::string> renames;
  bool who = false;  ///< CURRENT_USER, SESSION_USER, CURRENT_ROLE, USER, CURRENT_SCHEMA, CURRENT_CATALOG

  bool operator==(const References&) const = default;
};

/// Whether a constant in the text may be one of the words that stand for the time of the transaction: now, today,
/// tomorrow, yesterday. Texts that share a Statement may differ in this, and so may values of parameters, which this is
/// to be asked of as well.
bool mentions_moments(std::string_view text);

}  // namespace millrace::sql
