#include "backend/parquet_file.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace millrace::backend {
namespace {

using Row = std::vector<std::optional<std::string>>;

std::uint64_t bytes_of(const std::vector<Row>& rows) {
  std::uint64_t bytes = 0;
  for (const auto& row : rows) {
    for (const auto& value : row) bytes += value.value_or("").size();
  }
  return bytes;
}

Result<ParquetFile> write(const std::vector<ParquetColumn>& columns, const std::vector<Row>& rows) {
  auto next = [&rows, at = std::size_t{0}](std::vector<std::optional<std::string_view>>& values) mutable {
    if (at == rows.size()) return false;
    values.assign(rows[at].begin(), rows[at].end());
    ++at;
    return true;
  };
  return ParquetFile::write(testing::TempDir(), columns, next, rows.size(), bytes_of(rows));
}

/// What DuckDB reads in it, as text.
std::vector<Row> read(const ParquetFile& file, const std::string& what, std::size_t columns) {
  const std::string path = testing::TempDir() + "parquet_file_test." + std::to_string(::getpid());
  std::ofstream copy(path, std::ios::binary);
  for (std::uint64_t at = 0; at < file.size(); at += 1000) copy << *file.read(at, 1000);
  copy.close();
  auto database = DuckDb::open_for_files(256);
  EXPECT_TRUE(database);
  std::vector<Row> rows;
  const auto done =
      database->each("SELECT " + what + " FROM read_parquet('" + path + "')", [&](const DuckDbRows& row) -> Result<> {
        auto& one = rows.emplace_back();
        for (std::size_t at = 0; at < columns; ++at) {
          one.emplace_back(row.is_null(at) ? std::nullopt : std::optional(std::string(row.text(at))));
        }
        return {};
      });
  EXPECT_TRUE(done) << done.error().detail;
  std::filesystem::remove(path);
  return rows;
}

TEST(ParquetFile, HoldsEachTypesValues) {
  struct Case {
    std::uint32_t type_oid;
    std::int32_t type_modifier;
    std::string type;
    std::vector<std::string> values, refused;
    std::vector<std::string> read = values;  ///< as DuckDB writes them
  };
  const std::vector<Case> cases = {
      {16, -1, "BOOLEAN", {"t", "f"}, {"maybe"}, {"true", "false"}},
      {21, -1, "SMALLINT", {"-32768", "32767"}, {"32768", "1.5"}},
      {23, -1, "INTEGER", {"-2147483648", "0"}, {"2147483648", ""}},
      {20, -1, "BIGINT", {"-9223372036854775808", "9223372036854775807"}, {"9223372036854775808"}},
      {26, -1, "UINTEGER", {"4294967295"}, {"-1"}},
      {701,
       -1,
       "DOUBLE",
       {"0.1", "NaN", "Infinity", "-Infinity", "1.7976931348623157e+308"},
       {"x"},
       {"0.1", "nan", "inf", "-inf", "1.7976931348623157e+308"}},
      {1082,
       -1,
       "DATE",
       {"0001-01-01", "9999-12-31", "1582-10-10"},
       {"infinity", "-infinity", "0044-03-15 BC", "01/02/2026", "15.03.2026"}},
      {1083, -1, "TIME", {"00:00:00", "23:59:59.999999"}, {"24:00:00", "25:00:00"}},
      {1114,
       -1,
       "TIMESTAMP",
       {"2026-02-28 23:59:59.5", "0001-01-01 00:00:00"},
       {"infinity", "0044-03-15 00:00:00 BC", "02/28/2026 00:00:00"}},
      {2950, -1, "UUID", {"6b1e0d6c-7a54-4c4a-9a55-0d3a3c1f1a2b"}, {"6b1e0d6c"}},
      {1700, ((10 << 16) | 2) + 4, "DECIMAL(10,2)", {"-12345678.90", "0.00"}, {"NaN", "0.001", "123456789.00"}},
      {1700, ((38 << 16) | 0) + 4, "DECIMAL(38,0)", {std::string(38, '9')}, {"1.5"}},
      {1700, ((2 << 16) | 2) + 4, "DECIMAL(3,2)", {"-0.25", "0.00"}, {"0.001"}},
      {1700, ((38 << 16) | 38) + 4, "VARCHAR", {"0." + std::string(38, '1')}, {}},
      {1700, -1, "VARCHAR", {"NaN", "1.50", std::string(200, '9')}, {}},
      {1700, ((39 << 16) | 0) + 4, "VARCHAR", {"1"}, {}},
      {1700, ((2 << 16) | 0x7fd) + 4, "VARCHAR", {"12000"}, {}},  // a scale of -3
      {25, -1, "VARCHAR", {"", "NULL", "grün", std::string(3'000'000, 'l')}, {"\xff", "\xc3"}},
      {1009, -1, "VARCHAR", {"{a,NULL}"}, {}},
  };
  for (const auto& one : cases) {
    const std::vector<ParquetColumn> columns = {
        {.name = "the \"v'", .type_oid = one.type_oid, .type_modifier = one.type_modifier}};
    std::vector<Row> rows;
    for (const auto& value : one.values) rows.push_back({value});
    rows.push_back({std::nullopt});
    const auto file = write(columns, rows);
    ASSERT_TRUE(file) << one.type << ": " << file.error().message << ": " << file.error().detail;
    std::vector<Row> expected;
    for (const auto& value : one.read) expected.push_back({value, one.type});
    expected.push_back({std::nullopt, one.type});
    EXPECT_EQ(read(*file, "\"the \"\"v'\"::VARCHAR, typeof(\"the \"\"v'\")", 2), expected) << one.type;
    for (const auto& value : one.refused) {
      const auto refused = write(columns, {{std::nullopt}, {value}});
      ASSERT_FALSE(refused) << one.type << ": " << value;
      EXPECT_EQ(refused.error().sqlstate, "22023") << refused.error().detail;
      EXPECT_EQ(refused.error().detail, "the \"v'");
    }
  }
}

TEST(ParquetFile, HoldsTheSameMomentAndTheSameBytes) {
  const std::vector<ParquetColumn> columns = {{.name = "at", .type_oid = 1184}, {.name = "bytes", .type_oid = 17}};
  const auto file = write(
      columns,
      {{"2026-01-01 05:30:00.25+05:30", "\\x00ff"}, {"1999-12-31 20:00:00-04", "\\x"}, {std::nullopt, std::nullopt}});
  ASSERT_TRUE(file) << file.error().message << file.error().detail;
  EXPECT_EQ(read(*file, "epoch_us(\"at\")::VARCHAR, hex(bytes)", 2),
            (std::vector<Row>{{"1767225600250000", "00FF"}, {"946684800000000", ""}, {std::nullopt, std::nullopt}}));
  for (const Row& row : {Row{"infinity", "\\x"}, Row{"0044-03-15 00:00:00+00 BC", "\\x"}, Row{std::nullopt, "\\000"},
                         Row{"1850-01-01 00:00:00+00:09:21", "\\x"}})
    EXPECT_FALSE(write(columns, {row})) << row[0].value_or("") << row[1].value_or("");
}

TEST(ParquetFile, KeepsTheRowsOrderOverManyGroups) {
  std::vector<Row> rows;
  for (int at = 0; at < 25'000; ++at) rows.push_back({std::to_string(at), std::string(at % 977, 'x')});
  const auto file = write({{.name = "n", .type_oid = 20}, {.name = "text", .type_oid = 25}}, rows);
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_LT(file->size(), bytes_of(rows) / 4);
  EXPECT_EQ(read(*file, "n::VARCHAR, text", 2), rows);
}

TEST(ParquetFile, MayHaveNoRows) {
  const auto file = write({{.name = "n", .type_oid = 20}}, {});
  ASSERT_TRUE(file) << file.error().message;
  EXPECT_EQ(read(*file, "n::VARCHAR", 1), std::vector<Row>());
  EXPECT_EQ(*file->read(file->size(), 100), "");
}

TEST(ParquetFile, SaysWhyItCannotBeWritten) {
  const auto file = ParquetFile::write("/nowhere", {{.name = "n"}}, [](auto&) { return false; }, 0, 0);
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().sqlstate, duckdb_error::input_output);
}

}  // namespace
}  // namespace millrace::backend
