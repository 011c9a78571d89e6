/**
 * Dollars per unit and million runs (so: dollars per million units), Workers Paid beyond what the plan includes. From the
 * pricing pages of Workers, Durable Objects, Dynamic Workers and Queues, read in November 2026.
 */
export const prices = {
  workerRequest: 0.3,
  cpuMs: 0.02,
  objectRequest: 0.15,
  rowWritten: 1,
  rowRead: 0.001,
  gbSecond: 12.5,
  /** Written, read and deleted: three operations. */
  queueMessage: 1.2,
  /** Dollars per GB and month. */
  gbMonth: 0.2,
}

/** An object is billed for 128 MB whatever it uses. */
export const gbPerObject = 0.128
