// steer's page script: for a small share of page views, how long a request takes to the anycast address and to a
// few other addresses of the CDN. It sets and reads no cookie and no storage, sends nothing of the page or of
// the person, and leaves alone whoever wants to save data. What it does: docs/beacon.md.
(() => {
  "use strict";
  const SHARE = __SHARE__, TRIES = 3, WHOLE_MS = 10000, ENTRY_MS = 500;
  const PLAIN = {mode: "cors", credentials: "omit", cache: "no-store", referrerPolicy: "no-referrer"};
  const script = document.currentScript;
  if (!script || !(Math.random() < SHARE)) return;
  const base = new URL(script.src).origin;

  const mayMeasure = () => {
    const link = navigator.connection;
    return !(link && link.saveData) && !matchMedia("(prefers-reduced-data: reduce)").matches &&
      document.visibilityState === "visible";
  };

  const whenLoaded = (task) => {
    if (document.readyState === "complete") task();
    else addEventListener("load", task, {once: true});
  };

  const whenIdle = (task) => {
    if (window.requestIdleCallback) requestIdleCallback(task, {timeout: 5000});
    else setTimeout(task, 1000);
  };

  // The browser's own timing of each request, by URL; null where it keeps that to itself.
  const waiting = new Map();
  const observer = new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) {
      const told = waiting.get(entry.name);
      if (told) told(entry);
    }
  });
  const entryOf = (url) => new Promise((resolve) => {
    const end = (entry) => {
      waiting.delete(url);
      clearTimeout(timer);
      resolve(entry);
    };
    const timer = setTimeout(() => end(null), ENTRY_MS);
    waiting.set(url, end);
  });

  const least = (values) => values.length === TRIES ? Math.min(...values) : null;

  const popOf = (body, entry) => {
    if (body && typeof body.pop === "string") return body.pop;
    const said = entry && entry.serverTiming && entry.serverTiming.find(({name}) => name === "pop");
    return said ? said.description : "";
  };

  // One target: the first request pays for DNS, TCP and TLS and is not counted. Null where it fails, or where
  // two POPs answered in turn.
  const measureTarget = async ({target, url}, signal) => {
    const resource = [], clock = [], pops = new Set();
    try {
      await (await fetch(`${url}?0`, {...PLAIN, signal})).arrayBuffer();
      for (let number = 1; number <= TRIES; number++) {
        const one = new URL(`${url}?${number}`).href;
        const begun = performance.now();
        const response = await fetch(one, {...PLAIN, signal});
        clock.push(performance.now() - begun);
        if (!response.ok) return null;
        const entered = entryOf(one);
        const body = await response.json().catch(() => null);
        const entry = await entered;
        if (entry && entry.requestStart > 0) resource.push(entry.responseStart - entry.requestStart);
        pops.add(popOf(body, entry));
      }
    } catch {
      return null;
    }
    return pops.size === 1 ? {target, pop: [...pops][0], resource: least(resource), clock: least(clock)} : null;
  };

  const shuffle = (items) => {
    for (let last = items.length - 1; last > 0; last--) {
      const other = Math.floor(Math.random() * (last + 1));
      [items[last], items[other]] = [items[other], items[last]];
    }
    return items;
  };

  // Only figures of one kind are sent, since the page's clock adds what the page is busy with.
  const reportOf = (ticket, measured) => {
    const timing = measured.every(({resource}) => resource !== null) ? "resource" : "clock";
    const results = measured.map(({target, pop, resource, clock}) => ({
      target, ...(pop && {pop}), rtt_ms: Math.round((timing === "resource" ? resource : clock) * 1000) / 1000,
      tries: TRIES,
    }));
    return {ticket, timing, results};
  };

  // Not navigator.sendBeacon where it can be helped: that cannot leave cookies out.
  const post = (report) => {
    const body = JSON.stringify(report), url = `${base}/v1/beacon`;
    if ("keepalive" in Request.prototype) fetch(url, {...PLAIN, method: "POST", keepalive: true, body}).catch(() => {});
    else navigator.sendBeacon(url, body);
  };

  const measure = async () => {
    if (!mayMeasure()) return;
    const stop = new AbortController(), measured = [];
    const timer = setTimeout(() => stop.abort(), WHOLE_MS);
    addEventListener("pagehide", () => stop.abort(), {once: true});
    observer.observe({type: "resource"});
    try {
      const answer = await fetch(`${base}/v1/beacon/candidates`, {...PLAIN, signal: stop.signal});
      if (answer.status !== 200) return;
      const {ticket, targets} = await answer.json();
      for (const target of shuffle(targets)) {
        const result = stop.signal.aborted ? null : await measureTarget(target, stop.signal);
        if (result) measured.push(result);
      }
      if (measured.length > 1 && measured.some(({target}) => target === "anycast")) post(reportOf(ticket, measured));
    } catch {
      // Nothing of this concerns the page.
    } finally {
      clearTimeout(timer);
      observer.disconnect();
    }
  };

  whenLoaded(() => whenIdle(measure));
})();
