import { useEffect, useLayoutEffect, useRef } from "preact/hooks";
import uPlot from "uplot";

import { moment } from "./format";

export interface Line {
  label: string;
  colour: string; // a custom property of the style sheet
  fill?: boolean;
}

interface Properties {
  title: string;
  data: uPlot.AlignedData; // seconds since 1970, then a list for each line
  lines: Line[];
  format: (value: number) => string;
  from: number;
  to: number;
  scale?: "zero" | "log" | "percent";
  onHover?: (index: number | null) => void;
}

const HEIGHT = 132;

const property = (name: string): string => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** On a logarithmic axis: what takes less is all the same. Milliseconds. */
const LEAST = 0.01;

function shown(p: Properties): uPlot.AlignedData {
  if (p.scale !== "log") return p.data;
  const [at, ...lines] = p.data;
  return [at, ...lines.map((line) => Array.from(line, (value) => (value == null ? null : Math.max(value, LEAST))))];
}

/** Where a logarithmic axis has marks: powers of ten only. */
const powers = (_: uPlot, splits: number[]): (number | null)[] => splits.map((v) => (Math.log10(v) % 1 === 0 ? v : null));

function ranges(scale: Properties["scale"]): uPlot.Scale {
  if (scale === "percent") return { range: [0, 100] };
  if (scale === "log") {
    return {
      distr: 3,
      range: (_, low, high) => {
        if (!(low > 0) || !(high > 0)) return [0.1, 10];
        const least = 10 ** Math.floor(Math.log10(low));
        return [least, Math.max(10 ** Math.ceil(Math.log10(high)), least * 10)];
      },
    };
  }
  return { range: (_, __, high) => [0, high > 0 ? high * 1.15 : 1] };
}

function options(p: Properties, width: number, hover: (index: number | null) => void): uPlot.Options {
  const quiet = property("--text-quiet");
  const rule = property("--rule");
  const font = `11px ${property("--font")}`;
  const axis: uPlot.Axis = { stroke: quiet, font, grid: { stroke: rule, width: 1 }, ticks: { show: false } };
  return {
    width,
    height: HEIGHT,
    legend: { show: false },
    cursor: { y: false, points: { size: 6 }, drag: { x: false, y: false }, sync: { key: "millrace" } },
    scales: { x: { time: true, range: () => [p.from, p.to] }, y: ranges(p.scale) },
    axes: [
      {
        ...axis,
        grid: { show: false },
        size: 22,
        space: p.to - p.from > 86400 ? 100 : 70,
        values: (_, at) => {
          const seconds = p.to - p.from;
          return at.map((s) => moment(new Date(s * 1000), seconds).slice(0, seconds >= 300 && seconds <= 86400 ? 5 : undefined));
        },
      },
      {
        ...axis,
        size: 58,
        space: 32,
        gap: 6,
        ...(p.scale === "log" ? { filter: powers, grid: { stroke: rule, width: 1, filter: powers } } : {}),
        values: (_, at) => at.map((v) => (v === null ? "" : p.format(v))),
      },
    ],
    series: [
      {},
      ...p.lines.map((line): uPlot.Series => {
        const stroke = property(line.colour);
        return { label: line.label, stroke, width: 1.5, points: { show: false }, ...(line.fill ? { fill: `${stroke}22` } : {}) };
      }),
    ],
    hooks: { setCursor: [(self) => hover(self.cursor.left !== undefined && self.cursor.left >= 0 ? (self.cursor.idx ?? null) : null)] },
  };
}

/** Where a chart begins: not long before the first figures, where there are none for all of the time. */
export function since(at: number[], to: number, minutes: number): { from: number } {
  return { from: Math.max(to - minutes * 60, Math.min(at[0] ?? 0, to - 120)) };
}

export function Chart(properties: Properties) {
  const box = useRef<HTMLDivElement>(null);
  const chart = useRef<uPlot | null>(null);
  const latest = useRef(properties);
  latest.current = properties;

  useLayoutEffect(() => {
    const element = box.current!;
    const make = (): void => {
      chart.current?.destroy();
      const live: Properties = {
        ...latest.current,
        get from() {
          return latest.current.from;
        },
        get to() {
          return latest.current.to;
        },
      };
      const made = options(live, element.clientWidth, (index) => latest.current.onHover?.(index));
      chart.current = new uPlot(made, shown(latest.current), element);
    };
    make();
    const resized = new ResizeObserver(() => chart.current?.setSize({ width: element.clientWidth, height: HEIGHT }));
    resized.observe(element);
    const scheme = matchMedia("(prefers-color-scheme: dark)");
    scheme.addEventListener("change", make);
    return () => {
      resized.disconnect();
      scheme.removeEventListener("change", make);
      chart.current?.destroy();
      chart.current = null;
    };
  }, []);

  useEffect(() => chart.current?.setData(shown(properties)), [properties.data, properties.from, properties.to]);

  return <div class="chart" ref={box} role="img" aria-label={properties.title} style={{ height: `${HEIGHT}px` }} />;
}
