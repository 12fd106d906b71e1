#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "http/job_result.hpp"

namespace millrace::http {

/// A result as JSON, NDJSON or CSV, made piece by piece, so that neither all of it nor a large value is ever in memory
/// once more. Belongs to one thread.
class ResultEncoder {
 public:
  /// What `next` appends, and how much of the rows it looks at, before others should have their turn. It may append a
  /// little more: a member's name, or a character.
  static constexpr std::size_t piece_bytes = std::size_t{32} << 10;

  /// `part` must live as long. Not for Parquet.
  ResultEncoder(const ResultPart& part, ResultFormat format);
  ResultEncoder(const ResultEncoder&) = delete;
  ResultEncoder& operator=(const ResultEncoder&) = delete;

  /// Appends the next piece, which may end anywhere, also within a character, or be empty. False: it was the last one.
  bool next(std::string& piece);

 private:
  using Value = executor::KeptRows::Value;
  /// How the value at hand is written.
  enum class Form : std::uint8_t { as_it_is, in_one_line, json_string, csv_undecided, csv_quoted };

  void begin_row(std::string& piece);
  void end_row(std::string& piece);
  void begin_value(std::string& piece);
  void go_on(std::string& piece);
  void decide_on_quotes(std::string& piece);

  const ResultPart& part_;
  const ResultFormat format_;
  std::vector<std::string> keys_;  ///< NDJSON's, with quotes and colon
  executor::KeptRows::Reader reader_;
  std::uint64_t left_;  ///< rows
  std::string head_;
  bool has_rows_ = false;

  bool is_in_row_ = false;
  std::vector<Value> row_;
  std::size_t at_ = 0;  ///< the value that comes next

  std::string_view rest_;  ///< of the value at hand
  Form form_ = Form::as_it_is;
  bool is_open_ = false;          ///< a quote follows it
  std::size_t seen_in_rest_ = 0;  ///< csv_undecided: without what asks for quotes
  std::size_t seen_ = 0;          ///< of the rows, for this piece
};

}  // namespace millrace::http
