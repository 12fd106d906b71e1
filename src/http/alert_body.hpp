#pragma once

#include <string>

#include "monitor/alert_rules.hpp"

namespace millrace::http {

/// What a webhook or a command is told of an alert that began or ended: the body of Alertmanager's webhooks, version 4,
/// with one alert in it. `external_url` is where Millrace's REST API is.
std::string alert_body(const Alert& alert, const std::string& external_url);

}  // namespace millrace::http
