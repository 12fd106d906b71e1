#include "cli/performance.hpp"

#include <sys/ioctl.h>
#include <unistd.h>

#include <boost/json/parse.hpp>
#include <chrono>
#include <cstdio>
#include <thread>

#include "cli/exit_code.hpp"
#include "cli/figures.hpp"
#include "cli/one_line.hpp"
#include "cli/running_millrace.hpp"

namespace millrace::cli {
namespace {

constexpr std::size_t narrowest = 100;
constexpr std::string_view clear_screen = "\x1b[H\x1b[2J";

std::size_t terminal_width() {
  winsize size{};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 0;  // what it is written to has no width
  return std::max<std::size_t>(size.ws_col, narrowest);
}

/// Bytes that continue a character stay with it.
std::string cut(std::string line, std::size_t width) {
  if (width == 0 || line.size() <= width) return line;
  while (width > 0 && (static_cast<unsigned char>(line[width]) & 0xC0U) == 0x80) --width;
  line.resize(width);
  return line;
}

std::string top_table(std::string_view body) {
  boost::system::error_code error;
  const boost::json::value root = boost::json::parse({body.data(), body.size()}, error);
  if (error) return "the answer is not JSON\n";
  const std::size_t width = terminal_width();
  std::string out = fmt::format("{:>8} {:>10} {:>8} {:>10} {:>10} {:>10} {:>7} {:>6}  {}\n", "total %", "calls",
                                "calls/s", "mean ms", "p99 ms", "max ms", "hits %", "err %", "statement");
  const auto* templates = Figures(root).find("/templates");
  if (templates == nullptr || !templates->is_array()) return out;
  for (const auto& each : templates->get_array()) {
    const Figures f(each);
    const std::string g = "/figures/";
    const std::string query = f.text("/template_id") == "other" ? "(all others)" : in_one_line(f.text("/query"));
    out += cut(fmt::format("{:>8} {:>10} {:>8} {:>10} {:>10} {:>10} {:>7} {:>6}  {}", f.decimal(g + "time_share", 1),
                           f.count(g + "calls"), f.decimal(g + "calls_per_second", 1), f.decimal(g + "mean_ms", 3),
                           f.decimal(g + "p99_ms", 3), f.decimal(g + "max_ms", 3), f.decimal(g + "cache_hit_rate", 1),
                           f.decimal(g + "error_rate", 1), query),
               width) +
           "\n";
  }
  return out;
}

std::string slow_list(std::string_view body) {
  boost::system::error_code error;
  const boost::json::value root = boost::json::parse({body.data(), body.size()}, error);
  if (error) return "the answer is not JSON\n";
  const auto* queries = Figures(root).find("/slow_queries");
  if (queries == nullptr || !queries->is_array() || queries->get_array().empty()) return "no query took so long\n";
  std::string out;
  for (const auto& each : queries->get_array()) {
    const Figures f(each);
    out += fmt::format("{}  {} ms ({} in the queue)  {}  {}@{} {}  {} rows{}\n    {}\n", f.text("/query_id"),
                       f.decimal("/duration_ms", 1), f.decimal("/queue_ms", 1), f.text("/start_time").substr(0, 19),
                       in_one_line(f.text("/user_id")), in_one_line(f.text("/database")),
                       in_one_line(f.text("/application")), f.count("/rows_processed"),
                       f.text("/error") == "-" ? "" : "  SQLSTATE " + f.text("/error"), in_one_line(f.text("/query")));
  }
  return out;
}

}  // namespace

int top(const config::Sources& sources, const TopOptions& options, bool json) {
  const std::string window = options.window == 0 ? "" : fmt::format("&window={}", options.window);
  const std::string path =
      fmt::format("/api/v1/performance/templates?sort={}&limit={}{}", options.sort, options.limit, window);
  while (true) {
    const Answer answer = ask_running(sources, {.path = path}, "figures");
    if (answer.exit_code != succeeded) return answer.exit_code;
    if (options.every != 0 && terminal_width() != 0) fmt::print("{}", clear_screen);
    fmt::print("{}", json ? answer.body + "\n" : top_table(answer.body));
    std::fflush(stdout);
    if (options.every == 0) return succeeded;
    std::this_thread::sleep_for(std::chrono::seconds(options.every));
  }
}

int slow(const config::Sources& sources, const SlowOptions& options, bool json) {
  const std::string window = options.window == 0 ? "" : fmt::format("&window={}", options.window);
  const std::string path = fmt::format("/api/v1/performance/slow-queries?limit={}&min_duration_ms={}{}", options.limit,
                                       options.min_duration_ms, window);
  return print(ask_running(sources, {.path = path}, "figures"), json, slow_list);
}

}  // namespace millrace::cli
