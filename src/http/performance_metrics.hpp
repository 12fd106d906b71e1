#pragma once

#include <memory>
#include <string>
#include <vector>

#include "http/live_updates.hpp"
#include "http/notification_channel.hpp"
#include "monitor/performance_watch.hpp"

namespace millrace::http {

using NotificationChannels = std::vector<std::shared_ptr<NotificationChannel>>;

/// Alerts, anomalies, notifications, live updates, and the templates that take the most, in Prometheus' text format.
std::string performance_metrics_text(PerformanceWatch& watch, const NotificationChannels& channels,
                                     const LiveUpdates& live);

}  // namespace millrace::http
