#pragma once

#include "http/notification_channel.hpp"

namespace millrace::http {

/// POSTs a JSON text to an http or https URL; any status of 200 to 299 is a delivery. Follows no redirections, and
/// takes ten seconds at most.
NotificationChannel::Deliver deliver_to_webhook(std::string url);

/// Runs a program, without a shell, with the text as its standard input; exit code 0 is a delivery. It is killed after
/// ten seconds, with all that it started. It has none of this process's open files but standard output and error.
NotificationChannel::Deliver deliver_to_command(std::string program);

}  // namespace millrace::http
