/** Append-only. Each entry runs once, in order, in the transaction that records it. */
const environmentMigrations: string[][] = [
  [
    `CREATE TABLE runs (id TEXT PRIMARY KEY, task TEXT NOT NULL, status TEXT NOT NULL, live INTEGER, parent_id TEXT, batch_id TEXT, data TEXT NOT NULL) WITHOUT ROWID`,
    `CREATE INDEX runs_by_task ON runs (task, id)`,
    `CREATE INDEX runs_live ON runs (id) WHERE live = 1`,
    `CREATE INDEX runs_by_parent ON runs (parent_id, id) WHERE parent_id IS NOT NULL`,
    `CREATE INDEX runs_by_batch ON runs (batch_id, id) WHERE batch_id IS NOT NULL`,
    `CREATE TABLE packets (run_id TEXT PRIMARY KEY, payload TEXT, metadata TEXT, output TEXT, error TEXT, spans TEXT) WITHOUT ROWID`,
    `CREATE TABLE idempotency_keys (task TEXT NOT NULL, key TEXT NOT NULL, run_id TEXT NOT NULL, expires_at INTEGER NOT NULL, PRIMARY KEY (task, key)) WITHOUT ROWID`,
    `CREATE TABLE waitpoints (id TEXT PRIMARY KEY, data TEXT NOT NULL) WITHOUT ROWID`,
    `CREATE TABLE waitpoint_keys (key TEXT PRIMARY KEY, waitpoint_id TEXT NOT NULL, expires_at INTEGER) WITHOUT ROWID`,
    `CREATE TABLE batches (id TEXT PRIMARY KEY, data TEXT NOT NULL) WITHOUT ROWID`,
    `CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID`,
  ],
  [
    `ALTER TABLE batches ADD COLUMN open INTEGER`,
    `UPDATE batches SET open = 1 WHERE json_extract(data, '$.status') NOT IN ('COMPLETED', 'ABORTED')`,
    `CREATE INDEX batches_open ON batches (id) WHERE open = 1`,
    `CREATE INDEX waitpoint_keys_by_waitpoint ON waitpoint_keys (waitpoint_id)`,
  ],
  [
    `CREATE TABLE run_tags (tag TEXT NOT NULL, run_id TEXT NOT NULL, PRIMARY KEY (tag, run_id)) WITHOUT ROWID`,
    `INSERT OR IGNORE INTO run_tags SELECT tagged.value, runs.id FROM runs, json_each(runs.data, '$.tags') AS tagged`,
    `CREATE INDEX runs_by_ending ON runs (status, id) WHERE status IN ('CANCELED', 'COMPLETED_WITH_ERRORS', 'CRASHED', 'EXPIRED', 'INTERRUPTED', 'SYSTEM_FAILURE', 'TIMED_OUT')`,
  ],
  [
    `CREATE TABLE bulk_actions (id TEXT PRIMARY KEY, data TEXT NOT NULL, open INTEGER) WITHOUT ROWID`,
    `CREATE INDEX bulk_actions_open ON bulk_actions (id) WHERE open = 1`,
    `CREATE TABLE bulk_action_runs (bulk_action_id TEXT NOT NULL, chunk INTEGER NOT NULL, run_ids TEXT NOT NULL, PRIMARY KEY (bulk_action_id, chunk)) WITHOUT ROWID`,
  ],
  [
    `CREATE TABLE checkpoints (run_id TEXT NOT NULL, name TEXT NOT NULL, number INTEGER NOT NULL, data TEXT NOT NULL, attempt INTEGER NOT NULL, created_at INTEGER NOT NULL, PRIMARY KEY (run_id, name)) WITHOUT ROWID`,
    `CREATE TABLE event_subscriptions (id TEXT PRIMARY KEY, event TEXT NOT NULL, data TEXT NOT NULL) WITHOUT ROWID`,
    `CREATE INDEX event_subscriptions_by_event ON event_subscriptions (event, id)`,
  ],
  [`CREATE TABLE rate_buckets (bucket TEXT PRIMARY KEY, full_at REAL NOT NULL) WITHOUT ROWID`],
]

const schedulerMigrations: string[][] = [
  // Objects from before there were migrations have these two.
  [
    `CREATE TABLE IF NOT EXISTS schedules (id TEXT PRIMARY KEY, task TEXT NOT NULL UNIQUE, cron TEXT NOT NULL, timezone TEXT NOT NULL, active INTEGER NOT NULL, next_at INTEGER NOT NULL, last_at INTEGER, created_at INTEGER NOT NULL, failures INTEGER NOT NULL DEFAULT 0, retry_at INTEGER)`,
    `CREATE TABLE IF NOT EXISTS state (key TEXT PRIMARY KEY, value TEXT NOT NULL)`,
  ],
  [
    `ALTER TABLE schedules RENAME TO declared`,
    `CREATE TABLE schedules (id TEXT PRIMARY KEY, type TEXT NOT NULL, task TEXT NOT NULL, cron TEXT NOT NULL, timezone TEXT NOT NULL, tick_window TEXT, deduplication_key TEXT UNIQUE, external_id TEXT, active INTEGER NOT NULL, next_at INTEGER NOT NULL, due_at INTEGER, last_at INTEGER, failures INTEGER NOT NULL DEFAULT 0, created_at INTEGER NOT NULL) WITHOUT ROWID`,
    `INSERT INTO schedules (id, type, task, cron, timezone, active, next_at, due_at, last_at, failures, created_at) SELECT id, 'DECLARATIVE', task, cron, timezone, active, next_at, COALESCE(retry_at, next_at), last_at, failures, created_at FROM declared`,
    `DROP TABLE declared`,
    `CREATE UNIQUE INDEX schedules_declared ON schedules (task) WHERE type = 'DECLARATIVE'`,
    `CREATE INDEX schedules_due ON schedules (due_at) WHERE active = 1`,
    `CREATE INDEX schedules_listed ON schedules (created_at, id)`,
  ],
  [`ALTER TABLE schedules ADD COLUMN payload TEXT`],
]

export function migrateEnvironment(storage: DurableObjectStorage): void {
  migrate(storage, environmentMigrations)
}

export function migrateScheduler(storage: DurableObjectStorage): void {
  migrate(storage, schedulerMigrations)
}

function migrate(storage: DurableObjectStorage, migrations: string[][]): void {
  const { sql } = storage
  sql.exec('CREATE TABLE IF NOT EXISTS migrations (number INTEGER PRIMARY KEY, applied_at INTEGER NOT NULL)')
  const done = sql.exec<{ number: number | null }>('SELECT max(number) AS number FROM migrations').one().number ?? 0
  migrations.slice(done).forEach((statements, index) => {
    storage.transactionSync(() => {
      for (const statement of statements) sql.exec(statement)
      sql.exec('INSERT INTO migrations VALUES (?, ?)', done + index + 1, 0)
    })
  })
}
