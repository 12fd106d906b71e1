#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cache/entry.hpp"

/// What entries that were made by hand look like among those of the wire, and how large their parts may be.
namespace millrace::cache {

/// So that what anybody sends, or keeps, is bounded; sizes in bytes.
struct ByHandLimits {
  static constexpr std::size_t key_bytes = 1024;
  static constexpr std::size_t names = 64;  ///< of tags, and of dependencies, for an entry
  static constexpr std::size_t name_bytes = 256;
  static constexpr std::size_t patterns = 100;
  static constexpr std::size_t pattern_bytes = 1024;
  static constexpr std::chrono::seconds least_ttl{1};
  static constexpr std::chrono::seconds most_ttl{365 * 24 * 3600};
};

/// Why this can't be a key, a tag or dependency, a pattern; nothing if it can.
std::optional<std::string> objection_to_key(std::string_view key);
std::optional<std::string> objection_to_name(std::string_view name);
std::optional<std::string> objection_to_pattern(std::string_view pattern);

/// The key in the L1: four zero bytes before the text. A key of the wire begins with a number that is never 0.
std::string by_hand_key(std::string_view query_key);
bool is_by_hand(const Entry& entry);

/// How a person names an entry: by its key, or one of the wire, whose keys are bytes, as "query:" and its statement's
/// fingerprint in 16 hexadecimal digits.
std::string label_of(const Entry& entry);

/// The head of an entry by hand (its body is the JSON text): when it was made, and its dependencies.
std::string by_hand_head(std::chrono::system_clock::time_point cached_at, const std::vector<std::string>& dependencies);
struct ByHandHead {
  std::chrono::system_clock::time_point cached_at;
  std::vector<std::string> dependencies;
};
ByHandHead read_by_hand_head(std::string_view head);

}  // namespace millrace::cache
