#include "optimizer/rewriter.hpp"

#include <algorithm>
#include <set>

#include "base/clock.hpp"
#include "optimizer/parameters.hpp"
#include "optimizer/rule.hpp"
#include "sql/skip_comment.hpp"

namespace millrace::optimizer {

namespace {

constexpr std::size_t max_steps = 40;

/// What reading a view may do that isn't to be reckoned with; "": nothing.
std::string hindrance_in(const catalog::Snapshot& snapshot, const catalog::Relation& relation, std::set<Oid>& seen) {
  if (relation.row_security) return "rows of " + relation.name + " are shown by policies";
  if (relation.oid < catalog::first_normal_oid) return "it reads the system's own tables";
  if (relation.kind != 'v' || !seen.insert(relation.oid).second) return {};
  const auto& definition = relation.definition;
  if (definition == nullptr || (!definition->not_known.empty() && !definition->only_clock))
    return "it isn't certain what the view " + relation.name + " does";
  const auto may_do_anything = [&](const catalog::Functions* functions, const std::string& name) {
    return functions == nullptr ? snapshot.types(name).empty() : functions->volatility == 'v';
  };
  for (const auto& function : definition->functions) {
    if (may_do_anything(snapshot.functions(function.name), function.name))
      return "the view " + relation.name + " calls " + function.name + "(), which may do anything";
  }
  for (const auto& field : definition->fields) {
    const auto* functions = snapshot.functions(field);
    if (functions != nullptr && functions->of_rows)
      return "in the view " + relation.name + ", " + field + " may be a function that is called";
  }
  for (const auto& name : definition->operators) {
    const auto* operators = snapshot.operators(name.name);
    if (operators != nullptr && operators->volatility == 'v')
      return "the view " + relation.name + " has an operator that may do anything";
  }
  for (const auto& name : definition->reads) {
    // What has no schema is of the view's own WITH.
    const auto* read = name.schema.empty() ? nullptr : snapshot.find(name.schema, name.name);
    if (read == nullptr && name.schema.empty() &&
        std::ranges::find(definition->with, name.name) != definition->with.end())
      continue;
    if (read == nullptr) return "it isn't certain what the view " + relation.name + " reads";
    if (auto found = hindrance_in(snapshot, *read, seen); !found.empty()) return found;
  }
  return {};
}

/// What the whole statement must be before any rule is tried. "": it may be rewritten.
std::string hindrance(const Analysis& analysis, Select* select) {
  const auto& snapshot = analysis.snapshot();
  if (snapshot.has_unsafe_casts) return "the database has casts that may do anything";
  if (snapshot.has_own_casts) return "the database has a cast of its own between PostgreSQL's types";
  // Types and functions that rules name must be PostgreSQL's own.
  const auto& path = analysis.session().search_path;
  if (std::ranges::find(path, "pg_catalog") != path.end() && path.front() != "pg_catalog")
    return "PostgreSQL's own names come after others";
  std::string found;
  std::set<Oid> seen;
  // What isn't a column is called: `t.name` is name(t).
  const auto check_fields = [&](std::span<Node* const> fields) {
    for (const auto* field : fields) {
      if (field->node_case != PG_QUERY__NODE__NODE_STRING) continue;
      const auto* functions = snapshot.functions(field->string->sval);
      if (functions != nullptr && functions->of_rows)
        found = std::string(field->string->sval) + " may be a function that is called";
    }
  };
  const auto check_functions = [&](std::string_view name) {
    const auto* functions = snapshot.functions(name);
    // What isn't a function's name is a cast that is written like a call.
    if (functions == nullptr ? snapshot.types(name).empty() : functions->volatility == 'v')
      found = "it calls " + std::string(name) + "(), which may do anything";
  };
  const Visit visit = [&](ProtobufCMessage* message, Node** slot) {
    if (!found.empty()) return;
    if (slot != nullptr) {
      const auto* node = *slot;
      switch (node->node_case) {
        case PG_QUERY__NODE__NODE_LOCKING_CLAUSE:
          found = "it locks rows";
          break;
        case PG_QUERY__NODE__NODE_INSERT_STMT:
        case PG_QUERY__NODE__NODE_UPDATE_STMT:
        case PG_QUERY__NODE__NODE_DELETE_STMT:
        case PG_QUERY__NODE__NODE_MERGE_STMT:
          found = "it writes";
          break;
        case PG_QUERY__NODE__NODE_RANGE_TABLE_SAMPLE:
          found = "it reads a sample";
          break;
        case PG_QUERY__NODE__NODE_FUNC_CALL: {
          const auto names = strings({node->func_call->funcname, node->func_call->n_funcname});
          check_functions(names.empty() ? "" : names.back());
          break;
        }
        case PG_QUERY__NODE__NODE_A_EXPR: {
          const auto names = strings({node->a_expr->name, node->a_expr->n_name});
          const auto* operators = names.empty() ? nullptr : snapshot.operators(names.back());
          if (operators != nullptr && operators->volatility == 'v') found = "it has an operator that may do anything";
          break;
        }
        case PG_QUERY__NODE__NODE_COLUMN_REF: {
          const auto* reference = node->column_ref;
          if (reference->n_fields > 1) check_fields({reference->fields + 1, reference->n_fields - 1});
          break;
        }
        case PG_QUERY__NODE__NODE_A_INDIRECTION:
          check_fields({node->a_indirection->indirection, node->a_indirection->n_indirection});
          break;
        case PG_QUERY__NODE__NODE_RANGE_VAR: {
          const auto* relation = analysis.relation_of(node->range_var);
          if (relation == nullptr) break;  // of WITH, or not known: then nothing of it is
          found = hindrance_in(snapshot, *relation, seen);
          break;
        }
        default:
          break;
      }
    }
    for_each_child(message, visit);
  };
  if (select->into_clause != nullptr) return "it writes";
  for_each_child(&select->base, visit);
  return found;
}

/// Of a condition: ANDs in ANDs and ORs in ORs are one, as the grammar makes them of what is printed; `AND true` and
/// `OR false` are gone. Nothing else goes: `false AND x` stays, as x may be an error.
void normalize(Tree& tree, Node** slot) {
  auto* node = *slot;
  if (node == nullptr || node->node_case != PG_QUERY__NODE__NODE_BOOL_EXPR ||
      node->bool_expr->boolop == PG_QUERY__BOOL_EXPR_TYPE__NOT_EXPR)
    return;
  auto* logic = node->bool_expr;
  std::vector<Node*> arguments;
  const bool is_and = logic->boolop == PG_QUERY__BOOL_EXPR_TYPE__AND_EXPR;
  for (std::size_t i = 0; i < logic->n_args; ++i) {
    normalize(tree, logic->args + i);
    auto* argument = logic->args[i];
    if (boolean_constant(argument) == is_and) continue;
    if (const auto* inner = bool_of(argument, logic->boolop)) {
      arguments.insert(arguments.end(), inner->args, inner->args + inner->n_args);
    } else {
      arguments.push_back(argument);
    }
  }
  if (arguments.size() > 1) {
    logic->n_args = arguments.size();
    logic->args = tree.nodes(arguments);
  } else {
    *slot = arguments.empty() ? tree.expression(is_and ? "true" : "false") : arguments[0];
  }
}

/// The conditions of all SELECTs and joins. Not HAVING: what it says may stand in GROUP BY as well; nor what else is
/// boolean, whose text may name a column, or be found again.
void normalize_conditions(Tree& tree, ProtobufCMessage* message) {
  for_each_child(message, [&](ProtobufCMessage* child, Node**) { normalize_conditions(tree, child); });
  if (message->descriptor == &pg_query__join_expr__descriptor) {
    normalize(tree, &reinterpret_cast<PgQuery__JoinExpr*>(message)->quals);
  } else if (message->descriptor == &pg_query__select_stmt__descriptor) {
    auto* select = reinterpret_cast<Select*>(message);
    normalize(tree, &select->where_clause);
    if (boolean_constant(select->where_clause) == true) select->where_clause = nullptr;
  }
}

/// Rules above it change what is read and joined: what they make no longer has the shape that those below look for, so
/// they come when none of those fires any more.
constexpr int last_of_forms = 3;

bool enabled(const Rule& rule, const Options& options, int level) {
  if (rule.level > level || (rule.trusts_foreign_keys && !options.trusts_foreign_keys)) return false;
  if (rule.family == Family::pushdown) return options.predicate_pushdown;
  return rule.family != Family::join || options.join_optimization;
}

class Pass {
 public:
  Pass(Tree& tree, const catalog::Snapshot& snapshot, const Session& session, const Options& options, int level,
       std::int64_t deadline, std::span<const Rule* const> without, Done& done)
      : tree_(tree),
        analysis_(snapshot, session),
        options_(options),
        level_(level),
        deadline_(deadline),
        without_(without),
        done_(done) {}

