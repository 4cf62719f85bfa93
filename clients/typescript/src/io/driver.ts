/** A session on a real connection: sockets, timers, tokens. Nothing else here reads a clock. */

import type { ClientOptions, Refusal, Settings, Status, Transport, WebSocketConstructor } from "../api.js";
import { earliest } from "../session/document.js";
import type { Event } from "../session/event.js";
import { ErrorCode, ownRefusal } from "../session/refusal.js";
import { type Identity, Session } from "../session/session.js";
import type { Connection } from "./connection.js";
import { Endpoint } from "./endpoint.js";
import { connectEvents } from "./events.js";
import { isOnline, watchNetwork } from "./network.js";
import { probeWebSocket } from "./probe.js";
import { Route } from "./route.js";
import { Token } from "./token.js";
import { connectWebSocket } from "./websocket.js";

/** How long after a detour was taken the straight way is looked at, and how often from then on. */
const PROBE_DELAY_MS = 1000;
const PROBE_PERIOD_MS = 5 * 60_000;
/** The longest time that a timer takes. */
const TIMER_MAX_MS = 2 ** 31 - 1;

/** Who is driven along. */
export interface Passenger {
  /** Something has happened. */
  handleEvent(event: Event): void;
  /** There may be something to send. */
  poll(now: number): void;
  pollTimeout(): number | undefined;
  statusChanged(): void;
}

export class Driver {
  readonly session: Session;
  #status: Status = { state: "offline", attempts: 0 };
  readonly #endpoint: Endpoint;
  readonly #route: Route;
  readonly #token: Token;
  readonly #WebSocket: WebSocketConstructor | undefined;
  readonly #started = performance.now();
  readonly #unwatch: () => void;
  #connection: Connection | undefined;
  #transport: Transport | undefined;
  /** Whether the relay has been heard on this connection. */
  #isHeard = false;
  #isOpen = false;
  #isTurning = false;
  #isWoken = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #connectTimer: ReturnType<typeof setTimeout> | undefined;
  /** The application does not want a connection. */
  #isOff: boolean;
  #isReady = false;
  #isClosed = false;
  /** Counts connections: what comes late for an older one is passed over. */
  #generation = 0;
  #probeAt: number | undefined;
  #stopProbe: (() => void) | undefined;
  /** When to show the relay another token. */
  #renewAt: number | undefined;
  /** The token that the relay has refused, until it takes another one. */
  #refusedToken: string | undefined;

