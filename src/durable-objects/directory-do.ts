/**
 * Who and where: users, token hashes, organisations, project refs, environment locators. Never on the path of a warm request.
 * What must stay true: a ref belongs to one project, a locator to one project; both are given once.
 */
import { DurableObject } from 'cloudflare:workers'
import type { Env } from '../contracts/bindings.ts'
import { randomText } from '../contracts/ids.ts'
import type { DirectoryObject, ProjectSummary } from '../contracts/objects.ts'

type Row = Record<string, SqlStorageValue>

export class DirectoryDO extends DurableObject<Env> implements DirectoryObject {
  private sql: SqlStorage

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env)
    this.sql = ctx.storage.sql
    this.sql.exec(`
      CREATE TABLE IF NOT EXISTS users (id TEXT PRIMARY KEY, email TEXT NOT NULL, organization_id TEXT NOT NULL,
        organization_slug TEXT NOT NULL, organization_title TEXT NOT NULL, created_at INTEGER NOT NULL);
      CREATE TABLE IF NOT EXISTS tokens (hash TEXT PRIMARY KEY, user_id TEXT NOT NULL, created_at INTEGER NOT NULL);
      CREATE TABLE IF NOT EXISTS projects (id TEXT PRIMARY KEY, ref TEXT NOT NULL UNIQUE, name TEXT NOT NULL, slug TEXT NOT NULL,
        owner_user_id TEXT NOT NULL, created_at INTEGER NOT NULL);
      CREATE TABLE IF NOT EXISTS locators (locator TEXT PRIMARY KEY, project_id TEXT NOT NULL);
      CREATE TABLE IF NOT EXISTS timers (environment TEXT PRIMARY KEY, noted_at INTEGER NOT NULL);
      CREATE TABLE IF NOT EXISTS late_timers (name TEXT PRIMARY KEY, not_before INTEGER NOT NULL, noted_at INTEGER NOT NULL);
    `)
  }

  async seed(input: { tokenHash: string; email: string }): Promise<{ userId: string }> {
    return this.ctx.storage.transactionSync(() => {
      const owner = this.first('SELECT id FROM users WHERE email = ?', input.email)
      const userId = (owner?.id as string | undefined) ?? `user${randomText(20)}`
      const now = Date.now()
      if (!owner) {
        const name = input.email.split('@')[0] ?? 'owner'
        const slug = `${name.toLowerCase().replace(/[^a-z0-9]+/g, '-')}-${randomText(4)}`
        this.sql.exec('INSERT INTO users VALUES (?, ?, ?, ?, ?, ?)', userId, input.email, `org${randomText(21)}`, slug, name, now)
      }
      this.sql.exec('INSERT OR IGNORE INTO tokens VALUES (?, ?, ?)', input.tokenHash, userId, now)
      return { userId }
    })
  }

  async userByToken(tokenHash: string): Promise<{
    userId: string
    email: string
    organizationId: string
    organizationSlug: string
    organizationTitle: string
  } | null> {
    const row = this.first('SELECT u.* FROM tokens t JOIN users u ON u.id = t.user_id WHERE t.hash = ?', tokenHash)
    if (!row) return null
    return {
      userId: row.id as string,
      email: row.email as string,
      organizationId: row.organization_id as string,
      organizationSlug: row.organization_slug as string,
      organizationTitle: row.organization_title as string,
    }
  }

  async projectByRef(ref: string, userId: string): Promise<ProjectSummary | null> {
    const known = this.first('SELECT * FROM projects WHERE ref = ?', ref)
    if (known) return known.owner_user_id === userId ? this.summary(known) : null
    return this.insertProject(ref, userId, ref)
  }

  async createProject(userId: string, name: string): Promise<ProjectSummary> {
    let ref = 'proj_'
    for (const byte of crypto.getRandomValues(new Uint8Array(20))) ref += String.fromCharCode(97 + (byte % 26))
    return this.insertProject(ref, userId, name)
  }

  async listProjects(userId: string): Promise<ProjectSummary[]> {
    const rows = this.sql.exec<Row>('SELECT * FROM projects WHERE owner_user_id = ? ORDER BY created_at', userId).toArray()
    return rows.map((row) => this.summary(row))
  }

  async locate(locator: string): Promise<{ projectId: string } | null> {
    const row = this.first('SELECT project_id FROM locators WHERE locator = ?', locator)
    return row ? { projectId: row.project_id as string } : null
  }

  async registerLocator(locator: string, projectId: string): Promise<boolean> {
    this.sql.exec('INSERT OR IGNORE INTO locators VALUES (?, ?)', locator, projectId)
    const row = this.first('SELECT project_id FROM locators WHERE locator = ?', locator)
    return row?.project_id === projectId
  }

  async noteTimers(name: string, notBefore?: number): Promise<void> {
    if (notBefore === undefined) this.sql.exec('INSERT OR REPLACE INTO timers VALUES (?, ?)', name, Date.now())
    else this.sql.exec('INSERT OR REPLACE INTO late_timers VALUES (?, ?, ?)', name, notBefore, Date.now())
  }

  async listTimers(): Promise<{ name: string; notedAt: number }[]> {
    const query = `SELECT environment AS name, noted_at FROM timers
      UNION ALL SELECT name, noted_at FROM late_timers WHERE not_before <= ?`
    const rows = this.sql.exec<Row>(query, Date.now()).toArray()
    return rows.map((row) => ({ name: row.name as string, notedAt: row.noted_at as number }))
  }

  async forgetTimers(name: string, notedAt: number): Promise<void> {
    this.sql.exec('DELETE FROM timers WHERE environment = ? AND noted_at = ?', name, notedAt)
    this.sql.exec('DELETE FROM late_timers WHERE name = ? AND noted_at = ?', name, notedAt)
  }

  private insertProject(ref: string, userId: string, name: string): ProjectSummary {
    const id = `prj${randomText(21)}`
    const slug = `${name.toLowerCase().replace(/[^a-z0-9]+/g, '-')}-${randomText(4)}`
    this.sql.exec('INSERT INTO projects VALUES (?, ?, ?, ?, ?, ?)', id, ref, name, slug, userId, Date.now())
    return this.summary(this.first('SELECT * FROM projects WHERE id = ?', id) as Row)
  }

  private summary(row: Row): ProjectSummary {
    const user = this.first('SELECT * FROM users WHERE id = ?', row.owner_user_id as string) as Row
    return {
      id: row.id as string,
      ref: row.ref as string,
      name: row.name as string,
      slug: row.slug as string,
      createdAt: row.created_at as number,
      organizationId: user.organization_id as string,
      organizationSlug: user.organization_slug as string,
      organizationTitle: user.organization_title as string,
      ownerUserId: row.owner_user_id as string,
    }
  }

  private first(query: string, ...values: SqlStorageValue[]): Row | undefined {
    return this.sql.exec<Row>(query, ...values).toArray()[0]
  }
}
