#pragma once

#include "gateway/what_if_session.hpp"

namespace millrace::gateway {

/// See `optimizer::WhatIf::facts`.
Result<optimizer::IndexFacts> index_facts(WhatIfSession& session,
                                          std::span<const std::pair<std::string, std::string>> widths_of);

}  // namespace millrace::gateway
