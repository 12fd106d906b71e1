#pragma once

#include <memory>
#include <string>
#include <vector>

#include "http/notification_channel.hpp"
#include "monitor/performance_watch.hpp"

namespace millrace::http {

using NotificationChannels = std::vector<std::shared_ptr<NotificationChannel>>;

/// Alerts, anomalies and notifications in Prometheus' text format.
std::string alert_metrics_text(PerformanceWatch& watch, const NotificationChannels& channels);

}  // namespace millrace::http
