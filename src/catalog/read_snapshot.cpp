#include "catalog/read_snapshot.hpp"

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>
#include <string>

#include "catalog/array_text.hpp"
#include "catalog/role_defaults.hpp"
#include "catalog/snapshot_builder.hpp"
#include "catalog/view_references.hpp"

namespace millrace::catalog {

namespace {

std::string_view text(const Row& row, std::size_t at) {
  return at < row.size() && row[at] ? std::string_view(*row[at]) : std::string_view();
}

std::string copy(const Row& row, std::size_t at) { return std::string(text(row, at)); }

bool truth(const Row& row, std::size_t at) { return text(row, at) == "t"; }

char letter(const Row& row, std::size_t at) { return text(row, at).empty() ? '\0' : text(row, at).front(); }

Oid number(std::string_view digits) {
  Oid value = 0;
  std::from_chars(digits.data(), digits.data() + digits.size(), value);
  return value;
}

Oid number(const Row& row, std::size_t at) { return number(text(row, at)); }

/// Reads rows of each kind, in the order in which they come: what a row refers to comes before it.
class Reader {
 public:
  explicit Reader(std::uint64_t version) { builder_.set_version(version); }

  void read(const Row& row) {
    const auto kind = text(row, 0);
    if (kind == "relation") {
      relation(row);
    } else if (kind == "key") {
      key(row);
    } else if (kind == "foreign_key") {
      foreign_key(row);
    } else if (kind == "inherits") {
      builder_.inherit(number(row, 1), number(row, 2));
    } else if (kind == "cascade") {
      builder_.cascade(number(row, 1), number(row, 2));
    } else if (kind == "view") {
      if (auto* view = builder_.find(number(row, 1))) view->definition = references_of_view(text(row, 2));
    } else if (kind == "function") {
      builder_.function(text(row, 1), functions(row));
    } else if (kind == "operator") {
      builder_.operator_(text(row, 1), functions(row));
    } else if (kind == "type") {
      type(row);
    } else if (kind == "schema") {
      builder_.schema(copy(row, 1), truth(row, 2));
    } else if (kind == "unsafe_cast") {
      builder_.set_unsafe_casts(true);
    } else if (kind == "own_cast") {
      builder_.set_own_casts(true);
    } else {
      of_server(kind, row);
    }
  }

  std::shared_ptr<const Snapshot> end() {
    roles_.give(builder_);
    builder_.set_session_defaults(std::move(session_defaults_));
    return builder_.build();
  }

 private:
  void of_server(std::string_view kind, const Row& row) {
    if (kind == "server") {
      builder_.set_server_version(copy(row, 1));
      if (truth(row, 2)) roles_.not_known();
    } else if (kind == "setting") {
      if (roles_.own(text(row, 1), text(row, 2), text(row, 3)))
        session_defaults_.of_server.insert_or_assign(copy(row, 1), copy(row, 2));
    } else if (kind == "role_settings") {
      auto& of_user = session_defaults_.of_users[copy(row, 1)];
      (truth(row, 2) ? of_user.besides : of_user.for_answers) = copy(row, 3);
    } else if (kind == "role") {
      roles_.role(number(row, 1), copy(row, 2));
    } else if (kind == "role_setting") {
      roles_.set(number(row, 1), truth(row, 2), text(row, 3));
    }
  }

  void relation(const Row& row) {
    Relation relation;
    relation.oid = number(row, 1);
    relation.schema = copy(row, 2);
    relation.name = copy(row, 3);
    relation.kind = letter(row, 4);
    relation.persistence = letter(row, 5);
    relation.row_security = truth(row, 6);
    relation.replica_identity = letter(row, 7);
    relation.has_rules = truth(row, 8);
    relation.has_triggers = truth(row, 9);
    const auto numbers = elements_of(text(row, 10));
    auto names = elements_of(text(row, 11));
    const auto types = elements_of(text(row, 12));
    const auto not_null = elements_of(text(row, 13));
    const auto collations = elements_of(text(row, 14));
    const auto modifiers = elements_of(text(row, 15));
    if (numbers && names && types && not_null && collations && modifiers) {
      auto& places = numbers_[relation.oid];
      for (std::size_t i = 0; i < names->size(); ++i) {
        relation.columns.push_back({.name = std::move((*names)[i]),
                                    .type = number((*types)[i]),
                                    .not_null = (*not_null)[i] == "t",
                                    .collation = number((*collations)[i]),
                                    .has_modifier = (*modifiers)[i] != "-1"});
        places.push_back(number((*numbers)[i]));
      }
    }
    builder_.add(std::move(relation));
  }

