#pragma once

#include <map>
#include <string>
#include <vector>

namespace millrace::catalog {

/// What new sessions begin with, as far as it is the server's to say and Millrace would otherwise not hear of a change.
struct SessionDefaults {
  struct OfUser {
    std::string for_answers;  ///< another text where it has changed
    std::string besides;      ///< the same of what no answer depends on: time-outs, what is logged, how plans are made
    bool operator==(const OfUser&) const = default;
  };

  /// By ALTER ROLE and ALTER DATABASE ... SET; "": everybody's.
  std::map<std::string, OfUser, std::less<>> of_users;
  /// By the server's configuration, as far as Millrace's own session shows it: it may have other settings.
  std::map<std::string, std::string, std::less<>> of_server;

  bool operator==(const SessionDefaults&) const = default;
};

struct BeginOtherwise {
  std::string user;  ///< "": whoever it is
  bool answers;      ///< so that answers may be others
};

/// Whose sessions begin otherwise `now`.
std::vector<BeginOtherwise> who_begins_otherwise(const SessionDefaults& before, const SessionDefaults& now);

}  // namespace millrace::catalog
