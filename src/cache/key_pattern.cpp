#include "cache/key_pattern.hpp"

#include <algorithm>

namespace millrace::cache {

namespace {

constexpr std::size_t bits = 64;
constexpr std::size_t bytes = 256;

/// Of UTF-8: one that isn't a character's first.
bool is_tail(std::size_t byte) { return (byte & 0xC0U) == 0x80U; }

void set(std::uint64_t* words, std::size_t bit) { words[bit / bits] |= std::uint64_t{1} << bit % bits; }

}  // namespace

KeyPattern::KeyPattern(std::string_view pattern) {
  const std::size_t literal = std::min(pattern.find_first_of("*?"), pattern.size());
  prefix_ = pattern.substr(0, literal);
  pattern.remove_prefix(literal);
  is_literal_ = pattern.empty();
  if (is_literal_) return;
  places_ = pattern.size() - static_cast<std::size_t>(std::ranges::count(pattern, '*'));
  words_ = places_ / bits + 1;
  steps_.resize(bytes * words_);
  loops_.resize(words_);
  tails_.resize(words_);
  std::size_t place = 0;
  for (const char c : pattern) {
    if (c == '*') {
      set(loops_.data(), place);
      continue;
    }
    ++place;
    if (c != '?') {
      set(steps_.data() + static_cast<unsigned char>(c) * words_, place);
      continue;
    }
    set(tails_.data(), place);
    for (std::size_t byte = 0; byte < bytes; ++byte) {
      if (!is_tail(byte)) set(steps_.data() + byte * words_, place);
    }
  }
}

bool KeyPattern::matches(std::string_view key) const {
  if (is_literal_) return key == prefix_;
  if (!key.starts_with(prefix_)) return false;
  std::vector<Word> now(words_);
  now[0] = 1;
  std::size_t low = 0;   // only words from here ...
  std::size_t high = 1;  // ... to here, which is left out, have bits
  const auto at_end = [&](const std::vector<Word>& words) {
    return (words[places_ / bits] >> places_ % bits & 1) != 0;
  };
  const bool ends_with_star = at_end(loops_);
  for (const char c : key.substr(prefix_.size())) {
    if (ends_with_star && at_end(now)) return true;
    const auto byte = static_cast<unsigned char>(c);
    const Word* steps = steps_.data() + byte * words_;
    Word carried = 0;
    std::size_t first = words_;
    std::size_t end = 0;
    for (std::size_t i = low; i < std::min(high + 1, words_); ++i) {
      const Word before = now[i];
      Word after = ((before << 1 | carried) & steps[i]) | (before & loops_[i]);
      if (is_tail(byte)) after |= before & tails_[i];
      carried = before >> (bits - 1);
      now[i] = after;
      if (after == 0) continue;
      first = std::min(first, i);
      end = i + 1;
    }
    if (end == 0) return false;
    low = first;
    high = end;
  }
  return at_end(now);
}

}  // namespace millrace::cache
