#include "cli/jobs.hpp"

#include <boost/json/parse.hpp>

#include "cli/answer_text.hpp"
#include "cli/figures.hpp"
#include "cli/one_line.hpp"
#include "cli/running_millrace.hpp"

namespace millrace::cli {
namespace {

namespace json = boost::json;
using What = JobsCommand::What;

HttpCall call_for(const JobsCommand& command) {
  const std::string all = "/api/v1/execution/queries";
  const std::string one = all + "/" + encoded(command.id);
  switch (command.what) {
    case What::list:
      return {.path = all + (command.status.empty() ? "" : "?status=" + encoded(command.status))};
    case What::show:
      return {.path = one};
    case What::cancel:
      return {.method = "DELETE", .path = one};
  }
  return {};
}

std::string status_of(const json::value& job) {
  const auto position = text_of(job, "/queue_position");
  return text_of(job, "/status") + (position.empty() ? "" : ", number " + position);
}

std::string line_of(const json::value& job) {
  const Figures f(job);
  return fmt::format("{}  {}  {}  {}  {} rows\n    {}\n", f.text("/execution_id"), status_of(job), f.text("/priority"),
                     f.text("/created_at").substr(0, 19), f.count("/row_count"), in_one_line(f.text("/query")));
}

std::string lines_of(const json::value& job) {
  const auto said = [&job](std::string_view name, std::string_view pointer) {
    return line(name, in_one_line(text_of(job, pointer)));
  };
  return said("id", "/execution_id") + line("status", status_of(job)) + said("query", "/query") +
         said("user", "/user_id") + said("project", "/project_id") + said("priority", "/priority") +
         said("created", "/created_at") + said("started", "/started_at") + said("completed", "/completed_at") +
         said("run again", "/retry_count") + said("kept until", "/expires_at") + said("waited ms", "/queue_wait_ms") +
         said("took ms", "/duration_ms") + said("rows", "/row_count") + said("bytes", "/result_bytes") +
         said("error", "/error/message") + said("sqlstate", "/error/sqlstate") + said("detail", "/error/detail") +
         said("hint", "/error/hint");
}

std::string answer_text(What what, std::string_view body) {
  boost::system::error_code error;
  const json::value root = json::parse({body.data(), body.size()}, error);
  if (error) return "the answer is not JSON\n";
  if (what != What::list) return lines_of(root);
  const auto* list = Figures(root).find("/executions");
  if (list == nullptr || !list->is_array() || list->get_array().empty()) return "there is no job\n";
  std::string out;
  for (const auto& one : list->get_array()) out += line_of(one);
  const auto more = text_of(root, "/total_count");
  if (more != std::to_string(list->get_array().size())) out += fmt::format("of {}\n", more);
  return out;
}

}  // namespace

int jobs(const config::Sources& sources, const JobsCommand& command, bool json) {
  return print(ask_running(sources, call_for(command), "answer about jobs"), json,
               [&](std::string_view body) { return answer_text(command.what, body); });
}

}  // namespace millrace::cli
