#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "pgwire/protocol/frame.hpp"
#include "pipeline/explanation.hpp"

namespace millrace::gateway {

/// What EXPLAIN (MILLRACE) answers: an item and its value in each row, both text.
using ExplainRows = std::vector<std::pair<std::string, std::string>>;

/// `question`: the one that is explained; of an execution, its parameters are among the rows.
ExplainRows rows_of(const pipeline::Explanation& said, const pipeline::Question& question);

/// A RowDescription. Text is the same in both formats; they are said as they were asked for.
void append_explain_columns(std::string& out, std::array<std::int16_t, 2> formats);
void append_explain_rows(std::string& out, std::span<const ExplainRows::value_type> rows);
/// As of PostgreSQL's own EXPLAIN.
inline constexpr std::string_view explain_tag = "EXPLAIN";

}  // namespace millrace::gateway
