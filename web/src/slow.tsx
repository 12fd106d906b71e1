import { useState } from "preact/hooks";

import { PERFORMANCE, type SlowQueries, type SlowQuery } from "./api";
import { ago, count, duration, oneLine } from "./format";
import { useAsked, useWhenChanged } from "./use";

const SHOWN = 15;

function Row({ one, open }: { one: SlowQuery; open: (id: string) => void }) {
  const [whole, show] = useState(false);
  const who = [`${one.user_id}@${one.database}`, one.application].filter((part) => part).join(" · ");
  return (
    <>
      <tr onClick={() => show(!whole)}>
        <td class="number strong">{duration(one.duration_ms)}</td>
        <td class="statement">
          <button type="button" aria-expanded={whole}>
            <code>{oneLine(one.query)}</code>
          </button>
        </td>
        <td class="wide quiet">{who}</td>
        <td class="number wide">{count(one.rows_processed)}</td>
        <td class="number quiet">
          <time dateTime={one.start_time}>{ago(one.start_time)}</time>
        </td>
      </tr>
      {whole && (
        <tr class="whole">
          <td colSpan={5}>
            <pre class="sql">{one.query}</pre>
            {one.parameters.length > 0 && (
              <p>
                {one.parameters.map((value, at) => (
                  <span class="parameter" key={at}>
                    ${at + 1} = {value === null ? "NULL" : <code>{value}</code>}
                  </span>
                ))}
              </p>
            )}
            {one.plan && <pre>{one.plan.outline.join("\n")}</pre>}
            {one.why_no_plan && <p class="quiet">No plan: {one.why_no_plan}</p>}
            <p class="quiet">
              {who}
              {one.route && ` · ${one.route}`} · {new Date(one.start_time).toLocaleString("en-GB")} · waited{" "}
              {duration(one.queue_ms)} for a connection{one.error && <b class="bad"> · failed: {one.error}</b>}
            </p>
            <button type="button" class="more" onClick={() => open(one.template_id)}>
              All of its kind
            </button>
          </td>
        </tr>
      )}
    </>
  );
}

export function Slow({ told, open }: { told: number; open: (id: string) => void }) {
  const { data, error, again } = useAsked<SlowQueries>(`${PERFORMANCE}/slow-queries?limit=${SHOWN}&min_duration_ms=0`, 15);
  useWhenChanged(told, again, 2);
  return (
    <section aria-labelledby="slow">
      <div class="title">
        <h2 id="slow">Slow queries</h2>
        {data && data.total_count > 0 && (
          <p>
            {data.total_count > SHOWN ? `the slowest ${SHOWN} of ${count(data.total_count)}` : "the slowest first"}
          </p>
        )}
      </div>
      {!data && <p class="quiet">{error ? error.message : "…"}</p>}
      {data && data.total_count === 0 && <p class="quiet">None: nothing took SLOW_QUERY_THRESHOLD_MS or longer.</p>}
      {data && data.total_count > 0 && (
        <table class="slow">
          <thead>
            <tr>
              <th class="number">Took</th>
              <th class="statement">Statement</th>
              <th class="wide">Who</th>
              <th class="number wide">Rows</th>
              <th class="number">When</th>
            </tr>
          </thead>
          <tbody>
            {data.slow_queries.map((one) => (
              <Row key={one.query_id} one={one} open={open} />
            ))}
          </tbody>
        </table>
      )}
    </section>
  );
}
