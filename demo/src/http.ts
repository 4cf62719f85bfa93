// The relay's HTTP interface. A relay without it answers 404, and the page goes without.

export interface DocumentInfo {
  shard?: number;
}

export class Http {
  constructor(
    private readonly document: string,
    private readonly token: () => string,
  ) {}

  /** Undefined: the relay does not say. */
  async about(): Promise<DocumentInfo | undefined> {
    return (await this.ask("")) as DocumentInfo | undefined;
  }

  private async ask(path: string): Promise<unknown> {
    const token = this.token();
    try {
      const answer = await fetch(`v1/documents/${encodeURIComponent(this.document)}${path}`, {
        headers: token ? { Authorization: `Bearer ${token}` } : {},
      });
      return answer.ok ? await answer.json() : undefined;
    } catch {
      return undefined;
    }
  }
}
