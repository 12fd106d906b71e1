#include "http/job_result.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <set>

#include "http/json_write.hpp"

namespace millrace::http {
namespace {

using Value = executor::KeptRows::Value;
using executor::QueryJob;

/// So much is gathered before it is sent.
constexpr std::size_t part_bytes = std::size_t{32} << 10;

/// PostgreSQL's types whose text JSON can say without quotes.
namespace type {
constexpr std::uint32_t boolean = 16, int8 = 20, int2 = 21, int4 = 23, oid = 26, json = 114, float4 = 700, float8 = 701,
                        jsonb = 3802;
}  // namespace type

bool is_json_number(std::string_view text) {
  // Of what these types write only NaN and the infinities aren't.
  return !text.empty() && (text.back() >= '0' && text.back() <= '9');
}

/// On one line: what the type json holds is kept as it was written.
std::string in_one_line(std::string_view json) {
  std::string line(json);  // within a string there is no line's end
  std::ranges::replace_if(line, [](char c) { return c == '\n' || c == '\r'; }, ' ');
  return line;
}

void write_value(JsonWriter& out, const Value& value, std::uint32_t type_oid) {
  if (!value) return out.null();
  switch (type_oid) {
    case type::boolean:
      return out.boolean(*value == "t");
    case type::int2:
    case type::int4:
    case type::int8:
    case type::oid:
    case type::float4:
    case type::float8:
      return is_json_number(*value) ? out.raw(*value) : out.string(*value);
    case type::json:
    case type::jsonb:
      return out.raw(in_one_line(*value));
    default:
      return out.string(*value);
  }
}

std::uint32_t type_of(const QueryJob::Columns& columns, std::size_t at) {
  return at < columns.size() ? columns[at].type_oid : 0;
}

void append_csv(std::string& out, const Value& value, bool is_alone) {
  if (!value) return;
  const bool quoted =
      value->empty() || value->find_first_of(",\"\r\n") != std::string_view::npos || (is_alone && *value == "\\.");
  if (!quoted) {
    out += *value;
    return;
  }
  out += '"';
  for (const char c : *value) out.append(c == '"' ? 2 : 1, c);
  out += '"';
}

/// Writes a result's beginning, its rows and its end.
class Encoder {
 public:
  Encoder(const ResultPart& part, ResultFormat format) : part_(part), format_(format) {
    if (format == ResultFormat::ndjson) names_ = member_names(*part.columns);
  }

  std::string begin() const {
    if (format_ == ResultFormat::csv) {
      std::vector<Value> names;
      for (const auto& column : *part_.columns) names.emplace_back(column.name);
      std::string line;
      csv_line(line, names);
      return line;
    }
    if (format_ == ResultFormat::ndjson) return {};
    std::string page = to_json(ResultPage{.execution_id = part_.execution_id,
                                          .row_count = part_.rows->rows(),
                                          .offset = part_.offset,
                                          .limit = part_.limit,
                                          .columns = columns_of(*part_.columns),
                                          .rows = {}});
    page.resize(page.size() - std::string_view("]}").size());  // its rows follow
    return page;
  }

  void row(std::string& out, const std::vector<Value>& values) {
    if (format_ == ResultFormat::csv) return csv_line(out, values);
    JsonWriter json;
    if (format_ == ResultFormat::ndjson) {
      json.begin_object();
      for (std::size_t at = 0; at < values.size(); ++at) {
        json.key(at < names_.size() ? names_[at] : "");
        write_value(json, values[at], type_of(*part_.columns, at));
      }
      json.end_object();
      out += json.take();
      out += '\n';
      return;
    }
    json.begin_array();
    for (std::size_t at = 0; at < values.size(); ++at) write_value(json, values[at], type_of(*part_.columns, at));
    json.end_array();
    if (std::exchange(has_rows_, true)) out += ',';
    out += json.take();
  }

  std::string_view end() const { return format_ == ResultFormat::json ? "]}" : ""; }

 private:
  static void csv_line(std::string& out, const std::vector<Value>& values) {
    for (std::size_t at = 0; at < values.size(); ++at) {
      if (at > 0) out += ',';
      append_csv(out, values[at], values.size() == 1);
    }
    out += '\n';
  }

