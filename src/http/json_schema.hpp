#pragma once

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <stdexcept>
#include <string>

#include "http/json_types.hpp"

namespace millrace::http {

/// Describes types in JSON Schema (2020-12, as OpenAPI 3.1 uses it). Structs become named components.
class Schemas {
 public:
  /// In a request optional members may be left out; an answer always has all of its members.
  enum class Direction { request, answer };

  template <typename T>
  boost::json::object of(Direction direction);

  /// Every struct that was met, by its short name.
  const boost::json::object& components() const { return components_; }

 private:
  template <DescribedStruct T>
  boost::json::object component(Direction direction);

  boost::json::object components_;
  std::map<std::string, std::string> owners_;  // short name → whole name and direction
};

template <typename T>
boost::json::object Schemas::of(Direction direction) {
  if constexpr (std::same_as<T, bool>) {
    return {{"type", "boolean"}};
  } else if constexpr (JsonInteger<T>) {
    boost::json::object schema{{"type", "integer"}};
    if constexpr (std::is_unsigned_v<T>) schema["minimum"] = 0;
    return schema;
  } else if constexpr (std::floating_point<T>) {
    return {{"type", "number"}};
  } else if constexpr (std::same_as<T, RawJson>) {
    return {};
  } else if constexpr (std::same_as<T, Timestamp>) {
    return {{"type", "string"}, {"format", "date-time"}};
  } else if constexpr (DescribedEnum<T>) {
    boost::json::array names;
    for_each_enumerator<T>([&](auto enumerator) { names.emplace_back(enumerator.name); });
    return {{"type", "string"}, {"enum", std::move(names)}};
  } else if constexpr (is_optional<T>) {
    return {
        {"anyOf", boost::json::array{of<typename T::value_type>(direction), boost::json::object{{"type", "null"}}}}};
  } else if constexpr (is_vector<T>) {
    return {{"type", "array"}, {"items", of<typename T::value_type>(direction)}};
  } else if constexpr (is_pair<T>) {
    return {{"type", "array"},
            {"prefixItems",
             boost::json::array{of<typename T::first_type>(direction), of<typename T::second_type>(direction)}},
            {"minItems", 2},
            {"maxItems", 2}};
  } else if constexpr (is_map<T>) {
    return {{"type", "object"}, {"additionalProperties", of<typename T::mapped_type>(direction)}};
  } else if constexpr (HasBareList<T>) {
    using List = std::remove_cvref_t<decltype(std::declval<T&>().*T::bare_list())>;
    return {{"anyOf", boost::json::array{component<T>(direction), of<List>(direction)}}};
  } else if constexpr (DescribedStruct<T>) {
    return component<T>(direction);
  } else {
    static_assert(std::convertible_to<T, std::string_view>, "this type has no JSON form");
    return {{"type", "string"}};
  }
}

template <DescribedStruct T>
boost::json::object Schemas::component(Direction direction) {
  const std::string whole = boost::core::type_name<T>();
  const std::size_t colon = whole.rfind(':');
  const std::string name = colon == std::string::npos ? whole : whole.substr(colon + 1);
  const std::string owner = (direction == Direction::request ? "request " : "answer ") + whole;
  const auto [place, is_new] = owners_.try_emplace(name, owner);
  if (place->second != owner) throw std::logic_error("two schemas have the name " + name);
  if (is_new) {
    boost::json::object properties;
    boost::json::array required;
    for_each_member<T>([&](auto member) {
      using Member = MemberType<T, decltype(member)>;
      properties[member.name] = of<Member>(direction);
      if (direction == Direction::answer || !is_optional<Member>) required.emplace_back(member.name);
    });
    boost::json::object schema{{"title", name}, {"type", "object"}, {"properties", std::move(properties)}};
    if (!required.empty()) schema["required"] = std::move(required);
    if (direction == Direction::request) schema["additionalProperties"] = false;
    components_[name] = std::move(schema);
  }
  return {{"$ref", "#/components/schemas/" + name}};
}

}  // namespace millrace::http
