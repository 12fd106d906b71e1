#include "http/job_result.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <set>

#include "http/result_encoder.hpp"

namespace millrace::http {
namespace {

using executor::QueryJob;

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
  ResultEncoder encoder(part, format);
  std::string piece;
  for (bool is_more = true; is_more;) {
    piece.clear();
    is_more = encoder.next(piece);
    if (!co_await body.write(piece)) co_return;  // of nothing, too: it is the others' turn
  }
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
