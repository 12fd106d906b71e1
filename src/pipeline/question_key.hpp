#pragma once

#include <string>
#include <string_view>

#include "pipeline/exchange.hpp"
#include "pipeline/scope.hpp"

namespace millrace::pipeline {

/// The text that a question is about, as it came.
inline std::string_view text_of(const Question& question) { return question.text.substr(0, question.text.find('\0')); }

/// Writes to `key` what an answer to the question is kept under, for sessions of the scope. `plain`: a buffer for the
/// text without its comments.
void write_key(const Scope& scope, const Question& question, std::string& key, std::string& plain);
/// Makes it the key of the same question with another `first_rows`.
void set_first_rows(std::string& key, std::uint32_t first_rows);

}  // namespace millrace::pipeline
