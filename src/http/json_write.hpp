#pragma once

#include "http/json_types.hpp"
#include "http/json_writer.hpp"

namespace millrace::http {

/// ISO 8601 in UTC with microseconds: "2026-01-31T12:00:00.000000+00:00".
std::string to_iso(Timestamp time);

template <typename T>
void write(JsonWriter& json, const T& value) {
  if constexpr (std::same_as<T, bool>) {
    json.boolean(value);
  } else if constexpr (std::unsigned_integral<T>) {
    json.integer(std::uint64_t{value});
  } else if constexpr (std::signed_integral<T>) {
    json.integer(std::int64_t{value});
  } else if constexpr (std::floating_point<T>) {
    json.number(value);
  } else if constexpr (std::same_as<T, RawJson>) {
    json.raw(value.text);
  } else if constexpr (std::same_as<T, Timestamp>) {
    json.string(to_iso(value));
  } else if constexpr (DescribedEnum<T>) {
    json.string(boost::describe::enum_to_string(value, "unknown"));
  } else if constexpr (is_optional<T>) {
    value ? write(json, *value) : json.null();
  } else if constexpr (is_vector<T>) {
    json.begin_array();
    for (const auto& element : value) write(json, element);
    json.end_array();
  } else if constexpr (is_pair<T>) {
    json.begin_array();
    write(json, value.first);
    write(json, value.second);
    json.end_array();
  } else if constexpr (is_map<T>) {
    json.begin_object();
    for (const auto& [name, element] : value) {
      json.key(name);
      write(json, element);
    }
    json.end_object();
  } else if constexpr (DescribedStruct<T>) {
    json.begin_object();
    for_each_member<T>([&](auto member) {
      json.key(member.name);
      write(json, value.*member.pointer);
    });
    json.end_object();
  } else {
    static_assert(std::convertible_to<T, std::string_view>, "this type has no JSON form");
    json.string(value);
  }
}

template <typename T>
std::string to_json(const T& value) {
  JsonWriter json;
  write(json, value);
  return json.take();
}

}  // namespace millrace::http
