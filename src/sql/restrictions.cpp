#include "sql/restrictions.hpp"

#include <charconv>

#include "sql/pg_tree.h"
#include "sql/scan_guard.hpp"
#include "sql/stack_left.hpp"
#include "sql/statement.hpp"

namespace millrace::sql {

namespace {

using Value = Restrictions::Value;

constexpr std::uint32_t most_parameters = 65535;

std::uint32_t number_of(std::string_view digits) {
  std::uint32_t number = 0;
  std::from_chars(digits.data(), digits.data() + digits.size(), number);
  return number;
}

/// Puts Restrictions together from the facts of the tree.
class Reader {
 public:
  void begin(pg_tree_root root) {
    certain_ = certain_ && root == PG_TREE_SELECT && statements_ == 0;
    ++statements_;
  }

  void take(pg_tree_fact fact, std::string_view name, std::string_view value) {
    switch (fact) {
      case PG_TREE_READS:
        ++named_;
        return;
      case PG_TREE_TARGET:
      case PG_TREE_NOT_KNOWN:
      case PG_TREE_UNKNOWN:
        certain_ = false;
        return;
      case PG_TREE_PARAMETER:
        return use(number_of(name));
      case PG_TREE_LEVEL_READS:
        restrictions_.reads.push_back({.relation = {std::string(value), std::string(name)}, .predicates = {}});
        return;
      case PG_TREE_EQUALS:
        restrictions_.reads.back().predicates.push_back({.column = std::string(name), .values = {}});
        return;
      case PG_TREE_EQUALS_NUMBER:
        return add({.kind = Value::Kind::number, .text = std::string(name)});
      case PG_TREE_EQUALS_STRING:
        return add({.kind = Value::Kind::string, .text = std::string(name)});
      case PG_TREE_EQUALS_BOOLEAN:
        return add({.kind = Value::Kind::boolean, .text = std::string(name)});
      case PG_TREE_EQUALS_PARAMETER:
        return add({.kind = Value::Kind::parameter, .parameter = number_of(name)});
      case PG_TREE_EQUALS_CAST:
        last().cast = {std::string(value), std::string(name)};
        return;
      case PG_TREE_EQUALS_ANY:
        last().is_array = true;
        return;
      default:
        return;
    }
  }

  /// Each name of a relation stands in some FROM, or there is one of which nobody knows what is read.
  std::optional<Restrictions> end() && {
    if (!certain_ || statements_ != 1 || named_ != restrictions_.reads.size()) return std::nullopt;
    return std::move(restrictions_);
  }

 private:
  void use(std::uint32_t parameter) {
    if (parameter == 0 || parameter > most_parameters) {
      certain_ = false;  // PostgreSQL refuses it
      return;
    }
    if (parameter > restrictions_.parameter_uses.size()) restrictions_.parameter_uses.resize(parameter);
    ++restrictions_.parameter_uses[parameter - 1];
  }

  void add(Value value) { restrictions_.reads.back().predicates.back().values.push_back(std::move(value)); }
  Value& last() { return restrictions_.reads.back().predicates.back().values.back(); }

  Restrictions restrictions_;
  std::size_t named_ = 0;
  std::size_t statements_ = 0;
  bool certain_ = true;
};

}  // namespace

std::optional<Restrictions> restrictions_of(std::string_view text) {
  if (text.contains('\0') || stack_left() < stack_needed(text.size()) || scans_slowly(text)) return std::nullopt;
  Reader reader;
  const pg_tree_visitor visitor = {
      .context = &reader,
      .statement = [](void* context, pg_tree_root root, std::size_t,
                      std::size_t) noexcept { static_cast<Reader*>(context)->begin(root); },
      .fact =
          [](void* context, pg_tree_fact fact, const char* name, const char* value) noexcept {
            static_cast<Reader*>(context)->take(fact, name == nullptr ? "" : name, value == nullptr ? "" : value);
          },
      .restrictions = true,
  };
  pg_tree_result result;
  pg_tree_visit(std::string(text).c_str(), &visitor, &result);
  if (!result.parsed) return std::nullopt;
  return std::move(reader).end();
}

}  // namespace millrace::sql
