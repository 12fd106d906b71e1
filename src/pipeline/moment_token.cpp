#include "pipeline/moment_token.hpp"

#include <fmt/format.h>

#include <charconv>
#include <optional>
#include <random>

namespace millrace::pipeline {
namespace {

std::uint64_t this_process() {
  static const std::uint64_t id = [] {
    std::random_device random;
    return std::uint64_t{random()} << 32 | random();
  }();
  return id;
}

std::optional<std::uint64_t> number(std::string_view digits) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
  if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  return value;
}

}  // namespace

std::string moment_token(std::int64_t moment) {
  return fmt::format("{:016x}-{:x}", this_process(), static_cast<std::uint64_t>(moment));
}

std::int64_t moment_of(std::string_view token, std::int64_t now) {
  const auto hyphen = token.find('-');
  if (hyphen == std::string_view::npos || number(token.substr(0, hyphen)) != this_process()) return now;
  const auto moment = number(token.substr(hyphen + 1));
  return moment && *moment <= static_cast<std::uint64_t>(now) ? static_cast<std::int64_t>(*moment) : now;
}

}  // namespace millrace::pipeline
