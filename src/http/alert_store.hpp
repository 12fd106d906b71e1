#pragma once

#include <string>

#include "base/result.hpp"
#include "http/kept_file.hpp"
#include "monitor/alert_rules.hpp"

namespace millrace::http {

/// The file in which rules and alerts survive a restart: JSON. It is written beside its place and then put there, so
/// that it is whole at any time.
class AlertStore {
 public:
  /// Without a folder nothing is kept.
  explicit AlertStore(std::string folder);

  /// What was kept, or nothing. What can't be read is set aside: see `KeptFile`.
  StoredAlerts load();

  Result<> save(const StoredAlerts& stored) const;

 private:
  KeptFile file_;
};

}  // namespace millrace::http
