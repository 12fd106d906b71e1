#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "backend/duckdb.hpp"
#include "monitor/slow_query.hpp"
#include "monitor/subjects.hpp"

/// How the monitor's structures lie in the store's columns.
namespace millrace::stored {

/// QueryFigures' members, in the order of `figure_columns`; a histogram follows. `rewritten` isn't kept.
inline constexpr std::array figure_members = {&QueryFigures::calls,    &QueryFigures::errors,   &QueryFigures::slow,
                                              &QueryFigures::rows,     &QueryFigures::bytes,    &QueryFigures::hits,
                                              &QueryFigures::misses,   &QueryFigures::bypasses, &QueryFigures::queue_ns,
                                              &QueryFigures::total_ns, &QueryFigures::max_ns};
inline constexpr std::string_view figure_columns =
    "calls, errors, slow, row_count, byte_count, hits, misses, bypasses, queue_ns, total_ns, max_ns, durations";
inline constexpr std::string_view figure_types =
    "calls UBIGINT, errors UBIGINT, slow UBIGINT, row_count UBIGINT, byte_count UBIGINT, hits UBIGINT, misses UBIGINT, "
    "bypasses UBIGINT, queue_ns UBIGINT, total_ns UBIGINT, max_ns UBIGINT, durations BLOB";

/// Adds what is in these columns, from this one on.
Result<> add_figures(const backend::DuckDbRows& row, std::size_t column, SubjectFigures& sum);

/// A row that ends with figures: `first` are its other columns.
template <typename... T>
void add_row(backend::DuckDbAppender& rows, const SubjectFigures& sums, const T&... first) {
  const QueryFigures& f = sums.figures;
  rows.add(first..., f.calls, f.errors, f.slow, f.rows, f.bytes, f.hits, f.misses, f.bypasses, f.queue_ns, f.total_ns,
           f.max_ns, backend::Blob{sums.durations.bytes()});
}

/// Parameters as bytes.
std::string packed(const ParameterTexts& parameters);
/// What can't be read of them is left out.
ParameterTexts unpacked(std::string_view bytes);

}  // namespace millrace::stored
