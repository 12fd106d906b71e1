#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "backend/duckdb.hpp"
#include "base/result.hpp"

namespace millrace::backend {

/// What PostgreSQL's text of a type says in a Parquet file, if it says it exactly. The lists are of DuckDB's types.
struct ParquetColumn {
  std::string name = {};  ///< in UTF-8; each is another
  std::uint32_t type_oid = 0;
  std::int32_t type_modifier = -1;  ///< as in RowDescription

  /// BOOLEAN, SMALLINT, INTEGER, BIGINT, UINTEGER (oid), FLOAT, DOUBLE, DATE, TIME, TIMESTAMP, TIMESTAMPTZ, UUID, BLOB
  /// (bytea); DECIMAL of numeric that has a precision, of up to 38 digits, one before its point among them; VARCHAR,
  /// PostgreSQL's own text, of all else.
  std::string duckdb_type() const;
};

/// A Parquet file without a name: once it is closed nothing is left of it.
class ParquetFile {
 public:
  /// In `folder`. `bytes`: about how many all values have. Runs on the caller's thread until the file is there. Errors:
  /// 22023 for a value that its column can't hold, such as infinity as a date, or that isn't UTF-8, where the detail is
  /// the column's name; else what DuckDB has against it.
  static Result<ParquetFile> write(const std::string& folder, const std::vector<ParquetColumn>& columns,
                                   DuckDb::NextRow next, std::uint64_t rows, std::uint64_t bytes);

  ParquetFile(ParquetFile&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)), size_(other.size_) {}
  ParquetFile& operator=(ParquetFile&&) = delete;
  ~ParquetFile();

  std::uint64_t size() const { return size_; }
  /// So many bytes from there on, fewer at the end.
  Result<std::string> read(std::uint64_t offset, std::size_t most) const;

 private:
  explicit ParquetFile(int descriptor) : descriptor_(descriptor) {}
  int descriptor_;
  std::uint64_t size_ = 0;
};

}  // namespace millrace::backend