  /// The first rule that fires, in the order of the statement. Null: none does.
  const Rule* run(Select* select, std::vector<NearMiss>& misses, bool& out_of_time) {
    const Rule* fired = nullptr;
    const auto may_go_on = [&] {
      out_of_time = now_ns() > deadline_;
      return !out_of_time;
    };
    Walk walk{.analysis = analysis_,
              .expression =
                  [&](Node** slot, const Place& place, bool&) {
                    if (place.fixed) return true;
                    for (const auto* rule : all_rules()) {
                      if (rule->expression == nullptr || !may_use(*rule)) continue;
                      auto* instead = rule->expression({tree_, analysis_, place, rule->name, misses, done_}, *slot);
                      if (instead == nullptr) continue;
                      // A constant makes what stands beside it go: nothing that fails.
                      if (boolean_constant(instead) && !cannot_fail(analysis_, place.root, place.scope, place.ctes)) {
                        misses.push_back(
                            {.rule = std::string(rule->name), .missing = "what stands beside the condition may fail"});
                        continue;
                      }
                      if (place.target != nullptr) place.target->name = tree_.chars(output_name(place.target));
                      *slot = instead;
                      fired = rule;
                      return false;
                    }
                    return true;
                  },
              .select =
                  [&](Select* each, const Place& place) {
                    if (place.fixed) return may_go_on();
                    for (const auto* rule : all_rules()) {
                      if (rule->query == nullptr || !may_use(*rule)) continue;
                      if (!rule->query({tree_, analysis_, place, rule->name, misses, done_}, each)) continue;
                      fired = rule;
                      return false;
                    }
                    return may_go_on();
                  }};
    walk.statement(select, {});
    if (fired != nullptr) normalize_conditions(tree_, &select->base);
    return fired;
  }

