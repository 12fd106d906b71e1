import { useState } from "preact/hooks";

import { PERFORMANCE, type Template, type Templates } from "./api";
import { count, duration, oneLine, percent, rate } from "./format";
import { oftenEnough, useAsked } from "./use";

type Sort = "total_time" | "calls" | "mean" | "p99" | "errors";

const FEW = 12;
const MANY = 200;

/** Up and Down go from row to row, as they do in a list. */
function move(event: KeyboardEvent): void {
  if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
  const row = (event.target as HTMLElement).closest("tr");
  const next = event.key === "ArrowDown" ? row?.nextElementSibling : row?.previousElementSibling;
  const button = next?.querySelector("button");
  if (!button) return;
  event.preventDefault();
  button.focus();
}

interface HeadProperties {
  name: string;
  by?: Sort;
  sort: Sort;
  choose: (sort: Sort) => void;
  class?: string;
}

function Head({ name, by, sort, choose, class: kind = "number" }: HeadProperties) {
  if (!by) return <th class={kind}>{name}</th>;
  return (
    <th class={kind} aria-sort={sort === by ? "descending" : "none"}>
      <button type="button" onClick={() => choose(by)}>
        {name}
      </button>
    </th>
  );
}

function Row({ one, open }: { one: Template; open: (id: string) => void }) {
  const f = one.figures;
  return (
    <tr onClick={() => open(one.template_id)}>
      <td class="share">
        <span class="bar">
          <i style={{ width: `${f.time_share}%` }} />
        </span>
        {percent(f.time_share)}
      </td>
      <td class="statement">
        <button type="button" data-template={one.template_id} title={one.query.slice(0, 1000)}>
          <code>{one.template_id === "other" ? "all others together" : oneLine(one.query.slice(0, 400))}</code>
        </button>
      </td>
      <td class="number wide">{rate(f.calls_per_second)}</td>
      <td class="number wide">{duration(f.mean_ms)}</td>
      <td class="number wide">{duration(f.p95_ms)}</td>
      <td class="number">{duration(f.p99_ms)}</td>
      <td class="number wide">{percent(f.cache_hit_rate)}</td>
      <td class={`number wide${f.errors > 0 ? " bad" : ""}`}>{percent(f.error_rate)}</td>
    </tr>
  );
}

export function Statements({ minutes, open }: { minutes: number; open: (id: string) => void }) {
  const [sort, choose] = useState<Sort>("total_time");
  const [all, showAll] = useState(false);
  const path = `${PERFORMANCE}/templates?sort=${sort}&window=${minutes}&limit=${all ? MANY : FEW}`;
  const { data, error } = useAsked<Templates>(path, oftenEnough(minutes, 5));
  const [last, keep] = useState<Templates | null>(null);
  if (data && data !== last) keep(data);
  const shown = data ?? last; // until the next order is there
  const head = { sort, choose };
  return (
    <section aria-labelledby="statements">
      <div class="title">
        <h2 id="statements">Statements</h2>
        {shown && shown.total_count > 0 && <p>{count(shown.total_count)} kinds, by their share of all time</p>}
      </div>
      {!shown && <p class="quiet">{error ? error.message : "…"}</p>}
      {shown && shown.templates.length === 0 && <Empty />}
      {shown && shown.templates.length > 0 && (
        <table class="statements" onKeyDown={move}>
          <thead>
            <tr>
              <Head name="Time" by="total_time" class="share" {...head} />
              <Head name="Statement" class="statement" {...head} />
              <Head name="Calls/s" by="calls" class="number wide" {...head} />
              <Head name="Mean" by="mean" class="number wide" {...head} />
              <Head name="p95" class="number wide" {...head} />
              <Head name="p99" by="p99" {...head} />
              <Head name="Hits" class="number wide" {...head} />
              <Head name="Failed" by="errors" class="number wide" {...head} />
            </tr>
          </thead>
          <tbody>
            {shown.templates.map((one) => (
              <Row key={one.template_id} one={one} open={open} />
            ))}
          </tbody>
        </table>
      )}
      {shown && shown.total_count > FEW && (
        <button type="button" class="more" onClick={() => showAll(!all)}>
          {all ? "Show fewer" : `Show ${shown.total_count > MANY ? `the first ${MANY}` : `all ${shown.total_count}`}`}
        </button>
      )}
    </section>
  );
}

function Empty() {
  return (
    <div class="empty">
      <p>
        <b>No queries yet.</b> Point a PostgreSQL driver at this host, at Millrace's port in place of PostgreSQL's:
      </p>
      <pre>psql -h {location.hostname} -p 6432</pre>
      <p>6432 unless LISTEN_PORT says otherwise. Figures appear here within two seconds.</p>
    </div>
  );
}
