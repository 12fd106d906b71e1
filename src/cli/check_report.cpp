#include "cli/check_report.hpp"

#include "http/json_write.hpp"

namespace millrace::cli {
namespace {

using integration::CheckStatus;

/// `--json` has all.
constexpr std::size_t most_remedies = 5;

std::string_view word(CheckStatus status) {
  switch (status) {
    case CheckStatus::ok:
      return "ok";
    case CheckStatus::warning:
      return "warning";
    case CheckStatus::missing:
      break;
  }
  return "missing";
}

/// A table's name may hold what a terminal would take for a command.
std::string printable(std::string text) {
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  }
  return text;
}

/// A statement that was made printable would be another one.
std::string as_line(const integration::Remedy& remedy) {
  if (printable(remedy.statement) != remedy.statement) return "-- about a name with control characters: --json has it";
  return printable(fmt::format("{};{}{}", remedy.statement, remedy.then.empty() ? "" : "  -- then: ", remedy.then));
}

std::string_view answer(const integration::Guarantee& guarantee) {
  if (guarantee.can_be_met) return "yes";
  return guarantee.tables > 0 ? "in part" : "no";
}

std::string joined(const std::vector<std::string>& all) {
  std::string out;
  for (const auto& one : all) out.append(out.empty() ? "" : ", ").append(one);
  return out;
}

}  // namespace

std::string as_text(const CheckReport& report) {
  std::string out = printable(fmt::format("database: {} (from {})", report.database, report.found_in)) + "\n";
  if (!report.left_out.empty()) out += printable("          left out: " + joined(report.left_out)) + "\n";
  out += fmt::format("asked for: {} (CACHE_CONSISTENCY_LEVEL)\n\n", report.asked_for);
  std::size_t width = 0;
  for (const auto& check : report.checks) width = std::max(width, check.name.size());
  std::size_t missing = 0;
  for (const auto& check : report.checks) {
    out += printable(fmt::format("{:7}  {:{}}  {}", word(check.status), check.name, width, check.meaning)) + "\n";
    if (check.status == CheckStatus::missing) ++missing;
    for (std::size_t i = 0; i < check.remedies.size() && i < most_remedies; ++i) {
      out += "           " + as_line(check.remedies[i]) + "\n";
    }
    if (check.remedies.size() > most_remedies) {
      out += fmt::format("           -- and {} more: --json has them\n", check.remedies.size() - most_remedies);
    }
  }
  if (report.guarantees.empty()) return out;
  out += "\nCan it be met now, and for reads of how many tables?\n";
  for (const auto& one : report.guarantees) {
    const auto tables = fmt::format("{} of {}", one.tables, one.all_tables);
    out += fmt::format("  {:16}  {:7}  {:>9}{}{}\n", one.level, answer(one), tables, one.meaning.empty() ? "" : "  ",
                       one.meaning);
  }
  out += fmt::format("\n{}. Nothing was changed in the database.\n",
                     missing == 0 ? "All that was asked for can be had" : fmt::format("Missing: {}", missing));
  return out;
}

std::string as_json(const CheckReport& report) { return http::to_json(report) + "\n"; }

}  // namespace millrace::cli
