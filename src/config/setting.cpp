#include "config/setting.hpp"

#include <boost/json/parse.hpp>
#include <charconv>

namespace millrace::config {
namespace {

template <typename... F>
struct Overloaded : F... {
  using F::operator()...;
};

struct ThresholdKey {
  std::string_view name;
  double AlertThresholds::* field;
  double most;
};
constexpr double no_limit = 1e9;
constexpr std::array threshold_keys = {
    ThresholdKey{"slow_query_percentage", &AlertThresholds::slow_query_percentage, 100},
    ThresholdKey{"error_rate_percentage", &AlertThresholds::error_rate_percentage, 100},
    ThresholdKey{"memory_usage_percentage", &AlertThresholds::memory_usage_percentage, 100},
    ThresholdKey{"cpu_usage_percentage", &AlertThresholds::cpu_usage_percentage, 100},
    ThresholdKey{"cache_hit_rate_minimum", &AlertThresholds::cache_hit_rate_minimum, 100},
    ThresholdKey{"queue_depth_threshold", &AlertThresholds::queue_depth_threshold, no_limit},
};

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

std::unexpected<Refusal> refuse(std::string reason, int line = 0) {
  return std::unexpected(Refusal{.reason = std::move(reason), .line = line});
}

std::unexpected<Refusal> refuse_type(std::string_view expected, const Value& value) {
  using Type = Value::Type;
  switch (value.type) {
    case Type::untyped:
    case Type::string:
      if (value.text.empty()) return refuse(fmt::format("expected {}, found nothing", expected));
      return refuse(fmt::format("expected {}, found \"{}\"", expected, value.text));
    case Type::table:
      return refuse(fmt::format("expected {}, found a table", expected));
    case Type::boolean:
    case Type::integer:
    case Type::real:
    case Type::other:
      break;
  }
  return refuse(fmt::format("expected {}, found {}", expected, value.text));
}

bool typed_as(const Value& value, Value::Type wanted) {
  return value.type == Value::Type::untyped || value.type == wanted;
}

template <typename T>
std::optional<T> number(std::string_view text) {
  T out{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return out;
}

template <typename T>
std::string range(T least, T most) {
  if constexpr (std::is_floating_point_v<T>) {
    if (most >= no_limit) return fmt::format("at least {}", least);
  }
  return fmt::format("{} to {}", least, most);
}

std::expected<std::int64_t, Refusal> whole_number(const Value& value, std::int64_t least, std::int64_t most) {
  const auto parsed = typed_as(value, Value::Type::integer) ? number<std::int64_t>(value.text) : std::nullopt;
  if (!parsed) return refuse_type(fmt::format("a whole number ({})", range(least, most)), value);
  if (*parsed < least || *parsed > most) {
    return refuse(fmt::format("{} is out of range ({})", *parsed, range(least, most)));
  }
  return *parsed;
}

std::expected<double, Refusal> real_number(const Value& value, double least, double most) {
  const bool is_number = typed_as(value, Value::Type::real) || value.type == Value::Type::integer;
  const auto parsed = is_number ? number<double>(value.text) : std::nullopt;
  if (!parsed) return refuse_type(fmt::format("a number ({})", range(least, most)), value);
  if (!(*parsed >= least && *parsed <= most)) {  // so that "nan" is out of range too
    return refuse(fmt::format("{} is out of range ({})", *parsed, range(least, most)));
  }
  return *parsed;
}

std::string joined(std::span<const std::string_view> names) {
  std::string out;
  for (const std::string_view name : names) {
    if (!out.empty()) out += ", ";
    out += name;
  }
  return out;
}

// The text form of a map is a JSON object, as the application's own settings read it from the environment.
std::expected<Value, Refusal> table_from_json(const Value& value) {
  constexpr auto expected = R"(a JSON object of numbers, such as {"error_rate_percentage": 1.0})";
  boost::system::error_code error;
  const boost::json::value parsed = boost::json::parse(value.text, error);
  if (error || !parsed.is_object()) return refuse_type(expected, value);
  Value table{.type = Value::Type::table};
  for (const auto& [key, entry] : parsed.get_object()) {
    if (!entry.is_number()) return refuse_type(expected, value);
    table.entries.push_back(
        {.text = fmt::format("{}", entry.to_number<double>()), .type = Value::Type::real, .key = key});
  }
  return table;
}

std::expected<void, Refusal> assign_thresholds(AlertThresholds& thresholds, const Value& value) {
  for (const Value& entry : value.entries) {
    const auto key = std::find_if(threshold_keys.begin(), threshold_keys.end(),
                                  [&](const ThresholdKey& k) { return k.name == lower(entry.key); });
    if (key == threshold_keys.end()) {
      std::string known;
      for (const ThresholdKey& k : threshold_keys) known += fmt::format("{}{}", known.empty() ? "" : ", ", k.name);
      return refuse(fmt::format("\"{}\" is not one of its keys ({})", entry.key, known), entry.line);
    }
    const auto parsed = real_number(entry, 0, key->most);
    if (!parsed) return refuse(fmt::format("{}: {}", key->name, parsed.error().reason), entry.line);
    thresholds.*(key->field) = *parsed;
  }
  return {};
}

std::string quantity(double number) { return fmt::format("{}", number); }

std::string_view unit_name(const Duration& duration) {
  constexpr std::array names = {"milliseconds", "seconds", "minutes", "hours"};
  return names[duration.field.index()];
}

// Same letters but for a few: the classic edit distance, which is enough for a hint.
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, replaced});
    }
  }
  return row.back();
}

