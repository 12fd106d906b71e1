#pragma once

#include "http/api_table.hpp"
#include "pipeline/rewrites.hpp"

namespace millrace::http {

/// Adds the ledger of what is rewritten on the wire. `rewrites`: null: nothing can be. `shows_constants`: of texts;
/// else
/// `?` stands for them.
void add_rewrites(ApiTable& table, const pipeline::Rewrites* rewrites, bool shows_constants);

/// In Prometheus' text format.
std::string rewrite_metrics_text(const pipeline::Rewrites& rewrites);

}  // namespace millrace::http
