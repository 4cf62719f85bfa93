import type { Settings } from "../api.js";

const MIB = 1024 * 1024;

export const DEFAULTS: Settings = {
  batchOperationsMax: 50,
  batchBytesMax: MIB / 2,
  batchAgeMaxMs: 100,
  batchPauseMs: 50,
  batchesInFlightMax: 3,
  waitingOperationsMax: 65_536,
  waitingBytesMax: 16 * MIB,
  reconnectDelayMs: 1000,
  reconnectDelayMaxMs: 30_000,
  reconnectFactor: 1.5,
  reconnectJitter: 0.3,
  connectTimeoutMs: 10_000,
  heartbeatPeriodMs: 10_000,
  presencePeriodMinMs: 100,
  pongTimeoutMs: 10_000,
  stallPeriodMs: 5000,
  frameBytesMax: 16 * MIB,
  snapshotBytesMax: 64 * MIB,
  requestsMax: 64,
  tokenRenewalMs: 60_000,
};
