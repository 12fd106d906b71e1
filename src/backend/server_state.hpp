#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <boost/unordered/unordered_flat_map.hpp>

namespace millrace::backend {

using ParameterList = std::vector<std::pair<std::string, std::string>>;

/// Applies a ParameterStatus to a shared list: makes a new one if it differs.
std::shared_ptr<const ParameterList> with_parameter(const std::shared_ptr<const ParameterList>& list,
                                                    std::string_view name, std::string_view value);

/// Settings that a session changed by SET and that outlive its transactions: in the order in which they were first
/// changed. A name's text sets it again on another connection.
///
/// Shared and immutable, so that "is this server connection as my session left it" is a comparison of pointers.
struct SettingChange {
  std::string name;
  std::string text;
  bool operator==(const SettingChange&) const = default;
};
using Settings = std::vector<SettingChange>;

inline bool has_setting(const std::shared_ptr<const Settings>& settings, std::string_view name) {
  return settings && std::ranges::find(*settings, name, &SettingChange::name) != settings->end();
}

/// Settings that no extension defines exist in a session from when they are first set to its end, even if that is
/// undone: current_setting(name, true) answers '' from then on, not NULL. Sorted; null: none.
using PlaceholderNames = std::shared_ptr<const std::vector<std::string>>;
PlaceholderNames with_placeholder(const PlaceholderNames& names, std::string_view name);

/// Statements prepared on one server connection, by the process-wide number of their text.
struct PreparedOnServer {
  std::uint64_t used = 0;     ///< for the choice of which to close
  std::uint64_t columns = 0;  ///< identifies the result's columns as the server described them; 0: it didn't yet
  std::uint64_t batch = 0;    ///< of its holder, in which it is being prepared; 0: the server has said that it is there
  std::uint64_t meant = 0;    ///< by its names when it was sent, as one number; 0: not known
};

/// What is known of the session at a server's side; it travels with the connection from one client to the next.
struct ServerState {
  std::shared_ptr<const ParameterList> parameters;  ///< ParameterStatus values, never null once logged in
  std::shared_ptr<const Settings> settings;         ///< null: none
  PlaceholderNames placeholders;                    ///< only clients that know them all may have the connection
  boost::unordered_flat_map<std::uint64_t, PreparedOnServer> prepared;
  std::vector<std::uint64_t> unneeded;  ///< texts of statements that are there and that nobody will use
  static constexpr std::uint64_t unknown = ~std::uint64_t{0};
  std::uint64_t unnamed = 0;        ///< the number of the text in the unnamed statement; 0: none; `unknown`: anybody's
  std::uint64_t unnamed_meant = 0;  ///< likewise
  std::uint64_t use_count = 0;
  bool used = false;  ///< something ran since the session was as new
  /// Something ran that may have set what nobody saw, or made a table that hides another; up to DISCARD ALL.
  bool unclear = false;
  bool ran_unseen = false;  ///< likewise, and that isn't undone: it may have left a schema for temporary objects
  /// What decides there what a read means, as the server said it when nothing unseen had run since it was new.
  struct Seen {
    bool asked = false;
    std::string answer;                     ///< "": it isn't answered yet
    std::shared_ptr<const Settings> under;  ///< what was set then
    bool is_lost = false;                   ///< it was something else later, or couldn't be asked; up to DISCARD ALL
  };
  Seen seen;
  std::vector<std::shared_ptr<const void>> unjudged;  ///< what ran while nobody could tell, as the gateway notes it
  /// DISCARD ALL has undone what it undoes, and nothing ran since.
  void is_discarded() {
    ran_unseen |= !unjudged.empty();
    unclear = seen.is_lost = false;
    unjudged.clear();
  }
  bool tainted = false;       ///< holds what DISCARD ALL does not undo: it is closed, not used again
  std::uint64_t holder = 0;   ///< the client that had it last, by a number of its own; 0: none since sequences were new
  bool holder_wrote = false;  ///< and ran what may have advanced a sequence: what currval() says is that client's
};

}  // namespace millrace::backend
