#include "pipeline/rewrites.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "base/clock.hpp"
#include "catalog/snapshot.hpp"
#include "sql/comments.hpp"

namespace millrace::pipeline {
namespace {

constexpr std::size_t most_cases = 1000, looks_for_room = 16;
/// Executions whose parameters are tried.
constexpr std::size_t wanted_samples = 3;
/// Of its uses, the last so many count most.
constexpr double remembered_uses = 16;
constexpr int most_guards_failed = 3, most_refusals = 3;
/// With the pauses between them that is some minutes.
constexpr int most_tries = 10;

/// A statement without its comments, and what stood around them.
std::string_view plain_text(std::string_view query, std::string& buffer) {
  constexpr std::string_view space = " \t\n\r\f";
  const auto text = sql::without_comments(query, buffer);
  const auto first = text.find_first_not_of(space);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(space) + 1 - first);
}

std::string_view types_of(const Question& question) {
  const auto end = question.text.find('\0');
  return end == std::string_view::npos ? no_types : question.text.substr(end);
}

/// Of a Bind message, behind its names.
bool has_values(std::string_view parameters) {
  const auto number_at = [&](std::size_t at) {
    if (at + 2 > parameters.size()) return std::size_t{0};
    return std::size_t{static_cast<unsigned char>(parameters[at])} * 256 +
           static_cast<unsigned char>(parameters[at + 1]);
  };
  return number_at(2 + 2 * number_at(0)) > 0;
}

std::string key_of(const Scope& scope, const Question& question) {
  std::string buffer;
  const auto query = question.text.substr(0, question.text.find('\0'));
  std::string key;
  for (const std::string_view part : {std::string_view(scope.database), std::string_view(scope.user)})
    key.append(part).append(1, '\0');
  key.append(std::to_string(scope.settings.size())).append(1, ':').append(scope.settings);
  key.append(plain_text(query, buffer));
  return key.append(types_of(question));
}

std::string in_hex(std::string_view bytes) {
  std::string hex;
  for (const char c : bytes) hex += fmt::format("{:02x}", static_cast<unsigned char>(c));
  return hex;
}

std::string of_hex(std::string_view hex) {
  const auto digit = [](char c) { return c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10; };
  std::string bytes;
  for (std::size_t at = 0; at + 1 < hex.size(); at += 2)
    bytes += static_cast<char>(digit(hex[at]) * 16 + digit(hex[at + 1]));
  return bytes;
}

double in_ms(double ns) { return ns / 1e6; }

}  // namespace

std::string_view name(RewriteState state) {
  switch (state) {
    case RewriteState::candidate:
      return "candidate";
    case RewriteState::proving:
      return "proving";
    case RewriteState::active:
      return "active";
    case RewriteState::rejected:
      return "rejected";
    case RewriteState::demoted:
      return "demoted";
  }
  return "";
}

bool Rewrites::is_concerned(const Case& one) {
  if (one.watched) return false;
  return one.report.state == RewriteState::active || (one.report.state == RewriteState::candidate && !one.has_turn);
}

/// Keeps the counts that `concerns` looks at, and those of the states.
template <typename Change>
void Rewrites::change(Case& one, Change&& how) {
  auto& slot = concerned_[slot_of(one.fingerprint)];
  const bool was_concerned = is_concerned(one);
  const auto count = [this, &one] -> std::uint64_t& {
    return counts_.states[static_cast<std::size_t>(one.report.state)];
  };
  if (!one.watched) --count();
  how();
  if (!one.watched) ++count();
  if (is_concerned(one) && !was_concerned) slot.fetch_add(1, std::memory_order_relaxed);
  if (!is_concerned(one) && was_concerned) slot.fetch_sub(1, std::memory_order_relaxed);
  if (!one.watched) changed_ = true;
}

Rewrites::Case* Rewrites::find_case(const std::string& key) {
  const auto found = cases_.find(key);
  return found == cases_.end() ? nullptr : found->second.get();
}

