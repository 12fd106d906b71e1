#include "gateway/rewrite_prover.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>

#include "base/clock.hpp"
#include "base/log.hpp"
#include "base/own_lock_timeout.hpp"
#include "gateway/catalogs.hpp"
#include "gateway/compared_rows.hpp"
#include "gateway/header.hpp"
#include "gateway/rewrite_guard.hpp"
#include "optimizer/query_plan.hpp"
#include "pgwire/protocol/decode.hpp"
#include "pgwire/protocol/encode.hpp"
#include "pipeline/judgements.hpp"

namespace millrace::gateway {
namespace {

using backend::ServerConnection;
using pipeline::RewriteLimits;
using pipeline::RewriteOutcome;
using pipeline::RewriteState;
using pipeline::RewriteTask;
using std::chrono::milliseconds;
namespace frontend = pgwire::frontend;
namespace backend_type = pgwire::backend;

constexpr milliseconds patience{5000};
constexpr std::size_t rounds = 3;
/// What doesn't seem to be quicker may have been held up by what else the machine does.
constexpr std::size_t most_rounds = 8;
/// DDL waits for what reads its tables, and who reads them waits behind that: each round is a transaction of its own,
/// and all of them have so long.
constexpr milliseconds longest_proof{10000}, shortest_limit{2000};
/// More isn't pulled through an I/O thread to be compared.
constexpr double most_bytes = 64.0 * 1024 * 1024;
/// A run that takes longer than its limit may have been held up, and is tried again so often.
constexpr int most_timed_out = 2;
/// What is to be tried again has its turn when its pause is over.
constexpr milliseconds between_looks{1000};

constexpr std::string_view before_name = "millrace_before", after_name = "millrace_after";

void append_parse(std::string& out, std::string_view name, std::string_view query, std::string_view types) {
  append_header(out, frontend::parse, 4 + name.size() + 1 + query.size() + types.size());
  out.append(name).append(1, '\0').append(query).append(types);
}

void append_bind(std::string& out, std::string_view statement, std::string_view parameters) {
  append_header(out, frontend::bind, 4 + 1 + statement.size() + 1 + parameters.size());
  out.append(1, '\0').append(statement).append(1, '\0').append(parameters);
}

/// Answers in text, whatever its parameters' Bind asked for.
std::string in_text(std::string_view parameters) {
  const std::string body = std::string(2, '\0').append(parameters);
  const auto bind = pgwire::decode_bind(pgwire::as_bytes(body));
  if (!bind) return std::string(pipeline::no_parameters);
  std::vector<std::int16_t> formats;
  for (std::size_t at = 0; at < bind->parameter_formats.size(); ++at) formats.push_back(bind->parameter_formats[at]);
  std::vector<pgwire::Value> values;
  for (const auto& value : bind->values)
    values.push_back(value ? pgwire::Value(pgwire::as_text(*value)) : std::nullopt);
  std::string message;
  pgwire::append_bind(message, {.parameter_formats = formats, .values = values});
  return message.substr(pgwire::header_size + 2);
}

RewriteOutcome outcome(RewriteState state, std::string reason) {
  RewriteOutcome one;
  one.state = state;
  one.reason = std::move(reason);
  return one;
}
RewriteOutcome rejected(std::string reason) { return outcome(RewriteState::rejected, std::move(reason)); }
RewriteOutcome again(std::string reason) { return outcome(RewriteState::candidate, std::move(reason)); }

/// Without the server's words, which may hold what is in the data.
std::string words_of(const Error& error) {
  return error.sqlstate.empty() ? error.message : fmt::format("SQLSTATE {}", error.sqlstate);
}

/// What may pass by itself: no connection, no room, a server that starts or ends, a lock, a time-out.
bool may_pass(const Error& error) {
  const std::string_view state = error.sqlstate;
  return state.starts_with("08") || state.starts_with("40") || state.starts_with("53") || state.starts_with("57P0") ||
         state == "55P03" || state == "57014";
}

RewriteOutcome not_tried(const Error& error) {
  return may_pass(error) ? again("it couldn't be tried: " + words_of(error))
                         : rejected("it can't be tried: " + words_of(error));
}

std::string joined(const std::vector<std::string>& words) {
  std::string out;
  for (const auto& word : words) out.append(out.empty() ? "" : " ").append(word);
  return out;
}

/// Both ways of one statement on a connection of its asker's user.
class Trial {
 public:
  Trial(ServerConnection& server, const RewriteTask& task, const SaidAnew& said, const RewriteLimits& limits)
      : server_(server), task_(task), said_(said), types_(task.types), limits_(limits) {}

