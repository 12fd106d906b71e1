#pragma once

#include <functional>
#include <span>
#include <vector>

namespace millrace::optimizer {

/// What indexes are chosen by. Costs and gains are in one unit, whichever it is; statements and candidates are known by
/// their places in these lists.
struct AdvisorTask {
  struct Statement {
    double weight = 1;                         ///< how much a cost of 1 counts: executions, say
    double cost = 0;                           ///< without any of the candidates
    std::vector<std::size_t> candidates = {};  ///< that may change its cost; ascending
  };
  struct Candidate {
    double bytes = 0;
    double write_cost = 0;  ///< of keeping it up to date, in the time that weights are of
    std::vector<std::size_t>
        replaces{};  ///< candidates that it makes superfluous, as a longer index does its beginning
  };
  std::vector<Statement> statements;
  std::vector<Candidate> candidates;
  double budget_bytes = 0;
  /// Who doesn't lower the whole cost by so much of what it was isn't worth having.
  double margin = 0.01;
  /// A statement's cost with these candidates, which are among its own; ascending, never empty.
  std::function<double(std::size_t statement, std::span<const std::size_t> with)> cost;
  /// Asked between costs. The answer is then what was found so far.
  std::function<bool()> out_of_time = [] { return false; };
};

struct Advised {
  std::vector<std::size_t> chosen = {};  ///< in the order in which they were; the first gains most per byte
  std::vector<double> gains = {};        ///< of each: what the whole would cost more without it
  std::vector<double> costs = {};        ///< of each statement, with all of them; unweighted
  double bytes = 0;
  double cost_before = 0, cost_after = 0;  ///< weighted, with writes
  std::size_t costs_asked = 0;
  bool out_of_time = false;
};

/// Chooses candidates by the gain per byte, one after the other, as Extend does (Schlosser, Kossmann, Boissier:
/// Efficient scalable multi-attribute index selection using recursive strategies, ICDE 2019): one may take the place of
/// those that it makes superfluous. Then what later ones made superfluous goes, and each that is left may change places
/// with one that wasn't chosen. Where a single candidate gains more than all of these it is taken instead: so the gain
/// is at least (1 - 1/e) / 2 of the best possible where gains shrink as indexes are added and nothing is written
/// (Leskovec et al.: Cost-effective outbreak detection in networks, KDD 2007), and usually nearly all of it.
///
/// Each cost is asked once. Takes candidates × chosen × the statements that they are for.
Advised advise_indexes(const AdvisorTask& task);

}  // namespace millrace::optimizer