/// Null: it would have to take the place of what matters more. That is looked for among a few, in turns: a new text of
/// a statement with constants in it, of which there are thousands a second, mustn't cost a look at all.
Rewrites::Case* Rewrites::make_room_for(const std::string& key) {
  if (cases_.size() >= most_cases) {
    const auto matters = [](const Case& one) {
      const bool is_over = one.report.state == RewriteState::rejected && !one.stays;
      return std::pair(one.watched ? 0 : is_over ? 1 : 2, one.ns);
    };
    auto at = cases_.lower_bound(hand_), least = cases_.end();
    for (std::size_t looks = 0; looks < looks_for_room; ++looks, ++at) {
      if (at == cases_.end()) at = cases_.begin();
      if (least == cases_.end() || matters(*at->second) < matters(*least->second)) least = at;
    }
    hand_ = at == cases_.end() ? std::string() : at->first;
    if (matters(*least->second).first == 2) return nullptr;
    if (!least->second->watched) --counts_.states[static_cast<std::size_t>(least->second->report.state)];
    cases_.erase(least);
  }
  auto& made = cases_[key];
  made = std::make_unique<Case>();
  made->key = key;
  return made.get();
}

void Rewrites::begin_sampling(Case& one, std::string reason) {
  change(one, [&] {
    one.watched = one.has_turn = false;
    one.samples.clear();
    if (one.proved) one.last = std::move(one.proved);
    one.proved.reset();
    one.report.state = RewriteState::candidate;
    one.report.reason = std::move(reason);
  });
}

Rewrites::Use Rewrites::find(const Scope& scope, const Question& question, std::uint64_t catalog) {
  const std::string key = key_of(scope, question);
  bool works = false;
  Use use;
  {
    const std::lock_guard lock(mutex_);
    Case* const one = find_case(key);
    if (one == nullptr || one->watched) return {};
    if (one->report.state == RewriteState::active) {
      if (one->proved->catalog_version == catalog) {
        use.rewrite = one->proved;
      } else if (catalog > one->proved->catalog_version) {
        // The parameters are those of before: it has its turn at once.
        change(*one, [&] {
          one->last = std::exchange(one->proved, nullptr);
          one->has_turn = true;
          one->report.state = RewriteState::candidate;
          one->report.reason = "the catalogs have changed since it was proved";
        });
        works = true;
      }
    }
    use.wants_sample = one->report.state == RewriteState::candidate && !one->has_turn;
  }
  if (works) wake();
  return use;
}

void Rewrites::add_sample(const Question& question, RewriteAsker asker) {
  if (question.parameters.size() > longest_sample) return;
  const std::string key = key_of(*asker.scope, question);
  {
    const std::lock_guard lock(mutex_);
    Case* const one = find_case(key);
    if (one == nullptr || one->watched || one->has_turn || one->report.state != RewriteState::candidate) return;
    one->asker = std::move(asker);
    const auto parameters = question.kind == Question::Kind::query ? no_parameters : question.parameters;
    one->samples.emplace_back(parameters);
    if (has_values(parameters) && one->samples.size() < wanted_samples) return;
    change(*one, [&] {
      one->has_turn = true;
      one->report.reason = "it waits for its turn to be tried both ways";
    });
  }
  wake();
}

void Rewrites::spent(const Scope& scope, const Question& question, std::uint64_t fingerprint, std::int64_t ns) {
  if (!is_on() || question.text.size() > longest_text) return;
  if (sql::has_planner_hints(question.text)) return;
  if (question.text.contains("millrace") && !sql::hints_of(question.text.substr(0, question.text.find('\0'))).rewrite)
    return;
  const std::string key = key_of(scope, question);
  const auto catalog = scope.source ? scope.source->current() : nullptr;
  const std::lock_guard lock(mutex_);
  Case* one = find_case(key);
  if (one == nullptr) {
    one = make_room_for(key);
    if (one == nullptr) return;
    const auto query = question.text.substr(0, question.text.find('\0'));
    std::string buffer;
    one->types = types_of(question);
    one->report = {.database = scope.database,
                   .user = scope.user,
                   .settings = scope.settings,
                   .query = std::string(plain_text(query, buffer)),
                   .types = in_hex(one->types),
                   .template_id = fmt::format("{:016x}", fingerprint)};
    one->fingerprint = fingerprint;
  }
  ++one->report.executions;
  one->ns += ns;
  one->report.traffic_before_ms = in_ms(static_cast<double>(one->ns)) / static_cast<double>(one->report.executions);
  const bool is_over = one->report.state == RewriteState::rejected || one->report.state == RewriteState::demoted;
  const bool has_new_catalogs = catalog && one->judged_by != 0 && catalog->version > one->judged_by;
  const auto tried_again_after = has_new_catalogs ? limits_.try_again_by_catalogs_ns : limits_.try_again_ns;
  const bool tries_again = !one->watched && is_over && !one->stays && now_ns() - one->judged > tried_again_after;
  const bool is_worth_it = one->report.executions >= limits_.least_executions && one->ns >= limits_.least_total_ns;
  if ((one->watched && is_worth_it) || tries_again)
    begin_sampling(*one, "it takes long; its next executions give the parameters to try it with");
}

