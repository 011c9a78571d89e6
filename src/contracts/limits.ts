/** Every number with its unit and source (api-surface.md §7 unless said otherwise). */
export const limits = {
  triggerBodyBytes: 3_145_728,
  batchBodyBytes: 1_000_000,
  batchCreateBodyBytes: 131_072,
  batchItemBytes: 3_145_728,
  batchItemsV1: 500,
  batchItemsV3: 1_000,
  batchItemsOfTask: 100,
  metadataBytes: 262_144,
  metadataBodyBytes: 2_097_152,
  tags: 10,
  tagChars: 128,
  /** What is kept of a batch item over its limit, to read its index and task from. */
  batchItemHeadBytes: 65_536,
  int32: 2_147_483_647,
  externalIdChars: 128,
  tokenCreateBodyBytes: 10_240,
  tokenCompleteBodyBytes: 3_145_728,
  idempotencyKeyChars: 2_048,
  queueConcurrency: 100_000,
  debounceKeyChars: 512,
  /** The SDK documents one second as the least. */
  debounceDelayMs: 1_000,
  /** Design D8: packets up to this size cross to the objects, larger ones go to R2 first. */
  inlinePacketBytes: 32_768,
  /** What one call to an object carries at most (design D8: nothing above 1 MiB crosses an RPC). */
  rpcBytes: 524_288,
  rpcItems: 200,
  /** Our own cap of a deployment bundle: below the 100 MB request limit of Cloudflare's smaller plans. */
  artifactBytes: 94_371_840,
  packetBytes: 20_971_520,
  presignMs: 300_000,
  uploadMs: 900_000,
  idempotencyKeyMs: 30 * 86_400_000,
  listWindowMs: 7 * 86_400_000,
  /** Made over the API, per environment, active or not; the variable SCHEDULE_LIMIT sets another. */
  schedules: 1_000,
  /** Of a schedule's deduplication key, external id and cron expression. Ours: upstream has none. */
  scheduleTextChars: 1_024,
  /** Of one run. */
  checkpoints: 100,
  checkpointBytes: 262_144,
  checkpointNameChars: 128,
  /** How long a request may be held open for a run to change. */
  longPollSeconds: 30,
  sentenceBytes: 262_144,
  bulkRunIds: 500,
  bulkNameChars: 255,
  /** Our own: what one turn of an environment looks through; others wait meanwhile. */
  bulkScannedRuns: 100_000,
  /** Ours: of an import's line. The longest is a run with its logs. */
  importLineBytes: 8_388_608,
  /** Of a run's logs and spans in an import, as text: a row holds two megabytes. */
  importedSpanChars: 1_900_000,
  /** Of one answer of an export; the next one goes on. Within Cloudflare's limits on an upload and on calls of one request. */
  exportRuns: 10_000,
  exportBytes: 67_108_864,
  exportCalls: 800,
  /** Of a stored packet in one line, in bytes. */
  exportPieceBytes: 393_216,
  defaultBodyBytes: 1_048_576,
  /** Outputs over 128 KiB are stored before the attempt ends. */
  completionBodyBytes: 2_097_152,
  telemetryBodyBytes: 5_242_880,
  /** With the sources of all tasks, which are not kept. */
  workerBodyBytes: 33_554_432,
  /** It has to fit into one row. */
  workerIndexBytes: 1_048_576,
  /** What is read of a body over its limit, so that the refusal reaches the client. */
  discardBytes: 33_554_432,
  /** The same of a body nobody began to read. */
  unreadBytes: 1_048_576,
} as const
