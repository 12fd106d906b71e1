#pragma once

#include <fmt/format.h>

#include <boost/json/value.hpp>
#include <cstdint>
#include <string>

namespace millrace::cli {

/// Reads members of an answer by their JSON pointer; what isn't there, or isn't of the kind, is shown as "-".
class Figures {
 public:
  explicit Figures(const boost::json::value& root) : root_(root) {}

  const boost::json::value* find(const std::string& pointer) const {
    boost::system::error_code ignored;
    return root_.find_pointer(pointer, ignored);
  }
  std::string text(const std::string& pointer) const {
    const auto* value = find(pointer);
    return value != nullptr && value->is_string() ? std::string(value->get_string()) : "-";
  }
  std::string count(const std::string& pointer) const {
    const auto* value = find(pointer);
    boost::system::error_code ignored;
    return value != nullptr && value->is_number() ? fmt::format("{}", value->to_number<std::uint64_t>(ignored)) : "-";
  }
  std::string decimal(const std::string& pointer, int digits) const {
    const auto* value = find(pointer);
    return value != nullptr && value->is_number() ? fmt::format("{:.{}f}", value->to_number<double>(), digits) : "-";
  }

 private:
  const boost::json::value& root_;
};

}  // namespace millrace::cli
