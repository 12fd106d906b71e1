#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace millrace::cache {

/// A pattern over keys: `*` stands for any text, also none, `?` for one character of UTF-8, all else for itself; there
/// is no escape. Matching keeps a bit for each place of the pattern and goes through the key once, without
/// backtracking: time grows with the key's length times a 64th of the pattern's, whatever they say. Immutable,
/// thread-safe.
class KeyPattern {
 public:
  explicit KeyPattern(std::string_view pattern);

  bool matches(std::string_view key) const;

 private:
  using Word = std::uint64_t;

  std::string prefix_;      // up to the first wildcard
  bool is_literal_ = true;  // there is none
  std::size_t places_ = 0;  // of what follows, without its stars; the bit i says that the first i of them have matched
  std::size_t words_ = 0;
  std::vector<Word> steps_;  // for each byte, the bits that may be reached by it from the one before
  std::vector<Word> loops_;  // the bits that any byte leaves: there stands a star
  std::vector<Word> tails_;  // the bits that the rest of a character leaves: behind a question mark
};

}  // namespace millrace::cache
