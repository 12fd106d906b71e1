#include "gateway/what_if_facts.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include "gateway/what_if_sql.hpp"
#include "optimizer/identifier.hpp"

namespace millrace::gateway {
namespace {

namespace json = boost::json;
using optimizer::IndexFacts;
using what_if_sql::number;

bool truth(const std::optional<std::string>& text) { return text == "t"; }

std::string text(const std::optional<std::string>& value) { return value.value_or(""); }

optimizer::ExistingIndex index_of(const backend::ServerConnection::Row& row) {
  auto keys = what_if_sql::texts(row[4]);
  const auto count = std::min(static_cast<std::size_t>(number(row[5])), keys.size());
  std::vector<std::string> include(keys.begin() + static_cast<std::ptrdiff_t>(count), keys.end());
  keys.resize(count);
  return {.schema = text(row[0]),
          .table = text(row[1]),
          .name = text(row[2]),
          .method = text(row[3]),
          .keys = std::move(keys),
          .include = std::move(include),
          .where = text(row[6]),
          .unique = truth(row[7]),
          .needed = truth(row[8]),
          .valid = truth(row[9]),
          .in_work = truth(row[10]),
          .bytes = number(row[11]),
          .scans = number(row[12])};
}

}  // namespace

Result<IndexFacts> index_facts(WhatIfSession& session, std::span<const std::pair<std::string, std::string>> widths_of) {
  IndexFacts facts;
  const auto settings = session.ask_catalog(std::string(what_if_sql::settings));
  if (!settings) return std::unexpected(settings.error());
  if (!settings->empty()) {
    const auto& row = settings->front();
    facts.settings = {.seq_page_cost = number(row[0]),
                      .random_page_cost = number(row[1]),
                      .cpu_tuple_cost = number(row[2]),
                      .cpu_index_tuple_cost = number(row[3]),
                      .cpu_operator_cost = number(row[4])};
    facts.counted_seconds = number(row[5]);
  }
  const auto tables = session.ask_catalog(fmt::format("{}{}", what_if_sql::tables, what_if_sql::of_users));
  if (!tables) return std::unexpected(tables.error());
  for (const auto& row : *tables) {
    facts.tables.push_back({.schema = text(row[0]),
                            .name = text(row[1]),
                            .rows = number(row[2]),
                            .pages = number(row[3]),
                            .bytes = number(row[4]),
                            .inserts = number(row[5]),
                            .updates = number(row[6]),
                            .hot_updates = number(row[7]),
                            .scans = number(row[8])});
  }
  const auto indexes =
      session.ask_catalog(fmt::format("{}{}ORDER BY 1, 2, 3", what_if_sql::indexes, what_if_sql::of_users));
  if (!indexes) return std::unexpected(indexes.error());
  for (const auto& row : *indexes) facts.indexes.push_back(index_of(row));
  json::array asked;
  for (const auto& [schema, name] : widths_of) asked.push_back(json::object{{"schema", schema}, {"name", name}});
  const auto widths = session.ask_catalog(std::string(what_if_sql::widths), {json::serialize(asked)});
  if (!widths) return std::unexpected(widths.error());
  for (const auto& row : *widths)
    facts.widths.push_back({.schema = text(row[0]),
                            .table = text(row[1]),
                            .column = optimizer::quoted_identifier(text(row[2])),
                            .bytes = number(row[3])});
  return facts;
}

}  // namespace millrace::gateway
