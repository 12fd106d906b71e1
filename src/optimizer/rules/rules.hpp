#pragma once

#include "optimizer/rule.hpp"

/// One a file.
namespace millrace::optimizer::rules {

extern const Rule boolean_wrapping;
extern const Rule null_test_to_constant;
extern const Rule contradiction_to_false;
extern const Rule date_cast_to_range;
extern const Rule date_trunc_to_range;
extern const Rule extract_year_to_range;
extern const Rule to_char_to_range;
extern const Rule arithmetic_to_bound;
extern const Rule interval_to_other_side;
extern const Rule coalesce_to_column;
extern const Rule numeric_literal_to_integer;
extern const Rule text_of_key_to_key;
extern const Rule not_distinct_to_equal;
extern const Rule prefix_to_like;
extern const Rule keyset_to_row;
extern const Rule or_chain_to_in;
extern const Rule count_to_exists;
extern const Rule exists_of_aggregate;
extern const Rule self_in_to_condition;
extern const Rule in_to_exists;
extern const Rule not_in_to_not_exists;
extern const Rule null_test_to_join_column;
extern const Rule order_by_removal;
extern const Rule distinct_removal;
extern const Rule unused_left_join;
extern const Rule foreign_key_join;
extern const Rule self_join;
extern const Rule distinct_to_semi_join;
extern const Rule distinct_to_skip_scan;
extern const Rule union_to_union_all;
extern const Rule aggregate_to_grouped_join;
extern const Rule aggregate_to_window;
extern const Rule triangular_join_to_window;
extern const Rule in_into_grouped;
extern const Rule range_into_grouped;
extern const Rule keys_into_grouped;
extern const Rule exists_to_extreme;
extern const Rule in_or_in;
extern const Rule or_to_union_of_keys;
extern const Rule or_across_tables;

}  // namespace millrace::optimizer::rules