 private:
  bool may_use(const Rule& rule) const {
    return enabled(rule, options_, level_) && std::ranges::find(without_, &rule) == without_.end();
  }

  Tree& tree_;
  Analysis analysis_;
  const Options& options_;
  const int level_;
  std::int64_t deadline_;
  std::span<const Rule* const> without_;
  Done& done_;
};

std::vector<std::int32_t> without_repetitions(std::vector<std::int32_t> numbers) {
  const auto rest = std::ranges::unique(numbers);
  numbers.erase(rest.begin(), rest.end());
  return numbers;
}

/// Hints and what else stands before the statement.
std::string_view comments_before(std::string_view text) {
  std::size_t at = 0;
  while (at < text.size()) {
    if (std::string_view(" \t\n\r\f\v").contains(text[at])) {
      ++at;
    } else if (text.substr(at).starts_with("/*")) {
      at = sql::skip_comment(text, at);
    } else if (text.substr(at).starts_with("--")) {
      at = std::min(text.size(), text.find_first_of("\n\r", at));
    } else {
      break;
    }
  }
  return text.substr(0, at);
}

}  // namespace

Node* Site::narrowed(Node* condition, Node* implied) const {
  const auto* around = place.conjunction != nullptr ? place.conjunction->bool_expr : nullptr;
  const auto is_there = [&](const Node* conjunct) {
    return around != nullptr && std::any_of(around->args, around->args + around->n_args,
                                            [&](const Node* beside) { return same(beside, conjunct); });
  };
  if (std::ranges::all_of(conjuncts_of(implied), is_there)) return nullptr;
  auto* both = tree.expression("true AND true");
  both->bool_expr->args[0] = implied;
  both->bool_expr->args[1] = condition;
  return both;
}

Result<Rewrite> rewrite(std::string_view text, const catalog::Snapshot& snapshot, const Session& session,
                        const Options& options) {
  const auto deadline = static_cast<std::int64_t>(now_ns()) +
                        std::chrono::duration_cast<std::chrono::nanoseconds>(options.budget).count();
  auto tree = Tree::parse(text);
  if (!tree) return std::unexpected(std::move(tree).error());
  Rewrite result{.text = std::string(text)};
  if (!options.rewriting) {
    result.not_rewritten = "rewriting is turned off";
    return result;
  }
  auto* select = (*tree)->select();
  if (select == nullptr) {
    result.not_rewritten = "it isn't one SELECT";
    return result;
  }
  result.not_rewritten = hindrance(Analysis(snapshot, session), select);
  if (!result.not_rewritten.empty()) return result;
  const auto before = comments_before(text);
  auto parameters = parameters_of(select);
  std::vector<const Rule*> without;
  Done done;
  const int first_level = std::min(options.level, last_of_forms);
  int level = first_level;
  while (result.steps.size() < max_steps) {
    if (now_ns() > deadline) {
      result.out_of_time = true;
      break;
    }
    result.near_misses.clear();
    Pass pass(**tree, snapshot, session, options, level, deadline, without, done);
    const auto* was = parameters.numbers.empty() ? nullptr : (*tree)->copy(select);
    const auto* rule = pass.run(select, result.near_misses, result.out_of_time);
    if (rule == nullptr) {
      if (result.out_of_time || level == options.level) break;
      level = options.level;
      continue;
    }
    auto now = parameters_of(select);
    const bool are_joined =
        rule->joins_parameters && without_repetitions(now.numbers) == without_repetitions(parameters.numbers);
    if (!are_joined && (now.numbers != parameters.numbers || !have_the_same_firsts(now, parameters))) {
      *select = *was;
      without.push_back(rule);
      continue;
    }
    parameters = std::move(now);
    level = first_level;
    auto printed = (*tree)->text();
    if (!printed) {
      // What came before is good; nothing is built on what can't be said.
      result.near_misses.push_back(
          {.rule = std::string(rule->name), .missing = "the rewritten statement can't be printed"});
      break;
    }
    printed->insert(0, before);
    result.steps.push_back({.rule = std::string(rule->name),
                            .type = rule->type,
                            .before = result.text,
                            .after = *printed,
                            .by_cost = rule->by_cost});
    result.text = *std::move(printed);
  }
  for (const auto* rule : without) {
    result.near_misses.push_back(
        {.rule = std::string(rule->name), .missing = "PostgreSQL may give the parameters other types"});
  }
  return result;
}

std::string_view name(OptimizationType type) {
  switch (type) {
    case OptimizationType::predicate_pushdown:
      return "predicate_pushdown";
    case OptimizationType::join_reorder:
      return "join_reorder";
    case OptimizationType::subquery_optimization:
      return "subquery_optimization";
    case OptimizationType::memory_optimization:
      return "memory_optimization";
  }
  return "";
}

std::vector<std::string_view> rule_names() {
  std::vector<std::string_view> names;
  for (const auto* rule : all_rules()) names.push_back(rule->name);
  return names;
}

}  // namespace millrace::optimizer