// Calls `use` with the pointer to the setting's field, of whatever type that is; a Choice has its own access.
template <typename Use>
auto with_field(const Kind& kind, Use use) {
  return std::visit(Overloaded{[&](const Duration& d) { return std::visit(use, d.field); },
                               [&](const Choice& c) { return use(c); }, [&](const auto& k) { return use(k.field); }},
                    kind);
}

}  // namespace

const Setting* find_setting(std::string_view name) {
  static const auto by_name = [] {
    boost::unordered_flat_map<std::string, const Setting*> index;
    for (const Setting& setting : settings_table()) index.emplace(lower(setting.name), &setting);
    return index;
  }();
  const auto found = by_name.find(lower(name));
  return found == by_name.end() ? nullptr : found->second;
}

std::string_view nearest_setting(std::string_view name) {
  std::string_view nearest;
  std::size_t best = std::max<std::size_t>(3, name.size() / 3);
  const std::string wanted = lower(name);
  for (const Setting& setting : settings_table()) {
    const std::size_t distance = edit_distance(wanted, lower(setting.name));
    if (distance < best) {
      best = distance;
      nearest = setting.name;
    }
  }
  return nearest;
}

std::expected<void, Refusal> assign(const Setting& setting, Settings& settings, const Value& value) {
  using Answer = std::expected<void, Refusal>;
  return std::visit(
      Overloaded{
          [&](const Switch& kind) -> Answer {
            const std::string text = typed_as(value, Value::Type::boolean) ? lower(value.text) : std::string();
            if (text != "true" && text != "false") return refuse_type("true or false", value);
            settings.*kind.field = text == "true";
            return {};
          },
          [&](const Port& kind) -> Answer {
            const auto parsed = whole_number(value, 0, 65535);
            if (!parsed) return std::unexpected(parsed.error());
            settings.*kind.field = static_cast<std::uint16_t>(*parsed);
            return {};
          },
          [&](const Count& kind) -> Answer {
            const auto parsed = whole_number(value, kind.least, kind.most);
            if (!parsed) return std::unexpected(parsed.error());
            settings.*kind.field = static_cast<int>(*parsed);
            return {};
          },
          [&](const Ratio& kind) -> Answer {
            const auto parsed = real_number(value, kind.least, kind.most);
            if (!parsed) return std::unexpected(parsed.error());
            settings.*kind.field = *parsed;
            return {};
          },
          [&](const Duration& kind) -> Answer {
            const auto parsed = whole_number(value, kind.least, kind.most);
            if (!parsed) return std::unexpected(parsed.error());
            std::visit(
                [&](auto field) { settings.*field = std::remove_reference_t<decltype(settings.*field)>(*parsed); },
                kind.field);
            return {};
          },
          [&](const Text& kind) -> Answer {
            if (!typed_as(value, Value::Type::string)) return refuse_type(kind.shape, value);
            if (kind.fits != nullptr && !kind.fits(value.text)) return refuse_type(kind.shape, value);
            settings.*kind.field = value.text;
            return {};
          },
          [&](const Choice& kind) -> Answer {
            const std::string text = typed_as(value, Value::Type::string) ? lower(value.text) : std::string();
            const auto found = std::find(kind.names.begin(), kind.names.end(), text);
            if (found == kind.names.end()) return refuse_type("one of " + joined(kind.names), value);
            kind.set(settings, static_cast<std::size_t>(found - kind.names.begin()));
            return {};
          },
          [&](const Url& kind) -> Answer {
            if (!typed_as(value, Value::Type::string)) return refuse("expected a URL in quotes");
            auto parsed = parse_database_url(value.text);
            if (!parsed) return refuse(parsed.error().message);
            settings.*kind.field = *std::move(parsed);
            return {};
          },
          [&](const OptionalUrl& kind) -> Answer {
            if (!typed_as(value, Value::Type::string)) return refuse("expected a URL in quotes");
            settings.*kind.field = std::nullopt;
            if (value.text.empty()) return {};
            auto parsed = parse_redis_url(value.text);
            if (!parsed) return refuse(parsed.error().message);
            settings.*kind.field = *std::move(parsed);
            return {};
          },
          [&](const Thresholds& kind) -> Answer {
            if (value.type == Value::Type::table) return assign_thresholds(settings.*kind.field, value);
            if (value.type != Value::Type::untyped) return refuse_type("a table", value);
            const auto table = table_from_json(value);
            if (!table) return std::unexpected(table.error());
            return assign_thresholds(settings.*kind.field, *table);
          },
      },
      setting.kind);
}

