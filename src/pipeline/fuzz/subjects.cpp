#include "pipeline/fuzz/subjects.hpp"

#include <algorithm>

#include "pipeline/cacheability.hpp"
#include "pipeline/cacheability_test.hpp"
#include "pipeline/rows_read.hpp"
#include "pipeline/value_text.hpp"

namespace millrace::pipeline::fuzz {

namespace {

std::shared_ptr<const catalog::Snapshot> make_snapshot() {
  test::Database database;
  for (const catalog::Oid table : {database.users, database.orders, database.logs}) {
    for (auto& column : database.builder.find(table)->columns) column.collation = 100;
  }
  return database.builder.build();
}

void require(bool holds) {
  if (!holds) __builtin_trap();
}

}  // namespace

// Whatever is asked, no table that is read is lost, and what is said stays within bounds.
void rows_read(std::string_view input) {
  static const auto snapshot = make_snapshot();
  constexpr std::string_view between = "\nBIND\n";
  const auto end = std::min(input.find(between), input.size());
  const Question question{.kind = Question::Kind::execute,
                          .text = input.substr(0, end),
                          .parameters = input.substr(std::min(end + between.size(), input.size()))};
  const auto statement = sql::parse(question.text.substr(0, question.text.find('\0')));
  const auto judged = cacheability(*statement, *snapshot, test::path());
  std::vector<catalog::Oid> covered;
  std::size_t values = 0;
  for (const auto& rows : pipeline::rows_read(question, judged.reads, *snapshot, test::path())) {
    require(rows.column.empty() == rows.parts.empty());
    covered.push_back(rows.table);
    covered.insert(covered.end(), rows.parts.begin(), rows.parts.end());
    values += rows.values.size();
  }
  require(values <= most_values_read);
  for (const auto table : judged.reads) require(std::ranges::find(covered, table) != covered.end());
}

// What is certain is the same if it is read once more.
void value_text(std::string_view input) {
  for (const auto family :
       {ValueFamily::none, ValueFamily::integer, ValueFamily::text, ValueFamily::uuid, ValueFamily::boolean}) {
    for (const auto& value : {canonical_text(family, input), canonical_binary(family, input)}) {
      if (value) require(canonical_text(family, *value) == value);
    }
    for (const auto& values : {canonical_elements(family, input, 4), canonical_binary_elements(family, input, 4)}) {
      if (!values) continue;
      require(values->size() <= 4);
      for (const auto& value : *values) require(canonical_text(family, value) == value);
    }
  }
}

}  // namespace millrace::pipeline::fuzz
