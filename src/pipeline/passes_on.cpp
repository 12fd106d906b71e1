#include "pipeline/passes_on.hpp"

#include "sql/comments.hpp"

namespace millrace::pipeline {

bool passes_on(const Payoff* payoff, std::string_view text, std::int64_t now) {
  if (payoff == nullptr || payoff->is_for_memory(now)) return false;
  return !text.contains("millrace") || !sql::hints_of(text.substr(0, text.find('\0'))).always;
}

}  // namespace millrace::pipeline
