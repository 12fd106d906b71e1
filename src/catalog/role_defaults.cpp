#include "catalog/role_defaults.hpp"

#include <algorithm>

namespace millrace::catalog {

namespace {

/// As SHOW says it: of an enumeration's value, which may be written in any letters.
std::string in_small_letters(std::string text) {
  std::ranges::transform(text, text.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return text;
}

}  // namespace

std::optional<RoleDefaults::Name> RoleDefaults::find(std::string_view name) {
  if (name == "search_path") return search_path;
  if (name == "default_transaction_isolation") return isolation;
  return std::nullopt;
}

bool RoleDefaults::own(std::string_view name, std::string_view value, std::string_view source) {
  const auto which = find(name);
  const bool servers = source == "default" || source == "configuration file" || source == "command line" ||
                       source == "environment variable";
  if (!which || !servers) return false;
  server_[*which] = value;
  return true;
}

void RoleDefaults::set(Oid role, bool in_database, std::string_view setting) {
  const auto equals = setting.find('=');
  if (equals == std::string_view::npos) return;
  // Then "$user" is another's.
  if (setting.substr(0, equals) == "role") becomes_another_.insert({role, in_database});
  const auto which = find(setting.substr(0, equals));
  if (which) set_[{role, in_database}][*which] = setting.substr(equals + 1);
}

std::optional<std::string> RoleDefaults::value(Oid role, Name name) const {
  for (const auto& place :
       {std::pair{role, true}, std::pair{role, false}, std::pair{Oid{0}, true}, std::pair{Oid{0}, false}}) {
    const auto found = set_.find(place);
    if (found != set_.end() && found->second[name]) return found->second[name];
  }
  return server_[name];
}

void RoleDefaults::give(SnapshotBuilder& to) const {
  if (!known_) return;
  const auto becomes_another = [this](Oid role) {
    return becomes_another_.contains({role, true}) || becomes_another_.contains({role, false});
  };
  for (const auto& [oid, name] : roles_) {
    if (becomes_another(oid) || becomes_another(0)) continue;
    auto path = value(oid, search_path);
    auto level = value(oid, isolation);
    if (path && level)
      to.role(name, {.search_path = std::move(*path), .isolation = in_small_letters(std::move(*level))});
  }
}

}  // namespace millrace::catalog
