#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sql/references.hpp"

namespace millrace::sql {

/// Which rows of the relations that it names a SELECT depends on, as far as its text shows: on a row only if the row
/// fulfils each of the predicates of one of the relation's places.
struct Restrictions {
  /// What a column is compared with, as it is written.
  struct Value {
    enum class Kind : std::uint8_t { number, string, boolean, parameter };
    Kind kind = Kind::number;
    std::string text = {};  ///< of a number: as it is written, perhaps with a minus; of a boolean: t or f
    std::uint32_t parameter = 0;
    Name cast = {};         ///< the type, of an array that of its elements; its name is "": none
    bool is_array = false;  ///< it is an array, whose elements are the values
    bool operator==(const Value&) const = default;
  };
  /// `column` = one of `values`, by the operator that "=" stands for.
  struct Predicate {
    std::string column;  ///< of the relation, if the relation has one of this name; else it may be anything
    std::vector<Value> values;
    bool operator==(const Predicate&) const = default;
  };
  /// One place in which a relation, or what a WITH clause gives, is read.
  struct Read {
    Name relation;
    std::vector<Predicate> predicates;  ///< empty: any row counts
    bool operator==(const Read&) const = default;
  };
  std::vector<Read> reads;                    ///< each place, in whatever subquery
  std::vector<std::uint32_t> parameter_uses;  ///< how often $1, $2, ... stand in the text

  /// How often the parameter stands in the text.
  std::uint32_t uses(std::uint32_t parameter) const {
    return parameter == 0 || parameter > parameter_uses.size() ? 0 : parameter_uses[parameter - 1];
  }
};

/// Null: the text isn't one SELECT, or what it reads isn't certain. Parses the text, of which the same holds as for
/// `parse`: some microseconds. Thread-safe.
std::optional<Restrictions> restrictions_of(std::string_view text);

}  // namespace millrace::sql
