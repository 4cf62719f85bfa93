/** The documents of a connection, by id and by the handles that this client gives them. */

export class Handles {
  readonly #ids: { id: string; kind: string }[] = [];

  /** The handle of a document, from 1. */
  of(id: string): bigint {
    const index = this.#ids.findIndex((entry) => entry.id === id);
    return BigInt(index < 0 ? this.#ids.push({ id, kind: "" }) : index + 1);
  }

  idOf(handle: bigint): string {
    return this.#entry(handle).id;
  }

  /** What the document's operations are. */
  kindOf(handle: bigint): string {
    return this.#entry(handle).kind;
  }

  setKind(handle: bigint, kind: string): void {
    this.#entry(handle).kind = kind;
  }

  #entry(handle: bigint): { id: string; kind: string } {
    const entry = this.#ids[Number(handle) - 1];
    if (entry === undefined) throw new Error(`there is no handle ${handle}`);
    return entry;
  }
}
