/**
 * Who and where: users, token hashes, organisations, project refs, environment locators. Never on the path of a warm request.
 * What must stay true: a ref belongs to one project, a locator to one project; both are given once.
 */
import { DurableObject } from 'cloudflare:workers'
import type { Env } from '../contracts/bindings.ts'
import { randomText } from '../contracts/ids.ts'
import type { DirectoryObject, LoginRecord, LoginState, ProjectSummary, UserRecord } from '../contracts/objects.ts'
import { judgeProof, loginMs, type Proof, stateOf } from '../core/login/login.ts'

type Row = Record<string, SqlStorageValue>

/** Anybody may ask for a login: this many at a time. */
const openLoginsAtMost = 1_000

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
      CREATE TABLE IF NOT EXISTS logins (id TEXT PRIMARY KEY, created_at INTEGER NOT NULL, record TEXT NOT NULL);
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

  async userByToken(tokenHash: string): Promise<UserRecord | null> {
    return userOf(this.first('SELECT u.* FROM tokens t JOIN users u ON u.id = t.user_id WHERE t.hash = ?', tokenHash))
  }

  async userById(userId: string): Promise<UserRecord | null> {
    return userOf(this.first('SELECT * FROM users WHERE id = ?', userId))
  }

  async renameProject(ref: string, userId: string, name: string): Promise<ProjectSummary | null> {
    this.sql.exec('UPDATE projects SET name = ? WHERE ref = ? AND owner_user_id = ?', name, ref, userId)
    const known = this.first('SELECT * FROM projects WHERE ref = ? AND owner_user_id = ?', ref, userId)
    return known ? this.summary(known) : null
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

  async openLogin(id: string, request: Pick<LoginRecord, 'challenge' | 'callbackPort' | 'client'>): Promise<boolean> {
    const now = Date.now()
    this.sql.exec('DELETE FROM logins WHERE created_at < ?', now - loginMs)
    const open = this.first('SELECT count(*) AS count FROM logins')?.count as number
    if (open >= openLoginsAtMost) return false
    const record: LoginRecord = { ...request, createdAt: now, wrong: 0 }
    this.sql.exec('INSERT INTO logins VALUES (?, ?, ?)', id, now, JSON.stringify(record))
    return true
  }

  async readLogin(id: string): Promise<{ state: LoginState; login?: LoginRecord }> {
    const login = this.login(id)
    return { state: stateOf(login, Date.now()), ...(login ? { login } : {}) }
  }

  async approveLogin(
    id: string,
    tokenHash: string | undefined,
    codeHash: string,
  ): Promise<{ state: LoginState; callbackPort?: number }> {
    const login = this.login(id)
    const state = stateOf(login, Date.now())
    if (!login || state !== 'open') return { state: state === 'approved' ? 'used' : state }
    const user = tokenHash === undefined ? undefined : this.first('SELECT user_id FROM tokens WHERE hash = ?', tokenHash)
    if (user) login.approved = { userId: user.user_id as string, codeHash }
    else login.wrong += 1
    this.putLogin(id, login)
    return {
      state: stateOf(login, Date.now()),
      ...(login.callbackPort === undefined ? {} : { callbackPort: login.callbackPort }),
    }
  }

  async exchangeLogin(id: string, proof: Proof | undefined, tokenHash: string): Promise<'token' | 'wait' | 'wrong' | 'over'> {
    return this.ctx.storage.transactionSync(() => {
      const login = this.login(id)
      const now = Date.now()
      const verdict = judgeProof(login, proof, now)
      if (!login) return verdict
      if (verdict === 'wrong') login.wrong += 1
      if (verdict === 'token') {
        login.usedAt = now
        this.sql.exec('INSERT INTO tokens VALUES (?, ?, ?)', tokenHash, login.approved?.userId as string, now)
      }
      if (verdict === 'wrong' || verdict === 'token') this.putLogin(id, login)
      return verdict
    })
  }

  private login(id: string): LoginRecord | undefined {
    const row = this.first('SELECT record FROM logins WHERE id = ?', id)
    return row ? JSON.parse(row.record as string) : undefined
  }

  private putLogin(id: string, login: LoginRecord): void {
    this.sql.exec('UPDATE logins SET record = ? WHERE id = ?', JSON.stringify(login), id)
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

function userOf(row: Row | undefined): UserRecord | null {
  if (!row) return null
  return {
    userId: row.id as string,
    email: row.email as string,
    organizationId: row.organization_id as string,
    organizationSlug: row.organization_slug as string,
    organizationTitle: row.organization_title as string,
    createdAt: row.created_at as number,
  }
}
