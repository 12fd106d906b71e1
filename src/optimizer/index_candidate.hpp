#pragma once

#include <string>
#include <vector>

namespace millrace::optimizer {

/// An index that could be. A btree; all texts are as CREATE INDEX has them: names are quoted where that is needed.
struct IndexCandidate {
  std::string schema, table;  ///< without quotes
  std::vector<std::string>
      columns;  ///< perhaps with DESC or an operator class; an expression has parentheses of its own
  std::vector<std::string> include = {};  ///< only carried along, so that the table needn't be read
  std::string where = {};                 ///< of a partial one; "": it has all rows
  std::string where_column = {};          ///< which `where` is about

  std::string name() const;  ///< "public.pages (status_code)"
  /// What it would be called: "idx_pages_status_code". Others may have the same.
  std::string index_name() const;
  std::string statement() const { return statement(index_name()); }
  /// "CREATE INDEX CONCURRENTLY idx_pages_status_code ON public.pages (status_code)"
  std::string statement(std::string_view index) const;
  bool operator==(const IndexCandidate&) const = default;
};

/// Of a key of an index: "created_at DESC" is about "created_at".
std::string_view without_direction(std::string_view key);

/// What an index of one has all of which the other has, in the same order (or all of it the other way round).
bool begins_with(const std::vector<std::string>& keys, const std::vector<std::string>& first);

}  // namespace millrace::optimizer
