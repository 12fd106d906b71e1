#include "sql/template_key.hpp"

#include <array>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace millrace::sql {

namespace {

constexpr char kInteger = '\x01';
constexpr char kNumber = '\x02';
constexpr char kString = '\x03';

enum class Class : std::uint8_t {
  space,
  plain,
  word,  ///< of an identifier or keyword
  // What follows needs a look.
  digit,
  string,
  quoted_name,
  dollar,     ///< of a parameter, or of a dollar quote
  minus,      ///< may begin a comment
  slash,      ///< may begin a comment
  point,      ///< may begin a number
  ampersand,  ///< may be part of a prefix: U&'...'
  stop,       ///< not for this scanner
};

constexpr std::array<Class, 256> kClasses = [] {
  std::array<Class, 256> classes{};
  classes.fill(Class::stop);
  for (const unsigned char c : std::string_view(" \t\n\r\f")) classes[c] = Class::space;
  for (const unsigned char c : std::string_view("!#%()*+,:;<=>?@[]^`|{}~")) classes[c] = Class::plain;
  for (int c = 'a'; c <= 'z'; ++c) classes[c] = Class::word;
  for (int c = 'A'; c <= 'Z'; ++c) classes[c] = Class::word;
  for (int c = 0x80; c <= 0xff; ++c) classes[c] = Class::word;
  for (int c = '0'; c <= '9'; ++c) classes[c] = Class::digit;
  classes['_'] = Class::word;
  classes['\''] = Class::string;
  classes['"'] = Class::quoted_name;
  classes['$'] = Class::dollar;
  classes['-'] = Class::minus;
  classes['/'] = Class::slash;
  classes['.'] = Class::point;
  classes['&'] = Class::ampersand;
  return classes;
}();

constexpr Class class_of(char c) { return kClasses[static_cast<unsigned char>(c)]; }
constexpr bool is_digit(char c) { return class_of(c) == Class::digit; }
constexpr bool is_of_word(char c) {
  const Class k = class_of(c);
  return k == Class::word || k == Class::digit || k == Class::dollar;
}

/// The placeholder of an unsigned whole number, or 0. PostgreSQL's scanner gives another token for what doesn't fit
/// into 32 bits.
constexpr char placeholder_of(std::string_view digits) {
  constexpr std::string_view kLargest = "2147483647";
  if (digits.size() < kLargest.size()) return kInteger;
  if (digits.front() == '0') return 0;
  return digits.size() == kLargest.size() && digits <= kLargest ? kInteger : kNumber;
}

class Scanner {
 public:
  Scanner(std::string_view text, char* out)
      : begin_(text.data()), end_(begin_ + text.size()), at_(begin_), copied_(begin_), out_(out) {}

  /// The key's end; null if there is no key.
  char* scan() {
    while (true) {
      while (at_ != end_ && class_of(*at_) <= Class::word) ++at_;
      if (at_ == end_) break;
      if (!step()) return nullptr;
    }
    if (constants_ == 0) return nullptr;
    copy_to(end_);
    return out_;
  }

 private:
  bool step() {
    switch (class_of(*at_)) {
      case Class::space:
      case Class::plain:
      case Class::word:
        break;
      case Class::digit:
        if (!is_of_word(before())) return number();
        break;
      case Class::string:
        return !is_of_word(before()) && string();  // of a word: a prefix
      case Class::quoted_name:
        return quoted_name();
      case Class::dollar:
        if (!is_of_word(before())) return parameter();
        break;
      case Class::minus:
        if (after() == '-') return false;
        break;
      case Class::slash:
        if (after() == '*') return false;
        break;
      case Class::point:
        if (is_digit(after())) return false;
        break;
      case Class::ampersand:
        if (after() == '\'' || after() == '"') return false;
        break;
      case Class::stop:
        return false;
    }
    ++at_;
    return true;
  }

  char before() const { return at_ != begin_ ? at_[-1] : ' '; }
  char after() const { return at_ + 1 != end_ ? at_[1] : ' '; }

  bool number() {
    const char* stop = at_ + 1;
    while (stop != end_ && is_digit(*stop)) ++stop;
    char placeholder = placeholder_of({at_, stop});
    if (stop != end_ && *stop == '.') {
      placeholder = kNumber;
      ++stop;
      while (stop != end_ && is_digit(*stop)) ++stop;
    }
    if (stop != end_) {
      const Class k = class_of(*stop);
      const bool apart =
          k == Class::space || k == Class::plain || k == Class::minus || k == Class::slash || k == Class::ampersand;
      if (!apart) return false;
    }
    if (is_of_type()) {
      at_ = stop;
      return true;
    }
    return placeholder != 0 && take_out(stop, placeholder);
  }

  /// In float(24) and int[3] a number says which type it is; there it stays.
  bool is_of_type() const {
    const char* last = before_spaces(at_);
    if (last == begin_) return false;
    if (last[-1] == '[') return true;
    if (last[-1] != '(') return false;
    last = before_spaces(last - 1);
    constexpr std::string_view kFloat = "float";
    if (last - begin_ < static_cast<std::ptrdiff_t>(kFloat.size())) return false;
    const char* word = last - kFloat.size();
    for (const char c : kFloat) {
      if ((*word++ | 0x20) != c) return false;
    }
    return true;
  }

  const char* before_spaces(const char* at) const {
    while (at != begin_ && class_of(at[-1]) == Class::space) --at;
    return at;
  }

  bool string() {
    const char* stop = at_ + 1;
    while (true) {
      while (stop != end_ && *stop != '\'' && *stop != '\\' && *stop != '\0') ++stop;
      if (stop == end_ || *stop != '\'') return false;
      ++stop;
      if (stop == end_ || *stop != '\'') break;
      ++stop;  // a doubled quote
    }
    return take_out(stop, kString);
  }

  bool quoted_name() {
    ++at_;
    while (at_ != end_ && *at_ != '"' && *at_ != '\0') ++at_;
    if (at_ == end_ || *at_ != '"') return false;
    ++at_;  // a doubled quote begins another one, which is copied as well
    return true;
  }

  bool parameter() {
    const char* digits = ++at_;
    while (at_ != end_ && is_digit(*at_)) ++at_;
    return at_ != digits && !(at_ != end_ && is_of_word(*at_));
  }

  void copy_to(const char* stop) {
    const auto length = static_cast<std::size_t>(stop - copied_);
    std::memcpy(out_, copied_, length);
    out_ += length;
    copied_ = stop;
  }

  /// Takes out the text from here to `stop`.
  bool take_out(const char* stop, char placeholder) {
    copy_to(at_);
    *out_++ = placeholder;
    at_ = copied_ = stop;
    ++constants_;
    return true;
  }

  const char* const begin_;
  const char* const end_;
  const char* at_;
  const char* copied_;  ///< what comes before is in the key
  char* out_;
  int constants_ = 0;
};

}  // namespace

std::string_view template_key(std::string_view text, std::span<char> buffer) {
  assert(buffer.size() >= text.size());
  char* const end = Scanner(text, buffer.data()).scan();
  return end == nullptr ? std::string_view{} : std::string_view(buffer.data(), end);
}

}  // namespace millrace::sql
