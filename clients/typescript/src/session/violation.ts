/** The relay did what the protocol forbids. The session reconnects. */
export class Violation extends Error {
  override readonly name = "Violation";

  static unexpected(what: string): Violation {
    return new Violation(`${what} came when nothing asked for it`);
  }

  static revision(document: string, expected: number, found: number): Violation {
    return new Violation(`document ${document}: revision ${found} came where ${expected} was due`);
  }

  static acknowledgement(document: string, sent: number, found: number): Violation {
    return new Violation(`document ${document}: acknowledged up to clock ${found}, but only ${sent} are known`);
  }

  static snapshot(document: string, expected: number, offset: number): Violation {
    return new Violation(`document ${document}: a piece of a snapshot at ${offset} came where ${expected} was due`);
  }
}
