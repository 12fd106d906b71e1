#include "optimizer/rules/rules.hpp"

namespace millrace::optimizer {

std::span<const Rule* const> all_rules() {
  // What makes conditions plain comes first; what takes tables out before what needs them.
  static constexpr const Rule* all[] = {
      &rules::boolean_wrapping,
      &rules::null_test_to_constant,
      &rules::contradiction_to_false,
      &rules::date_cast_to_range,
      &rules::date_trunc_to_range,
      &rules::extract_year_to_range,
      &rules::to_char_to_range,
      &rules::arithmetic_to_bound,
      &rules::interval_to_other_side,
      &rules::coalesce_to_column,
      &rules::numeric_literal_to_integer,
      &rules::text_of_key_to_key,
      &rules::not_distinct_to_equal,
      &rules::prefix_to_like,
      &rules::keyset_to_row,
      &rules::or_chain_to_in,
      &rules::count_to_exists,
      &rules::exists_of_aggregate,
      &rules::self_in_to_condition,
      &rules::in_to_exists,
      &rules::not_in_to_not_exists,
      &rules::null_test_to_join_column,
      &rules::order_by_removal,
      &rules::distinct_removal,
      &rules::unused_left_join,
      &rules::foreign_key_join,
      &rules::self_join,
      &rules::distinct_to_semi_join,
      &rules::union_to_union_all,
      &rules::in_or_in,
      &rules::or_to_union_of_keys,
      &rules::or_across_tables,
      &rules::exists_to_extreme,
      &rules::aggregate_to_grouped_join,
      &rules::aggregate_to_window,
      &rules::triangular_join_to_window,
      &rules::in_into_grouped,
      &rules::range_into_grouped,
      &rules::keys_into_grouped,
      &rules::distinct_to_skip_scan,
  };
  return all;
}

}  // namespace millrace::optimizer
