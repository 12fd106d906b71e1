#include "config/dotenv.hpp"

#include <optional>

namespace millrace::config {
namespace {

constexpr std::size_t longest_value = 64 * 1024;
/// Of all values: a short line can name a long one.
constexpr std::size_t most_together = 1024 * 1024;
constexpr std::string_view blanks = " \t\r";

bool is_name_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

std::string_view trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(blanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(blanks) - first + 1);
}

class Reader {
 public:
  Reader(std::string_view text, const std::map<std::string, std::string>& environment)
      : text_(text), environment_(environment) {}

  std::map<std::string, std::string> read() {
    if (text_.starts_with("\xEF\xBB\xBF")) at_ = 3;
    while (at_ < text_.size()) {
      read_line();
      const auto end = text_.find('\n', at_);
      at_ = end == std::string_view::npos ? text_.size() : end + 1;
    }
    return std::move(values_);
  }

 private:
  /// Leaves `at_` in the line that it has read last.
  void read_line() {
    skip_blanks();
    constexpr std::string_view keyword = "export";
    if (text_.substr(at_).starts_with(keyword) && at_ + keyword.size() < text_.size() &&
        blanks.contains(text_[at_ + keyword.size()])) {
      at_ += keyword.size();
      skip_blanks();
    }
    const auto begin = at_;
    while (at_ < text_.size() && is_name_character(text_[at_])) ++at_;
    const std::string name(text_.substr(begin, at_ - begin));
    skip_blanks();
    if (name.empty() || at_ == text_.size() || text_[at_] != '=') return;
    ++at_;
    skip_blanks();
    const char quote = at_ < text_.size() ? text_[at_] : '\n';
    auto value = quote == '"' || quote == '\'' ? quoted(quote) : bare();
    if (!value || value->size() > longest_value || together_ + value->size() > most_together) return;
    together_ += value->size();
    values_[name] = std::move(*value);
  }

  std::optional<std::string> bare() {
    auto line = text_.substr(at_, text_.find('\n', at_) - at_);
    for (std::size_t i = 0; i < line.size(); ++i) {
      if (line[i] == '#' && (i == 0 || blanks.contains(line[i - 1]))) line = line.substr(0, i);
    }
    line = trimmed(line);
    std::string value;
    for (std::size_t i = 0; i < line.size() && value.size() <= longest_value;) {
      const auto used = expand(line.substr(i), value);
      if (used == 0) value += line[i];
      i += used == 0 ? 1 : used;
    }
    return value;
  }

  /// Null, and nothing is read, where the quote has no end.
  std::optional<std::string> quoted(char quote) {
    std::string value;
    for (std::size_t i = at_ + 1; i < text_.size() && value.size() <= longest_value; ++i) {
      const char c = text_[i];
      if (c == quote) {
        at_ = i + 1;
        return value;
      }
      if (quote == '"' && c == '\\' && i + 1 < text_.size()) {
        const char next = text_[++i];
        if (next == 'n') {
          value += '\n';
        } else {
          if (next != '"' && next != '\\' && next != '$') value += '\\';
          value += next;
        }
      } else if (const auto used = quote == '"' ? expand(text_.substr(i), value) : 0; used != 0) {
        i += used - 1;
      } else {
        value += c;
      }
    }
    return std::nullopt;
  }

  /// How long the `${NAME}` is that `text` begins with, whose value is added; 0 if it doesn't.
  std::size_t expand(std::string_view text, std::string& value) const {
    if (!text.starts_with("${")) return 0;
    std::size_t end = 2;
    while (end < text.size() && is_name_character(text[end])) ++end;
    if (end == 2 || end == text.size() || text[end] != '}') return 0;
    const std::string name(text.substr(2, end - 2));
    if (const auto here = values_.find(name); here != values_.end()) {
      value += here->second;
    } else if (const auto there = environment_.find(name); there != environment_.end()) {
      value += there->second;
    }
    return end + 1;
  }

  void skip_blanks() {
    while (at_ < text_.size() && blanks.contains(text_[at_])) ++at_;
  }

  const std::string_view text_;
  const std::map<std::string, std::string>& environment_;
  std::size_t at_ = 0;
  std::size_t together_ = 0;
  std::map<std::string, std::string> values_;
};

}  // namespace

std::map<std::string, std::string> parse_dotenv(std::string_view text,
                                                const std::map<std::string, std::string>& environment) {
  return Reader(text, environment).read();
}

}  // namespace millrace::config
