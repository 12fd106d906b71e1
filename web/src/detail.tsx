// All that is known of one statement.

import { useEffect, useMemo, useRef, useState } from "preact/hooks";

import { PERFORMANCE, ask, type Analysis, type Optimized, type TemplateDetail } from "./api";
import { Chart, since, type Line } from "./chart";
import { NONE, ago, bytes, count, duration, percent, rate } from "./format";
import { oftenEnough, useAsked } from "./use";

const LINES: Line[] = [
  { label: "p99", colour: "--line-3" },
  { label: "p95", colour: "--line-2" },
  { label: "p50", colour: "--line-1" },
];

const BARS_HEIGHT = 84;

/** How the durations are spread, as bars: the height is the number of calls, the tint where half and 95 of 100 lie. */
function Spread({ detail }: { detail: TemplateDetail }) {
  const buckets = detail.durations;
  const most = Math.max(...buckets.map((one) => one.count));
  const calls = buckets.reduce((sum, one) => sum + one.count, 0);
  const middle = buckets[Math.floor(buckets.length / 2)];
  let before = 0;
  const bars = buckets.map((one, at) => {
    const share = before / calls;
    before += one.count;
    const height = one.count === 0 ? 0 : Math.max(1.5, (one.count / most) * BARS_HEIGHT);
    return (
      <rect key={at} x={at * 10 + 1} width={8} y={BARS_HEIGHT - height} height={height} class={share < 0.5 ? "half" : share < 0.95 ? "most" : "tail"}>
        <title>{`${duration(one.from_ms)} to ${duration(one.to_ms)}: ${count(one.count)} calls`}</title>
      </rect>
    );
  });
  return (
    <figure class="spread">
      <svg viewBox={`0 0 ${buckets.length * 10} ${BARS_HEIGHT}`} preserveAspectRatio="none" role="img" aria-label="How its durations are spread">
        {bars}
      </svg>
      <figcaption>
        <span>{duration(buckets[0]?.from_ms)}</span>
        {buckets.length > 4 && <span>{duration(middle?.from_ms)}</span>}
        <span>{duration(buckets.at(-1)?.to_ms)}</span>
      </figcaption>
    </figure>
  );
}

