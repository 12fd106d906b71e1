#pragma once

#include <boost/describe/class.hpp>
#include <cstdint>
#include <optional>
#include <string>

#include "backend/embedded_store.hpp"
#include "monitor/performance_store.hpp"

/// How it is with what survives a restart.
namespace millrace::http {

struct StoreReport {
  std::string state = {};                  ///< off (DATA_DIR isn't set), opening, open, unavailable, closed
  std::optional<std::string> reason = {};  ///< it isn't available, or the last batch couldn't be written
  std::optional<std::string> path = {};
  std::uint64_t size_bytes = 0;
  std::uint64_t batches_written = 0;
  std::uint64_t batches_failed = 0;  ///< what was in them is in a later one, if it isn't lost
  std::uint64_t files_set_aside = 0;
  std::uint64_t lost_seconds = 0;  ///< of which the store has no figures
  std::uint64_t lost_slow_queries = 0;
  std::uint32_t figures_kept_days = 0;  ///< for how long figures of queries are kept; 0: there is no store for them
};
BOOST_DESCRIBE_STRUCT(StoreReport, (),
                      (state, reason, path, size_bytes, batches_written, batches_failed, files_set_aside, lost_seconds,
                       lost_slow_queries, figures_kept_days))

/// `store`: null: there is none. `kept`: null: the monitor keeps nothing in it.
StoreReport store_report(const backend::EmbeddedStore* store, const PerformanceStore* kept);

/// In Prometheus' text format; nothing where there is no store.
std::string store_metrics_text(const backend::EmbeddedStore* store, const PerformanceStore* kept);

}  // namespace millrace::http
