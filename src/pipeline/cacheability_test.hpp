#pragma once

#include <memory>

#include "catalog/snapshot_builder.hpp"
#include "sql/statement.hpp"

namespace millrace::pipeline::test {

/// A small database: PostgreSQL's own functions, operators and types that the tests name, and in "public" the tables
/// users (id, name, at), orders (id, user_id, day, note), logs with the part logs_1; a test adds what it is about.
class Database {
 public:
  catalog::SnapshotBuilder builder;
  catalog::Oid users, orders, logs, logs_1;

  Database() {
    for (const char* name : {"lower", "upper", "count", "sum", "f_immutable"}) {
      builder.function(name, 'i', true);
    }
    for (const char* name : {"to_char", "date_trunc", "timezone", "date", "json_to_record", "concat", "age",
                             "current_setting", "pg_typeof", "now", "txid_current_snapshot", "table_to_xml"}) {
      builder.function(name, 's', true);
    }
    for (const char* name : {"random", "nextval", "currval", "gen_random_uuid", "query_to_xml"}) {
      builder.function(name, 'v', true);
    }
    for (const char* name : {"=", "<>", ">=", "<=", "||", "+"}) builder.operator_(name, 'i', true);
    for (const char* name : {"-", "<", ">", "@@"}) builder.operator_(name, 's', true);
    built_in(20, "int8", 'N');
    built_in(23, "int4", 'N');
    built_in(25, "text", 'S');
    built_in(1082, "date", 'D');
    built_in(1114, "timestamp", 'D');
    built_in(1184, "timestamptz", 'D');
    built_in(1186, "interval", 'T');
    built_in(2205, "regclass", 'N');
    built_in(1033, "aclitem", 'U');
    array(1009, "_text", 25);
    array(2210, "_regclass", 2205);
    users = add("users", {{"id", 23}, {"name", 25}, {"at", 1184}});
    orders = add("orders", {{"id", 20}, {"user_id", 23}, {"day", 1114}, {"note", 25}});
    logs = add("logs", {{"id", 23}, {"at", 1184}}, 'p');
    logs_1 = add("logs_1", {{"id", 23}, {"at", 1184}});
    builder.inherit(logs_1, logs);
  }

  catalog::Oid add(std::string name, std::vector<std::pair<std::string, catalog::Oid>> columns, char kind = 'r',
                   std::string schema = "public") {
    catalog::Relation relation;
    relation.schema = std::move(schema);
    relation.name = std::move(name);
    relation.kind = kind;
    for (auto& [column, type] : columns) relation.columns.push_back({.name = column, .type = type});
    return builder.add(std::move(relation));
  }

  void built_in(catalog::Oid oid, std::string name, char category) {
    builder.type({.oid = oid, .schema = "pg_catalog", .name = std::move(name), .category = category, .built_in = true});
  }

  void array(catalog::Oid oid, std::string name, catalog::Oid element) {
    builder.type({.oid = oid,
                  .schema = "pg_catalog",
                  .name = std::move(name),
                  .category = 'A',
                  .element = element,
                  .built_in = true});
  }

  /// A view with the names that the text holds.
  catalog::Oid view(std::string name, std::string_view text) {
    const auto references = sql::parse(text)->references;
    return builder.view("public", std::move(name), references != nullptr ? *references : sql::References{});
  }
};

inline const std::vector<std::string>& path() {
  static const std::vector<std::string> path = {"public"};
  return path;
}

}  // namespace millrace::pipeline::test