  asio::awaitable<Result<>> begin_session() {
    for (const auto& setting : task_.asker.settings) {
      if (const auto done = co_await server_.query(setting, {}, patience); !done)
        co_return std::unexpected(done.error());
    }
    const auto limited = co_await server_.query(fmt::format("SET lock_timeout = '{}'", own_lock_timeout), {}, patience);
    if (!limited) co_return std::unexpected(limited.error());
    co_return Result<>{};
  }

  asio::awaitable<Result<std::string>> guard() {
    const auto& parameters = said_.guard_parameters;
    const auto rows = co_await server_.query(std::string(guard_sql), {parameters.begin(), parameters.end()}, patience);
    if (!rows) co_return std::unexpected(rows.error());
    if (rows->size() != 1 || !rows->front().front()) co_return fail("the guard has no answer");
    co_return *rows->front().front();
  }

  asio::awaitable<Result<bool>> has_column_privileges() {
    const auto rows = co_await server_.query(std::string(column_privileges_sql), {said_.guard_parameters[0]}, patience);
    if (!rows) co_return std::unexpected(rows.error());
    co_return rows->empty() || rows->front().front() != "0";
  }

  /// Whether both are described alike: parameters' types; columns' names, types, and where they come from.
  asio::awaitable<Result<bool>> prepare() {
    std::string messages;
    for (const bool after : {false, true}) {
      append_parse(messages, name_of(after), text_of(after), types_);
      pgwire::append_describe(messages, 'S', name_of(after));
    }
    pgwire::append_sync(messages);
    std::vector<std::string> described;
    const auto done = co_await server_.exchange(
        std::move(messages),
        [&](char type, std::span<const std::byte> body) {
          if (type == backend_type::parameter_description || type == backend_type::row_description ||
              type == backend_type::no_data)
            described.push_back(type + std::string(pgwire::as_text(body)));
        },
        patience);
    if (!done) co_return std::unexpected(done.error());
    co_return described.size() == 4 && described[0] == described[2] && described[1] == described[3];
  }

  asio::awaitable<Result<optimizer::PlanNode>> plan(bool after) {
    std::string messages;
    append_parse(messages, "", fmt::format("EXPLAIN (VERBOSE, FORMAT JSON) {}", text_of(after)), types_);
    append_bind(messages, "", in_text(sample(0)));
    pgwire::append_execute(messages, "");
    pgwire::append_sync(messages);
    std::string json;
    const auto done = co_await server_.exchange(
        std::move(messages),
        [&](char type, std::span<const std::byte> body) {
          if (type == backend_type::data_row) json += guard_answer(body);
        },
        patience);
    if (!done) co_return std::unexpected(done.error());
    co_return optimizer::read_plan(json);
  }

  struct Ran {
    ComparedRows rows;
    double ms = 0;
  };
  asio::awaitable<Result<Ran>> execute(bool after, std::size_t round, milliseconds limit) {
    const auto limited = co_await server_.query(fmt::format("SET LOCAL idle_in_transaction_session_timeout = '10s';"
                                                            " SET LOCAL statement_timeout = {}",
                                                            limit.count()),
                                                {}, patience);
    if (!limited) co_return std::unexpected(limited.error());
    std::string messages;
    append_bind(messages, name_of(after), sample(round));
    pgwire::append_execute(messages, "");
    pgwire::append_sync(messages);
    Ran ran;
    const auto began = now_ns();
    const auto done = co_await server_.exchange(
        std::move(messages),
        [&](char type, std::span<const std::byte> body) {
          if (type == backend_type::data_row) ran.rows.add(body);
        },
        limit + patience);
    ran.ms = static_cast<double>(now_ns() - began) / 1e6;
    if (!done) co_return std::unexpected(done.error());
    co_return ran;
  }

