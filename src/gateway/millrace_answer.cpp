#include "gateway/millrace_answer.hpp"

#include <array>

#include <fmt/format.h>

#include "pgwire/protocol/decode.hpp"
#include "pgwire/protocol/encode.hpp"
#include "pipeline/moment_token.hpp"

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
void add_parameters(MillraceRows& rows, const Question& question) {
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

void add_kept(MillraceRows& rows, const Explanation& said) {
  if (!said.kept) return;
  rows.emplace_back("kept", name_of(said.kept->state));
  rows.emplace_back("kept age", seconds(said.kept->age));
  if (said.kept->state == State::fresh) rows.emplace_back("kept for", seconds(said.kept->remaining));
  rows.emplace_back("kept rows", std::to_string(said.kept->rows));
  rows.emplace_back("kept bytes", std::to_string(said.kept->bytes));
  rows.emplace_back("changes", said.kept->followed ? "followed" : "not followed");
}

std::string microseconds(double ns) { return fmt::format("{:.1f} us", ns / 1000); }

/// What asking memory first has brought of late, for all that differ in constants only.
void add_payoff(MillraceRows& rows, const Explanation& said) {
  if (!said.payoff) return;
  const auto& figures = *said.payoff;
  const auto share = [](double ratio) { return fmt::format("{:.1f} %", 100 * ratio); };
  rows.emplace_back("origin", microseconds(figures.origin_ns));
  rows.emplace_back("hit", microseconds(figures.hit_ns));
  rows.emplace_back("miss extra", microseconds(figures.miss_extra_ns));
  rows.emplace_back("hit ratio", share(figures.hit_ratio));
  rows.emplace_back("break even", figures.break_even() > 1 ? "never" : share(figures.break_even()));
}

/// What is in the ledger of rewrites of it.
void add_rewrite(MillraceRows& rows, const Explanation& said) {
  if (!said.rewrite) return;
  const auto& rewrite = *said.rewrite;
  rows.emplace_back("rewrite", pipeline::name(rewrite.state));
  rows.emplace_back("rewrite reason", rewrite.reason);
  for (const auto& rule : rewrite.rules) rows.emplace_back("rewrite rule", rule);
  if (!rewrite.rewritten.empty()) rows.emplace_back("rewritten", rewrite.rewritten);
  if (rewrite.runs_compared == 0) return;
  rows.emplace_back("rewrite before", fmt::format("{:.2f} ms", rewrite.before_ms));
  rows.emplace_back("rewrite after", fmt::format("{:.2f} ms", rewrite.after_ms));
  rows.emplace_back("rewrite runs compared", std::to_string(rewrite.runs_compared));
  rows.emplace_back("rewrite mismatches", std::to_string(rewrite.mismatches));
}

}  // namespace

MillraceRows rows_of(const Explanation& said, const Question& question) {
  MillraceRows rows;
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
    for (const auto& of_table : said.rows) rows.emplace_back("reads", of_table);
  }
  add_kept(rows, said);
  if (said.decision != CacheUse::bypass) {
    rows.emplace_back("ttl", seconds(said.ttl));
    for (const auto& tag : said.tags) rows.emplace_back("tag", tag);
  }
  if (!said.consistency.empty()) rows.emplace_back("consistency", said.consistency);
  add_payoff(rows, said);
  add_rewrite(rows, said);
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

std::string parse_asked_of_server(std::string_view query_and_types) {
  return std::string(token_asked_of_server).append(query_and_types.substr(query_and_types.find('\0')));
}

MillraceRows token_rows(std::int64_t now) { return {{"", pipeline::moment_token(now)}}; }

std::size_t columns_of(const sql::Statement& statement) { return statement.shows_token ? 1 : 2; }

void append_columns(std::string& out, const sql::Statement& statement, std::array<std::int16_t, 2> formats) {
  if (statement.shows_token) {
    const pgwire::FieldDescription column{.name = "millrace.token", .format = formats[0]};
    return pgwire::append_row_description(out, {&column, 1});
  }
  const std::array<pgwire::FieldDescription, 2> columns = {
      pgwire::FieldDescription{.name = "item", .format = formats[0]},
      pgwire::FieldDescription{.name = "value", .format = formats[1]}};
  pgwire::append_row_description(out, columns);
}

void append_rows(std::string& out, const sql::Statement& statement, std::span<const MillraceRows::value_type> rows) {
  for (const auto& [item, value] : rows) {
    const std::array<pgwire::Value, 2> values = {item, value};
    pgwire::append_data_row(out, std::span(values).last(columns_of(statement)));
  }
}

std::string_view tag_of(const sql::Statement& statement) { return statement.shows_token ? "SHOW" : "EXPLAIN"; }

}  // namespace millrace::gateway
