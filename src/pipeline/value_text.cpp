#include "pipeline/value_text.hpp"

#include <algorithm>
#include <charconv>

#include "pgwire/protocol/reader.hpp"
#include "pipeline/type_rules.hpp"

namespace millrace::pipeline {

namespace {

using catalog::Oid;

constexpr Oid bool_ = 16, int8 = 20, int2 = 21, int4 = 23, text = 25, varchar = 1043, uuid = 2950;
constexpr Oid bool_array = 1000, int2_array = 1005, int4_array = 1007, text_array = 1009, varchar_array = 1015,
              int8_array = 1016, uuid_array = 2951;
// Of the database, "C" and "POSIX". A database's own is deterministic: texts are equal if their bytes are.
constexpr Oid default_collation = 100, c_collation = 950, posix_collation = 951;

constexpr std::size_t longest_value = 256;
constexpr std::string_view space = " \t\n\r\f\v";

bool is_ascii(std::string_view bytes) {
  return std::ranges::all_of(bytes, [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

std::optional<std::string> integer_text(std::string_view written) {
  const auto first = written.find_first_not_of(space);
  if (first == written.npos) return std::nullopt;
  written = written.substr(first, written.find_last_not_of(space) - first + 1);
  if (written.starts_with('+')) {
    written.remove_prefix(1);
    if (written.starts_with('-')) return std::nullopt;
  }
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(written.data(), written.data() + written.size(), value);
  if (error != std::errc{} || end != written.data() + written.size()) return std::nullopt;
  return std::to_string(value);
}

/// In the one form that everybody writes; PostgreSQL takes others too.
std::optional<std::string> uuid_text(std::string_view written) {
  constexpr std::size_t size = 36;
  if (written.size() != size) return std::nullopt;
  std::string lower(written);
  for (std::size_t i = 0; i < size; ++i) {
    char& c = lower[i];
    if (i == 8 || i == 13 || i == 18 || i == 23) {
      if (c != '-') return std::nullopt;
      continue;
    }
    if (c >= 'A' && c <= 'F') c = static_cast<char>(c - 'A' + 'a');
    if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'f')) return std::nullopt;
  }
  return lower;
}

std::optional<std::string> boolean_text(std::string_view written) {
  if (written == "t" || written == "true" || written == "1") return "t";
  if (written == "f" || written == "false" || written == "0") return "f";
  return std::nullopt;
}

std::int64_t signed_of(std::string_view big_endian) {
  const bool is_negative = (static_cast<unsigned char>(big_endian.front()) & 0x80) != 0;
  auto value = is_negative ? ~std::uint64_t{0} : 0;
  for (const char c : big_endian) value = value << 8 | static_cast<unsigned char>(c);
  return static_cast<std::int64_t>(value);
}

std::string uuid_of(std::string_view bytes) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string out;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) out += '-';
    const auto byte = static_cast<unsigned char>(bytes[i]);
    out.append(1, digits[byte >> 4]).append(1, digits[byte & 15]);
  }
  return out;
}

}  // namespace

ValueFamily family_of(Oid type) {
  switch (type) {
    case int2:
    case int4:
    case int8:
      return ValueFamily::integer;
    case text:
    case varchar:
      return ValueFamily::text;
    case uuid:
      return ValueFamily::uuid;
    case bool_:
      return ValueFamily::boolean;
    default:
      return ValueFamily::none;
  }
}

ValueFamily family_of_array(Oid type) {
  switch (type) {
    case int2_array:
    case int4_array:
    case int8_array:
      return ValueFamily::integer;
    case text_array:
    case varchar_array:
      return ValueFamily::text;
    case uuid_array:
      return ValueFamily::uuid;
    case bool_array:
      return ValueFamily::boolean;
    default:
      return ValueFamily::none;
  }
}

