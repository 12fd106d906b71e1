#include "pipeline/question_key.hpp"

#include "sql/comments.hpp"

namespace millrace::pipeline {
namespace {

// A key begins with four-byte numbers: scope, kind and length of the text, first_rows.
constexpr std::size_t first_rows_at = 8;

std::string_view bytes_of(const std::uint32_t& number) {
  return {reinterpret_cast<const char*>(&number), sizeof number};
}

}  // namespace

void write_key(const Scope& scope, const Question& question, std::string& key, std::string& plain) {
  const auto append_number = [&key](std::uint32_t number) { key.append(bytes_of(number)); };
  const std::string_view query = text_of(question);
  const std::string_view text = sql::without_comments(query, plain);
  key.clear();
  append_number(scope.number);
  append_number(static_cast<std::uint32_t>(text.size() << 2) | static_cast<std::uint32_t>(question.kind));
  append_number(question.first_rows);
  key.append(text).append(question.text.substr(query.size())).append(question.parameters);
}

void set_first_rows(std::string& key, std::uint32_t first_rows) {
  key.replace(first_rows_at, sizeof first_rows, bytes_of(first_rows));
}

}  // namespace millrace::pipeline