  /// The numbers of its columns, apart by spaces; the first few are the key.
  void key(const Row& row) {
    auto* relation = builder_.find(number(row, 1));
    if (relation == nullptr) return;
    const auto& places = numbers_[relation->oid];
    std::vector<std::string> columns;
    auto rest = text(row, 2);
    for (Oid i = 0; i < number(row, 3); ++i) {
      const auto place = std::ranges::find(places, number(rest));
      if (place == places.end()) return;
      columns.push_back(relation->columns[static_cast<std::size_t>(place - places.begin())].name);
      rest.remove_prefix(std::min(rest.size(), rest.find(' ') == rest.npos ? rest.size() : rest.find(' ') + 1));
    }
    relation->keys.push_back(std::move(columns));
  }

  void foreign_key(const Row& row) {
    auto* relation = builder_.find(number(row, 1));
    auto columns = names_of(number(row, 1), text(row, 2));
    auto referenced = names_of(number(row, 3), text(row, 4));
    if (relation == nullptr || !columns || !referenced || columns->size() != referenced->size()) return;
    relation->foreign_keys.push_back(
        {.columns = *std::move(columns), .referenced = number(row, 3), .referenced_columns = *std::move(referenced)});
  }

  /// Of an array of pg_attribute.attnum.
  std::optional<std::vector<std::string>> names_of(Oid oid, std::string_view array) {
    const auto* relation = builder_.find(oid);
    const auto numbers = elements_of(array);
    if (relation == nullptr || !numbers) return std::nullopt;
    const auto& places = numbers_[oid];
    std::vector<std::string> names;
    for (const auto& each : *numbers) {
      const auto place = std::ranges::find(places, number(each));
      if (place == places.end()) return std::nullopt;
      names.push_back(relation->columns[static_cast<std::size_t>(place - places.begin())].name);
    }
    return names;
  }

  static Functions functions(const Row& row) {
    return {.volatility = letter(row, 2),
            .built_in = truth(row, 3),
            .all_immutable_or_built_in = truth(row, 4),
            .of_rows = truth(row, 5),
            .apart = truth(row, 6)};
  }

  void type(const Row& row) {
    builder_.type({.oid = number(row, 1),
                   .schema = copy(row, 2),
                   .name = copy(row, 3),
                   .kind = letter(row, 4),
                   .category = letter(row, 5),
                   .element = number(row, 6),
                   .built_in = truth(row, 7)});
  }

  SnapshotBuilder builder_;
  RoleDefaults roles_;
  SessionDefaults session_defaults_;                          ///< said more than once in a whole reading
  boost::unordered_flat_map<Oid, std::vector<Oid>> numbers_;  ///< pg_attribute.attnum of each column
};

/// "OID:XID", apart by spaces; sorted.
std::optional<std::vector<Written>> read_written(std::string_view text) {
  std::vector<Written> all;
  for (const auto* at = text.data(); at != text.data() + text.size();) {
    const auto* const end = text.data() + text.size();
    auto& one = all.emplace_back();
    auto read = std::from_chars(at, end, one.first);
    if (read.ec != std::errc() || read.ptr == end || *read.ptr != ':') return std::nullopt;
    read = std::from_chars(read.ptr + 1, end, one.second);
    if (read.ec != std::errc() || (read.ptr != end && *read.ptr != ' ')) return std::nullopt;
    at = read.ptr == end ? end : read.ptr + 1;
  }
  std::ranges::sort(all);
  return all;
}

}  // namespace

Result<Seen> read_seen(const Result<std::vector<Row>>& rows) {
  if (!rows) return std::unexpected(rows.error());
  for (const auto& row : *rows) {
    if (text(row, 0) != "fingerprint" || row.size() != 5) continue;
    auto written = read_written(text(row, 4));
    if (!written) break;
    return Seen{
        .moment = copy(row, 1), .configured = copy(row, 2), .fingerprint = row[3], .written = *std::move(written)};
  }
  return fail("the server's answer has no fingerprint of its catalogs");
}

std::vector<Oid> views_in(const std::vector<Row>& rows) {
  std::vector<Oid> views;
  for (const auto& row : rows) {
    if (text(row, 0) != "relation" || (letter(row, 4) != 'v' && letter(row, 4) != 'm')) continue;
    if (const Oid oid = number(row, 1); oid >= first_normal_oid) views.push_back(oid);
  }
  return views;
}

Result<Reading> read_snapshot(const Result<std::vector<Row>>& rows, std::uint64_t version) {
  auto seen = read_seen(rows);
  if (!seen) return std::unexpected(std::move(seen).error());
  Reader reader(version);
  for (const auto& row : *rows) reader.read(row);
  return Reading{.snapshot = reader.end(), .seen = std::move(*seen)};
}

}  // namespace millrace::catalog