ValueFamily family_of(const catalog::Column& column, const catalog::Snapshot& snapshot) {
  const auto family = family_of(column.type);
  const auto* equals = snapshot.operators("=");
  if (family == ValueFamily::none || equals == nullptr) return ValueFamily::none;
  // Between two of one type PostgreSQL takes its own operator, unless somebody made another for the same types. There
  // is none of its own for varchar: which one it takes depends on all that there are.
  if (column.type == varchar ? !equals->built_in : !equals->apart) return ValueFamily::none;
  if (family == ValueFamily::text && column.collation != default_collation && column.collation != c_collation &&
      column.collation != posix_collation) {
    return ValueFamily::none;  // 'a' may be equal to 'A' there
  }
  return family;
}

bool casts_to(ValueFamily family, const sql::Name& type, const catalog::Snapshot& snapshot) {
  return all_types(type, snapshot,
                   [family](const auto& one, const auto&) { return one.built_in && family_of(one.oid) == family; });
}

std::optional<std::string> canonical_text(ValueFamily family, std::string_view written) {
  if (written.size() > longest_value) return std::nullopt;
  switch (family) {
    case ValueFamily::integer:
      return integer_text(written);
    case ValueFamily::text:
      // Other bytes stand for other characters in another encoding, and the change stream has its own.
      return is_ascii(written) ? std::optional<std::string>(written) : std::nullopt;
    case ValueFamily::uuid:
      return uuid_text(written);
    case ValueFamily::boolean:
      return boolean_text(written);
    case ValueFamily::none:
      break;
  }
  return std::nullopt;
}

std::optional<std::string> canonical_binary(ValueFamily family, std::string_view bytes) {
  switch (family) {
    case ValueFamily::integer:
      if (bytes.size() != 2 && bytes.size() != 4 && bytes.size() != 8) return std::nullopt;
      return std::to_string(signed_of(bytes));
    case ValueFamily::text:
      return canonical_text(family, bytes);
    case ValueFamily::uuid:
      return bytes.size() == 16 ? std::optional(uuid_of(bytes)) : std::nullopt;
    case ValueFamily::boolean:
      if (bytes.size() != 1) return std::nullopt;
      return bytes.front() != 0 ? "t" : "f";
    case ValueFamily::none:
      break;
  }
  return std::nullopt;
}

std::optional<std::vector<std::string>> canonical_elements(ValueFamily family, std::string_view array,
                                                           std::size_t most) {
  if (!array.starts_with('{') || !array.ends_with('}') || array.size() < 2) return std::nullopt;
  array = array.substr(1, array.size() - 2);
  // Quotes, escapes, blanks and braces have a meaning in arrays.
  if (array.find_first_of("{}\"\\ \t\n\r\f\v") != array.npos) return std::nullopt;
  std::vector<std::string> elements;
  while (!array.empty()) {
    const auto end = std::min(array.find(','), array.size());
    const auto written = array.substr(0, end);
    // NULL is equal to nothing, in whatever case it is written, unless array_nulls is off and it is a text.
    auto element = canonical_text(family, written);
    if (!element || elements.size() == most) return std::nullopt;
    elements.push_back(std::move(*element));
    if (end == array.size()) break;
    array.remove_prefix(end + 1);
  }
  return elements;
}

std::optional<std::vector<std::string>> canonical_binary_elements(ValueFamily family, std::string_view array,
                                                                  std::size_t most) {
  pgwire::Reader reader(pgwire::as_bytes(array));
  const auto dimensions = reader.u32();
  reader.u32();  // whether there are NULLs
  const auto type = reader.u32();
  if (!reader.good() || family_of(type) != family || dimensions > 1) return std::nullopt;
  std::vector<std::string> elements;
  if (dimensions == 0) return reader.finish() ? std::optional(elements) : std::nullopt;
  const auto count = reader.u32();
  reader.u32();  // the first one's number
  if (count > most) return std::nullopt;
  for (std::uint32_t i = 0; i < count; ++i) {
    const auto bytes = reader.value();
    if (!reader.good()) return std::nullopt;
    if (!bytes) continue;
    auto element = canonical_binary(family, pgwire::as_text(*bytes));
    if (!element) return std::nullopt;
    elements.push_back(std::move(*element));
  }
  if (!reader.finish()) return std::nullopt;
  return elements;
}

}  // namespace millrace::pipeline
