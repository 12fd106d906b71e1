// What the parts of the page have in common: what is asked for again and again, and what is told live.

import { useCallback, useEffect, useRef, useState } from "preact/hooks";

import { ApiError, apiKey, ask, type LiveMetrics } from "./api";

export interface Asked<T> {
  data: T | null; // the last that there was, also while it can't be asked
  error: Error | null;
  again: () => void;
}

/** Asks now, each so many seconds while the page is seen, and when the path changes. Null: there is nothing to ask. */
export function useAsked<T>(path: string | null, seconds: number): Asked<T> {
  const [state, set] = useState<{ path: string | null; data: T | null; error: Error | null }>({ path, data: null, error: null });
  const [round, next] = useState(0);
  useEffect(() => {
    if (path === null) return;
    const end = new AbortController();
    let timer = 0;
    const run = async (): Promise<void> => {
      if (!document.hidden) {
        try {
          const data = await ask<T>(path, { signal: end.signal });
          if (!end.signal.aborted) set({ path, data, error: null });
        } catch (error) {
          if (end.signal.aborted) return;
          set((before) => ({ path, data: before.path === path ? before.data : null, error: error as Error }));
        }
      }
      if (!end.signal.aborted) timer = window.setTimeout(run, seconds * 1000);
    };
    const seen = (): void => {
      if (!document.hidden) {
        clearTimeout(timer);
        void run();
      }
    };
    document.addEventListener("visibilitychange", seen);
    void run();
    return () => {
      end.abort();
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", seen);
    };
  }, [path, seconds, round]);
  const again = useCallback(() => next((n) => n + 1), []);
  return { data: state.path === path ? state.data : null, error: state.error, again };
}

/** How often to ask for what is of so many minutes: what is longer ago than a day takes longer to find, and hardly changes. */
export const oftenEnough = (minutes: number, seconds: number): number => (minutes > 1440 ? 60 : seconds);

export type Connection = "connecting" | "live" | "lost";

export interface Live {
  connection: Connection;
  seconds: LiveMetrics[]; // the newest last
  slow: number; // grows with each slow query
  events: number; // grows with each alert that begins or ends, and each anomaly
  times: number; // how often it was connected
}

const KEPT_SECONDS = 120;
const LONGEST_PAUSE_MS = 15_000;

/** The WebSocket, opened again when it is lost. */
export function useLive(enabled: boolean): Live {
  const [live, set] = useState<Live>({ connection: "connecting", seconds: [], slow: 0, events: 0, times: 0 });
  const attempts = useRef(0);
  useEffect(() => {
    if (!enabled) return;
    let socket: WebSocket | null = null;
    let timer = 0;
    let ended = false;
    const open = (): void => {
      const url = new URL("/api/v1/ws", location.href);
      url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
      const key = apiKey.get();
      socket = key ? new WebSocket(url, ["millrace", `millrace.key.${key}`]) : new WebSocket(url, "millrace");
      socket.onopen = () => {
        attempts.current = 0;
        set((before) => ({ ...before, connection: "live", times: before.times + 1 }));
      };
      socket.onmessage = (message: MessageEvent<string>) => {
        const { type, data } = JSON.parse(message.data) as { type: string; data: LiveMetrics };
        set((before) => {
          if (type === "metrics") return { ...before, seconds: [...before.seconds.slice(1 - KEPT_SECONDS), data] };
          if (type === "slow_query") return { ...before, slow: before.slow + 1 };
          return { ...before, events: before.events + 1 };
        });
      };
      socket.onclose = () => {
        if (ended) return;
        set((before) => ({ ...before, connection: "lost", seconds: [] }));
        timer = window.setTimeout(open, Math.min(500 * 2 ** attempts.current++, LONGEST_PAUSE_MS));
      };
    };
    open();
    return () => {
      ended = true;
      clearTimeout(timer);
      socket?.close();
    };
  }, [enabled]);
  return live;
}

/** Calls it when the value changes, not more often than each so many seconds. */
export function useWhenChanged(value: number, call: () => void, seconds: number): void {
  const last = useRef({ value, at: 0 });
  useEffect(() => {
    if (value === last.current.value) return;
    const wait = Math.max(0, last.current.at + seconds * 1000 - Date.now());
    const timer = window.setTimeout(() => {
      last.current = { value, at: Date.now() };
      call();
    }, wait);
    return () => clearTimeout(timer);
  }, [value, call, seconds]);
}

/** What is in the address after #, so that it can be passed on. */
export function useHash(): [string, (hash: string) => void] {
  const [hash, set] = useState(location.hash.slice(1));
  useEffect(() => {
    const changed = (): void => set(location.hash.slice(1));
    addEventListener("hashchange", changed);
    return () => removeEventListener("hashchange", changed);
  }, []);
  const go = useCallback((to: string) => {
    history.replaceState(null, "", to ? `#${to}` : location.pathname);
    set(to);
  }, []);
  return [hash, go];
}

export const needsKey = (error: Error | null): boolean => error instanceof ApiError && error.status === 401;
