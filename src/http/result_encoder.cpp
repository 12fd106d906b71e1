#include "http/result_encoder.hpp"

#include <algorithm>

#include "http/json_write.hpp"

namespace millrace::http {
namespace {

/// PostgreSQL's types whose text JSON can say without quotes.
namespace type {
constexpr std::uint32_t boolean = 16, int8 = 20, int2 = 21, int4 = 23, oid = 26, json = 114, float4 = 700, float8 = 701,
                        jsonb = 3802;
}  // namespace type

bool is_json_number(std::string_view text) {
  // Of what these types write only NaN and the infinities aren't.
  return !text.empty() && (text.back() >= '0' && text.back() <= '9');
}

/// Of JSON, up to the first row.
std::string page_head(const ResultPart& part) {
  std::string page = to_json(ResultPage{.execution_id = part.execution_id,
                                        .row_count = part.rows->rows(),
                                        .offset = part.offset,
                                        .limit = part.limit,
                                        .columns = columns_of(*part.columns),
                                        .rows = {}});
  page.resize(page.size() - std::string_view("]}").size());
  return page;
}

std::string_view take(std::string_view& from, std::size_t bytes) {
  const auto taken = from.substr(0, bytes);
  from.remove_prefix(taken.size());
  return taken;
}

}  // namespace

ResultEncoder::ResultEncoder(const ResultPart& part, ResultFormat format)
    : part_(part), format_(format), reader_(*part.rows, part.offset), left_(part.limit) {
  switch (format) {
    case ResultFormat::csv:  // the columns' names are its first row
      for (const auto& column : *part.columns) row_.emplace_back(column.name);
      is_in_row_ = true;
      break;
    case ResultFormat::ndjson:
      for (const auto& name : member_names(*part.columns)) {
        JsonWriter key;
        key.key(name);
        keys_.push_back(key.take());
      }
      break;
    default:
      head_ = page_head(part);
      rest_ = head_;
  }
}

bool ResultEncoder::next(std::string& piece) {
  for (seen_ = 0; piece.size() < piece_bytes && seen_ < piece_bytes;) {
    if (!rest_.empty()) {
      go_on(piece);
    } else if (is_open_) {
      piece += '"';
      is_open_ = false;
    } else if (at_ < row_.size()) {
      begin_value(piece);
    } else if (is_in_row_) {
      end_row(piece);
    } else if (left_ > 0 && reader_.next(row_)) {
      begin_row(piece);
    } else {
      if (format_ == ResultFormat::json) piece += "]}";
      return false;
    }
  }
  return true;
}

void ResultEncoder::begin_row(std::string& piece) {
  --left_;
  at_ = 0;
  is_in_row_ = true;
  if (format_ == ResultFormat::json) piece += std::exchange(has_rows_, true) ? ",[" : "[";
  if (format_ == ResultFormat::ndjson) piece += '{';
}

void ResultEncoder::end_row(std::string& piece) {
  is_in_row_ = false;
  if (format_ == ResultFormat::json) piece += ']';
  if (format_ == ResultFormat::ndjson) piece += '}';
  if (format_ != ResultFormat::json) piece += '\n';
}

void ResultEncoder::begin_value(std::string& piece) {
  const std::size_t at = at_++;
  const Value& value = row_[at];
  if (at > 0) piece += ',';
  if (format_ == ResultFormat::ndjson) piece += at < keys_.size() ? keys_[at] : R"("":)";
  if (format_ == ResultFormat::csv) {
    if (value && value->empty()) piece += R"("")";
    rest_ = value.value_or("");
    form_ = Form::csv_undecided;
    seen_in_rest_ = 0;
    return;
  }
  form_ = Form::as_it_is;
  if (!value) {
    piece += "null";
    return;
  }
  rest_ = *value;
  switch (at < part_.columns->size() ? (*part_.columns)[at].type_oid : 0) {
    case type::boolean:
      rest_ = *value == "t" ? "true" : "false";
      return;
    case type::int2:
    case type::int4:
    case type::int8:
    case type::oid:
    case type::float4:
    case type::float8:
      if (is_json_number(*value)) return;
      break;
    case type::json:
    case type::jsonb:
      form_ = Form::in_one_line;
      return;
    default:
      break;
  }
  form_ = Form::json_string;
  piece += '"';
  is_open_ = true;
}

/// Writes on at the value, of which something is left.
void ResultEncoder::go_on(std::string& piece) {
  const std::size_t room = piece_bytes - std::min(piece_bytes, piece.size());
  switch (form_) {
    case Form::csv_undecided:
      return decide_on_quotes(piece);
    case Form::as_it_is:
      piece += take(rest_, room);
      return;
    case Form::in_one_line: {  // in JSON a line's end is a space; within a string there is none
      const std::size_t begin = piece.size();
      piece += take(rest_, room);
      std::replace_if(
          piece.begin() + static_cast<std::ptrdiff_t>(begin), piece.end(),
          [](char c) { return c == '\n' || c == '\r'; }, ' ');
      return;
    }
    case Form::json_string:
      return append_json_text(piece, rest_, piece_bytes);
    case Form::csv_quoted: {
      const auto quote = rest_.substr(0, room).find('"');
      piece += take(rest_, quote == std::string_view::npos ? room : quote + 1);
      if (quote != std::string_view::npos) piece += '"';
    }
  }
}

void ResultEncoder::decide_on_quotes(std::string& piece) {
  const auto part = rest_.substr(seen_in_rest_, piece_bytes);
  seen_ += part.size();
  seen_in_rest_ += part.size();
  const bool is_end_of_data = row_.size() == 1 && rest_ == "\\.";
  if (is_end_of_data || part.find_first_of(",\"\r\n") != std::string_view::npos) {
    form_ = Form::csv_quoted;
    piece += '"';
    is_open_ = true;
  } else if (seen_in_rest_ == rest_.size()) {
    form_ = Form::as_it_is;
  }
}

}  // namespace millrace::http
