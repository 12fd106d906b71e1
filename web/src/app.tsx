import { useEffect, useState } from "preact/hooks";

import { PERFORMANCE, apiKey, type Alert, type Anomaly, type Health, type Kept, type PlanChange, type Trends } from "./api";
import { Detail } from "./detail";
import { Events, FiringAlerts } from "./events";
import { Overview } from "./overview";
import { Slow } from "./slow";
import { Statements } from "./statements";
import { needsKey, oftenEnough, useAsked, useHash, useLive, useWhenChanged, type Connection } from "./use";

const DAY = 1440;

const RANGES: [number, string][] = [
  [15, "15 min"],
  [60, "1 h"],
  [360, "6 h"],
  [DAY, "24 h"],
  [7 * DAY, "7 d"],
  [30 * DAY, "30 d"],
];

/** Those that are longer than a day are there if figures are kept for so long. */
const offered = (kept: Kept | null): [number, string][] =>
  RANGES.filter(([range]) => range <= DAY || (kept?.state === "open" && range <= kept.figures_kept_days * DAY));

type Verdict = { kind: "good" | "warn" | "bad" | "unknown"; text: string };

function verdict(connection: Connection, health: Health | null, firing: Alert[]): Verdict {
  if (connection === "lost") return { kind: "bad", text: "Millrace can't be reached. Trying again…" };
  if (!health) return { kind: "unknown", text: "…" };
  const { postgresql, ...others } = health.services;
  if (postgresql && !postgresql.available) return { kind: "bad", text: `PostgreSQL can't be reached: ${postgresql.reason ?? ""}` };
  if (firing.length > 0) return { kind: "warn", text: firing.length === 1 ? "1 alert fires" : `${firing.length} alerts fire` };
  const missing = Object.values(others).find((one) => one && !one.available);
  if (missing) return { kind: "warn", text: missing.reason ?? "A part is missing" };
  return { kind: "good", text: "All is well" };
}

function KeyForm() {
  const [key, set] = useState("");
  return (
    <form
      class="key"
      onSubmit={(event) => {
        event.preventDefault();
        apiKey.set(key.trim());
        location.reload();
      }}
    >
      <h1>Millrace</h1>
      <label for="key">{apiKey.get() ? "This API key is not known here. Another one:" : "An API key is needed here."}</label>
      <input id="key" type="password" autocomplete="off" required value={key} onInput={(event) => set(event.currentTarget.value)} />
      <button type="submit">Go on</button>
      <p class="quiet">It is kept until this tab is closed. A new one: millrace api-key</p>
    </form>
  );
}

export function App() {
  const [minutes, setMinutes] = useState(() => Number(sessionStorage.getItem("millrace.minutes")) || 60);
  const [hash, go] = useHash();
  const template = hash.startsWith("statement/") ? decodeURIComponent(hash.slice("statement/".length)) : null;

  const trends = useAsked<Trends>(`${PERFORMANCE}/trends?window=${minutes}`, minutes <= 30 ? 3 : oftenEnough(minutes, 10));
  const denied = needsKey(trends.error);
  const live = useLive(!denied);
  // What is kept is known once the store is open, which may be after the page.
  const [storeKnown, setStoreKnown] = useState(false);
  const status = useAsked<{ store: Kept }>(denied ? null : "/api/v1/optimization/status", storeKnown ? 60 : 2);
  useEffect(() => setStoreKnown((status.data?.store.state ?? "opening") !== "opening"), [status.data]);
  const health = useAsked<Health>("/api/v1/optimization/health", 5);
  const alerts = useAsked<{ alerts: Alert[] }>(denied ? null : `${PERFORMANCE}/alerts?active_only=false`, 10);
  const anomalies = useAsked<{ anomalies: Anomaly[] }>(denied ? null : `${PERFORMANCE}/anomalies`, 10);
  const changes = useAsked<{ plan_changes: PlanChange[] }>(denied ? null : `${PERFORMANCE}/plan-changes`, 15);
  useWhenChanged(live.events, changes.again, 0.5);
  useWhenChanged(live.events, alerts.again, 0.5);
  useWhenChanged(live.events, anomalies.again, 0.5);
  useWhenChanged(live.times, trends.again, 0);
  useWhenChanged(live.times, health.again, 0);
  useWhenChanged(live.times, status.again, 0);

  const firing = (alerts.data?.alerts ?? []).filter((one) => !one.resolved);
  const { kind, text } = verdict(live.connection, health.data, firing);
  useEffect(() => {
    document.title = kind === "good" || kind === "unknown" ? "Millrace" : `! Millrace: ${text}`;
  }, [kind, text]);

  if (denied) return <KeyForm />;
  const choose = (range: number): void => {
    sessionStorage.setItem("millrace.minutes", String(range));
    setMinutes(range);
  };
  const open = (id: string): void => go(`statement/${encodeURIComponent(id)}`);
  return (
    <>
      <a class="skip" href="#statements" onClick={(event) => { event.preventDefault(); document.querySelector<HTMLElement>("[data-template]")?.focus(); }}>
        To the statements
      </a>
      <header class="top">
        <h1>Millrace</h1>
        <p class={`verdict ${kind}`} role="status">
          <i />
          <span>{text}</span>
        </p>
        <fieldset class="ranges" aria-label="Of how long">
          {offered(status.data?.store ?? null).map(([range, name]) => (
            <label key={range}>
              <input type="radio" name="range" checked={range === minutes} onChange={() => choose(range)} />
              <span>{name}</span>
            </label>
          ))}
        </fieldset>
        <p class={`connection ${live.connection}`}>{live.connection === "live" ? "live" : "not live"}</p>
      </header>
      <main class={live.connection === "lost" ? "stale" : ""}>
        <FiringAlerts alerts={firing} changed={alerts.again} />
        {trends.error && live.connection !== "lost" ? (
          <p class="notice">{trends.error.message}</p>
        ) : (
          <Overview trends={trends.data} seconds={live.seconds} minutes={minutes} />
        )}
        <Statements minutes={minutes} open={open} />
        <Slow told={live.slow} open={open} />
        <Events alerts={alerts} anomalies={anomalies} changes={changes} open={open} />
      </main>
      {template && <Detail key={template} id={template} minutes={minutes} close={() => go("")} />}
    </>
  );
}
