import type { Codec } from "../api.js";

/** Operations as they are. */
export const bytes: Codec<Uint8Array> = {
  encode: (value) => {
    // Types are not there in JavaScript, and what is no bytes would fail only where it is sent.
    if (!((value as unknown) instanceof Uint8Array))
      throw new TypeError("an operation is a Uint8Array, or has a codec");
    return value;
  },
  decode: (value) => value,
};

/** Operations as the text of JSON values. */
export function json<T>(): Codec<T> {
  return {
    encode: (value) => {
      const text = JSON.stringify(value) as string | undefined;
      if (text === undefined) throw new TypeError("JSON has no such value");
      return new TextEncoder().encode(text);
    },
    decode: (value) => JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(value)) as T,
  };
}
