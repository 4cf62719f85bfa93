/** A bad network between clients and a relay: it delays, breaks connections, and can be gone. */

import { createServer, connect, type Server, type Socket } from "node:net";
import { onTestFinished } from "vitest";

export class Proxy {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  /** How long each piece is held up, in milliseconds. */
  delay: () => number = () => 0;
  /** Connections are refused. */
  isGone = false;
  /** What arrives is swallowed, in either direction, and nothing is said. */
  isSilent = false;
  /** What a connection begins with is looked at first: false, and it is broken. */
  admits: (beginning: string) => boolean = () => true;

  private constructor(
    readonly relay: () => string,
    readonly port: number,
    server: Server,
  ) {
    this.#server = server;
  }

  /** `relay`: its address now, HOST:PORT. */
  static async start(relay: () => string): Promise<Proxy> {
    const server = createServer({ noDelay: true });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const proxy = new Proxy(relay, (server.address() as { port: number }).port, server);
    server.on("connection", (socket) => proxy.#take(socket));
    onTestFinished(() => proxy.end());
    return proxy;
  }

  get url(): string {
    return `ws://127.0.0.1:${this.port}`;
  }

  /** Breaks all connections. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  get connections(): number {
    return this.#sockets.size;
  }

  end(): void {
    this.cut();
    this.#server.close();
  }

  #take(client: Socket): void {
    this.#keep(client);
    if (this.isGone) {
      client.destroy();
      return;
    }
    client.once("data", (first) => {
      if (!this.admits(first.toString("latin1"))) {
        client.destroy();
        return;
      }
      const [host, port] = new URL(this.relay().replace(/^ws/, "http")).host.split(":") as [string, string];
      const relay = connect({ host, port: Number(port), noDelay: true });
      this.#keep(relay);
      this.#join(client, relay, first);
      this.#join(relay, client);
    });
  }

  #keep(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on("error", () => socket.destroy());
    socket.on("close", () => this.#sockets.delete(socket));
  }

  #join(from: Socket, to: Socket, first?: Buffer): void {
    let before = Promise.resolve();
    const pass = (data: Buffer): void => {
      const delay = this.delay();
      // In order: each waits for the one before it.
      before = before.then(async () => {
        if (delay > 0) await new Promise((resolve) => setTimeout(resolve, delay));
        if (!this.isSilent && !to.destroyed) to.write(data);
      });
    };
    if (first !== undefined) pass(first);
    from.on("data", pass);
    from.on("close", () => to.destroy());
  }
}
