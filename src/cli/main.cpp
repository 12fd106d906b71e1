#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>
#include <cstdio>

#include "cli/alerts.hpp"
#include "cli/analyze.hpp"
#include "cli/api_key.hpp"
#include "cli/check.hpp"
#include "cli/check_command.hpp"
#include "cli/exit_code.hpp"
#include "cli/jobs.hpp"
#include "cli/optimize.hpp"
#include "cli/performance.hpp"
#include "cli/recommend.hpp"
#include "cli/serve.hpp"
#include "cli/settings_command.hpp"
#include "cli/status.hpp"
#include "cli/version.hpp"
#include "config/markdown.hpp"
#include "config/setting.hpp"

namespace millrace::cli {
namespace {

constexpr unsigned most_minutes = 366 * 24 * 60;

std::string upper(std::string text) {
  for (char& c : text) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  }
  return text;
}

/// Gives a command --config and a flag for each setting.
void add_settings(CLI::App& command, config::Sources& sources) {
  command
      .add_option_function<std::string>(
          "-c,--config", [&sources](const std::string& file) { sources.file = file; },
          "The TOML file of settings (default: $MILLRACE_CONFIG, or /etc/millrace/millrace.toml if it exists)")
      ->type_name("FILE");
  for (const config::Setting& setting : config::settings_table()) {
    const std::string value = print(setting, config::Settings{});
    command
        .add_option_function<std::string>(
            config::flag_name(setting.name),
            [&sources, &setting](const std::string& given) { sources.flags.emplace_back(setting.name, given); },
            fmt::format("{} ({}; default: {})", setting.description, allowed_values(setting),
                        value.empty() ? "empty" : value))
        ->type_name(upper(type_name(setting)))
        // The reserved ones are accepted, but there are too many of them for a list of what can be done.
        ->group(setting.reserved() ? "" : std::string(setting.group));
  }
  command.footer("What every setting means, and those that are reserved: docs/settings.md, or millrace settings");
}

/// Accepts the flags of all settings, and lists these.
void show_only(CLI::App& command, std::initializer_list<std::string_view> names) {
  for (const config::Setting& setting : config::settings_table()) {
    const bool shown = std::ranges::find(names, setting.name) != names.end();
    if (!shown) command.get_option(config::flag_name(setting.name))->group("");
  }
}

void add_query(CLI::App& command, GivenQuery& given) {
  command.add_option("query", given.query, "The query; -: from standard input")->required()->type_name("SQL");
  command.add_option("--database", given.database, "In which database (default: DATABASE_URL's)");
  command.add_option("--user", given.user, "As which user (default: DATABASE_URL's)");
  command.add_flag("--json", given.json, "Print the answer as it came");
}

/// `command` has commands of its own, which say `what` is `wanted`; what is given to it may stand behind them. What
/// adds one.
template <class Wanted>
auto commands_of(CLI::App& command, Wanted& wanted, bool& json) {
  command.require_subcommand(0, 1);
  command.add_flag("--json", json, "Print the answer as it came");
  return [&command, &wanted](const char* name, const char* about, decltype(Wanted::what) what) {
    CLI::App* one = command.add_subcommand(name, about)->fallthrough();
    one->callback([&wanted, what] { wanted.what = what; });
    return one;
  };
}

void add_jobs(CLI::App& command, JobsCommand& jobs, bool& json) {
  using What = JobsCommand::What;
  const auto add = commands_of(command, jobs, json);
  add("list", "Those that are kept, the newest first; the default", What::list)
      ->add_option("--status", jobs.status, "Only these: queued, running, completed, failed, cancelled or timeout")
      ->type_name("STATUS");
  for (const auto& [name, about, what] :
       {std::tuple("show", "How one is", What::show),
        std::tuple("cancel", "Cancel one; if it has ended, forget it and its result", What::cancel)}) {
    add(name, about, what)->add_option("id", jobs.id, "The job")->required()->type_name("ID");
  }
}

void add_alerts(CLI::App& command, AlertsCommand& alerts, bool& json) {
  using What = AlertsCommand::What;
  const auto add = commands_of(command, alerts, json);
  add("list", "Those that fire; the default", What::list)->add_flag("--all", alerts.all, "Those that are over, too");
  add("rules", "The rules, and how it is with each", What::rules);
  for (const auto& [name, about, what] :
       {std::tuple("acknowledge", "Say that somebody looks after one", What::acknowledge),
        std::tuple("resolve", "End one", What::resolve),
        std::tuple("delete", "Forget one; its rule stays", What::remove),
        std::tuple("delete-rule", "Delete a rule", What::remove_rule)}) {
    CLI::App* one = add(name, about, what);
    one->add_option("id", alerts.id, what == What::remove_rule ? "The rule" : "The alert")->required()->type_name("ID");
    if (what == What::acknowledge) one->add_option("--by", alerts.by, "Who does")->type_name("NAME");
  }
  CLI::App* create = add("create", "Make a rule (docs/alerts.md)", What::create);
  create->add_option("metric", alerts.metric_type, "execution_time, error_rate, throughput, ...")
      ->required()
      ->type_name("METRIC");
  create->add_option("value", alerts.threshold_value, "The threshold, in the metric's unit")
      ->required()
      ->type_name("VALUE");
  create->add_option("--comparison", alerts.comparison_operator, "> < >= <= or == (default: >)")->type_name("SIGN");
  create->add_option("--severity", alerts.severity, "low, medium, high or critical (default: medium)")
      ->type_name("WORD");
  create->add_option("--window", alerts.window_minutes, "Within so many minutes (default: 5)");
  create->add_option("--occurrences", alerts.min_occurrences, "So often (default: 1)");
  create->add_option("--clear", alerts.clear_value, "It is over at this value (default: a tenth inside)");
  create->add_option("--samples", alerts.min_samples, "Of so many queries in ten seconds at least (default: 10)");
  create->add_option("--no-data", alerts.no_data, "keep, ok or alert (default: keep)")->type_name("WORD");
}

int run(int argc, const char* const* argv) {
  config::Sources sources;
  sources.environment = config::process_environment();

  CLI::App app("Millrace stands between applications and PostgreSQL: point a driver at it instead of the server.");
  app.name("millrace");
  app.require_subcommand(1);
  app.set_version_flag("--version", std::string("millrace ") + std::string(version()));
  app.get_formatter()->column_width(40);

  CLI::App* serve_command =
      app.add_subcommand("serve", "Run Millrace until SIGTERM or SIGINT; SIGHUP reloads settings");
  bool check_only = false;
  serve_command->add_flag("--check", check_only, "Validate the settings and the files that they name, and exit");
  add_settings(*serve_command, sources);

  CLI::App* status_command =
      app.add_subcommand("status", "Ask a running Millrace how it is; exit code 1 if it doesn't answer");
  bool json = false;
  status_command->add_flag("--json", json, "Print the answer as it came");
  add_settings(*status_command, sources);

  CLI::App* top_command = app.add_subcommand(
      "top",
      "Ask a running Millrace which statements take the most; with the key in MILLRACE_API_KEY, if one is needed");
  TopOptions top_options;
  top_command->add_option("--sort", top_options.sort, "total_time, calls, mean, p99 or errors")
      ->check(CLI::IsMember({"total_time", "calls", "mean", "p99", "errors"}))
      ->capture_default_str();
  top_command->add_option("--window", top_options.window, "Of so many minutes; 0: since the start")
      ->check(CLI::Range(0U, most_minutes))
      ->capture_default_str();
  top_command->add_option("--limit", top_options.limit, "So many")->check(CLI::Range(1U, 2000U))->capture_default_str();
  top_command->add_option("--every", top_options.every, "Again each so many seconds, until it is interrupted")
      ->check(CLI::Range(1U, 3600U));
  top_command->add_flag("--json", json, "Print the answer as it came");
  add_settings(*top_command, sources);
  show_only(*top_command, {"HTTP_HOST", "HTTP_PORT", "TLS_CERT_FILE"});

  CLI::App* slow_command = app.add_subcommand(
      "slow", "Ask a running Millrace for its slow queries; with the key in MILLRACE_API_KEY, if one is needed");
  SlowOptions slow_options;
  slow_command->add_option("--min-duration-ms", slow_options.min_duration_ms, "Those that took so long or longer")
      ->capture_default_str();
  slow_command->add_option("--limit", slow_options.limit, "So many, the slowest first")
      ->check(CLI::Range(1U, 1000U))
      ->capture_default_str();
  slow_command->add_option("--window", slow_options.window, "Of so many minutes; 0: all that are remembered")
      ->check(CLI::Range(0U, most_minutes))
      ->capture_default_str();
  slow_command->add_flag("--json", json, "Print the answer as it came");
  add_settings(*slow_command, sources);
  show_only(*slow_command, {"HTTP_HOST", "HTTP_PORT", "TLS_CERT_FILE"});

  CLI::App* alerts_command = app.add_subcommand(
      "alerts",
      "Ask a running Millrace for its alerts; acknowledge, resolve or delete them; make rules. With the key in "
      "MILLRACE_API_KEY, if one is needed");
  AlertsCommand alerts_asked;
  add_alerts(*alerts_command, alerts_asked, json);
  add_settings(*alerts_command, sources);
  show_only(*alerts_command, {"HTTP_HOST", "HTTP_PORT", "TLS_CERT_FILE"});

  CLI::App* jobs_command = app.add_subcommand(
      "jobs",
      "Ask a running Millrace for the queries that were scheduled as jobs (docs/execution.md); look at one, cancel it. "
      "With the key in MILLRACE_API_KEY, if one is needed");
  JobsCommand jobs_asked;
  add_jobs(*jobs_command, jobs_asked, json);
  add_settings(*jobs_command, sources);
  show_only(*jobs_command, {"HTTP_HOST", "HTTP_PORT", "TLS_CERT_FILE"});

  CLI::App* analyze_command = app.add_subcommand("analyze",
                                                 "Ask a running Millrace how PostgreSQL would run a query, which isn't "
                                                 "run, and what of that is worth a look; with "
                                                 "the key in MILLRACE_API_KEY, if one is needed");
  GivenQuery given;
  add_query(*analyze_command, given);
  add_settings(*analyze_command, sources);
  show_only(*analyze_command, {"HTTP_HOST", "HTTP_PORT", "TLS_CERT_FILE"});

  CLI::App* optimize_command = app.add_subcommand("optimize",
                                                  "Ask a running Millrace for another way to say a query that "
                                                  "PostgreSQL answers sooner, with the same rows; neither "
                                                  "is run. With the key in MILLRACE_API_KEY, if one is needed");
  add_query(*optimize_command, given);
  int level = 3;
  optimize_command->add_option("--level", level, "How much may be done: 1 to 5 (docs/rewriting.md)")
      ->capture_default_str();
  add_settings(*optimize_command, sources);
  show_only(*optimize_command, {"HTTP_HOST", "HTTP_PORT", "TLS_CERT_FILE"});

  CLI::App* recommend_command = app.add_subcommand(
      "recommend",
      "Ask a running Millrace which indexes the queries that it has seen would gain by, and which are there in vain; "
      "nothing is created. With the key in MILLRACE_API_KEY, if one is needed");
  RecommendOptions recommend_options;
  recommend_command->add_option("--table", recommend_options.table, "Only about this table")->type_name("TABLE");
  recommend_command->add_option("--database", recommend_options.database,
                                "Of which database (default: DATABASE_URL's)");
  recommend_command
      ->add_option("--budget-mb", recommend_options.budget_mb,
                   "What new indexes may take together (default: half of what the tables take)")
      ->check(CLI::Range(0U, 100'000'000U));
  recommend_command->add_flag("--json", json, "Print the answer as it came");
  add_settings(*recommend_command, sources);
  show_only(*recommend_command, {"HTTP_HOST", "HTTP_PORT", "TLS_CERT_FILE"});

  CLI::App* check_command = app.add_subcommand(
      "check",
      "Ask a database which levels of consistency Millrace can meet there, and say what is missing and how to mend it. "
      "Changes nothing. Exit code 0: all that was asked for can be had, 1: something is missing, 2: it can't be asked");
  std::optional<std::string> url;
  check_command
      ->add_option_function<std::string>(
          "url,--url", [&url](const std::string& given) { url = given; },
          "The database. Default, the first of: DATABASE_URL in the environment, in the settings file, in .env; "
          "PGHOST, "
          "PGUSER and the like in the environment, in .env")
      ->type_name("URL");
  check_command->add_flag("--json", json, "Print one JSON object");
  add_settings(*check_command, sources);
  show_only(*check_command, {"DATABASE_URL", "SERVER_TLS_MODE", "SERVER_TLS_CA_FILE", "SERVER_CONNECT_TIMEOUT_SECONDS",
                             "CACHE_CONSISTENCY_LEVEL", "ENABLE_CHANGE_STREAM"});

  CLI::App* settings_command = app.add_subcommand("settings", "Print the settings in effect, and where each was given");
  bool markdown = false;
  settings_command->add_flag("--markdown", markdown, "Print the documentation of all settings instead");
  add_settings(*settings_command, sources);

  CLI::App* version_command =
      app.add_subcommand("version", "Print the version, the commit, and what it was built with");

  CLI::App* api_key_command = app.add_subcommand(
      "api-key", "Print a new key for the REST API, and its hash for API_KEY_HASHES; the key is kept nowhere");

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? succeeded : bad_usage;
  }
  if (*version_command) {
    fmt::print("{}", version_details());
    return succeeded;
  }
  if (*api_key_command) return api_key();
  if (*settings_command) {
    if (!markdown) return show_settings(sources);
    fmt::print("{}", config::settings_markdown());
    return succeeded;
  }
  if (*status_command) return status(sources, json);
  if (*top_command) return top(sources, top_options, json);
  if (*slow_command) return slow(sources, slow_options, json);
  if (*alerts_command) return alerts(sources, alerts_asked, json);
  if (*jobs_command) return jobs(sources, jobs_asked, json);
  if (*analyze_command) return analyze(sources, given);
  if (*optimize_command) return optimize(sources, given, level);
  if (*recommend_command) return recommend(sources, recommend_options, json);
  if (*check_command) return check_database(sources, url, json);
  return check_only ? check(sources) : serve(sources);
}

}  // namespace
}  // namespace millrace::cli

int main(int argc, char** argv) try { return millrace::cli::run(argc, argv); } catch (const std::exception& error) {
  std::fprintf(stderr, "millrace: %s\n", error.what());
  return millrace::cli::failed;
}
