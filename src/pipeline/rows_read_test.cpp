#include "pipeline/rows_read.hpp"

#include <gtest/gtest.h>

#include "pipeline/cacheability.hpp"
#include "pipeline/cacheability_test.hpp"

namespace millrace::pipeline {
namespace {

using namespace std::string_literals;

std::string u16(std::size_t number) { return {static_cast<char>(number >> 8), static_cast<char>(number & 0xff)}; }
std::string u32(std::size_t number) { return u16(number >> 16) + u16(number & 0xffff); }

/// The small database, with tables of the types that count.
class RowsReadTest : public testing::Test {
 protected:
  static constexpr catalog::Oid bool_ = 16, int8 = 20, int4 = 23, text = 25, varchar = 1043, numeric = 1700,
                                uuid = 2950, int4s = 1007, unknown = 705;

  RowsReadTest() {
    for (const auto& [oid, name] :
         {std::pair(bool_, "bool"), {varchar, "varchar"}, {numeric, "numeric"}, {uuid, "uuid"}, {1042u, "bpchar"}}) {
      database_.built_in(oid, name, 'U');
    }
    add("t", {{"id", int4},
              {"big", int8},
              {"name", text},
              {"code", varchar},
              {"key", uuid},
              {"flag", bool_},
              {"price", numeric},
              {"at", 1184}});
    add("u", {{"id", int4}, {"t_id", int4}, {"name", text}});
    database_.view("v", "SELECT * FROM public.t");
  }

  void add(std::string name, const std::vector<std::pair<std::string, catalog::Oid>>& columns) {
    const auto oid = database_.add(std::move(name), columns);
    for (auto& column : database_.builder.find(oid)->columns) {
      if (column.type == text || column.type == varchar) column.collation = 100;
    }
  }

  std::string describe(const Question& question) {
    if (!snapshot_) snapshot_ = database_.builder.build();
    const auto query = std::string(question.text.substr(0, question.text.find('\0')));
    const auto judged = cacheability(*sql::parse(query), *snapshot_, test::path());
    if (!judged()) return "not kept: " + judged.code;
    std::string out;
    for (const auto& rows : rows_read(question, judged.reads, *snapshot_, test::path())) {
      if (!out.empty()) out += " ";
      out += snapshot_->find(rows.table)->name;
      if (rows.column.empty()) continue;
      out += "(" + rows.column + ":";
      for (const auto& value : rows.values) out += " " + value;
      out += ")";
    }
    return out;
  }

  std::string of(std::string_view query) {
    return describe({.kind = Question::Kind::query, .text = query, .parameters = {}});
  }

  struct Parameter {
    std::optional<std::string> value;
    catalog::Oid type = 0;
    bool is_binary = false;
  };
  std::string of(std::string_view query, const std::vector<Parameter>& parameters) {
    std::string asked = std::string(query) + '\0' + u16(parameters.size());
    std::string bound = u16(parameters.size());
    for (const auto& parameter : parameters) {
      asked += u32(parameter.type);
      bound += u16(parameter.is_binary ? 1 : 0);
    }
    bound += u16(parameters.size());
    for (const auto& parameter : parameters) {
      bound += parameter.value ? u32(parameter.value->size()) + *parameter.value : u32(0xffffffff);
    }
    bound += u16(0);
    return describe({.kind = Question::Kind::execute, .text = asked, .parameters = bound});
  }

