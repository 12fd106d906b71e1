#pragma once

#include <algorithm>
#include <charconv>

#include "http/json_read.hpp"
#include "http/message.hpp"

namespace millrace::http {

/// Reads a parameter's text.
template <typename T>
void read_text(std::string_view text, T& into, Findings& findings) {
  if constexpr (std::same_as<T, std::string>) {
    into = text;
  } else if constexpr (std::same_as<T, bool>) {
    if (text == "true" || text == "1") {
      into = true;
    } else if (text == "false" || text == "0") {
      into = false;
    } else {
      findings.add("bool_parsing", "must be true or false");
    }
  } else if constexpr (is_optional<T>) {
    read_text(text, into.emplace(), findings);
  } else if constexpr (DescribedEnum<T>) {
    read_enum(text, into, findings);
  } else {
    static_assert(std::is_arithmetic_v<T>, "this type can't be a parameter");
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), into);
    if (error == std::errc::result_out_of_range) {
      findings.add(std::integral<T> ? "int_parsing_size" : "float_parsing", "is outside the range of this number");
    } else if (error != std::errc() || end != text.data() + text.size()) {
      findings.add(std::integral<T> ? "int_parsing" : "float_parsing",
                   std::integral<T> ? "must be a whole number" : "must be a number");
    } else if constexpr (std::floating_point<T>) {
      if (!std::isfinite(into)) findings.add("finite_number", "must be a finite number");
    }
  }
}

/// A query's parameters as a T, each by its member's name; the last one counts if a name comes twice. Findings start
/// with "query".
template <DescribedStruct T>
std::expected<T, std::vector<ValidationProblem>> read_query(
    const std::vector<std::pair<std::string, std::string>>& query) {
  Findings findings("query");
  T into{};
  for_each_member<T>([&](auto member) {
    const auto found =
        std::find_if(query.rbegin(), query.rend(), [&](const auto& p) { return p.first == member.name; });
    findings.within(member.name, [&] {
      if (found != query.rend()) {
        read_text(found->second, into.*member.pointer, findings);
      } else if constexpr (!is_optional<MemberType<T, decltype(member)>>) {
        findings.add("missing", "is required");
      }
    });
  });
  for (const auto& [name, value] : query) {
    bool expected = false;
    for_each_member<T>([&, &key = name](auto member) { expected |= key == member.name; });
    if (!expected) findings.within(name, [&] { findings.add("extra_forbidden", "is not known here"); });
  }
  if (!findings.empty()) return std::unexpected(findings.problems());
  return into;
}

/// A path's parameters as a T, of which each member is one of `names`; `values` are in the order of `names`. Findings
/// start with "path".
template <DescribedStruct T>
std::expected<T, std::vector<ValidationProblem>> read_path(const std::vector<std::string>& names,
                                                           const std::vector<std::string>& values) {
  Findings findings("path");
  T into{};
  for_each_member<T>([&](auto member) {
    static_assert(!is_optional<MemberType<T, decltype(member)>>, "a path has all of its parameters");
    const auto at = static_cast<std::size_t>(std::ranges::find(names, member.name) - names.begin());
    findings.within(member.name, [&] { read_text(values.at(at), into.*member.pointer, findings); });
  });
  if (!findings.empty()) return std::unexpected(findings.problems());
  return into;
}

}  // namespace millrace::http
