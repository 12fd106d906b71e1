#pragma once

#include <span>
#include <string>
#include <vector>

#include "catalog/snapshot.hpp"
#include "pipeline/exchange.hpp"

namespace millrace::pipeline {

/// Which rows of a table an answer depends on.
struct RowsRead {
  catalog::Oid table = 0;
  std::string column = {};               ///< "": all of the table's own. Else those in which it has one of the values,
  std::vector<std::string> values = {};  ///< as PostgreSQL writes them; sorted,
  std::vector<catalog::Oid> parts = {};  ///< also those of these tables, which are the table and those below it
};

/// Most values that one answer depends on; of more, it depends on the tables.
inline constexpr std::size_t most_values_read = 64;

/// `reads`: the tables that the question's answer depends on, by `cacheability`, which gave this search path. Each of
/// them is covered by what comes back; where it isn't certain which rows count, by itself. A row of other values may
/// make the statement fail that goes well without it, depending on which condition PostgreSQL looks at first; that
/// isn't told. Parses the text, if it isn't long: some microseconds. Pure; thread-safe.
std::vector<RowsRead> rows_read(const Question& question, std::span<const catalog::Oid> reads,
                                const catalog::Snapshot& snapshot, std::span<const std::string> search_path);

}  // namespace millrace::pipeline
