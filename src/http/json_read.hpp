#pragma once

#include <boost/json/value.hpp>
#include <cmath>
#include <expected>
#include <limits>
#include <string_view>
#include <utility>

#include "http/json_types.hpp"
#include "http/problem.hpp"

namespace millrace::http {

/// Collects what is wrong while a value is read, not only the first thing, with the place of each.
class Findings {
 public:
  static constexpr std::size_t most = 100;  ///< a client that sends nonsense needn't hear all of it

  explicit Findings(std::string root) : here_{std::move(root)} {}

  void add(std::string_view type, std::string msg) {
    if (problems_.size() < most) problems_.push_back({here_, std::move(msg), std::string(type)});
  }
  bool empty() const { return problems_.empty(); }
  const std::vector<ValidationProblem>& problems() const { return problems_; }

  template <typename F>
  void within(std::variant<std::string, std::size_t> step, F&& read) {
    here_.push_back(std::move(step));
    read();
    here_.pop_back();
  }

 private:
  Location here_;
  std::vector<ValidationProblem> problems_;
};

template <DescribedEnum T>
void read_enum(std::string_view text, T& into, Findings& findings) {
  bool known = false;
  std::string names;
  for_each_enumerator<T>([&](auto enumerator) {
    if (text == enumerator.name) {
      into = enumerator.value;
      known = true;
    }
    names += names.empty() ? "" : ", ";
    names += enumerator.name;
  });
  if (!known) findings.add("enum", "must be one of: " + names);
}

template <JsonInteger T>
void read_integer(const boost::json::value& value, T& into, Findings& findings) {
  const auto store = [&](auto number) {
    if (std::in_range<T>(number)) {
      into = static_cast<T>(number);
    } else {
      findings.add("int_parsing_size", "is outside the range of this number");
    }
  };
  // 2^53: up to here a double holds every whole number, so 3.0 is 3 beyond doubt.
  constexpr double exact = 9007199254740992.0;
  if (const auto* number = value.if_int64()) {
    store(*number);
  } else if (const auto* large = value.if_uint64()) {
    store(*large);
  } else if (const auto* real = value.if_double();
             real != nullptr && std::abs(*real) <= exact && std::trunc(*real) == *real) {
    store(static_cast<std::int64_t>(*real));
  } else {
    findings.add("int_type", "must be a whole number");
  }
}

inline bool is_number(const boost::json::value& value) {
  return value.is_double() || value.is_int64() || value.is_uint64();
}

/// Reads `value` into `into`. On a finding `into` is left half-read: use it only if there were none.
template <typename T>
void read(const boost::json::value& value, T& into, Findings& findings) {
  if constexpr (std::same_as<T, bool>) {
    if (const bool* flag = value.if_bool()) {
      into = *flag;
    } else {
      findings.add("bool_type", "must be true or false");
    }
  } else if constexpr (JsonInteger<T>) {
    read_integer(value, into, findings);
  } else if constexpr (std::floating_point<T>) {
    if (!is_number(value)) return findings.add("float_type", "must be a number");
    into = value.to_number<T>();
    if (!std::isfinite(into)) findings.add("finite_number", "must be a finite number");
  } else if constexpr (std::same_as<T, std::string>) {
    if (const auto* text = value.if_string()) {
      into.assign(text->data(), text->size());
    } else {
      findings.add("string_type", "must be a string");
    }
  } else if constexpr (DescribedEnum<T>) {
    const auto* text = value.if_string();
    if (text == nullptr) return findings.add("enum", "must be a string");
    read_enum(std::string_view(text->data(), text->size()), into, findings);
  } else if constexpr (std::same_as<T, RawJson>) {
    into.text.clear();  // read_body has the text
  } else if constexpr (is_optional<T>) {
    if (value.is_null()) {
      into.reset();
    } else {
      read(value, into.emplace(), findings);
    }
  } else if constexpr (is_vector<T>) {
    const auto* array = value.if_array();
    if (array == nullptr) return findings.add("list_type", "must be a list");
    into.clear();
    for (std::size_t i = 0; i < array->size(); ++i) {
      findings.within(i, [&] { read((*array)[i], into.emplace_back(), findings); });
    }
  } else if constexpr (is_map<T>) {
    const auto* object = value.if_object();
    if (object == nullptr) return findings.add("dict_type", "must be an object");
    into.clear();
    for (const auto& [name, element] : *object) {
      const std::string key(name.data(), name.size());
      findings.within(key, [&] { read(element, into[key], findings); });
    }
  } else {
    static_assert(DescribedStruct<T>, "this type can't be read from JSON");
    if constexpr (HasBareList<T>) {
      if (value.is_array()) return read(value, into.*T::bare_list(), findings);
    }
    const auto* object = value.if_object();
    if (object == nullptr) return findings.add("model_type", "must be an object");
    std::size_t known = 0;
    for_each_member<T>([&](auto member) {
      const auto* found = object->if_contains(member.name);
      known += found != nullptr ? 1 : 0;
      if (found != nullptr) {
        findings.within(member.name, [&] { read(*found, into.*member.pointer, findings); });
      } else if constexpr (!is_optional<MemberType<T, decltype(member)>>) {
        findings.within(member.name, [&] { findings.add("missing", "is required"); });
      }
    });
    if (known == object->size()) return;
    for (const auto& [name, ignored] : *object) {
      bool expected = false;
      for_each_member<T>([&, &key = name](auto member) { expected |= key == member.name; });
      if (!expected) {
        findings.within(std::string(name.data(), name.size()),
                        [&] { findings.add("extra_forbidden", "is not known here"); });
      }
    }
  }
}

/// Parses text that must be one JSON value; a finding says where it isn't.
boost::json::value parse_json(std::string_view text, Findings& findings);

/// Of an object that has been parsed: the text of the member's value; the last one's, if there are several.
std::string_view member_text(std::string_view object, std::string_view name);

/// Of a list that has been parsed: the texts of its elements.
std::vector<std::string_view> element_texts(std::string_view list);

/// Gives the members that are RawJson their text.
template <typename T>
void take_raw_members(std::string_view body, T& into) {
  if constexpr (DescribedStruct<T>) {
    for_each_member<T>([&](auto member) {
      if constexpr (std::same_as<MemberType<T, decltype(member)>, RawJson>) {
        (into.*member.pointer).text = member_text(body, member.name);
      } else if constexpr (std::same_as<MemberType<T, decltype(member)>, std::optional<RawJson>>) {
        if (auto& raw = into.*member.pointer) raw->text = member_text(body, member.name);
      }
    });
  }
}

/// A request's body as a T; findings start with "body".
template <typename T>
std::expected<T, std::vector<ValidationProblem>> read_body(std::string_view body) {
  Findings findings("body");
  T into{};
  const boost::json::value value = parse_json(body, findings);
  if (findings.empty()) read(value, into, findings);
  if (!findings.empty()) return std::unexpected(findings.problems());
  take_raw_members(body, into);
  return into;
}

}  // namespace millrace::http
