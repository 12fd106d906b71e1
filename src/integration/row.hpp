#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "integration/pgoutput.hpp"

namespace millrace::integration {

/// A row's values, kept: in the order of its table's columns.
class Row {
 public:
  Row() = default;
  explicit Row(const pgoutput::Tuple& tuple);

  std::size_t size() const { return cells_.size(); }
  bool empty() const { return cells_.empty(); }
  pgoutput::ValueKind kind(std::size_t column) const { return cells_[column].kind; }
  /// Of text and binary; else empty.
  std::string_view value(std::size_t column) const {
    const std::size_t begin = column == 0 ? 0 : cells_[column - 1].end;
    return std::string_view(bytes_).substr(begin, cells_[column].end - begin);
  }
  std::size_t memory() const { return bytes_.capacity() + cells_.capacity() * sizeof(Cell); }

 private:
  struct Cell {
    pgoutput::ValueKind kind;
    std::uint32_t end;  ///< of its bytes in bytes_
  };
  std::string bytes_;
  std::vector<Cell> cells_;
};

}  // namespace millrace::integration
