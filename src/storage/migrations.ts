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
    `CREATE TABLE bulk_actions (id TEXT PRIMARY KEY, data TEXT NOT NULL, open INTEGER) WITHOUT ROWID`,
    `CREATE INDEX bulk_actions_open ON bulk_actions (id) WHERE open = 1`,
    `CREATE TABLE bulk_action_runs (bulk_action_id TEXT NOT NULL, chunk INTEGER NOT NULL, run_ids TEXT NOT NULL, PRIMARY KEY (bulk_action_id, chunk)) WITHOUT ROWID`,
  ],
]

export function migrateEnvironment(storage: DurableObjectStorage): void {
  const { sql } = storage
  sql.exec('CREATE TABLE IF NOT EXISTS migrations (number INTEGER PRIMARY KEY, applied_at INTEGER NOT NULL)')
  const done = sql.exec<{ number: number | null }>('SELECT max(number) AS number FROM migrations').one().number ?? 0
  environmentMigrations.slice(done).forEach((statements, index) => {
    storage.transactionSync(() => {
      for (const statement of statements) sql.exec(statement)
      sql.exec('INSERT INTO migrations VALUES (?, ?)', done + index + 1, 0)
    })
  })
}
