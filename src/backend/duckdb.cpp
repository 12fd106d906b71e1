#include "backend/duckdb.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <utility>
#include <vector>

#include "backend/duckdb_library.hpp"
#include "base/log.hpp"

namespace millrace::backend {
namespace {

/// What DuckDB's texts say, as far as it makes a difference to us.
std::string_view sqlstate_of(std::string_view text) {
  struct Sign {
    std::string_view text;
    std::string_view sqlstate;
  };
  // The first that is in the text counts: where a log can't be replayed as there is no space, nothing is corrupted.
  static constexpr std::array signs = {Sign{"Could not set lock on file", duckdb_error::in_use},
                                       Sign{"we can only read versions", duckdb_error::newer_version},
                                       Sign{"newer version", duckdb_error::newer_version},
                                       Sign{"No space left", duckdb_error::input_output},
                                       Sign{"File too large", duckdb_error::input_output},
                                       Sign{"quota exceeded", duckdb_error::input_output},
                                       Sign{"Permission denied", duckdb_error::input_output},
                                       Sign{"Out of Memory", duckdb_error::other},
                                       Sign{"not a valid DuckDB database", duckdb_error::corrupted},
                                       Sign{"Corrupt", duckdb_error::corrupted},
                                       Sign{"corrupt", duckdb_error::corrupted},
                                       Sign{"checksum", duckdb_error::corrupted},
                                       Sign{"Could not read enough bytes", duckdb_error::corrupted},
                                       Sign{"Serialization Error", duckdb_error::corrupted},
                                       Sign{"Failure while replaying WAL", duckdb_error::corrupted},
                                       Sign{"IO Error", duckdb_error::input_output}};
  const auto found = std::ranges::find_if(signs, [text](const Sign& sign) { return text.contains(sign.text); });
  return found == signs.end() ? duckdb_error::other : found->sqlstate;
}

std::unexpected<Error> failed(std::string message, const char* text) {
  const std::string said = text == nullptr ? "no reason was given" : text;
  return fail(std::move(message), std::string(sqlstate_of(said)), {}, said.substr(0, said.find('\n')));
}

/// Of a type whose functions are there as long as there is something of it.
const DuckDbLibrary& f() { return **duckdb_library(); }

}  // namespace

// --- rows ---

struct DuckDbRows::State {
  duckdb_result result{};
  duckdb_data_chunk chunk = nullptr;
  std::size_t rows = 0;  ///< of the chunk
  std::size_t next = 0;
  std::vector<duckdb_type> types = {};
  std::vector<void*> data = {};
  std::vector<std::uint64_t*> validity = {};

  State() = default;
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() {
    if (chunk != nullptr) f().destroy_data_chunk(&chunk);
    f().destroy_result(&result);
  }

  void look_at_columns() {
    for (idx_t at = 0; at < f().column_count(&result); ++at) types.push_back(f().column_type(&result, at));
  }

  Result<bool> next_chunk() {
    if (chunk != nullptr) f().destroy_data_chunk(&chunk);
    chunk = f().fetch_chunk(result);
    if (chunk == nullptr) {
      const char* const error = f().result_error(&result);
      if (error != nullptr && *error != '\0') return failed("DuckDB can't go on with a query", error);
      return false;
    }
    rows = f().data_chunk_get_size(chunk);
    next = 0;
    data.clear();
    validity.clear();
    for (idx_t at = 0; at < types.size(); ++at) {
      duckdb_vector column = f().data_chunk_get_vector(chunk, at);
      data.push_back(f().vector_get_data(column));
      validity.push_back(f().vector_get_validity(column));
    }
    return true;
  }