  constructor(
    options: ClientOptions,
    settings: Settings,
    identity: Identity,
    readonly passenger: Passenger,
  ) {
    this.#endpoint = new Endpoint(options.url, options.document);
    this.#WebSocket = options.WebSocket ?? (globalThis as { WebSocket?: WebSocketConstructor }).WebSocket;
    const transports = options.transports ?? ["websocket", "events"];
    this.#route = new Route(this.#WebSocket === undefined ? transports.filter((it) => it !== "websocket") : transports);
    this.#token = new Token(options.token);
    this.session = new Session(settings, identity, Math.random, Infinity);
    this.#isOff = options.autoConnect === false;
    if (!this.#isOff) this.#status = { state: "connecting", attempts: 0 };
    this.#unwatch = watchNetwork((online) => this.#networkChanged(online));
  }

  get status(): Status {
    return this.#status;
  }

  /** The session's time. */
  now(): number {
    return performance.now() - this.#started;
  }

  /** The identity is known. */
  ready(): void {
    this.#isReady = true;
    if (!this.#isOff) this.#retry(0);
  }

  connect(): void {
    if (this.#isClosed || this.session.isLive) return;
    this.#isOff = false;
    this.#refusedToken = undefined;
    if (this.#status.state !== "reconnecting") this.#setStatus({ state: "connecting", attempts: 0 });
    if (this.#isReady) this.#retry(0);
  }

  /** Another connection in place of this one, at once. */
  reconnect(): void {
    this.session.dropConnection(this.now());
    if (!this.#isOff) this.#retry(0);
  }

  disconnect(reason = "the application has disconnected"): void {
    if (this.#isClosed || this.#status.state === "stopped") return;
    this.#isOff = true;
    this.session.stop();
    this.#setStatus({ state: "offline", attempts: 0, reason });
    this.wake();
  }

  /** Sends what waits, and ends. */
  close(): void {
    if (this.#isClosed) return;
    this.#turn();
    this.#isOff = true;
    this.session.stop();
    this.#turn();
    this.#isClosed = true;
    this.#unwatch();
    this.#stopProbe?.();
    clearTimeout(this.#timer);
    this.#setStatus({ state: "stopped", attempts: 0, reason: "the client was closed" });
  }

  /** Something is to be done: soon. */
  wake(): void {
    if (this.#isWoken || this.#isClosed) return;
    this.#isWoken = true;
    queueMicrotask(() => {
      this.#isWoken = false;
      this.#turn();
    });
  }

  #retry(delay: number): void {
    this.session.retry(this.now() + delay);
    this.wake();
  }

  #networkChanged(online: boolean): void {
    if (this.#isOff || this.#isClosed || this.#status.state === "stopped") return;
    if (online) {
      this.connect();
    } else {
      // A connection without a network takes long to notice.
      this.session.dropConnection(this.now());
      this.wake();
    }
  }

  #turn(): void {
    if (this.#isTurning || this.#isClosed) return;
    this.#isTurning = true;
    try {
      this.#work(this.now());
    } finally {
      this.#isTurning = false;
      this.#schedule();
    }
  }

  #work(now: number): void {
    this.session.handleTimeout(now);
    this.#tell();
    this.passenger.poll(now);
    this.#transmit(now);
    for (let wish = this.session.pollConnection(now); wish; wish = this.session.pollConnection(now)) {
      if (wish === "disconnect") this.#drop();
      else void this.#connect();
    }
    this.#tell();
    if (this.#renewAt !== undefined && this.#renewAt <= now) void this.#renew();
    if (this.#probeAt !== undefined && this.#probeAt <= now) this.#probe(now);
  }

  #schedule(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const blocked = this.#connection?.isBlocked === true;
    const at = earliest([
      blocked ? undefined : this.session.pollTimeout(),
      this.passenger.pollTimeout(),
      this.#renewAt,
      this.#probeAt,
    ]);
    if (at === undefined || at === Infinity) return;
    const delay = Math.min(Math.max(0, at - this.now()), TIMER_MAX_MS);
    this.#timer = setTimeout(() => this.#turn(), Math.ceil(delay));
  }

  #transmit(now: number): void {
    while (this.#connection !== undefined && this.#isOpen && !this.#connection.isBlocked) {
      const data = this.session.pollTransmit(now);
      if (data === undefined) return;
      this.#connection.send(data);
    }
  }

  #tell(): void {
    for (let event = this.session.pollEvent(); event; event = this.session.pollEvent()) {
      this.#note(event);
      this.passenger.handleEvent(event);
    }
  }

  /** What an event means for the connection. */
  #note(event: Event): void {
    switch (event.type) {
      case "connected": {
        const skewMs = event.serverTimeMs - Date.now();
        const renewAt = this.#token.renewAt(Date.now() + skewMs, this.session.settings.tokenRenewalMs);
        this.#renewAt = renewAt === undefined ? undefined : Math.max(0, renewAt - skewMs - Date.now()) + this.now();
        this.#refusedToken = undefined;
        if (event.isRenewal) return;
        const transport = this.#transport!;
        this.#route.succeeded(transport);
        this.#probeAt = this.#route.isDetour ? this.now() + PROBE_DELAY_MS : undefined;
        return this.#setStatus({ state: "connected", transport, attempts: 0 });
      }
      case "disconnected": {
        this.#renewAt = undefined;
        this.#probeAt = undefined;
        const { attempts } = this.#status;
        const retryAt = Math.round(Date.now() + event.retryAt - this.now());
        const state = isOnline() ? "reconnecting" : "offline";
        this.#setStatus({ ...this.#why, state, retryAt, attempts: attempts + 1 });
        this.#why = {};
        return;
      }
      case "stopped":
        return this.#stopped(event.refusal);
      case "goaway":
        this.#why = { reason: `the relay is stopping: ${event.reason}` };
        return;
      case "violation":
        this.#why = { reason: event.message };
        return;
      case "error":
        if (!this.session.isLive) this.#why = { refusal: event.refusal, reason: event.refusal.message };
        return;
      default:
        return;
    }
  }

  /** Why the connection is about to be lost. */
  #why: { refusal?: Refusal; reason?: string } = {};

  #setStatus(status: Status): void {
    if (status.state === "connected") this.#why = {};
    this.#status = status;
    this.passenger.statusChanged();
  }

  /** The relay has refused this client for good, unless another token helps. */
  #stopped(refusal: Refusal): void {
    this.#renewAt = undefined;
    this.#probeAt = undefined;
    const isToken = refusal.code === ErrorCode.UNAUTHORIZED && this.#token.isRenewable;
    if (!isToken || this.#refusedToken !== undefined || this.#isOff) {
      return this.#setStatus({ state: "stopped", refusal, reason: refusal.message, attempts: 0 });
    }
    this.#refusedToken = this.#token.current;
    const attempts = this.#status.attempts + 1;
    this.#setStatus({ state: "reconnecting", refusal, reason: refusal.message, attempts, retryAt: Date.now() });
    this.#retry(0);
  }

  // ---- the connection

  async #connect(): Promise<void> {
    this.#drop();
    const generation = this.#generation;
    const transport = this.#route.next();
    let token: string | null;
    try {
      token = await this.#token.next(this.#refusedToken === undefined ? "connect" : "refused");
    } catch (error) {
      if (generation !== this.#generation) return;
      this.#why = { reason: `there is no token: ${String(error)}` };
      this.session.handleDisconnected(this.now());
      return this.wake();
    }
    if (generation !== this.#generation || this.#isOff) return;
    const isRefused = this.#refusedToken !== undefined && token === this.#refusedToken;
    if (token === null || isRefused) {
      this.session.stop();
      const before = this.#status.refusal;
      const refusal = isRefused && before ? before : ownRefusal("SIGNED_OUT", "the application gives no token");
      this.#setStatus({ state: "stopped", refusal, reason: refusal.message, attempts: 0 });
      return this.wake();
    }
    this.session.token = token;
    this.#open(transport, generation);
  }

  #open(transport: Transport, generation: number): void {
    this.#transport = transport;
    this.#isHeard = false;
    this.#isOpen = false;
    const mine = (): boolean => generation === this.#generation && !this.#isClosed;
    const closed = (reason: string): void => {
      if (!mine()) return;
      this.#why = { reason, ...this.#why };
      this.#drop();
      this.session.handleDisconnected(this.now());
      this.wake();
    };
    const { connectTimeoutMs, frameBytesMax } = this.session.settings;
    this.#connectTimer = setTimeout(() => closed("the connection could not be opened in time"), connectTimeoutMs);
    const listener = {
      opened: (dialect: Parameters<Session["handleConnected"]>[0]) => {
        if (!mine()) return;
        clearTimeout(this.#connectTimer);
        this.#isOpen = true;
        this.session.handleConnected(dialect, this.now());
        this.wake();
      },
      data: (data: Uint8Array | string) => {
        if (!mine()) return;
        this.#isHeard = true;
        this.session.handleData(data, this.now());
        this.wake();
      },
      closed,
      drained: () => this.wake(),
    };
    try {
      this.#connection =
        transport === "websocket"
          ? connectWebSocket(this.#WebSocket!, this.#endpoint.socket, frameBytesMax, listener)
          : connectEvents(this.#endpoint, listener);
    } catch (error) {
      closed(String(error));
    }
  }

  /** There is no connection any more. */
  #drop(): void {
    if (this.#transport !== undefined && !this.#isHeard && !this.#isOff) {
      this.#route.failed(this.#transport, this.#isOpen);
    }
    this.#generation += 1;
    this.#transport = undefined;
    this.#isOpen = false;
    clearTimeout(this.#connectTimer);
    this.#stopProbe?.();
    this.#stopProbe = undefined;
    this.#connection?.close();
    this.#connection = undefined;
  }

  /** Whether the way that was blocked still is. */
  #probe(now: number): void {
    this.#probeAt = now + PROBE_PERIOD_MS;
    if (this.#WebSocket === undefined) return;
    this.#stopProbe?.();
    this.#stopProbe = probeWebSocket(
      this.#WebSocket,
      this.#endpoint.socket,
      this.session.settings.connectTimeoutMs,
      () => {
        if (!this.session.isLive || this.#transport !== "events") return;
        this.#route.recovered();
        this.session.dropConnection(this.now());
        this.#retry(0);
      },
    );
  }

  async #renew(): Promise<void> {
    this.#renewAt = undefined;
    const generation = this.#generation;
    const before = this.#token.current;
    try {
      const token = await this.#token.next("expiring");
      if (generation !== this.#generation) return;
      if (token !== null && token !== before) this.session.renewToken(token, this.now());
    } catch {
      // Asked again until it is over, and then as for any connection.
      this.#renewAt = this.now() + this.session.settings.reconnectDelayMs;
    }
    this.wake();
  }
}
