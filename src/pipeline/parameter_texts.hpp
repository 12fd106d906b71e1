#pragma once

#include <string_view>

#include "monitor/slow_query.hpp"

namespace millrace::pipeline {

/// The parameters that a Bind message has, for people: text as it is, and binary values in hexadecimal, as PostgreSQL
/// writes bytea (`\x002a`), since what type they are of isn't said. `bound`: all that follows the message's names; it
/// may be cut off anywhere, and any bytes are allowed. What isn't all there is left out.
ParameterTexts parameter_texts(std::string_view bound);

}  // namespace millrace::pipeline