  std::size_t row() const { return next - 1; }
  template <typename T>
  T value(std::size_t column) const {
    return static_cast<const T*>(data[column])[row()];
  }
  template <typename T>
  T integer(std::size_t column) const {
    switch (types[column]) {
      case DUCKDB_TYPE_TINYINT:
        return static_cast<T>(value<std::int8_t>(column));
      case DUCKDB_TYPE_SMALLINT:
        return static_cast<T>(value<std::int16_t>(column));
      case DUCKDB_TYPE_INTEGER:
        return static_cast<T>(value<std::int32_t>(column));
      case DUCKDB_TYPE_BIGINT:
        return static_cast<T>(value<std::int64_t>(column));
      case DUCKDB_TYPE_UTINYINT:
        return static_cast<T>(value<std::uint8_t>(column));
      case DUCKDB_TYPE_USMALLINT:
        return static_cast<T>(value<std::uint16_t>(column));
      case DUCKDB_TYPE_UINTEGER:
        return static_cast<T>(value<std::uint32_t>(column));
      case DUCKDB_TYPE_UBIGINT:
        return static_cast<T>(value<std::uint64_t>(column));
      default:
        assert(false && "no column of integers");
        return 0;
    }
  }
};

DuckDbRows::DuckDbRows(std::unique_ptr<State> state) : state_(std::move(state)) {}
DuckDbRows::DuckDbRows(DuckDbRows&&) noexcept = default;
DuckDbRows::~DuckDbRows() = default;

Result<bool> DuckDbRows::next() {
  while (state_->next == state_->rows) {
    auto more = state_->next_chunk();
    if (!more || !*more) return more;
  }
  ++state_->next;
  return true;
}

bool DuckDbRows::is_null(std::size_t column) const {
  std::uint64_t* const validity = state_->validity[column];
  return validity != nullptr && !f().validity_row_is_valid(validity, state_->row());
}

bool DuckDbRows::boolean(std::size_t column) const {
  assert(state_->types[column] == DUCKDB_TYPE_BOOLEAN);
  return state_->value<bool>(column);
}

std::int64_t DuckDbRows::signed_number(std::size_t column) const { return state_->integer<std::int64_t>(column); }

std::uint64_t DuckDbRows::number(std::size_t column) const { return state_->integer<std::uint64_t>(column); }

double DuckDbRows::real(std::size_t column) const {
  assert(state_->types[column] == DUCKDB_TYPE_DOUBLE);
  return state_->value<double>(column);
}

std::string_view DuckDbRows::text(std::size_t column) const {
  assert(state_->types[column] == DUCKDB_TYPE_VARCHAR || state_->types[column] == DUCKDB_TYPE_BLOB);
  auto& text = static_cast<duckdb_string_t*>(state_->data[column])[state_->row()];
  return {f().string_t_data(&text), f().string_t_length(text)};
}

// --- statements ---

struct DuckDbStatement::State final : DuckDbValues {
  duckdb_prepared_statement statement = nullptr;
  idx_t bound = 0;
  bool all_taken = true;  ///< each parameter was

  State() = default;
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() override { f().destroy_prepare(&statement); }

  void note(duckdb_state state) { all_taken = all_taken && state == DuckDBSuccess; }
  void null() override { note(f().bind_null(statement, ++bound)); }
  void boolean(bool value) override { note(f().bind_boolean(statement, ++bound, value)); }
  void signed_number(std::int64_t value) override { note(f().bind_int64(statement, ++bound, value)); }
  void number(std::uint64_t value) override { note(f().bind_uint64(statement, ++bound, value)); }
  void real(double value) override { note(f().bind_double(statement, ++bound, value)); }
  void text(std::string_view value) override {
    note(f().bind_varchar_length(statement, ++bound, value.data(), value.size()));
  }
  void blob(std::string_view value) override { note(f().bind_blob(statement, ++bound, value.data(), value.size())); }
};

DuckDbStatement::DuckDbStatement(std::unique_ptr<State> state) : state_(std::move(state)) {}
DuckDbStatement::DuckDbStatement(DuckDbStatement&&) noexcept = default;
DuckDbStatement::~DuckDbStatement() = default;

DuckDbValues& DuckDbStatement::begin() {
  f().clear_bindings(state_->statement);
  state_->bound = 0;
  state_->all_taken = true;
  return *state_;
}

Result<DuckDbRows> DuckDbStatement::query_bound() {
  if (!state_->all_taken || state_->bound != f().nparams(state_->statement)) {
    return failed("a statement for DuckDB has other parameters", f().prepare_error(state_->statement));
  }
  auto rows = std::make_unique<DuckDbRows::State>();
  duckdb_pending_result pending = nullptr;
  // Row by row: what is large isn't in memory as a whole.
  if (f().pending_prepared_streaming(state_->statement, &pending) != DuckDBSuccess) {
    auto error = failed("DuckDB can't begin a query", f().pending_error(pending));
    f().destroy_pending(&pending);
    return error;
  }
  const auto done = f().execute_pending(pending, &rows->result);
  f().destroy_pending(&pending);
  if (done != DuckDBSuccess) return failed("DuckDB can't run a query", f().result_error(&rows->result));
  rows->look_at_columns();
  return DuckDbRows(std::move(rows));
}

Result<> DuckDbStatement::run_bound() {
  auto rows = query_bound();
  if (!rows) return std::unexpected(std::move(rows).error());
  while (true) {
    const auto more = rows->next();
    if (!more) return std::unexpected(more.error());
    if (!*more) return {};
  }
}

// --- adding rows ---

struct DuckDbAppender::State final : DuckDbValues {
  duckdb_appender appender = nullptr;
  std::optional<Error> error = {};  ///< the first

