#include "gateway/explain_answer.hpp"

#include <array>

#include <fmt/format.h>

#include "pgwire/protocol/decode.hpp"
#include "pgwire/protocol/encode.hpp"

namespace millrace::gateway {
namespace {

using pipeline::Explanation;
using pipeline::Question;
using State = Explanation::Kept::State;

constexpr std::size_t longest_parameter = 100;

std::string_view name_of(CacheUse decision) {
  switch (decision) {
    case CacheUse::hit:
      return "hit";
    case CacheUse::miss:
      return "miss";
    default:
      return "bypass";
  }
}

std::string_view meaning_of(CacheUse decision) {
  switch (decision) {
    case CacheUse::hit:
      return "answered from memory";
    case CacheUse::miss:
      return "PostgreSQL is asked, and its answer is kept";
    default:
      return "PostgreSQL is asked, and its answer isn't kept";
  }
}

std::string_view name_of(State state) {
  switch (state) {
    case State::fresh:
      return "fresh";
    case State::expired:
      return "its time has come";
    case State::stale:
      return "stale: what it was computed from may have changed";
  }
  return "";
}

std::string seconds(std::chrono::nanoseconds time) {
  return fmt::format("{:.1f} s", std::chrono::duration<double>(time).count());
}

template <typename Values>
std::string joined(const Values& values) {
  return values.empty() ? "none" : fmt::format("{}", fmt::join(values, ", "));
}

std::string shown(const std::optional<pgwire::Bytes>& value, bool binary) {
  if (!value) return "NULL";
  if (value->size() > longest_parameter) return fmt::format("({} bytes)", value->size());
  const std::string_view bytes = pgwire::as_text(*value);
  if (!binary) return fmt::format("'{}'", bytes);
  std::string hex = "\\x";
  for (const char c : bytes) hex += fmt::format("{:02x}", static_cast<unsigned char>(c));
  return hex;
}

std::vector<std::string> names_of(const pgwire::FormatList& list) {
  std::vector<std::string> names;
  for (std::size_t at = 0; at < list.size(); ++at) names.emplace_back(list[at] == 0 ? "text" : "binary");
  return names;
}

/// What of a Parse and a Bind belongs to the key.
void add_parameters(ExplainRows& rows, const Question& question) {
  // As they came, but for the names.
  const std::string parse_body = std::string(1, '\0').append(question.text);
  if (const auto parse = pgwire::decode_parse(pgwire::as_bytes(parse_body))) {
    std::vector<std::string> types;
    for (std::size_t at = 0; at < parse->type_oids.size(); ++at) types.push_back(std::to_string(parse->type_oids[at]));
    rows.emplace_back("key parameter types", joined(types));
  }
  const std::string bind_body = std::string(2, '\0').append(question.parameters);
  const auto bind = pgwire::decode_bind(pgwire::as_bytes(bind_body));
  if (!bind) return;
  std::vector<std::string> values;
  for (const auto& value : bind->values) {
    const auto& given = bind->parameter_formats;
    const std::size_t at = given.size() == 1 ? 0 : values.size();
    values.push_back(shown(value, at < given.size() && given[at] != 0));
  }
  rows.emplace_back("key parameters", joined(values));
  rows.emplace_back("key formats of results", joined(names_of(bind->result_formats)));
}

void add_kept(ExplainRows& rows, const Explanation& said) {
  if (!said.kept) return;
  rows.emplace_back("kept", name_of(said.kept->state));
  rows.emplace_back("kept age", seconds(said.kept->age));
  if (said.kept->state == State::fresh) rows.emplace_back("kept for", seconds(said.kept->remaining));
  rows.emplace_back("kept rows", std::to_string(said.kept->rows));
  rows.emplace_back("kept bytes", std::to_string(said.kept->bytes));
}

}  // namespace

ExplainRows rows_of(const Explanation& said, const Question& question) {
  ExplainRows rows;
  rows.emplace_back("decision", name_of(said.decision));
  rows.emplace_back("meaning", meaning_of(said.decision));
  for (const auto& refusal : said.refusals) {
    rows.emplace_back("reason", refusal.code);
    rows.emplace_back("why not", refusal.why);
    const auto help = pipeline::what_helps(refusal.code);
    if (!help.empty()) rows.emplace_back("what helps", help);
  }
  if (said.decision != CacheUse::bypass) rows.emplace_back("level", "L1 (memory)");
  if (said.reads && said.reads->empty()) rows.emplace_back("reads", "no table");
  if (said.reads) {
    for (const auto& table : *said.reads) rows.emplace_back("reads", table);
  }
  add_kept(rows, said);
  if (said.decision != CacheUse::bypass) {
    rows.emplace_back("ttl", seconds(said.ttl));
    for (const auto& tag : said.tags) rows.emplace_back("tag", tag);
    rows.emplace_back("key consistency", "eventual");
  }
  rows.emplace_back("key", fmt::format("query:{:016x}", said.fingerprint));
  rows.emplace_back("key protocol", question.kind == Question::Kind::query ? "simple" : "extended");
  rows.emplace_back("key database", said.database);
  rows.emplace_back("key user", said.user);
  if (said.settings) rows.emplace_back("key settings", said.settings->empty() ? "none of its own" : *said.settings);
  if (said.search_path) rows.emplace_back("key search path", joined(*said.search_path));
  rows.emplace_back("key text", said.text);
  if (question.kind == Question::Kind::execute) add_parameters(rows, question);
  return rows;
}

void append_explain_columns(std::string& out, std::array<std::int16_t, 2> formats) {
  const std::array<pgwire::FieldDescription, 2> columns = {
      pgwire::FieldDescription{.name = "item", .format = formats[0]},
      pgwire::FieldDescription{.name = "value", .format = formats[1]}};
  pgwire::append_row_description(out, columns);
}

void append_explain_rows(std::string& out, std::span<const ExplainRows::value_type> rows) {
  for (const auto& [item, value] : rows) {
    const std::array<pgwire::Value, 2> values = {item, value};
    pgwire::append_data_row(out, values);
  }
}

}  // namespace millrace::gateway
