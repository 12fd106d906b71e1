#pragma once

#include <boost/json/value.hpp>
#include <string>
#include <string_view>

#include "cli/http_call.hpp"

/// What REST answers, for people: a name of twelve characters, then its value.
namespace millrace::cli {

/// "": null, or it isn't there.
std::string text_of(const boost::json::value& root, std::string_view pointer);
/// "" for an empty value.
std::string line(std::string_view name, std::string_view value);
/// A line for each text of a list, the first of them with the name.
std::string lines(std::string_view name, const boost::json::value& root, std::string_view pointer);
/// How long a statement will take, as `prefix`/execution_time_estimate_ms and its kin say.
std::string time_line(std::string_view name, const boost::json::value& root, const std::string& prefix);
/// Of a refusal: the first thing that is wrong, and the status.
std::string reason_of(const HttpAnswer& answer);

}  // namespace millrace::cli