  State() = default;
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() override { f().appender_destroy(&appender); }

  void note(duckdb_state state) {
    if (state == DuckDBSuccess || error) return;
    error = failed("DuckDB can't add rows", f().appender_error(appender)).error();
  }
  void null() override { note(f().append_null(appender)); }
  void boolean(bool value) override { note(f().append_bool(appender, value)); }
  void signed_number(std::int64_t value) override { note(f().append_int64(appender, value)); }
  void number(std::uint64_t value) override { note(f().append_uint64(appender, value)); }
  void real(double value) override { note(f().append_double(appender, value)); }
  void text(std::string_view value) override { note(f().append_varchar_length(appender, value.data(), value.size())); }
  void blob(std::string_view value) override { note(f().append_blob(appender, value.data(), value.size())); }
};

DuckDbAppender::DuckDbAppender(std::unique_ptr<State> state) : state_(std::move(state)) {}
DuckDbAppender::DuckDbAppender(DuckDbAppender&&) noexcept = default;
DuckDbAppender::~DuckDbAppender() = default;

DuckDbValues& DuckDbAppender::begin() { return *state_; }

void DuckDbAppender::end() { state_->note(f().appender_end_row(state_->appender)); }

Result<> DuckDbAppender::add_all(DuckDbRows& rows) {
  while (true) {
    const auto more = rows.state_->next_chunk();
    if (!more) return std::unexpected(more.error());
    if (!*more) return finish();
    state_->note(f().append_data_chunk(state_->appender, rows.state_->chunk));
  }
}

Result<> DuckDbAppender::finish() {
  state_->note(f().appender_close(state_->appender));
  if (state_->error) return std::unexpected(*state_->error);
  return {};
}

// --- the database ---

struct DuckDb::State {
  duckdb_database database = nullptr;
  duckdb_connection connection = nullptr;

  State() = default;
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() {
    f().disconnect(&connection);
    f().close(&database);
  }
};

DuckDb::DuckDb(std::unique_ptr<State> state) : state_(std::move(state)) {}
DuckDb::DuckDb(DuckDb&&) noexcept = default;
DuckDb& DuckDb::operator=(DuckDb&&) noexcept = default;
DuckDb::~DuckDb() = default;

Result<DuckDb> DuckDb::open(const std::string& path, int memory_mb) {
  return open_with(path, {{{"memory_limit", fmt::format("{}MiB", std::max(memory_mb, least_memory_mb))},
                           {"max_temp_directory_size", "256MiB"},
                           {"wal_autocheckpoint", "4MiB"},
                           {"enable_external_access", "false"},
                           {"preserve_insertion_order", "false"}}});
}

Result<DuckDb> DuckDb::open_for_files(int memory_mb) {
  return open_with("", {{{"memory_limit", fmt::format("{}MiB", memory_mb)}, {"temp_directory", ""}}});
}

Result<DuckDb> DuckDb::open_with(const std::string& path, std::vector<std::pair<const char*, std::string>> options) {
  const auto library = duckdb_library();
  if (!library) return std::unexpected(library.error());
  options.insert(options.end(), {{"threads", "1"},
                                 {"autoload_known_extensions", "false"},
                                 {"autoinstall_known_extensions", "false"},
                                 {"allow_community_extensions", "false"},
                                 {"lock_configuration", "true"}});
  duckdb_config config = nullptr;
  const struct Guard {
    duckdb_config& config;
    ~Guard() { f().destroy_config(&config); }
  } guard{config};
  if (f().create_config(&config) != DuckDBSuccess)
    return fail("DuckDB can't be configured", std::string(duckdb_error::other));
  for (const auto& [name, value] : options) {
    if (f().set_config(config, name, value.c_str()) != DuckDBSuccess) {
      return fail("DuckDB doesn't know a setting", std::string(duckdb_error::other), {}, name);
    }
  }
  auto state = std::make_unique<State>();
  char* why = nullptr;
  const auto opened = f().open_ext(path.empty() ? nullptr : path.c_str(), &state->database, config, &why);
  if (opened != DuckDBSuccess) {
    auto error = failed("DuckDB can't open its file", why);
    f().free(why);
    return error;
  }
  if (f().connect(state->database, &state->connection) != DuckDBSuccess) {
    return fail("DuckDB can't be connected to", std::string(duckdb_error::other));
  }
  return DuckDb(std::move(state));
}

Result<> DuckDb::run(const std::string& sql) {
  duckdb_result result{};
  Result<> done;
  if (f().query(state_->connection, sql.c_str(), &result) != DuckDBSuccess) {
    done = failed("DuckDB can't run a statement", f().result_error(&result));
  }
  f().destroy_result(&result);
  return done;
}

Result<DuckDbStatement> DuckDb::prepare(std::string_view sql) {
  auto statement = std::make_unique<DuckDbStatement::State>();
  if (f().prepare(state_->connection, std::string(sql).c_str(), &statement->statement) != DuckDBSuccess) {
    return failed("DuckDB can't understand a statement", f().prepare_error(statement->statement));
  }
  return DuckDbStatement(std::move(statement));
}

Result<DuckDbAppender> DuckDb::append_to(const std::string& table) {
  auto appender = std::make_unique<DuckDbAppender::State>();
  if (f().appender_create(state_->connection, nullptr, table.c_str(), &appender->appender) != DuckDBSuccess) {
    return failed("DuckDB can't add rows", f().appender_error(appender->appender));
  }
  return DuckDbAppender(std::move(appender));
}

namespace {

/// Those of one DuckDb::add_rows.
struct RowsGiven {
  std::size_t columns;
  DuckDb::NextRow next;
  std::vector<std::optional<std::string_view>> row = {};