  const ResultPart& part_;
  const ResultFormat format_;
  std::vector<std::string> names_;
  bool has_rows_ = false;
};

std::string_view trimmed(std::string_view text) {
  while (text.starts_with(' ') || text.starts_with('\t')) text.remove_prefix(1);
  while (text.ends_with(' ') || text.ends_with('\t')) text.remove_suffix(1);
  return text;
}

/// RFC 9110, 12.4.2: 1 where it isn't said.
double quality_of(std::string_view parameters) {
  const auto at = parameters.find("q=");
  if (at == std::string_view::npos) return 1;
  double quality = 0;
  const auto text = parameters.substr(at + 2);
  std::from_chars(text.data(), text.data() + text.size(), quality);
  return quality;
}

}  // namespace

std::vector<ResultColumn> columns_of(const QueryJob::Columns& columns) {
  std::vector<ResultColumn> answer;
  for (const auto& column : columns) answer.push_back({.name = column.name, .type_oid = column.type_oid});
  return answer;
}

std::vector<std::string> member_names(const QueryJob::Columns& columns, bool folded) {
  const auto form = [folded](std::string name) {
    if (folded) std::ranges::transform(name, name.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? c + 32 : c; });
    return name;
  };
  std::set<std::string, std::less<>> taken;
  for (const auto& column : columns) taken.insert(form(column.name));
  std::set<std::string, std::less<>> given;
  std::map<std::string, std::size_t, std::less<>> numbers;  // that were looked at, so none is twice
  std::vector<std::string> names;
  for (const auto& column : columns) {
    std::string name = column.name;
    const auto is_anothers = [&] {
      return given.contains(form(name)) || (name != column.name && taken.contains(form(name)));
    };
    for (auto& number = numbers.try_emplace(form(name), 1).first->second; is_anothers();) {
      name = fmt::format("{}_{}", column.name, ++number);
    }
    given.insert(form(name));
    names.push_back(std::move(name));
  }
  return names;
}

asio::awaitable<void> send_result(ResultPart part, ResultFormat format, BodyWriter& body) {
  Encoder encoder(part, format);
  std::string out = encoder.begin();
  executor::KeptRows::Reader reader(*part.rows, part.offset);
  std::vector<Value> row;
  for (std::uint64_t sent = 0; sent < part.limit && reader.next(row); ++sent) {
    encoder.row(out, row);
    if (out.size() < part_bytes) continue;
    if (!co_await body.write(out)) co_return;
    out.clear();
  }
  out += encoder.end();
  if (!out.empty()) co_await body.write(out);
}

std::string media_type_of(ResultFormat format) {
  switch (format) {
    case ResultFormat::ndjson:
      return "application/x-ndjson";
    case ResultFormat::csv:
      return "text/csv; charset=utf-8; header=present";
    case ResultFormat::parquet:
      return "application/vnd.apache.parquet";
    default:
      return "application/json";
  }
}

ResultFormat format_of(std::string_view accept) {
  ResultFormat best = ResultFormat::json;
  double best_quality = 0;
  while (!accept.empty()) {
    const auto comma = accept.find(',');
    const auto range = accept.substr(0, comma);
    accept = comma == std::string_view::npos ? "" : accept.substr(comma + 1);
    const auto semicolon = range.find(';');
    const auto type = trimmed(range.substr(0, semicolon));
    const double quality = semicolon == std::string_view::npos ? 1 : quality_of(range.substr(semicolon));
    std::optional<ResultFormat> format;
    if (type == "application/json" || type == "application/*" || type == "*/*") format = ResultFormat::json;
    if (type == "application/x-ndjson" || type == "application/ndjson") format = ResultFormat::ndjson;
    if (type == "text/csv" || type == "text/*") format = ResultFormat::csv;
    if (type == "application/vnd.apache.parquet") format = ResultFormat::parquet;
    if (!format || quality <= best_quality) continue;
    best = *format;
    best_quality = quality;
  }
  return best;
}

}  // namespace millrace::http
