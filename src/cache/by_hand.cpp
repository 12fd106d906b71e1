#include "cache/by_hand.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace millrace::cache {

namespace {

constexpr std::string_view mark("\0\0\0\0", 4);

std::optional<std::string> objection(std::string_view text, std::size_t most) {
  if (text.empty()) return "must not be empty";
  if (text.size() > most) return fmt::format("must have {} bytes at most", most);
  const auto is_control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; };
  if (std::ranges::any_of(text, is_control)) return "must not contain control characters";
  return {};
}

template <typename Number>
void append(std::string& to, Number number) {
  to.append(reinterpret_cast<const char*>(&number), sizeof number);
}

template <typename Number>
Number take(std::string_view& from) {
  Number number = 0;
  from.copy(reinterpret_cast<char*>(&number), sizeof number);
  from.remove_prefix(sizeof number);
  return number;
}

}  // namespace

std::optional<std::string> objection_to_key(std::string_view key) { return objection(key, ByHandLimits::key_bytes); }
std::optional<std::string> objection_to_name(std::string_view name) {
  return objection(name, ByHandLimits::name_bytes);
}
std::optional<std::string> objection_to_pattern(std::string_view pattern) {
  return objection(pattern, ByHandLimits::pattern_bytes);
}

std::string by_hand_key(std::string_view query_key) { return std::string(mark).append(query_key); }

bool is_by_hand(const Entry& entry) { return entry.key().starts_with(mark); }

std::string label_of(const Entry& entry) {
  if (is_by_hand(entry)) return std::string(entry.key().substr(mark.size()));
  return fmt::format("query:{:016x}", entry.fingerprint());
}

std::string by_hand_head(std::chrono::system_clock::time_point cached_at,
                         const std::vector<std::string>& dependencies) {
  std::string head;
  append(head, std::chrono::duration_cast<std::chrono::microseconds>(cached_at.time_since_epoch()).count());
  for (const std::string& dependency : dependencies) {
    append(head, static_cast<std::uint32_t>(dependency.size()));
    head += dependency;
  }
  return head;
}

ByHandHead read_by_hand_head(std::string_view head) {
  ByHandHead read;
  read.cached_at =
      std::chrono::system_clock::time_point(std::chrono::microseconds(take<std::chrono::microseconds::rep>(head)));
  while (!head.empty()) {
    const auto size = take<std::uint32_t>(head);
    read.dependencies.emplace_back(head.substr(0, size));
    head.remove_prefix(size);
  }
  return read;
}

}  // namespace millrace::cache
