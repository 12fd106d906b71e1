// What REST answers, as far as the page shows it, and how it is asked.

export interface Figures {
  calls: number;
  calls_per_second: number;
  errors: number;
  error_rate: number;
  rows: number;
  bytes: number;
  cache_hits: number;
  cache_misses: number;
  cache_bypasses: number;
  cache_hit_rate: number | null;
  total_time_ms: number;
  time_share: number;
  queue_time_ms: number;
  mean_ms: number | null;
  p50_ms: number | null;
  p95_ms: number | null;
  p99_ms: number | null;
  p999_ms: number | null;
  max_ms: number | null;
}

export interface Template {
  template_id: string;
  query: string;
  kind: string | null;
  figures: Figures;
  sample: { query: string; parameters: (string | null)[]; database: string } | null;
}

export interface Templates {
  templates: Template[];
  total_count: number;
}

export interface Trend {
  at: string[];
  throughput: number[];
  execution_time: (number | null)[];
  p50_ms: (number | null)[];
  p95_ms: (number | null)[];
  p99_ms: (number | null)[];
  error_rate: (number | null)[];
  cache_hit_rate: (number | null)[];
}

export interface Trends {
  step_seconds: number;
  trend: Trend;
  queue_depth: number[];
  concurrency: number[];
  from: string;
  to: string;
}

export interface TemplateDetail {
  performance: Template;
  durations: { from_ms: number; to_ms: number; count: number }[];
  trend: Trend;
  from: string;
  to: string;
  marks: Mark[];
}

/** When its calls began to take longer; milliseconds. */
export interface Mark {
  at: string;
  value: number;
  usual: number;
}

export interface SlowQuery {
  query_id: string;
  query: string;
  duration_ms: number;
  user_id: string;
  database: string;
  application: string;
  rows_processed: number;
  start_time: string;
  error: string | null;
  template_id: string;
  kind: string;
  parameters: (string | null)[];
  queue_ms: number;
  cache_hit: boolean;
  route: string | null;
  plan: Plan | null;
  why_no_plan: string | null;
}

export interface Plan {
  outline: string[];
  total_cost: number;
  estimated_rows: number;
  asked_at: string;
}

interface FiguresAround {
  calls: number;
  p95_ms: number | null;
}

export interface PlanChange {
  change_id: string;
  template_id: string;
  query: string;
  detected_at: string;
  description: string;
  before: Plan;
  after: Plan;
  figures_before: FiguresAround;
  figures_after: FiguresAround;
}

export interface SlowQueries {
  slow_queries: SlowQuery[];
  total_count: number;
}

export interface Anomaly {
  anomaly_id: string;
  severity: Severity;
  detected_at: string;
  description: string;
  likely_cause: string;
  suggested_actions: string[];
  affected_queries: string[];
}

export type Severity = "low" | "medium" | "high" | "critical";

export interface Alert {
  alert_id: string;
  severity: Severity;
  description: string;
  triggered_at: string;
  acknowledged: boolean;
  acknowledged_by: string | null;
  resolved: boolean;
  resolved_at: string | null;
  suggested_actions: string[];
}

/** What survives a restart, and for how long it is kept. */
export interface Kept {
  state: string;
  figures_kept_days: number;
}

export interface Health {
  overall_status: string;
  /** Null: it isn't wanted. */
  services: Record<string, { available: boolean; reason: string | null } | null>;
}

export interface Analysis {
  plan: { total_cost: number; plan_operations: string[]; table_scans: string[] } | null;
  estimated_rows: number | null;
  indexes_used: string[] | null;
  missing_indexes: string[] | null;
  performance_issues: string[] | null;
  optimization_suggestions: string[] | null;
  cache: {
    cacheable: boolean;
    reason: string | null;
    why_not: string | null;
    what_helps: string | null;
    level: string | null;
    dependency_tables: string[] | null;
  };
  warnings: string[];
}

export interface Optimized {
  original_query: string;
  optimized_query: string;
  estimated_improvement_percent: number | null;
  rules: string[];
  rules_not_used: { rule: string; missing: string }[];
}

/** A second's figures, as the WebSocket tells them. */
export interface LiveMetrics {
  at: string;
  throughput: number;
  p50_ms: number | null;
  p95_ms: number | null;
  p99_ms: number | null;
  error_rate: number | null;
  cache_hit_rate: number | null;
  queue_depth: number;
  concurrency: number;
  connections: number;
}

export class ApiError extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

const KEY = "millrace.api-key";

/** For this tab only. */
export const apiKey = {
  get: (): string => sessionStorage.getItem(KEY) ?? "",
  set: (key: string): void => sessionStorage.setItem(KEY, key),
};

export const PERFORMANCE = "/api/v1/performance";

export async function ask<T>(path: string, options: { method?: string; body?: unknown; signal?: AbortSignal } = {}): Promise<T> {
  const headers: Record<string, string> = {};
  if (apiKey.get()) headers["X-API-Key"] = apiKey.get();
  if (options.body !== undefined) headers["Content-Type"] = "application/json";
  const answer = await fetch(path, {
    method: options.method ?? "GET",
    headers,
    body: options.body === undefined ? null : JSON.stringify(options.body),
    signal: options.signal ?? null,
  });
  if (answer.ok) return (answer.status === 204 ? undefined : await answer.json()) as T;
  let why = `HTTP ${answer.status}`;
  try {
    const { detail } = await answer.json();
    why = typeof detail === "string" ? detail : detail.map((one: { msg: string }) => one.msg).join("; ");
  } catch {
    // Whatever stands between has another opinion of errors.
  }
  throw new ApiError(answer.status, why);
}
