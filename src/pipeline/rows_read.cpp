#include "pipeline/rows_read.hpp"

#include <algorithm>
#include <map>
#include <optional>
#include <tuple>

#include "pipeline/bound_values.hpp"
#include "pipeline/question_key.hpp"
#include "pipeline/value_text.hpp"
#include "sql/restrictions.hpp"

namespace millrace::pipeline {

namespace {

using catalog::Oid;
using catalog::Relation;
using sql::Restrictions;
using Values = std::vector<std::string>;

/// What is longer isn't parsed on a query's way.
constexpr std::size_t longest_text = 8 * 1024;

class Reading {
 public:
  Reading(const Question& question, const Restrictions& restrictions, const catalog::Snapshot& snapshot)
      : bound_(question), restrictions_(restrictions), snapshot_(snapshot) {}

  /// A place in which the relation is read.
  void add(const Relation& relation, const Restrictions::Read& read) {
    Named& named = named_[relation.oid];
    if (named.whole) return;
    const auto predicate = best_of(relation, read);
    if (!predicate) {
      named.whole = true;
      return;
    }
    auto& values = named.values[predicate->first];
    values.insert(values.end(), predicate->second.begin(), predicate->second.end());
    count_ += predicate->second.size();
  }

  std::vector<RowsRead> end(std::span<const Oid> reads) && {
    std::vector<RowsRead> rows;
    std::vector<Oid> whole(reads.begin(), reads.end());
    if (count_ <= most_values_read) {
      std::vector<Oid> covered, read_whole;
      for (auto& [table, named] : named_) {
        const auto parts = snapshot_.read_with(table);
        auto& to = named.whole ? read_whole : covered;
        to.insert(to.end(), parts.begin(), parts.end());
        if (named.whole) continue;
        for (auto& [column, values] : named.values) {
          std::ranges::sort(values);
          const auto twice = std::ranges::unique(values);
          values.erase(twice.begin(), twice.end());
          rows.push_back({.table = table, .column = column, .values = std::move(values), .parts = parts});
        }
      }
      std::erase_if(whole, [&](Oid table) {
        return std::ranges::find(covered, table) != covered.end() &&
               std::ranges::find(read_whole, table) == read_whole.end();
      });
    }
    for (const Oid table : whole) rows.push_back({.table = table});
    std::ranges::sort(rows, {}, [](const RowsRead& one) { return std::tie(one.table, one.column); });
    return rows;
  }

 private:
  struct Named {
    bool whole = false;  ///< any row counts
    std::map<std::string, Values> values;
  };

  /// One that is certain; rather of a column whose old value the change stream tells, where it doesn't tell all.
  std::optional<std::pair<std::string, Values>> best_of(const Relation& relation, const Restrictions::Read& read) {
    std::optional<std::pair<std::string, Values>> best;
    if (relation.kind != 'r' && relation.kind != 'p') return best;  // a view's rows are others'
    for (const auto& predicate : read.predicates) {
      auto values = values_of(relation, predicate);
      if (!values) continue;
      if (is_told(relation, predicate.column)) return std::pair(predicate.column, std::move(*values));
      if (!best) best = std::pair(predicate.column, std::move(*values));
    }
    return best;
  }

  static bool is_told(const Relation& relation, const std::string& column) {
    if (relation.replica_identity == 'f') return true;
    return std::ranges::any_of(relation.keys,
                               [&](const auto& key) { return std::ranges::find(key, column) != key.end(); });
  }

  std::optional<Values> values_of(const Relation& relation, const Restrictions::Predicate& predicate) {
    const auto column = std::ranges::find(relation.columns, predicate.column, &catalog::Column::name);
    if (column == relation.columns.end()) return std::nullopt;  // of a query around, or a function
    const auto family = family_of(*column, snapshot_);
    if (family == ValueFamily::none) return std::nullopt;
    Values values;
    for (const auto& value : predicate.values) {
      if (!add_value(values, family, value)) return std::nullopt;
    }
    return values;
  }

  /// False: which value it is isn't certain, nor that it is compared as one of the family.
  bool add_value(Values& values, ValueFamily family, const Restrictions::Value& value) {
    using Kind = Restrictions::Value::Kind;
    if (!value.cast.name.empty() && !casts_to(family, value.cast, snapshot_)) return false;
    switch (value.kind) {
      case Kind::number:  // of a text or another type, there is no such comparison, or one by a cast of somebody's
        return family == ValueFamily::integer && add(values, canonical_text(family, value.text));
      case Kind::boolean:
        return family == ValueFamily::boolean && add(values, value.text);
      case Kind::string:  // without a cast it is taken to be of the column's type
        return value.is_array ? add(values, canonical_elements(family, value.text, most_values_read))
                              : add(values, canonical_text(family, value.text));
      case Kind::parameter:
        return add_parameter(values, family, value);
    }
    return false;
  }

  bool add_parameter(Values& values, ValueFamily family, const Restrictions::Value& value) {
    const auto bound = bound_.find(value.parameter);
    if (!bound) return false;
    // PostgreSQL gives one without a type that of the place where it first needs one: of the column or the cast, if it
    // stands nowhere else. Elsewhere four bytes may be a float, and 'ab ' a char(3).
    if (bound->type == 0 && restrictions_.uses(value.parameter) != 1) return false;
    if (bound->type != 0 && (value.is_array ? family_of_array(bound->type) : family_of(bound->type)) != family) {
      return false;
    }
    if (!bound->bytes) return true;  // NULL is equal to nothing
    if (value.is_array) {
      return add(values, bound->is_binary ? canonical_binary_elements(family, *bound->bytes, most_values_read)
                                          : canonical_elements(family, *bound->bytes, most_values_read));
    }
    return add(values,
               bound->is_binary ? canonical_binary(family, *bound->bytes) : canonical_text(family, *bound->bytes));
  }

  static bool add(Values& values, std::optional<std::string> value) {
    if (value) values.push_back(std::move(*value));
    return value.has_value();
  }
  static bool add(Values& values, std::optional<Values> more) {
    if (more) values.insert(values.end(), more->begin(), more->end());
    return more.has_value();
  }

  const BoundValues bound_;
  const Restrictions& restrictions_;
  const catalog::Snapshot& snapshot_;
  std::map<Oid, Named> named_;
  std::size_t count_ = 0;
};

std::vector<RowsRead> all_of(std::span<const Oid> reads) {
  std::vector<RowsRead> rows;
  for (const Oid table : reads) rows.push_back({.table = table});
  return rows;
}

}  // namespace

std::vector<RowsRead> rows_read(const Question& question, std::span<const Oid> reads, const catalog::Snapshot& snapshot,
                                std::span<const std::string> search_path) {
  const auto text = text_of(question);
  if (reads.empty() || text.size() > longest_text) return all_of(reads);
  const auto restrictions = sql::restrictions_of(text);
  if (!restrictions) return all_of(reads);
  Reading reading(question, *restrictions, snapshot);
  for (const auto& read : restrictions->reads) {
    const auto* relation = snapshot.resolve(read.relation, search_path);
    if (relation == nullptr) continue;                // what a WITH clause gives
    if (relation->kind == 'v') return all_of(reads);  // it may read any of the tables once more
    reading.add(*relation, read);
  }
  return std::move(reading).end(reads);
}

}  // namespace millrace::pipeline