function FigureList({ detail }: { detail: TemplateDetail }) {
  const f = detail.performance.figures;
  const asked = f.cache_hits + f.cache_misses + f.cache_bypasses;
  const figures: [string, string][] = [
    ["calls", `${count(f.calls)} (${rate(f.calls_per_second)} /s)`],
    ["of all time", percent(f.time_share)],
    ["mean", duration(f.mean_ms)],
    ["p50", duration(f.p50_ms)],
    ["p95", duration(f.p95_ms)],
    ["p99", duration(f.p99_ms)],
    ["p99.9", duration(f.p999_ms)],
    ["longest", duration(f.max_ms)],
    ["rows a call", f.calls ? rate(f.rows / f.calls) : NONE],
    ["sent a call", f.calls ? bytes(Math.round(f.bytes / f.calls)) : NONE],
    ["waiting, of its time", percent(f.total_time_ms ? (100 * f.queue_time_ms) / f.total_time_ms : 0)],
    ["failed", `${count(f.errors)} (${percent(f.error_rate)})`],
    ["from memory", asked ? `${count(f.cache_hits)} of ${count(asked)}` : NONE],
  ];
  return (
    <dl class="figures">
      {figures.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

type Answer<T> = { data: T } | { error: string } | null;

/** What is said of one of its statements, which is planned for that, and not run. */
function useAdvice<T>(path: string, detail: TemplateDetail | null): Answer<T> {
  const [answer, set] = useState<Answer<T>>(null);
  const sample = detail?.performance.sample;
  const query = sample?.query;
  const database = sample?.database;
  useEffect(() => {
    set(null);
    if (!query) return;
    const end = new AbortController();
    ask<T>(path, { method: "POST", body: { query, ...(database ? { database } : {}) }, signal: end.signal }).then(
      (data) => set({ data }),
      (error: Error) => end.signal.aborted || set({ error: error.message }),
    );
    return () => end.abort();
  }, [path, query, database]);
  return answer;
}

const Points = ({ list }: { list: (string | null)[] }) => {
  const said = list.filter((one) => one);
  return said.length === 0 ? null : (
    <ul class="points">
      {said.map((one) => (
        <li key={one}>{one}</li>
      ))}
    </ul>
  );
};

function Plan({ answer }: { answer: Answer<Analysis> }) {
  if (!answer) return <p class="quiet">…</p>;
  if ("error" in answer) return <p class="quiet">{answer.error}</p>;
  const { plan, performance_issues, optimization_suggestions, missing_indexes, warnings, estimated_rows } = answer.data;
  return (
    <>
      {plan ? (
        <p>
          <code>{plan.plan_operations.join(" ← ")}</code>
          <br />
          <span class="quiet">
            cost {rate(plan.total_cost)}
            {estimated_rows !== null && `, ${count(estimated_rows)} rows estimated`}
            {plan.table_scans.length > 0 && `, reads whole: ${plan.table_scans.join(", ")}`}
          </span>
        </p>
      ) : (
        <p class="quiet">{warnings[0] ?? "PostgreSQL plans no statement of this kind."}</p>
      )}
      <Points list={[...(performance_issues ?? []), ...(optimization_suggestions ?? [])]} />
      {(missing_indexes ?? []).map((sql) => (
        <pre key={sql}>{sql}</pre>
      ))}
    </>
  );
}

function Memory({ answer }: { answer: Answer<Analysis> }) {
  if (!answer) return <p class="quiet">…</p>;
  if ("error" in answer) return <p class="quiet">{answer.error}</p>;
  const { cacheable, reason, why_not, what_helps, dependency_tables } = answer.data.cache;
  if (!cacheable) return <Points list={[why_not ?? reason ?? "It is not kept.", what_helps]} />;
  return <p>May be kept{dependency_tables?.length ? `, until ${dependency_tables.join(", ")} changes` : ""}.</p>;
}

function Rewrites({ answer }: { answer: Answer<Optimized> }) {
  if (!answer) return <p class="quiet">…</p>;
  if ("error" in answer) return <p class="quiet">{answer.error}</p>;
  const { original_query, optimized_query, estimated_improvement_percent, rules, rules_not_used } = answer.data;
  const rewritten = optimized_query !== original_query;
  return (
    <>
      {rewritten ? (
        <>
          <p>
            {rules.join(", ")}
            {estimated_improvement_percent !== null && `: ${percent(estimated_improvement_percent)} less cost, by PostgreSQL's estimate`}
          </p>
          <pre>{optimized_query}</pre>
        </>
      ) : (
        <p>There is no other way to say it that PostgreSQL would answer sooner, of those known here.</p>
      )}
      <Points list={rules_not_used.map((one) => `${one.rule} would need: ${one.missing}`)} />
    </>
  );
}

export function Detail({ id, minutes, close }: { id: string; minutes: number; close: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const { data: detail, error } = useAsked<TemplateDetail>(`${PERFORMANCE}/templates/${encodeURIComponent(id)}?window=${minutes}`, oftenEnough(minutes, 10));
  const analysis = useAdvice<Analysis>("/api/v1/optimization/analyze-query", detail);
  const optimized = useAdvice<Optimized>("/api/v1/optimization/optimize-query", detail);
  useEffect(() => {
    dialog.current!.showModal();
  }, []);

  const data = useMemo(
    () => detail && ([detail.trend.at.map((at) => Date.parse(at) / 1000), detail.trend.p99_ms, detail.trend.p95_ms, detail.trend.p50_ms] as [number[], ...(number | null)[][]]),
    [detail],
  );
  const sample = detail?.performance.sample;
  const to = detail ? Date.parse(detail.to) / 1000 : 0;

  return (
    <dialog
      ref={dialog}
      class="detail"
      aria-labelledby="detail"
      onClose={close}
      onClick={(event) => event.target === dialog.current && dialog.current?.close()}
    >
      <article>
        <header>
          <h2 id="detail">{detail?.performance.kind ?? "Statement"}</h2>
          <span class="quiet">{id}</span>
          <button type="button" class="close" aria-label="Close" onClick={() => dialog.current!.close()}>
            ×
          </button>
        </header>
        {!detail && <p class="quiet">{error ? error.message : "…"}</p>}
        {detail && data && (
          <>
            <pre class="sql">{detail.performance.query || "all statements that have no place of their own"}</pre>
            <FigureList detail={detail} />
            <h3>How long it took</h3>
            <Spread detail={detail} />
            <h3>By time</h3>
            <Chart title="Percentiles of its durations by time" data={data} lines={LINES} format={duration} scale="log" {...since(data[0], to, minutes)} to={to} />
            <Points list={detail.marks.map((one) => `Its calls took ${duration(one.value)} instead of ${duration(one.usual)}, ${ago(one.at)}`)} />
            {sample && (
              <>
                <h3>Plan</h3>
                <Plan answer={analysis} />
                <h3>From memory</h3>
                <Memory answer={analysis} />
                <h3>Rewriting</h3>
                <Rewrites answer={optimized} />
                <h3>As it was sent</h3>
                <pre>{sample.query}</pre>
                {sample.parameters.length > 0 && (
                  <ol class="parameters">
                    {sample.parameters.map((value, at) => (
                      <li key={at}>
                        <code>${at + 1}</code> {value === null ? <i>NULL</i> : <code>{value}</code>}
                      </li>
                    ))}
                  </ol>
                )}
                <p class="quiet">in database {sample.database}</p>
              </>
            )}
          </>
        )}
      </article>
    </dialog>
  );
}
