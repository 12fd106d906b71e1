#include "optimizer/rewriter.hpp"

#include <algorithm>

#include "base/clock.hpp"
#include "optimizer/rule.hpp"
#include "sql/skip_comment.hpp"

namespace millrace::optimizer {

namespace {

constexpr std::size_t max_steps = 40;

/// What the whole statement must be before any rule is tried. "": it may be rewritten.
std::string hindrance(const Analysis& analysis, Select* select) {
  const auto& snapshot = analysis.snapshot();
  if (snapshot.has_unsafe_casts) return "the database has casts that may do anything";
  std::string found;
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
        case PG_QUERY__NODE__NODE_RANGE_VAR: {
          const auto* relation = analysis.relation_of(node->range_var);
          if (relation == nullptr) break;  // of WITH, or not known: then nothing of it is
          if (relation->row_security) found = "rows of " + relation->name + " are shown by policies";
          if (relation->oid < catalog::first_normal_oid) found = "it reads the system's own tables";
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

/// ANDs in ANDs and ORs in ORs are one, and constants in them are gone: as the grammar makes them of what is printed.
Node* normalized(Tree& tree, Node* node) {
  auto* logic = node->bool_expr;
  std::vector<Node*> arguments;
  const bool is_and = logic->boolop == PG_QUERY__BOOL_EXPR_TYPE__AND_EXPR;
  for (std::size_t i = 0; i < logic->n_args; ++i) {
    auto* argument = logic->args[i];
    const auto constant = boolean_constant(argument);
    if (constant && *constant == is_and) continue;
    if (constant) return argument;
    if (const auto* inner = bool_of(argument, logic->boolop)) {
      arguments.insert(arguments.end(), inner->args, inner->args + inner->n_args);
    } else {
      arguments.push_back(argument);
    }
  }
  if (arguments.empty()) return tree.expression(is_and ? "true" : "false");
  if (arguments.size() == 1) return arguments[0];
  logic->n_args = arguments.size();
  logic->args = tree.nodes(arguments);
  return node;
}

void normalize(Tree& tree, ProtobufCMessage* message) {
  for_each_child(message, [&](ProtobufCMessage* child, Node** slot) {
    normalize(tree, child);
    if (slot == nullptr || (*slot)->node_case != PG_QUERY__NODE__NODE_BOOL_EXPR) return;
    if ((*slot)->bool_expr->boolop != PG_QUERY__BOOL_EXPR_TYPE__NOT_EXPR) *slot = normalized(tree, *slot);
  });
  if (message->descriptor != &pg_query__select_stmt__descriptor) return;
  auto* select = reinterpret_cast<Select*>(message);
  if (boolean_constant(select->where_clause) == true) select->where_clause = nullptr;
}

bool enabled(const Rule& rule, const Options& options) {
  if (rule.level > options.level) return false;
  if (rule.family == Family::pushdown) return options.predicate_pushdown;
  return rule.family != Family::join || options.join_optimization;
}

class Pass {
 public:
  Pass(Tree& tree, const catalog::Snapshot& snapshot, const Session& session, const Options& options,
       std::int64_t deadline)
      : tree_(tree), analysis_(snapshot, session), options_(options), deadline_(deadline) {}

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
                      if (rule->expression == nullptr || !enabled(*rule, options_)) continue;
                      auto* instead = rule->expression({tree_, analysis_, place, rule->name, misses}, *slot);
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
                    for (const auto* rule : all_rules()) {
                      if (rule->query == nullptr || !enabled(*rule, options_)) continue;
                      if (!rule->query({tree_, analysis_, place, rule->name, misses}, each)) continue;
                      fired = rule;
                      return false;
                    }
                    return may_go_on();
                  }};
    walk.statement(select, {});
    if (fired != nullptr) normalize(tree_, &select->base);
    return fired;
  }

 private:
  Tree& tree_;
  Analysis analysis_;
  const Options& options_;
  std::int64_t deadline_;
};

/// Hints and what else stands before the statement.
std::string_view comments_before(std::string_view text) {
  std::size_t at = 0;
  while (at < text.size()) {
    if (std::string_view(" \t\n\r\f\v").contains(text[at])) {
      ++at;
    } else if (text.substr(at).starts_with("/*")) {
      at = sql::skip_comment(text, at);
    } else if (text.substr(at).starts_with("--")) {
      at = std::min(text.size(), text.find('\n', at));
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
  while (result.steps.size() < max_steps) {
    result.near_misses.clear();
    Pass pass(**tree, snapshot, session, options, deadline);
    const auto* rule = pass.run(select, result.near_misses, result.out_of_time);
    if (rule == nullptr) break;
    auto printed = (*tree)->text();
    if (!printed) {
      // What came before is good; nothing is built on what can't be said.
      result.near_misses.push_back(
          {.rule = std::string(rule->name), .missing = "the rewritten statement can't be printed"});
      break;
    }
    printed->insert(0, before);
    result.steps.push_back(
        {.rule = std::string(rule->name), .before = result.text, .after = *printed, .by_cost = rule->by_cost});
    result.text = *std::move(printed);
  }
  return result;
}

std::vector<std::string_view> rule_names() {
  std::vector<std::string_view> names;
  for (const auto* rule : all_rules()) names.push_back(rule->name);
  return names;
}

}  // namespace millrace::optimizer
