#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "catalog/snapshot.hpp"

namespace millrace::pipeline {

/// Types whose values are equal, by PostgreSQL's own `=`, exactly if PostgreSQL writes them alike.
enum class ValueFamily : std::uint8_t {
  none,     ///< another type. So are char(n), whose blanks don't count, citext, numeric (1.0 = 1) and floats (-0 = 0)
  integer,  ///< smallint, integer, bigint: equal across the three
  text,     ///< text, varchar
  uuid,
  boolean,
};

ValueFamily family_of(catalog::Oid type);
/// Of the elements of a type of arrays.
ValueFamily family_of_array(catalog::Oid type);
/// `none` also where `=` may be another than PostgreSQL's own, or the column's collation takes other texts for equal.
ValueFamily family_of(const catalog::Column& column, const catalog::Snapshot& snapshot);
/// Whether a cast to this type gives values of the family, whichever type of the name is meant.
bool casts_to(ValueFamily family, const sql::Name& type, const catalog::Snapshot& snapshot);

/// How PostgreSQL writes the value that a client writes like this. Null: that isn't certain, or it is long.
std::optional<std::string> canonical_text(ValueFamily family, std::string_view text);
/// Of a value in binary format.
std::optional<std::string> canonical_binary(ValueFamily family, std::string_view bytes);

/// How PostgreSQL writes the elements that aren't NULL of an array of one dimension. Null: not certain, or more than
/// `most`. Any bytes are allowed.
std::optional<std::vector<std::string>> canonical_elements(ValueFamily family, std::string_view array,
                                                           std::size_t most);
std::optional<std::vector<std::string>> canonical_binary_elements(ValueFamily family, std::string_view array,
                                                                  std::size_t most);

}  // namespace millrace::pipeline