  /// Each round in a transaction that sees one moment. The outcome's times are those of the quickest.
  asio::awaitable<RewriteOutcome> compare() {
    RewriteOutcome so_far = outcome(RewriteState::active, "");
    const auto until = Clock::now() + longest_proof;
    for (std::size_t round = 0; round < (saves_enough(so_far) ? rounds : most_rounds); ++round) {
      if (so_far.state != RewriteState::active) break;
      const auto left = std::chrono::duration_cast<milliseconds>(until - Clock::now());
      if (round > 0 && left < milliseconds(static_cast<std::int64_t>(2 * (so_far.before_ms + so_far.after_ms)))) break;
      const auto begun = co_await server_.query("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY", {}, patience);
      if (!begun) co_return not_tried(begun.error());
      co_await run_both(round, until, so_far);
      const auto ended = co_await server_.query("ROLLBACK", {}, patience);
      if (!ended && so_far.state == RewriteState::active) co_return not_tried(ended.error());
    }
    if (so_far.state == RewriteState::active && !saves_enough(so_far)) {
      so_far.state = RewriteState::rejected;
      so_far.reason = "it doesn't save enough time";
    }
    co_return so_far;
  }

 private:
  bool saves_enough(const RewriteOutcome& ran) const {
    return ran.after_ms <= limits_.most_share_of_time * ran.before_ms &&
           ran.before_ms - ran.after_ms >= limits_.least_ms_saved;
  }
  std::string_view name_of(bool after) const { return after ? after_name : before_name; }
  const std::string& text_of(bool after) const { return after ? said_.text : task_.query; }
  std::string_view sample(std::size_t round) const {
    const auto& samples = task_.samples;
    return samples.empty() ? pipeline::no_parameters : std::string_view(samples[round % samples.size()]);
  }

  /// With one of the samples.
  asio::awaitable<void> run_both(std::size_t round, TimePoint until, RewriteOutcome& so_far) {
    const auto usual = std::max(milliseconds(static_cast<std::int64_t>(3 * task_.before_ms)), shortest_limit);
    std::array<Ran, 2> ran;
    for (const bool second : {false, true}) {
      const bool after = second != (round % 2 == 1);
      const auto left = std::chrono::duration_cast<milliseconds>(until - Clock::now());
      auto one = co_await execute(after, round, std::max(std::min(usual, left), milliseconds(1)));
      if (!one) {
        const bool passes = may_pass(one.error());
        const bool is_late = one.error().sqlstate == "57014" && task_.tries >= most_timed_out;
        if (after && second && !passes) ++so_far.mismatches;
        so_far.state = passes && !is_late ? RewriteState::candidate : RewriteState::rejected;
        so_far.reason =
            fmt::format("{} has failed: {}", after ? "rewritten, it" : "as it is written, it", words_of(one.error()));
        co_return;
      }
      ran[after ? 1 : 0] = *one;
    }
    const auto& [before, after] = ran;
    ++so_far.runs_compared;
    so_far.before_ms = round == 0 ? before.ms : std::min(so_far.before_ms, before.ms);
    so_far.after_ms = round == 0 ? after.ms : std::min(so_far.after_ms, after.ms);
    if (before.rows.same_rows(after.rows) && (!said_.ordered || before.rows.same_order(after.rows))) co_return;
    // Which of rows come first that ORDER BY says to be equal may be anything: it isn't to be told from a mistake.
    ++so_far.mismatches;
    so_far.state = RewriteState::rejected;
    so_far.reason = fmt::format("its rows were different: {} as it is written, {} rewritten{}", before.rows.rows(),
                                after.rows.rows(), before.rows.same_rows(after.rows) ? ", in another order" : "");
  }

