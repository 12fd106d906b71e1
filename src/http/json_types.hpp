#pragma once

#include <boost/core/type_name.hpp>
#include <boost/describe/class.hpp>
#include <boost/describe/enum.hpp>
#include <boost/describe/enum_to_string.hpp>
#include <boost/describe/enumerators.hpp>
#include <boost/describe/members.hpp>
#include <boost/mp11/algorithm.hpp>
#include <chrono>
#include <concepts>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

/// The one JSON mapping: structs and enums that Boost.Describe describes, and what they are made of. `json_write.hpp`
/// writes them, `json_read.hpp` reads and checks them, `json_schema.hpp` describes them to others.
///
///     struct Page { std::uint32_t limit; std::optional<std::string> after; };
///     BOOST_DESCRIBE_STRUCT(Page, (), (limit, after))
///
/// A member is required unless it is an optional. A pair is a list of two, in answers only. An enum is a string, by its
/// enumerators' names. A struct with `static auto bare_list() { return &Page::names; }` may also be sent as the list
/// alone.
namespace millrace::http {

using Timestamp = std::chrono::system_clock::time_point;

/// JSON of any shape. As a member of a body it is the text as it was sent, so that numbers stay what they are.
struct RawJson {
  std::string text;
};

template <typename T>
concept DescribedStruct = std::is_class_v<T> && boost::describe::has_describe_members<T>::value;

template <typename T>
concept DescribedEnum = std::is_enum_v<T> && boost::describe::has_describe_enumerators<T>::value;

template <typename T>
inline constexpr bool is_optional = false;
template <typename T>
inline constexpr bool is_optional<std::optional<T>> = true;

template <typename T>
inline constexpr bool is_vector = false;
template <typename T>
inline constexpr bool is_vector<std::vector<T>> = true;

template <typename T>
inline constexpr bool is_map = false;
template <typename T>
inline constexpr bool is_map<std::map<std::string, T>> = true;

template <typename T>
inline constexpr bool is_pair = false;
template <typename First, typename Second>
inline constexpr bool is_pair<std::pair<First, Second>> = true;

template <typename T>
concept HasBareList = requires { T::bare_list(); };

template <typename T>
concept JsonInteger = std::integral<T> && !std::same_as<T, bool>;

/// Calls `visit` with each member's descriptor: its `name` and its `pointer`.
template <DescribedStruct T, typename F>
void for_each_member(F&& visit) {
  boost::mp11::mp_for_each<boost::describe::describe_members<T, boost::describe::mod_public>>(visit);
}

template <DescribedEnum T, typename F>
void for_each_enumerator(F&& visit) {
  boost::mp11::mp_for_each<boost::describe::describe_enumerators<T>>(visit);
}

/// The type of the member that a descriptor stands for.
template <typename T, typename Descriptor>
using MemberType = std::remove_cvref_t<decltype(std::declval<T&>().*Descriptor::pointer)>;

}  // namespace millrace::http
