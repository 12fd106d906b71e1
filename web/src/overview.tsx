// How it is now, and how it was: four charts with the figures of now, or of the moment that is pointed at.

import type { ComponentChildren } from "preact";
import { useMemo, useState } from "preact/hooks";

import type { LiveMetrics, Trends } from "./api";
import { Chart, since, type Line } from "./chart";
import { NONE, duration, moment as momentOf, percent, rate } from "./format";

interface Moment {
  throughput: number;
  p50_ms: number | null;
  p95_ms: number | null;
  p99_ms: number | null;
  error_rate: number | null;
  cache_hit_rate: number | null;
  queue_depth: number;
  concurrency: number;
}

type Column = (number | null)[];
type Columns = Record<keyof Moment, Column> & { at: number[] };

const NAMES: (keyof Moment)[] = [
  "throughput", "p50_ms", "p95_ms", "p99_ms", "error_rate", "cache_hit_rate", "queue_depth", "concurrency",
];

function columns_of(trends: Trends | null): Columns {
  const columns = { at: (trends?.trend.at ?? []).map((at) => Date.parse(at) / 1000) } as Columns;
  for (const name of NAMES) {
    if (!trends) columns[name] = [];
    else columns[name] = name === "queue_depth" || name === "concurrency" ? trends[name] : trends.trend[name];
  }
  return columns;
}

/** Of the last seconds, so that figures can be read: what a second had nothing of is that of one before. */
function now(seconds: LiveMetrics[], columns: Columns): Moment | null {
  const recent = seconds.slice(-10);
  const last = recent.at(-1);
  const of = (name: keyof Moment): number | null => {
    for (let i = recent.length - 1; i >= 0; --i) {
      const value = recent[i]![name];
      if (value !== null) return value;
    }
    return null;
  };
  if (!last) return columns.at.length > 0 ? moment(columns, columns.at.length - 1) : null;
  const few = recent.slice(-3);
  return {
    throughput: few.reduce((sum, second) => sum + second.throughput, 0) / few.length,
    p50_ms: of("p50_ms"),
    p95_ms: of("p95_ms"),
    p99_ms: of("p99_ms"),
    error_rate: of("error_rate"),
    cache_hit_rate: of("cache_hit_rate"),
    queue_depth: last.queue_depth,
    concurrency: last.concurrency,
  };
}

function moment(columns: Columns, index: number): Moment {
  const found = {} as Record<keyof Moment, number | null>;
  for (const name of NAMES) found[name] = columns[name][index] ?? null;
  return found as Moment;
}

interface PanelProperties {
  name: string;
  value: string;
  lines: Line[];
  facts: ComponentChildren;
  children: ComponentChildren;
}

function Panel({ name, value, lines, facts, children }: PanelProperties) {
  return (
    <section class="panel" aria-label={name}>
      <h2>{name}</h2>
      <p class="big">{value}</p>
      <p class="facts">{facts}</p>
      {children}
      {lines.length > 1 && (
        <ul class="legend" aria-hidden="true">
          {lines.map((line) => (
            <li key={line.label}>
              <i style={{ background: `var(${line.colour})` }} />
              {line.label}
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}

const Fact = ({ name, value }: { name: string; value: string }) => (
  <span>
    {name} <b>{value}</b>
  </span>
);

const LOAD: Line[] = [{ label: "Queries a second", colour: "--line-1", fill: true }];
const LATENCY: Line[] = [
  { label: "p99", colour: "--line-3" },
  { label: "p95", colour: "--line-2" },
  { label: "p50", colour: "--line-1" },
];
const HITS: Line[] = [{ label: "Answered from memory", colour: "--line-1", fill: true }];
const QUEUE: Line[] = [
  { label: "busy", colour: "--line-1" },
  { label: "waiting", colour: "--line-3", fill: true },
];

export function Overview({ trends, seconds, minutes }: { trends: Trends | null; seconds: LiveMetrics[]; minutes: number }) {
  const [hovered, hover] = useState<number | null>(null);
  const columns = useMemo(() => columns_of(trends), [trends]);
  const index = hovered !== null && hovered < columns.at.length ? hovered : null;
  const shown = index === null ? now(seconds, columns) : moment(columns, index);
  const to = trends ? Date.parse(trends.to) / 1000 : Date.now() / 1000;
  const common = { ...since(columns.at, to, minutes), to, onHover: hover };
  const chosen = (...names: (keyof Moment)[]): [number[], ...Column[]] => [columns.at, ...names.map((name) => columns[name])];
  const connections = seconds.at(-1)?.connections;

  return (
    <div class="overview">
      <p class="moment" aria-live="off">
        {index === null ? "Now" : `At ${momentOf(new Date(columns.at[index]! * 1000), minutes * 60)}`}
      </p>
      <Panel
        name="Queries a second"
        value={shown ? rate(shown.throughput) : NONE}
        lines={LOAD}
        facts={
          <>
            <Fact name="failed" value={percent(shown?.error_rate)} />
            {index === null && connections !== undefined && <Fact name="clients" value={String(connections)} />}
          </>
        }
      >
        <Chart title="Queries a second by time" data={chosen("throughput")} lines={LOAD} format={rate} {...common} />
      </Panel>
      <Panel
        name="Latency, p95"
        value={duration(shown?.p95_ms)}
        lines={LATENCY}
        facts={
          <>
            <Fact name="p50" value={duration(shown?.p50_ms)} />
            <Fact name="p99" value={duration(shown?.p99_ms)} />
          </>
        }
      >
        <Chart title="Percentiles of durations by time" data={chosen("p99_ms", "p95_ms", "p50_ms")} lines={LATENCY} format={duration} scale="log" {...common} />
      </Panel>
      <Panel
        name="Answered from memory"
        value={percent(shown?.cache_hit_rate)}
        lines={HITS}
        facts={<span>{shown?.cache_hit_rate == null ? "no read asks for it" : "of the reads that may be"}</span>}
      >
        <Chart title="Hit ratio by time" data={chosen("cache_hit_rate")} lines={HITS} format={(value) => `${value} %`} scale="percent" {...common} />
      </Panel>
      <Panel
        name="Waiting for a connection"
        value={shown ? rate(shown.queue_depth) : NONE}
        lines={QUEUE}
        facts={<Fact name="busy" value={shown ? rate(shown.concurrency) : NONE} />}
      >
        <Chart title="Clients that hold a server connection, and that wait for one, by time" data={chosen("concurrency", "queue_depth")} lines={QUEUE} format={String} {...common} />
      </Panel>
    </div>
  );
}
