#include "backend/parquet_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <system_error>
#include <utility>

#include "base/in_quotes.hpp"
#include "base/utf8.hpp"

namespace millrace::backend {
namespace {

namespace type {
constexpr std::uint32_t boolean = 16, bytea = 17, int8 = 20, int2 = 21, int4 = 23, oid = 26, float4 = 700, float8 = 701,
                        date = 1082, time = 1083, timestamp = 1114, timestamptz = 1184, numeric = 1700, uuid = 2950;
}  // namespace type

/// What holds each value of PostgreSQL's type; all others are text.
constexpr auto duckdb_types =
    std::to_array<std::pair<std::uint32_t, std::string_view>>({{type::boolean, "BOOLEAN"},
                                                               {type::int2, "SMALLINT"},
                                                               {type::int4, "INTEGER"},
                                                               {type::int8, "BIGINT"},
                                                               {type::oid, "UINTEGER"},
                                                               {type::float4, "FLOAT"},
                                                               {type::float8, "DOUBLE"},
                                                               {type::date, "DATE"},
                                                               {type::time, "TIME"},
                                                               {type::timestamp, "TIMESTAMP"},
                                                               {type::timestamptz, "TIMESTAMPTZ"},
                                                               {type::uuid, "UUID"},
                                                               {type::bytea, "BLOB"}});
constexpr std::string_view as_text = "VARCHAR";

constexpr int memory_mb = 256;
/// A group of rows is in memory before it is written.
constexpr std::uint64_t bytes_of_group = std::uint64_t{8} << 20, most_rows_of_group = 122880,
                        least_rows_of_group = 2048;
constexpr std::string_view no_value = "millrace: no value in column ";
/// What numeric's type modifier is more than its digits say.
constexpr std::int32_t modifier_header = 4;
constexpr int most_digits = 38;

constexpr std::string_view moment = R"(\d{4,6}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d{1,6})?[+-]\d\d(:\d\d)?)";

std::string decimal_of(std::int32_t type_modifier) {
  const std::int32_t said = type_modifier - modifier_header;
  const int digits = said >> 16 & 0xffff, scale = said & 0xffff;
  // DuckDB writes 0.5 of a DECIMAL(1, 1) as .5.
  const int width = std::max(digits, scale + 1);
  if (said >= 0 && scale <= digits && width <= most_digits) return fmt::format("DECIMAL({}, {})", width, scale);
  return std::string(as_text);
}

/// What is cast and has the same text afterwards is what it was. Of some types texts differ: these are read by their
/// form.
std::string value_of(const ParquetColumn& column, std::size_t at) {
  auto name = fmt::format("c{}", at);
  const auto wanted = column.duckdb_type();
  const auto cast = fmt::format("TRY_CAST({} AS {})", name, wanted);
  std::string checked = fmt::format("CASE WHEN CAST({} AS VARCHAR) = {} THEN {} END", cast, name, cast);
  switch (column.type_oid) {
    case type::boolean:
    case type::float4:
    case type::float8:
      checked = cast;
      break;
    case type::timestamptz:
      checked = fmt::format("CASE WHEN regexp_full_match({}, '{}') THEN {} END", name, moment, cast);
      break;
    case type::time:  // Parquet's day has no 24:00
      checked = fmt::format("CASE WHEN {} < '24' THEN {} END", name, checked);
      break;
    case type::date:
    case type::timestamp:
      checked = fmt::format("CASE WHEN isfinite({}) THEN {} END", cast, checked);
      break;
    case type::bytea:
      checked = fmt::format("CASE WHEN starts_with({}, '\\x') THEN unhex(substr({}, 3)) END", name, name);
      break;
    default:
      if (wanted == as_text) return name;
  }
  return fmt::format("CASE WHEN {} IS NOT NULL THEN coalesce({}, error('{}{};')) END", name, checked, no_value, at);
}

std::unexpected<Error> no_place(const ParquetColumn& column) {
  return fail(fmt::format("a column has a value that {} of Parquet can't hold", column.duckdb_type()), "22023",
              "Cast it to text in the query, or take another format.", column.name);
}

std::unexpected<Error> explained(const Error& error, const std::vector<ParquetColumn>& columns) {
  const auto at = error.detail.find(no_value);
  if (at == std::string::npos) return std::unexpected(error);
  std::size_t column = 0;
  const std::string_view rest = std::string_view(error.detail).substr(at + no_value.size());
  std::from_chars(rest.data(), rest.data() + rest.size(), column);
  return no_place(columns.at(column));
}

std::unexpected<Error> system_error(std::string message) {
  return fail(std::move(message), std::string(duckdb_error::input_output), {},
              std::error_code(errno, std::generic_category()).message());
}

}  // namespace

std::string ParquetColumn::duckdb_type() const {
  if (type_oid == type::numeric) return decimal_of(type_modifier);
  const auto known = std::ranges::find(duckdb_types, type_oid, &std::pair<std::uint32_t, std::string_view>::first);
  return std::string(known == duckdb_types.end() ? as_text : known->second);
}

Result<ParquetFile> ParquetFile::write(const std::string& folder, const std::vector<ParquetColumn>& columns,
                                       DuckDb::NextRow next, std::uint64_t rows, std::uint64_t bytes) {
  std::string name = folder + "/millrace-XXXXXX";
  ParquetFile file(::mkostemp(name.data(), O_CLOEXEC));
  if (file.descriptor_ < 0) return system_error("no file can be made");
  ::unlink(name.c_str());
  auto database = DuckDb::open_for_files(memory_mb);
  if (!database) return std::unexpected(std::move(database).error());
  const ParquetColumn* not_utf8 = nullptr;
  auto checked = [&, next = std::move(next)](std::vector<std::optional<std::string_view>>& row) {
    if (not_utf8 != nullptr || !next(row)) return false;
    const auto bad = std::ranges::find_if(row, [](const auto& value) { return value && !is_utf8(*value); });
    if (bad != row.end()) not_utf8 = &columns[static_cast<std::size_t>(bad - row.begin())];
    return not_utf8 == nullptr;
  };
  if (auto added = database->add_rows("given", columns.size(), std::move(checked)); !added)
    return std::unexpected(std::move(added).error());
  std::string values;
  for (std::size_t at = 0; at < columns.size(); ++at) {
    values +=
        fmt::format("{}{} AS {}", at == 0 ? "" : ", ", value_of(columns[at], at), in_quotes(columns[at].name, '"'));
  }
  const auto group =
      std::clamp(rows * bytes_of_group / std::max<std::uint64_t>(bytes, 1), least_rows_of_group, most_rows_of_group);
  const auto written = database->run(
      fmt::format("COPY (SELECT {} FROM given()) TO '/proc/self/fd/{}' (FORMAT parquet, USE_TMP_FILE false, "
                  "ROW_GROUP_SIZE {})",
                  values, file.descriptor_, group));
  if (not_utf8 != nullptr) return no_place(*not_utf8);
  if (!written) return explained(written.error(), columns);
  const auto end = ::lseek(file.descriptor_, 0, SEEK_END);
  if (end < 0) return system_error("the file can't be read");
  file.size_ = static_cast<std::uint64_t>(end);
  return file;
}

ParquetFile::~ParquetFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

Result<std::string> ParquetFile::read(std::uint64_t offset, std::size_t most) const {
  std::string bytes(std::min<std::uint64_t>(most, size_ - std::min(offset, size_)), '\0');
  std::size_t got = 0;
  while (got < bytes.size()) {
    const auto count = ::pread(descriptor_, bytes.data() + got, bytes.size() - got, static_cast<off_t>(offset + got));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return system_error("the file can't be read");
    got += static_cast<std::size_t>(count);
  }
  return bytes;
}

}  // namespace millrace::backend
