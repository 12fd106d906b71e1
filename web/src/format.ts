// Figures for people.

export const NONE = "–";

const grouped = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

function digits(value: number): string {
  const size = Math.abs(value);
  if (size >= 100 || Number.isInteger(value)) return grouped.format(value);
  if (size >= 10) return value.toFixed(1);
  return value.toFixed(2);
}

export function count(value: number): string {
  if (value < 1e6) return grouped.format(value);
  return value < 1e9 ? `${digits(value / 1e6)} M` : `${digits(value / 1e9)} G`;
}

export function rate(value: number): string {
  return digits(value);
}

/** Milliseconds, in the unit that suits. */
export function duration(ms: number | null | undefined): string {
  if (ms === null || ms === undefined) return NONE;
  if (ms < 0.001) return "< 1 µs";
  if (ms < 1) return `${grouped.format(ms * 1000)} µs`;
  if (ms < 1000) return `${digits(ms)} ms`;
  const seconds = ms / 1000;
  if (seconds < 100) return `${digits(seconds)} s`;
  const minutes = seconds / 60;
  return minutes < 100 ? `${digits(minutes)} min` : `${digits(minutes / 60)} h`;
}

export function percent(value: number | null | undefined): string {
  if (value === null || value === undefined) return NONE;
  if (value === 0 || value === 100) return `${value} %`;
  return `${value < 0.1 ? "< 0.1" : value > 99.9 ? "> 99.9" : value.toFixed(1)} %`;
}

export function bytes(value: number): string {
  let size = value;
  for (const unit of ["B", "KiB", "MiB", "GiB"]) {
    if (size < 1024) return `${unit === "B" ? size : digits(size)} ${unit}`;
    size /= 1024;
  }
  return `${digits(size)} TiB`;
}

export function clock(at: Date): string {
  return at.toLocaleTimeString("en-GB");
}

export function day(at: Date): string {
  return at.toLocaleDateString("en-GB", { day: "numeric", month: "short" });
}

/** A moment of a time of so many seconds: with its day if that isn't clear. */
export function moment(at: Date, seconds: number): string {
  return seconds > 86400 ? `${day(at)} ${clock(at).slice(0, 5)}` : clock(at);
}

/** How long ago. */
export function ago(iso: string, now = Date.now()): string {
  const seconds = Math.max(0, (now - Date.parse(iso)) / 1000);
  if (seconds < 60) return `${Math.floor(seconds)} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ago`;
  return day(new Date(iso));
}

/** A text's white space in one line. */
export function oneLine(text: string): string {
  return text.replace(/\s+/g, " ").trim();
}
