#include <benchmark/benchmark.h>

#include <array>
#include <string>

#include "sql/statement.hpp"
#include "sql/statement_memo.hpp"
#include "sql/template_key.hpp"

namespace {

using millrace::sql::StatementMemo;

/// pgbench's select-only statement, another constant each time.
std::array<std::string, 1024> point_queries() {
  std::array<std::string, 1024> texts;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    texts[i] = "SELECT abalance FROM pgbench_accounts WHERE aid = " + std::to_string(1'000'000 + i * 7919) + ";";
  }
  return texts;
}

constexpr std::string_view kJoin =
    "SELECT u.id, u.name, count(p.id) AS pages FROM users u JOIN projects pr ON pr.user_id = u.id LEFT JOIN pages_v2 p "
    "ON p.project_id = pr.id WHERE u.active AND pr.created_at > $1 AND p.status = 'done' AND u.id = $2 GROUP BY u.id";

void BM_HitOfText(benchmark::State& state) {
  StatementMemo memo;
  for ([[maybe_unused]] auto _ : state) benchmark::DoNotOptimize(memo.find_or_parse(kJoin));
}
BENCHMARK(BM_HitOfText);

void BM_HitWithChangingConstant(benchmark::State& state) {
  StatementMemo memo;
  const auto texts = point_queries();
  std::size_t i = 0;
  for ([[maybe_unused]] auto _ : state) benchmark::DoNotOptimize(memo.find_or_parse(texts[i++ % texts.size()]));
}
BENCHMARK(BM_HitWithChangingConstant);

void BM_HitOfJoinWithChangingConstant(benchmark::State& state) {
  StatementMemo memo;
  std::string texts[2] = {std::string(kJoin) + " LIMIT 1", std::string(kJoin) + " LIMIT 2"};
  std::size_t i = 0;
  for ([[maybe_unused]] auto _ : state) benchmark::DoNotOptimize(memo.find_or_parse(texts[i++ % 2]));
}
BENCHMARK(BM_HitOfJoinWithChangingConstant);

void BM_TemplateKey(benchmark::State& state) {
  const auto texts = point_queries();
  std::array<char, 256> buffer{};
  std::size_t i = 0;
  for ([[maybe_unused]] auto _ : state)
    benchmark::DoNotOptimize(millrace::sql::template_key(texts[i++ % texts.size()], buffer));
}
BENCHMARK(BM_TemplateKey);

void BM_ParsePointQuery(benchmark::State& state) {
  const auto texts = point_queries();
  std::size_t i = 0;
  for ([[maybe_unused]] auto _ : state) benchmark::DoNotOptimize(millrace::sql::parse(texts[i++ % texts.size()]));
}
BENCHMARK(BM_ParsePointQuery);

void BM_ParseJoin(benchmark::State& state) {
  for ([[maybe_unused]] auto _ : state) benchmark::DoNotOptimize(millrace::sql::parse(kJoin));
}
BENCHMARK(BM_ParseJoin);

void BM_ParseInsertOfRows(benchmark::State& state) {
  std::string text = "INSERT INTO t (a, b, c) VALUES (1, 'x', 2.5)";
  for (int i = 1; i < state.range(0); ++i) text += ", (1, 'x', 2.5)";
  for ([[maybe_unused]] auto _ : state) benchmark::DoNotOptimize(millrace::sql::parse(text));
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * text.size()));
}
BENCHMARK(BM_ParseInsertOfRows)->Arg(10)->Arg(400);

}  // namespace

BENCHMARK_MAIN();
