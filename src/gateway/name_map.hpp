#pragma once

#include <boost/unordered/unordered_flat_map.hpp>
#include <functional>
#include <string>
#include <string_view>

namespace millrace::gateway {

struct NameHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view name) const { return std::hash<std::string_view>{}(name); }
};

/// By names of a client's statements and portals, looked up where they stand in a message.
template <typename T>
using NameMap = boost::unordered_flat_map<std::string, T, NameHash, std::equal_to<>>;

}  // namespace millrace::gateway