void Rewrites::used(const ProvedRewrite& rewrite, std::int64_t ns) {
  const std::lock_guard lock(mutex_);
  ++counts_.uses;
  Case* const one = find_case(rewrite.key);
  if (one == nullptr || one->proved.get() != &rewrite) return;
  ++one->report.uses;
  one->refusals = 0;
  const auto uses = static_cast<double>(++one->uses_now);
  one->after_ns += (static_cast<double>(ns) - one->after_ns) / std::min(uses, remembered_uses);
  one->report.traffic_after_ms = in_ms(one->after_ns);
  if (one->uses_now >= limits_.least_uses && one->report.traffic_before_ms > 0 &&
      one->report.traffic_after_ms > one->report.traffic_before_ms) {
    demote(*one,
           fmt::format("in traffic it took {:.2f} ms, and {:.2f} ms before", one->report.traffic_after_ms,
                       one->report.traffic_before_ms),
           false);
  }
}

void Rewrites::is_out_of_date(const ProvedRewrite& rewrite) {
  {
    const std::lock_guard lock(mutex_);
    ++counts_.guards_failed;
    Case* const one = find_case(rewrite.key);
    if (one == nullptr || one->proved.get() != &rewrite) return;
    change(*one, [&] {
      one->doubted = one->last = std::exchange(one->proved, nullptr);
      one->has_turn = true;
      one->report.state = RewriteState::candidate;
      one->report.reason = "the catalogs, or the session, weren't what it was proved under";
    });
  }
  wake();
}

void Rewrites::failed(const ProvedRewrite& rewrite, std::string_view sqlstate) {
  const std::lock_guard lock(mutex_);
  Case* const one = find_case(rewrite.key);
  if (one == nullptr || one->proved.get() != &rewrite) return;
  // Not the text's fault for certain: parameters may be no values of their types, and rows may be such as it fails for,
  // however it is said.
  const bool may_be_datas = sqlstate.starts_with("22") || sqlstate.starts_with("21") || sqlstate.starts_with("38");
  if (may_be_datas && ++one->refusals < most_refusals) return;
  one->judged_by = rewrite.catalog_version;
  demote(*one, fmt::format("the server refused it: SQLSTATE {}", sqlstate), false);
}

void Rewrites::demote(Case& one, std::string reason, bool stays) {
  ++counts_.demotions;
  change(one, [&] {
    one.proved.reset();
    one.last.reset();
    one.has_turn = false;
    one.report.state = RewriteState::demoted;
    one.report.reason = std::move(reason);
    one.judged = now_ns();
    one.stays = stays;
  });
}

std::optional<RewriteTask> Rewrites::next() {
  const std::lock_guard lock(mutex_);
  Case* first = nullptr;
  const auto now = now_ns();
  for (const auto& [key, one] : cases_) {
    if (one->report.state != RewriteState::candidate || !one->has_turn || one->not_before > now) continue;
    const auto comes_first = [](const Case& that) { return std::pair(that.judged, -that.ns); };
    if (first == nullptr || comes_first(*one) < comes_first(*first)) first = one.get();
  }
  if (first == nullptr) return std::nullopt;
  change(*first, [&] {
    first->report.state = RewriteState::proving;
    first->report.reason = "it is being tried both ways";
  });
  return RewriteTask{.key = first->key,
                     .query = first->report.query,
                     .types = first->types,
                     .asker = first->asker,
                     .samples = first->samples,
                     .before_ms = first->report.traffic_before_ms,
                     .tries = first->tries,
                     .last = first->last};
}