std::string print(const Setting& setting, const Settings& settings) {
  return std::visit(Overloaded{
                        [&](const Switch& kind) -> std::string { return settings.*kind.field ? "true" : "false"; },
                        [&](const Ratio& kind) { return quantity(settings.*kind.field); },
                        [&](const Duration& kind) {
                          return std::visit([&](auto field) { return fmt::format("{}", (settings.*field).count()); },
                                            kind.field);
                        },
                        [&](const Text& kind) {
                          const std::string& text = settings.*kind.field;
                          return kind.is_secret && !text.empty() ? std::string("***") : text;
                        },
                        [&](const Choice& kind) { return std::string(kind.names[kind.get(settings)]); },
                        [&](const Url& kind) { return masked(settings.*kind.field); },
                        [&](const OptionalUrl& kind) {
                          const auto& url = settings.*kind.field;
                          return url ? masked(*url) : std::string();
                        },
                        [&](const Thresholds& kind) {
                          std::string out;
                          for (const ThresholdKey& key : threshold_keys) {
                            const double threshold = settings.*kind.field.*key.field;
                            out += fmt::format("{}\"{}\": {}", out.empty() ? "{" : ", ", key.name, quantity(threshold));
                          }
                          return out + "}";
                        },
                        [&](const auto& number) { return fmt::format("{}", settings.*number.field); },
                    },
                    setting.kind);
}

bool same(const Setting& setting, const Settings& one, const Settings& other) {
  return with_field(setting.kind, Overloaded{[&](const Choice& kind) { return kind.get(one) == kind.get(other); },
                                             [&](auto field) { return one.*field == other.*field; }});
}

void copy(const Setting& setting, const Settings& from, Settings& to) {
  with_field(setting.kind, Overloaded{[&](const Choice& kind) { kind.set(to, kind.get(from)); },
                                      [&](auto field) { to.*field = from.*field; }});
}

std::string type_name(const Setting& setting) {
  return std::visit(Overloaded{
                        [](const Switch&) -> std::string { return "switch"; },
                        [](const Port&) -> std::string { return "port"; },
                        [](const Count&) -> std::string { return "integer"; },
                        [](const Ratio&) -> std::string { return "number"; },
                        [](const Duration& kind) -> std::string { return std::string(unit_name(kind)); },
                        [](const Text&) -> std::string { return "text"; },
                        [](const Choice&) -> std::string { return "choice"; },
                        [](const Url&) -> std::string { return "URL"; },
                        [](const OptionalUrl&) -> std::string { return "URL"; },
                        [](const Thresholds&) -> std::string { return "table"; },
                    },
                    setting.kind);
}

std::string allowed_values(const Setting& setting) {
  return std::visit(Overloaded{
                        [](const Switch&) -> std::string { return "true, false"; },
                        [](const Port&) { return range(0, 65535); },
                        [](const Text& kind) { return std::string(kind.shape); },
                        [](const Choice& kind) { return joined(kind.names); },
                        [](const Url&) -> std::string { return "postgresql://user:password@host:port/database"; },
                        [](const OptionalUrl&) -> std::string {
                          return "redis://user:password@host:port/database, unix:///path?db=database, or empty";
                        },
                        [](const Thresholds&) -> std::string { return "percentages 0 to 100; the depth at least 0"; },
                        [](const auto& number) { return range(number.least, number.most); },
                    },
                    setting.kind);
}

}  // namespace millrace::config
