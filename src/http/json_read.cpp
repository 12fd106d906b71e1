#include "http/json_read.hpp"

#include <boost/json/parse.hpp>
#include <boost/json/stream_parser.hpp>

namespace millrace::http {
namespace {

constexpr std::string_view spaces = " \t\r\n";

/// Goes through text that is known to be JSON.
class Walk {
 public:
  explicit Walk(std::string_view text) : text_(text) {}

  char next() {
    at_ = std::min(text_.find_first_not_of(spaces, at_), text_.size());
    return at_ < text_.size() ? text_[at_] : '\0';
  }
  void skip() { ++at_; }

  std::string_view value() {
    next();
    const std::size_t start = at_;
    std::size_t depth = 0;
    do {
      const char c = next();
      if (c == '"') {
        skip_string();
      } else if (c == '{' || c == '[') {
        ++depth;
        ++at_;
      } else if (c == '}' || c == ']') {
        --depth;
        ++at_;
      } else if (c == ',' || c == ':') {
        ++at_;
      } else {
        at_ = std::min(text_.find_first_of(",:]} \t\r\n", at_), text_.size());
      }
    } while (depth > 0 && at_ < text_.size());
    return text_.substr(start, at_ - start);
  }

 private:
  void skip_string() {
    for (++at_; at_ < text_.size() && text_[at_] != '"'; ++at_) {
      if (text_[at_] == '\\') ++at_;
    }
    ++at_;
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

bool names(std::string_view quoted, std::string_view name) {
  if (quoted.find('\\') == std::string_view::npos) return quoted.substr(1, quoted.size() - 2) == name;
  const boost::json::value parsed = boost::json::parse(quoted);
  return std::string_view(parsed.get_string()) == name;
}

}  // namespace

std::string_view member_text(std::string_view object, std::string_view name) {
  std::string_view found;
  Walk walk(object);
  if (walk.next() != '{') return {};
  walk.skip();
  while (walk.next() == '"') {
    const std::string_view key = walk.value();
    if (walk.next() != ':') break;
    walk.skip();
    const std::string_view value = walk.value();
    if (names(key, name)) found = value;
    if (walk.next() != ',') break;
    walk.skip();
  }
  return found;
}

std::vector<std::string_view> element_texts(std::string_view list) {
  std::vector<std::string_view> texts;
  Walk walk(list);
  if (walk.next() != '[') return texts;
  walk.skip();
  while (walk.next() != ']' && walk.next() != '\0') {
    texts.push_back(walk.value());
    if (walk.next() == ',') walk.skip();
  }
  return texts;
}

boost::json::value parse_json(std::string_view text, Findings& findings) {
  boost::json::stream_parser parser;
  boost::system::error_code error;
  const std::size_t read = parser.write_some(text.data(), text.size(), error);
  if (!error && read < text.size() && text.find_first_not_of(" \t\r\n", read) != std::string_view::npos) {
    error = boost::json::error::extra_data;
  }
  if (!error) parser.finish(error);
  if (!error) return parser.release();
  findings.within(read, [&] { findings.add("json_invalid", "is not valid JSON: " + error.message()); });
  return nullptr;
}

}  // namespace millrace::http
