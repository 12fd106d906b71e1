#pragma once

#include <cstdint>
#include <string_view>

#include "pipeline/payoff.hpp"

namespace millrace::pipeline {

/// Whether memory is neither asked nor filled, as that doesn't pay; unless a comment in the text says cache=on.
/// `payoff`: null: nothing is known of the template. `text`: may be followed by a zero byte and whatever else.
bool passes_on(const Payoff* payoff, std::string_view text, std::int64_t now);

}  // namespace millrace::pipeline
