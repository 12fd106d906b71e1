// Alerts and anomalies: those that fire where nobody misses them, and what was.

import { useState } from "preact/hooks";

import { PERFORMANCE, ask, type Alert, type Anomaly, type PlanChange } from "./api";
import { ago, duration, oneLine } from "./format";
import { type Asked } from "./use";

const SHOWN = 12;

const Badge = ({ severity }: { severity: string }) => <span class={`badge ${severity}`}>{severity}</span>;

function Firing({ alert, changed }: { alert: Alert; changed: () => void }) {
  const [problem, say] = useState("");
  const act = async (what: string): Promise<void> => {
    try {
      await ask(`${PERFORMANCE}/alerts/${encodeURIComponent(alert.alert_id)}/${what}`, { method: "POST" });
      say("");
    } catch (error) {
      say((error as Error).message);
    }
    changed();
  };
  return (
    <li class={`firing ${alert.severity}`}>
      <div>
        <p>
          <Badge severity={alert.severity} /> <b>{alert.description}</b>
        </p>
        <p class="quiet">
          began {ago(alert.triggered_at)}
          {alert.acknowledged && ` · ${alert.acknowledged_by || "somebody"} looks after it`}
          {alert.suggested_actions[0] && ` · ${alert.suggested_actions[0]}`}
        </p>
        {problem && <p class="bad">{problem}</p>}
      </div>
      <div class="actions">
        {!alert.acknowledged && (
          <button type="button" onClick={() => act("acknowledge")}>
            Acknowledge
          </button>
        )}
        <button type="button" onClick={() => act("resolve")}>
          Resolve
        </button>
      </div>
    </li>
  );
}

export function FiringAlerts({ alerts, changed }: { alerts: Alert[]; changed: () => void }) {
  if (alerts.length === 0) return null;
  return (
    <section aria-label="Alerts that fire" aria-live="polite">
      <ul class="events">
        {alerts.map((one) => (
          <Firing key={one.alert_id} alert={one} changed={changed} />
        ))}
      </ul>
    </section>
  );
}

interface Event {
  key: string;
  at: string;
  severity: string;
  what: string;
  more: string[];
  template?: string;
}

const of_anomaly = (one: Anomaly): Event => ({
  key: one.anomaly_id,
  at: one.detected_at,
  severity: one.severity,
  what: one.description,
  more: [one.likely_cause, ...one.suggested_actions].filter((text) => text),
  ...(one.affected_queries[0] && { template: one.affected_queries[0] }),
});

const of_alert = (one: Alert): Event => ({
  key: one.alert_id,
  at: one.triggered_at,
  severity: one.severity,
  what: one.description,
  more: [one.resolved_at ? `Over since ${ago(one.resolved_at)}.` : "It fires."],
});

const of_plan_change = (one: PlanChange): Event => ({
  key: one.change_id,
  at: one.detected_at,
  severity: "plan",
  what: one.description,
  more: [
    `p95 ${duration(one.figures_before.p95_ms)} before, ${duration(one.figures_after.p95_ms)} since:`,
    oneLine(one.query).slice(0, 200),
  ],
  template: one.template_id,
});

interface Properties {
  alerts: Asked<{ alerts: Alert[] }>;
  anomalies: Asked<{ anomalies: Anomaly[] }>;
  changes: Asked<{ plan_changes: PlanChange[] }>;
  open: (id: string) => void;
}

export function Events({ alerts, anomalies, changes, open }: Properties) {
  const events = [
    ...(anomalies.data?.anomalies ?? []).map(of_anomaly),
    ...(alerts.data?.alerts ?? []).map(of_alert),
    ...(changes.data?.plan_changes ?? []).map(of_plan_change),
  ]
    .sort((one, other) => other.at.localeCompare(one.at))
    .slice(0, SHOWN);
  const error = anomalies.error ?? alerts.error;
  return (
    <section aria-labelledby="events">
      <div class="title">
        <h2 id="events">Anomalies, alerts, plans</h2>
      </div>
      {events.length === 0 && <p class="quiet">{error ? error.message : "None. What isn't as it usually is, what rules say, and statements that PostgreSQL runs another way than it did appear here."}</p>}
      <ul class="events past">
        {events.map((one) => (
          <li key={one.key}>
            <Badge severity={one.severity} />
            <div>
              <p>{one.what}</p>
              {one.more.length > 0 && <p class="quiet">{one.more.join(" ")}</p>}
              {one.template && (
                <button type="button" class="more" onClick={() => open(one.template!)}>
                  The statement
                </button>
              )}
            </div>
            <time class="quiet" dateTime={one.at}>
              {ago(one.at)}
            </time>
          </li>
        ))}
      </ul>
    </section>
  );
}