  ServerConnection& server_;
  const RewriteTask& task_;
  const SaidAnew& said_;
  const std::string& types_;
  const RewriteLimits& limits_;
};

RewriteOutcome proved_under(const std::string& guard) {
  RewriteOutcome one = outcome(RewriteState::active, "");
  auto proved = std::make_shared<PreparedRewrite>();
  proved->guard = guard;
  one.proved = std::move(proved);
  return one;
}

asio::awaitable<RewriteOutcome> try_both(ServerConnection& server, const RewriteTask& task, const SaidAnew& said,
                                         const RewriteLimits& limits) {
  Trial trial(server, task, said, limits);
  if (const auto begun = co_await trial.begin_session(); !begun) co_return not_tried(begun.error());
  const auto guard = co_await trial.guard();
  if (!guard) co_return not_tried(guard.error());
  const auto privileges = co_await trial.has_column_privileges();
  if (!privileges) co_return not_tried(privileges.error());
  if (*privileges) co_return rejected("some columns of its tables have privileges of their own");
  // The runs would show what they have shown.
  if (const auto& last = task.last;
      last && last->rewritten == said.text && last->guard == *guard && last->guard_parameters == said.guard_parameters)
    co_return proved_under(*guard);
  const auto alike = co_await trial.prepare();
  if (!alike) co_return not_tried(alike.error());
  if (!*alike) co_return rejected("its columns or parameters would be described otherwise");
  const auto before = co_await trial.plan(false);
  if (!before) co_return not_tried(before.error());
  const auto after = co_await trial.plan(true);
  if (!after) co_return not_tried(after.error());
  if (after->total_cost > limits.most_share_of_cost * before->total_cost) {
    co_return rejected(fmt::format("by PostgreSQL's estimates it costs {:.2f} instead of {:.2f}", after->total_cost,
                                   before->total_cost));
  }
  if (before->rows * before->width > most_bytes)
    co_return rejected("by PostgreSQL's estimates it gives too many rows to be compared");
  auto compared = co_await trial.compare();
  if (compared.state != RewriteState::active) co_return compared;
  const auto still = co_await trial.guard();
  if (!still) co_return not_tried(still.error());
  if (*still != *guard) co_return again("the catalogs have changed while it was tried");
  compared.proved = proved_under(*guard).proved;
  co_return compared;
}

}  // namespace

struct RewriteProver::Said : SaidAnew {
  Said(SaidAnew said, asio::io_context& io) : SaidAnew(std::move(said)), done(io) {}
  net::Signal done;
};

RewriteProver::RewriteProver(asio::io_context& io, Shared& shared, Catalogs& catalogs, pipeline::Rewrites& rewrites)
    : io_(io), shared_(shared), catalogs_(catalogs), rewrites_(rewrites), wake_(io) {
  rewrites_.on_work([this] { asio::post(io_, [this] { wake_.set(); }); });
  asio::co_spawn(io_, run(), asio::detached);
}

void RewriteProver::stop() {
  stopped_ = true;
  rewrites_.on_work({});
}

asio::awaitable<void> RewriteProver::run() {
  asio::steady_timer timer(io_);
  while (!stopped_) {
    const auto task = rewrites_.is_on() ? rewrites_.next() : std::nullopt;
    if (!task) {
      co_await wake_.wait(rewrites_.is_on() ? between_looks : std::chrono::seconds(60));
      wake_.clear();
      continue;
    }
    const auto began = Clock::now();
    auto outcome = co_await prove(*task);
    const bool is_over = outcome.state != RewriteState::candidate;
    if (is_over)
      log::info("rewrite", {{"database", task->asker.scope->database},
                            {"state", pipeline::name(outcome.state)},
                            {"rules", joined(outcome.rules)},
                            {"reason", outcome.reason},
                            {"before_ms", outcome.before_ms},
                            {"after_ms", outcome.after_ms}});
    rewrites_.done(task->key, std::move(outcome));
    const auto took = std::chrono::duration_cast<milliseconds>(Clock::now() - began);
    timer.expires_after(rewrites_.limits().rest * took);
    co_await timer.async_wait(asio::use_awaitable);
  }
}

asio::awaitable<std::shared_ptr<const RewriteProver::Said>> RewriteProver::say(
    const RewriteTask& task, std::shared_ptr<const catalog::Snapshot> catalog) {
  const auto said = std::make_shared<Said>(SaidAnew(), io_);
  const auto path = pipeline::search_path_of(*task.asker.scope, *catalog);
  if (!path) {
    said->refusal = "the session's search path isn't known";
    co_return said;
  }
  const auto settings = shared_.rules.load()->settings;
  const optimizer::Options options{.predicate_pushdown = settings->enable_predicate_pushdown,
                                   .join_optimization = settings->enable_join_optimization,
                                   .trusts_foreign_keys = false,
                                   .budget = settings->max_query_optimization_time_ms};
  const optimizer::Session session{.search_path = *path, .time_zone = task.asker.time_zone};
  pool_.run([said, query = task.query, catalog, session, options, &io = io_] {
    static_cast<SaidAnew&>(*said) = say_anew(query, *catalog, session, options);
    asio::post(io, [said] { said->done.set(); });
  });
  co_await said->done.wait(std::chrono::hours(24));
  co_return said;
}

asio::awaitable<RewriteOutcome> RewriteProver::prove(const RewriteTask& task) {
  const auto catalog = task.asker.scope->source->current();
  if (!catalog) co_return again("the database's catalogs aren't known at present");
  co_return co_await prove(task, catalog);
}

asio::awaitable<RewriteOutcome> RewriteProver::prove(const RewriteTask& task,
                                                     std::shared_ptr<const catalog::Snapshot> catalog) {
  const auto& asker = task.asker;
  const auto said = co_await say(task, catalog);
  if (!said->refusal.empty()) {
    auto refused = said->out_of_time ? again(said->refusal) : rejected(said->refusal);
    refused.catalog = catalog->version;
    refused.rules = said->rules;
    refused.rewritten = said->text;
    co_return refused;
  }
  const auto clients = shared_.pools.get(asker.scope->user, asker.scope->database);
  const auto pool = shared_.pools.get(asker.scope->user, asker.scope->database, backend::Pools::Purpose::own);
  pool->set_credential(clients->credential());
  backend::ParameterList parameters;
  for (const auto& [name, value] : asker.startup) {
    if (name != "application_name") parameters.emplace_back(name, value);
  }
  parameters.emplace_back("application_name", "millrace");
  const auto taken = co_await pool->take(io_, pool->intern(std::move(parameters)), {});
  if (!taken) co_return not_tried(taken.error().error);
  auto outcome = co_await try_both(**taken, task, *said, rewrites_.limits());
  (*taken)->close();
  pool->give_back(*taken);
  outcome.rules = said->rules;
  outcome.rewritten = said->text;
  if (outcome.state != RewriteState::active && outcome.mismatches == 0) co_return outcome;
  // What the guard has said is what this version holds, if it was so before and is so afterwards. Nor is it a rule's
  // mistake if the catalogs aren't what it went by.
  const bool sure = co_await catalogs_.confirm(asker.scope->database);
  const auto now = asker.scope->source->current();
  if (!sure || !now || now->version != catalog->version)
    co_return again("the catalogs have changed while it was tried");
  if (outcome.state != RewriteState::active) co_return outcome;
  static const auto own = sql::unparsed("it is Millrace's own");
  auto proved = std::make_shared<PreparedRewrite>();
  proved->guard = outcome.proved->guard;
  proved->key = task.key;
  proved->rewritten = said->text;
  proved->text = shared_.prepared_texts.make(said->text + task.types, {}, own, true);
  proved->lock = shared_.prepared_texts.make(said->lock + std::string(pipeline::no_types), {}, own, true);
  proved->rules = said->rules;
  proved->catalog_version = catalog->version;
  proved->guard_parameters = said->guard_parameters;
  outcome.proved = std::move(proved);
  outcome.reason = outcome.runs_compared > 0
                       ? "both ways gave the same rows"
                       : "nothing has changed of what it stood on when both ways gave the same rows";
  co_return outcome;
}

}  // namespace millrace::gateway
