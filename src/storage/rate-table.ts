/** Buckets of rate limits that are not full: until when. A later time than the true one lets nobody start too early. */
export function putBucket(sql: SqlStorage, bucket: string, fullAt: number): void {
  sql.exec('INSERT OR REPLACE INTO rate_buckets (bucket, full_at) VALUES (?, ?)', bucket, fullAt)
}
export function readBuckets(sql: SqlStorage): { bucket: string; fullAt: number }[] {
  const rows = sql.exec<{ bucket: string; full_at: number }>('SELECT bucket, full_at FROM rate_buckets')
  return [...rows].map((row) => ({ bucket: row.bucket, fullAt: row.full_at }))
}
export function deleteFullBuckets(sql: SqlStorage, now: number): void {
  sql.exec('DELETE FROM rate_buckets WHERE full_at <= ?', now)
}
