#include "sql/normalized_text.hpp"

#include <algorithm>
#include <span>
#include <utility>
#include <vector>

#include "sql/skip_comment.hpp"
#include "sql/skip_quoted.hpp"

namespace millrace::sql {
namespace {

constexpr std::size_t none = std::string_view::npos;
constexpr std::string_view cut = "...";

bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

/// Behind the string in which backslashes escape.
std::size_t skip_escaped(std::string_view text, std::size_t at) {
  for (++at; at < text.size(); ++at) {
    if (text[at] == '\\') {
      ++at;
    } else if (text[at] == '\'') {
      if (at + 1 == text.size() || text[at + 1] != '\'') return at + 1;
      ++at;
    }
  }
  return none;
}

struct Token {
  std::string_view text;
  bool after_space = false;
  bool is_value = false;  ///< a constant or a parameter
};

class Lexer {
 public:
  explicit Lexer(std::string_view text) : text_(text) {}

  /// Up to where it isn't certain what follows; the last one says so then.
  std::vector<Token> tokens() {
    while (at_ < text_.size()) {
      if (!step()) {
        add(cut);
        break;
      }
    }
    return std::move(tokens_);
  }

 private:
  char next() const { return at_ + 1 < text_.size() ? text_[at_ + 1] : '\0'; }

  /// False: what follows can't be told.
  bool step() {
    const char c = text_[at_];
    if (is_space(c)) return skip_to(at_ + 1);
    if (c == '-' && next() == '-') return skip_to(std::min(text_.find_first_of("\n\r", at_), text_.size()));
    if (c == '/' && next() == '*') return skip_to(skip_comment(text_, at_));
    if (c == '\'') return plain_string(at_);
    if (c == '"') return take(skip_quoted(text_, at_));
    if (c == '$') return is_digit(next()) ? parameter() : dollar();
    if (is_digit(c) || (c == '.' && is_digit(next()))) return number(at_);
    if ((c == '-' || c == '+') && (is_digit(next()) || next() == '.') && is_sign()) return number(at_ + 1);
    if (begins_name(c)) return name();
    return take(at_ + 1);
  }

  /// Of a number, where no operator can stand.
  bool is_sign() const { return !tokens_.empty() && (tokens_.back().text == "(" || tokens_.back().text == ","); }

  bool skip_to(std::size_t end) {
    if (end == none) return false;
    at_ = end;
    space_ = true;
    return true;
  }

  /// That begins with the quote at `quote`. Where a backslash stands before a quote it depends on
  /// standard_conforming_strings which quote ends the string.
  bool plain_string(std::size_t quote) {
    const std::size_t end = skip_quoted(text_, quote);
    if (end == none || text_.substr(quote, end - quote).contains("\\'")) return false;
    return constant(end);
  }

  bool parameter() {
    std::size_t end = at_ + 1;
    while (end < text_.size() && is_digit(text_[end])) ++end;
    add(text_.substr(at_, end - at_), true);
    at_ = end;
    return true;
  }

  bool dollar() {
    const std::size_t end = skip_dollar(text_, at_);
    return end == at_ + 1 ? take(end) : constant(end);
  }

  bool number(std::size_t digits) {
    std::size_t end = digits;
    while (end < text_.size() && (goes_on_name(text_[end]) || text_[end] == '.')) {
      const bool exponent = (text_[end] == 'e' || text_[end] == 'E') && end + 1 < text_.size();
      end += exponent && (text_[end + 1] == '+' || text_[end + 1] == '-') ? 2 : 1;
    }
    return constant(end);
  }

  bool name() {
    std::size_t end = at_;
    while (end < text_.size() && goes_on_name(text_[end])) ++end;
    if (end == at_ + 1 && end < text_.size() && text_[end] == '\'') {
      // What else stands before a quote is a name, of a type say.
      const char prefix = static_cast<char>(text_[at_] | 0x20);
      if (prefix == 'e') return constant(skip_escaped(text_, end));
      if (prefix == 'b' || prefix == 'x' || prefix == 'n') return plain_string(end);
    }
    return take(end);
  }

  bool constant(std::size_t end) {
    if (end == none) return false;
    add("?", true);
    at_ = end;
    return true;
  }

  bool take(std::size_t end) {
    if (end == none) return false;
    add(text_.substr(at_, end - at_));
    at_ = end;
    return true;
  }

  void add(std::string_view text, bool is_value = false) {
    tokens_.push_back({.text = text, .after_space = std::exchange(space_, false), .is_value = is_value});
  }

  std::string_view text_;
  std::size_t at_ = 0;
  std::vector<Token> tokens_;
  bool space_ = false;
};

bool is(std::span<const Token> tokens, std::size_t at, std::string_view text) {
  return at < tokens.size() && !tokens[at].is_value && tokens[at].text == text;
}
bool is_value(std::span<const Token> tokens, std::size_t at) { return at < tokens.size() && tokens[at].is_value; }

bool is_word(const Token& token, std::string_view lower) {
  return std::ranges::equal(token.text, lower, [](char one, char other) { return (one | 0x20) == other; });
}

/// Whether the bracket at `at` opens a list whose length tells nothing, rather than a function's arguments.
bool opens_list(std::span<const Token> tokens, std::size_t at) {
  if (is(tokens, at, "[")) return true;
  if (!is(tokens, at, "(") || at == 0) return false;
  const Token& before = tokens[at - 1];
  return is_word(before, "in") || is_word(before, "values");
}

/// Behind the bracket at `at` and the values in it; none: it's no bracket, or there is something else in it.
std::size_t end_of_list(std::span<const Token> tokens, std::size_t at) {
  if ((!is(tokens, at, "(") && !is(tokens, at, "[")) || !is_value(tokens, at + 1)) return none;
  std::size_t end = at + 2;
  while (is(tokens, end, ",") && is_value(tokens, end + 1)) end += 2;
  return is(tokens, end, tokens[at].text == "(" ? ")" : "]") ? end + 1 : none;
}

class Writer {
 public:
  explicit Writer(std::span<const Token> tokens) : tokens_(tokens) {}

  std::string write() {
    for (std::size_t at = 0; at < tokens_.size();) {
      const std::size_t list = opens_list(tokens_, at) ? end_of_list(tokens_, at) : none;
      at = list == none ? one(at) : lists(at, list);
    }
    return std::move(out_);
  }

 private:
  std::size_t one(std::size_t at) {
    const Token& token = tokens_[at];
    if (token.after_space && !out_.empty()) out_ += ' ';
    out_ += token.text;
    return at + 1;
  }

  /// Of those that follow, as in VALUES, that there are such.
  std::size_t lists(std::size_t at, std::size_t end) {
    one(at);
    one(at + 1);
    if (end > at + 3) out_ += ", ...";
    one(end - 1);
    std::size_t behind = end;
    const bool are_rows = at > 0 && is_word(tokens_[at - 1], "values");
    for (std::size_t more = end; are_rows && is(tokens_, more, ",");) {
      more = end_of_list(tokens_, more + 1);
      if (more == none) break;
      behind = more;
    }
    if (behind != end) out_ += ", ...";
    return behind;
  }

  std::span<const Token> tokens_;
  std::string out_;
};

}  // namespace

std::string normalized(std::string_view text) { return Writer(Lexer(text).tokens()).write(); }

}  // namespace millrace::sql