  test::Database database_;
  std::shared_ptr<const catalog::Snapshot> snapshot_;
};

TEST_F(RowsReadTest, OfConstants) {
  for (const auto& [query, rows] : std::initializer_list<std::pair<const char*, const char*>>{
           {"SELECT 1", ""},
           {"SELECT * FROM t", "t"},
           {"SELECT * FROM t WHERE id = 1", "t(id: 1)"},
           {"SELECT * FROM t WHERE id = ' 01'", "t(id: 1)"},
           {"SELECT * FROM t WHERE id IN (3, 1, '3')", "t(id: 1 3)"},
           {"SELECT * FROM t WHERE big = 3000000000", "t(big: 3000000000)"},
           {"SELECT * FROM t WHERE id = '5'::bigint", "t(id: 5)"},
           {"SELECT * FROM t WHERE id = ANY ('{1,2}')", "t(id: 1 2)"},
           {"SELECT * FROM t WHERE name = 'ab'", "t(name: ab)"},
           {"SELECT * FROM t WHERE code = 'ab'::text", "t(code: ab)"},
           {"SELECT * FROM t WHERE flag = true", "t(flag: t)"},
           {"SELECT * FROM t WHERE key = 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'",
            "t(key: a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11)"},
           // What isn't certain.
           {"SELECT * FROM t WHERE id = 1.0", "t"},
           {"SELECT * FROM t WHERE id = '1.0'::numeric", "t"},
           {"SELECT * FROM t WHERE id = 1::numeric", "t"},
           {"SELECT * FROM t WHERE price = 1", "t"},
           {"SELECT * FROM t WHERE at = '2020-01-01'", "t"},
           {"SELECT * FROM t WHERE name = '\xc3\xa9'", "t"},
           {"SELECT * FROM t WHERE name = 'a'::bpchar", "t"},
           {"SELECT * FROM t WHERE name = 5", "t"},
           {"SELECT * FROM t WHERE id = true", "t"},
           {"SELECT * FROM t WHERE other = 1", "t"},
           {"SELECT * FROM v WHERE id = 1", "t"},
           {"SELECT * FROM t, v WHERE t.id = 1", "t"},
       }) {
    EXPECT_EQ(of(query), rows) << query;
  }
}

TEST_F(RowsReadTest, OfSeveralPlaces) {
  for (const auto& [query, rows] : std::initializer_list<std::pair<const char*, const char*>>{
           {"SELECT * FROM t JOIN u ON t.id = u.t_id WHERE t.id = 1", "t(id: 1) u"},
           {"SELECT * FROM t JOIN u ON t.id = u.t_id WHERE t.id = 1 AND u.t_id = 1", "t(id: 1) u(t_id: 1)"},
           {"SELECT * FROM t a, t b WHERE a.id = 1 AND b.id = 2", "t(id: 1 2)"},
           {"SELECT * FROM t a, t b WHERE a.id = 1 AND b.name = 'x'", "t(id: 1) t(name: x)"},
           {"SELECT * FROM t a, t b WHERE a.id = 1", "t"},
           {"WITH t AS (SELECT * FROM t) SELECT * FROM t WHERE id = 1", "t"},
           {"WITH w AS (SELECT * FROM t WHERE id = 1) SELECT * FROM w JOIN u ON w.id = u.t_id AND u.id = 2",
            "t(id: 1) u(id: 2)"},
           {"SELECT * FROM u WHERE EXISTS (SELECT FROM t WHERE t.id = u.t_id AND big = 7)", "t(big: 7) u"},
           // The name is a column of the query around.
           {"SELECT * FROM u WHERE EXISTS (SELECT FROM t WHERE t_id = 7)", "t u"},
           {"SELECT * FROM logs WHERE id = 1", "logs(id: 1)"},
           {"SELECT * FROM logs_1 WHERE id = 1", "logs_1(id: 1)"},
           {"SELECT * FROM logs JOIN logs_1 USING (id) WHERE logs.id = 1", "logs(id: 1) logs_1"},
           {"SELECT * FROM logs JOIN logs_1 USING (id) WHERE logs_1.id = 1", "logs logs_1 logs_1(id: 1)"},
       }) {
    EXPECT_EQ(of(query), rows) << query;
  }
}

TEST_F(RowsReadTest, OfParameters) {
  const std::string by_id = "SELECT * FROM t WHERE id = $1";
  EXPECT_EQ(of(by_id, {{"5"}}), "t(id: 5)");
  EXPECT_EQ(of(by_id, {{"5", unknown}}), "t(id: 5)");
  EXPECT_EQ(of(by_id, {{"5", int8}}), "t(id: 5)");
  EXPECT_EQ(of(by_id, {{u32(5), 0, true}}), "t(id: 5)");
  EXPECT_EQ(of(by_id, {{u32(0) + u32(5), int8, true}}), "t(id: 5)");
  EXPECT_EQ(of(by_id, {{std::nullopt}}), "t(id:)");
  EXPECT_EQ(of(by_id, {{"5", numeric}}), "t");
  EXPECT_EQ(of(by_id, {{"five"}}), "t");
  EXPECT_EQ(of(by_id, {}), "t");
  EXPECT_EQ(of(by_id), "t");
  // Without a type, it is of the place where it stands first.
  EXPECT_EQ(of("SELECT $1 FROM t WHERE id = $1", {{"5"}}), "t");
  EXPECT_EQ(of("SELECT $1 FROM t WHERE id = $1", {{"5", int4}}), "t(id: 5)");
  EXPECT_EQ(of("SELECT $2 FROM t WHERE id = $1", {{"5"}, {"6"}}), "t(id: 5)");
  EXPECT_EQ(of("SELECT * FROM t WHERE id = $1::int", {{u32(5), 0, true}}), "t(id: 5)");
  EXPECT_EQ(of("SELECT * FROM t WHERE id = $1::numeric", {{"5"}}), "t");
  EXPECT_EQ(of("SELECT * FROM t WHERE id IN ($1, $2, 7)", {{"5"}, {"6"}}), "t(id: 5 6 7)");
  EXPECT_EQ(of("SELECT * FROM t WHERE id = ANY ($1)", {{"{5,6}"}}), "t(id: 5 6)");
  EXPECT_EQ(of("SELECT * FROM t WHERE id = ANY ($1)", {{"{5,6}", int4s}}), "t(id: 5 6)");
  EXPECT_EQ(of("SELECT * FROM t WHERE id = ANY ($1)", {{"{5,6}", text}}), "t");
  EXPECT_EQ(of("SELECT * FROM t WHERE name = $1", {{"x", varchar}}), "t(name: x)");
  EXPECT_EQ(of("SELECT * FROM t WHERE name = $1", {{"x", 1042}}), "t");
  EXPECT_EQ(of("SELECT * FROM t WHERE flag = $1", {{"\x01"s, 0, true}}), "t(flag: t)");
}

TEST_F(RowsReadTest, RatherOfAColumnWhoseOldValuesAreTold) {
  const auto t = database_.add("keyed", {{"tenant", int4}, {"id", int4}});
  database_.builder.find(t)->keys = {{"id"}};
  const auto full = database_.add("told", {{"tenant", int4}, {"id", int4}});
  database_.builder.find(full)->replica_identity = 'f';
  EXPECT_EQ(of("SELECT * FROM keyed WHERE tenant = 1 AND id = 2"), "keyed(id: 2)");
  EXPECT_EQ(of("SELECT * FROM keyed WHERE tenant = 1"), "keyed(tenant: 1)");
  EXPECT_EQ(of("SELECT * FROM told WHERE tenant = 1 AND id = 2"), "told(tenant: 1)");
}

TEST_F(RowsReadTest, OfBoundedLength) {
  std::string list = "0";
  for (int i = 1; i < 40; ++i) list += "," + std::to_string(i);
  const auto one = "SELECT * FROM t WHERE id IN (" + list + ")";
  EXPECT_TRUE(of(one).starts_with("t(id: "));
  EXPECT_EQ(of(one + " UNION ALL " + one), "t");
  EXPECT_EQ(of("SELECT * FROM t WHERE id = 1" + std::string(9000, ' ')), "t");
}

TEST_F(RowsReadTest, AnOperatorOfSomebodysMakesItUncertain) {
  database_.builder.operator_("=", {.volatility = 'i', .all_immutable_or_built_in = true});
  EXPECT_EQ(of("SELECT * FROM t WHERE id = 1"), "t");
}

}  // namespace
}  // namespace millrace::pipeline
