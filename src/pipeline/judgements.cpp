#include "pipeline/judgements.hpp"

namespace millrace::pipeline {
namespace {

constexpr std::size_t max_known = 8192;

/// As PostgreSQL reads a list of identifiers (SplitIdentifierString). Null: it isn't one.
std::optional<std::vector<std::string>> split_identifiers(std::string_view list) {
  std::vector<std::string> names;
  const auto skip_space = [&list] {
    const auto first = list.find_first_not_of(" \t\n\r\f\v");
    list.remove_prefix(first == std::string_view::npos ? list.size() : first);
  };
  skip_space();
  while (!list.empty()) {
    std::string name;
    if (list.front() == '"') {
      list.remove_prefix(1);
      for (;;) {
        const auto quote = list.find('"');
        if (quote == std::string_view::npos) return std::nullopt;
        name.append(list.substr(0, quote));
        list.remove_prefix(quote + 1);
        if (list.empty() || list.front() != '"') break;
        name += '"';
        list.remove_prefix(1);
      }
    } else {
      const auto end = std::min(list.find_first_of(", \t\n\r\f\v"), list.size());
      if (end == 0) return std::nullopt;
      for (const char c : list.substr(0, end)) {
        if (static_cast<unsigned char>(c) >= 0x80) return std::nullopt;  // how it is folded is the locale's to say
        name += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
      }
      list.remove_prefix(end);
    }
    names.push_back(std::move(name));
    skip_space();
    if (list.empty()) break;
    if (list.front() != ',') return std::nullopt;
    list.remove_prefix(1);
    skip_space();
    if (list.empty()) return std::nullopt;
  }
  return names;
}

}  // namespace

std::optional<std::vector<std::string>> search_path_of(const Scope& scope, const catalog::Snapshot& catalog) {
  if (!scope.search_path) return std::nullopt;
  std::string list = scope.search_path->list;
  if (scope.search_path->is_default) {
    auto defaults = catalog.defaults(scope.user);
    if (!defaults) return std::nullopt;
    list = std::move(defaults->search_path);
  }
  auto names = split_identifiers(list);
  if (!names) return std::nullopt;
  for (auto& name : *names) {
    if (name == "$user") name = scope.user;
    if (name == "pg_temp" || name.starts_with("pg_temp_")) return std::nullopt;
  }
  std::erase_if(*names, [&](const std::string& name) { return !catalog.has_schema(name); });
  return names;
}

const Judgement& Judgements::of(const StatementPtr& statement, const Scope& scope, const catalog::Snapshot& catalog) {
  auto found = known_.find({statement.get(), scope.number});
  if (found == known_.end()) {
    if (known_.size() >= max_known) known_.clear();
    found = known_.emplace(std::pair(statement.get(), scope.number), std::make_unique<Known>()).first;
  } else if (found->second->version == catalog.version) {
    return found->second->judgement;
  }
  Known& known = *found->second;
  known.statement = statement;
  known.version = catalog.version;
  auto path = search_path_of(scope, catalog);
  if (!path) {
    known.judgement = {.read = {.why_not = "the session's search path isn't known", .code = "search_path", .reads = {}},
                       .changes = std::nullopt,
                       .search_path = {}};
    return known.judgement;
  }
  known.judgement = {.read = cacheability(*statement, catalog, *path),
                     .changes = changed_by(*statement, catalog, *path),
                     .search_path = {}};
  known.judgement.lacks_relations = !known.judgement.changes && lacks_only_relations(*statement, catalog, *path);
  known.judgement.changes_nothing = changes_nothing(*statement, catalog, *path);
  known.judgement.meant = meant_by_names(*statement, catalog, *path);
  known.judgement.search_path = *std::move(path);
  return known.judgement;
}

void Judgements::count_refusal(std::string_view code) {
  const auto found = refusals_.find(code);
  if (found == refusals_.end()) {
    refusals_.emplace(code, 1);
  } else {
    ++found->second;
  }
}

}  // namespace millrace::pipeline
