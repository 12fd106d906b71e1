#pragma once

#include <string>
#include <vector>

#include "integration/stream_status.hpp"

namespace millrace::http {

/// The figures of the change streams, in Prometheus' text format.
std::string stream_metrics_text(const std::vector<integration::StreamStatus>& streams);

}  // namespace millrace::http