void Rewrites::done(const std::string& key, RewriteOutcome outcome) {
  const std::lock_guard lock(mutex_);
  ++counts_.proofs;
  counts_.mismatches += outcome.mismatches;
  Case* const one = find_case(key);
  if (one == nullptr || one->report.state != RewriteState::proving) return;
  auto& report = one->report;
  report.rewritten = std::move(outcome.rewritten);
  report.rules = std::move(outcome.rules);
  report.runs_compared += outcome.runs_compared;
  report.mismatches += outcome.mismatches;
  if (outcome.runs_compared > 0) {
    report.before_ms = outcome.before_ms;
    report.after_ms = outcome.after_ms;
  }
  if (outcome.state == RewriteState::demoted) return demote(*one, std::move(outcome.reason), true);
  one->judged_by = outcome.catalog;
  if (outcome.proved) {
    const bool nothing_changed = one->doubted && one->doubted->guard == outcome.proved->guard;
    one->guards_failed = nothing_changed ? one->guards_failed + 1 : 0;
    one->doubted.reset();
    if (one->guards_failed >= most_guards_failed)
      return demote(*one, "sessions differ from the one that it was proved in, in what isn't seen here", true);
  }
  const bool again = outcome.state == RewriteState::candidate;
  one->not_before = again ? now_ns() + std::min(limits_.pause_ns << one->tries, RewriteLimits::longest_pause_ns) : 0;
  one->tries = again ? one->tries + 1 : 0;
  if (one->tries >= most_tries) {
    one->tries = 0;
    outcome.state = RewriteState::rejected;
    outcome.reason = fmt::format("after {} tries: {}", most_tries, outcome.reason);
  }
  if (outcome.state == RewriteState::rejected) {
    // What is tried again gives new ones.
    one->last.reset();
    one->asker = {};
    std::vector<std::string>().swap(one->samples);
  }
  change(*one, [&] {
    one->proved = std::move(outcome.proved);
    one->has_turn = outcome.state == RewriteState::candidate;
    one->uses_now = 0;
    one->refusals = 0;
    one->after_ns = 0;
    one->judged = now_ns();
    one->stays = outcome.mismatches > 0;
    report.state = outcome.state;
    report.reason = std::move(outcome.reason);
  });
}

void Rewrites::on_work(std::function<void()> wake) {
  const std::lock_guard lock(mutex_);
  wake_ = std::move(wake);
}

void Rewrites::wake() {
  const std::lock_guard lock(mutex_);
  if (wake_) wake_();
}

std::vector<RewriteReport> Rewrites::report() const {
  std::vector<RewriteReport> all;
  const std::lock_guard lock(mutex_);
  for (const auto& [key, one] : cases_) {
    if (!one->watched) all.push_back(one->report);
  }
  return all;
}

std::optional<RewriteReport> Rewrites::report(const Scope& scope, const Question& question) const {
  const std::string key = key_of(scope, question);
  const std::lock_guard lock(mutex_);
  const auto found = cases_.find(key);
  if (found == cases_.end() || found->second->watched) return std::nullopt;
  return found->second->report;
}

Rewrites::Counts Rewrites::counts() const {
  const std::lock_guard lock(mutex_);
  return counts_;
}

void Rewrites::restore(const std::vector<RewriteReport>& kept) {
  const std::lock_guard lock(mutex_);
  for (const auto& report : kept) {
    const std::string types = of_hex(report.types);
    const Scope scope{.database = report.database, .user = report.user, .settings = report.settings};
    const std::string text = report.query + types;
    const Question question{.kind = Question::Kind::execute, .text = text, .parameters = {}};
    const std::string key = key_of(scope, question);
    if (find_case(key) != nullptr || cases_.size() >= most_cases) continue;
    Case& one = *make_room_for(key);
    one.types = types;
    one.report = report;
    const auto& id = report.template_id;
    std::from_chars(id.data(), id.data() + id.size(), one.fingerprint, 16);
    one.ns = static_cast<std::int64_t>(report.traffic_before_ms * 1e6 * static_cast<double>(report.executions));
    one.judged = now_ns();
    const bool is_over = report.state == RewriteState::demoted || report.state == RewriteState::rejected;
    one.stays = is_over && report.mismatches > 0;
    const auto reason = report.reason;
    begin_sampling(one, "it was kept over a restart, and is to be proved against the catalogs of now");
    if (is_over) {
      change(one, [&] {
        one.report.state = report.state;
        one.report.reason = reason;
      });
    }
  }
}

}  // namespace millrace::pipeline
