import type { Codec } from "../api.js";

/** Operations as they are. */
export const bytes: Codec<Uint8Array> = {
  encode: (value) => value,
  decode: (value) => value,
};

/** Operations as the text of JSON values. */
export function json<T>(): Codec<T> {
  return {
    encode: (value) => new TextEncoder().encode(JSON.stringify(value)),
    decode: (value) => JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(value)) as T,
  };
}