  /// What is large isn't in memory many times.
  static constexpr std::size_t most_bytes = std::size_t{1} << 20;

  static void describe(duckdb_bind_info info) {
    const auto& self = *static_cast<const RowsGiven*>(f().bind_get_extra_info(info));
    duckdb_logical_type text = f().create_logical_type(DUCKDB_TYPE_VARCHAR);
    for (std::size_t at = 0; at < self.columns; ++at)
      f().bind_add_result_column(info, fmt::format("c{}", at).c_str(), text);
    f().destroy_logical_type(&text);
  }

  static void give(duckdb_function_info info, duckdb_data_chunk chunk) {
    auto& self = *static_cast<RowsGiven*>(f().function_get_extra_info(info));
    idx_t rows = 0;
    for (std::size_t bytes = 0; rows < f().vector_size() && bytes < most_bytes && self.next(self.row); ++rows) {
      self.row.resize(self.columns);
      for (std::size_t at = 0; at < self.columns; ++at) {
        duckdb_vector column = f().data_chunk_get_vector(chunk, at);
        if (const auto& value = self.row[at]) {
          f().vector_assign_string_element_len(column, rows, value->data(), value->size());
          bytes += value->size();
        } else {
          f().vector_ensure_validity_writable(column);
          f().validity_set_row_invalid(f().vector_get_validity(column), rows);
        }
      }
    }
    f().data_chunk_set_size(chunk, rows);
  }
};

}  // namespace

Result<> DuckDb::add_rows(const std::string& name, std::size_t columns, NextRow next) {
  auto given = std::make_unique<RowsGiven>(columns, std::move(next));
  given->row.resize(columns);
  duckdb_table_function function = f().create_table_function();
  f().table_function_set_name(function, name.c_str());
  f().table_function_set_extra_info(function, given.release(),
                                    [](void* data) { delete static_cast<RowsGiven*>(data); });  // NOLINT
  f().table_function_set_bind(function, RowsGiven::describe);
  f().table_function_set_init(function, [](duckdb_init_info) {});
  f().table_function_set_function(function, RowsGiven::give);
  const auto done = f().register_table_function(state_->connection, function);
  f().destroy_table_function(&function);
  if (done != DuckDBSuccess) return fail("DuckDB can't take rows", std::string(duckdb_error::other));
  return {};
}

Result<> DuckDb::copy_to(const std::string& path, const std::string& then) {
  auto target = open(path);
  if (!target) return std::unexpected(std::move(target).error());
  std::vector<std::pair<std::string, std::string>> tables;
  const auto take = [&](const DuckDbRows& row) -> Result<> {
    tables.emplace_back(row.text(0), row.text(1));
    return {};
  };
  if (auto found = each("SELECT table_name, sql FROM duckdb_tables() WHERE NOT internal", take); !found) return found;
  return target->in_transaction([&]() -> Result<> {
    for (const auto& [name, sql] : tables) {
      if (auto made = target->run(sql); !made) return made;
      auto to = target->append_to(name);
      if (!to) return std::unexpected(std::move(to).error());
      auto from = prepare("FROM " + name);
      if (!from) return std::unexpected(std::move(from).error());
      auto rows = from->query();
      if (!rows) return std::unexpected(std::move(rows).error());
      if (auto copied = to->add_all(*rows); !copied) return copied;
    }
    return target->run(then);
  });
}

bool DuckDb::works() { return run("SELECT 1").has_value(); }

}  // namespace millrace::backend
