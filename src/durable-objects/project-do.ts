/**
 * Environments, keys and variables of one project. Keys and variables are stored encrypted under the root secret.
 * What must stay true: an environment exists once per (slug, user, branch); a key or variable change is answered only after
 * EnvironmentDO took it.
 */
import { DurableObject } from 'cloudflare:workers'
import { decrypt, encrypt } from '../auth/crypto.ts'
import { mintSecretKey } from '../auth/keys.ts'
import type { Env } from '../contracts/bindings.ts'
import { mintEnvironmentId, randomText } from '../contracts/ids.ts'
import {
  type DirectoryObject,
  type EnvironmentAccess,
  type EnvironmentObject,
  objectNames,
  type ProjectObject,
  type ProjectSummary,
  type SchedulerObject,
  type TaskObject,
} from '../contracts/objects.ts'
import type { EnvironmentIdentity, EnvironmentSlug, EnvironmentType } from '../contracts/rpc.ts'
import { readRegions, regionOfNew } from '../core/region/places.ts'

type Row = Record<string, SqlStorageValue>

const types: Record<EnvironmentSlug, EnvironmentType> = {
  dev: 'DEVELOPMENT',
  stg: 'STAGING',
  prod: 'PRODUCTION',
  preview: 'PREVIEW',
}
/** How long a rotated key goes on working (api-surface.md §2.1). */
const graceMs = 86_400_000
const keyLabel = 'stored-key'
const variableLabel = 'stored-variable'

export class ProjectDO extends DurableObject<Env> implements ProjectObject {
  private sql: SqlStorage

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env)
    this.sql = ctx.storage.sql
    this.sql.exec(`
      CREATE TABLE IF NOT EXISTS project (id INTEGER PRIMARY KEY CHECK (id = 1), summary TEXT NOT NULL);
      CREATE TABLE IF NOT EXISTS environments (locator TEXT PRIMARY KEY, id TEXT NOT NULL, slug TEXT NOT NULL, user_id TEXT NOT NULL,
        branch TEXT NOT NULL, parent TEXT, key_sealed TEXT, key_epoch INTEGER NOT NULL, git TEXT, created_at INTEGER NOT NULL,
        updated_at INTEGER NOT NULL, archived_at INTEGER);
      CREATE UNIQUE INDEX IF NOT EXISTS environments_live ON environments (slug, user_id, branch) WHERE archived_at IS NULL;
      CREATE TABLE IF NOT EXISTS old_keys (locator TEXT NOT NULL, key_sealed TEXT NOT NULL, expires_at INTEGER NOT NULL);
      CREATE TABLE IF NOT EXISTS variables (locator TEXT NOT NULL, name TEXT NOT NULL, value_sealed TEXT NOT NULL,
        is_secret INTEGER NOT NULL, PRIMARY KEY (locator, name));
      CREATE TABLE IF NOT EXISTS paused (locator TEXT PRIMARY KEY) WITHOUT ROWID;
      CREATE TABLE IF NOT EXISTS regions (locator TEXT PRIMARY KEY, region TEXT NOT NULL) WITHOUT ROWID;
    `)
  }

  async init(summary: ProjectSummary): Promise<void> {
    this.sql.exec('INSERT OR REPLACE INTO project VALUES (1, ?)', JSON.stringify(summary))
  }

  async environment(slug: EnvironmentSlug, userId?: string, branch?: string): Promise<EnvironmentAccess | null> {
    const owner = slug === 'dev' ? (userId ?? this.summary().ownerUserId) : ''
    const root = await this.rootEnvironment(slug, owner)
    if (!branch) return this.access(root)
    const row = this.first(
      'SELECT * FROM environments WHERE slug = ? AND user_id = ? AND branch = ? AND archived_at IS NULL',
      slug,
      owner,
      branch,
    )
    return row ? this.access(row) : null
  }

  async environmentByLocator(locator: string, branch?: string): Promise<EnvironmentAccess | null> {
    const row = this.first('SELECT * FROM environments WHERE locator = ? AND archived_at IS NULL', locator)
    if (!row) return null
    // A branch environment named by its own locator (ids, JWT `sub`), or one that takes no branches.
    if (row.parent !== null || row.slug === 'prod' || row.slug === 'stg') return this.access(row)
    const name = branch && !(row.slug === 'dev' && branch === 'default') ? branch : undefined
    if (!name) return this.access(row)
    const child = this.first('SELECT * FROM environments WHERE parent = ? AND branch = ? AND archived_at IS NULL', locator, name)
    return child ? this.access(child) : null
  }

  async upsertBranch(
    slug: 'preview' | 'dev',
    branch: string,
    userId: string,
    git?: Record<string, unknown>,
  ): Promise<{ id: string }> {
    const owner = slug === 'dev' ? userId : ''
    const parent = await this.rootEnvironment(slug, owner)
    const row = await this.ensure(slug, owner, branch, parent.locator as string)
    this.sql.exec(
      'UPDATE environments SET git = ?, updated_at = ? WHERE locator = ?',
      git ? JSON.stringify(git) : null,
      Date.now(),
      row.locator as string,
    )
    return { id: row.id as string }
  }

  async archiveBranch(slug: 'preview' | 'dev', branch: string): Promise<{ id: string; locator: string } | null> {
    const row = this.first(
      "SELECT * FROM environments WHERE slug = ? AND branch = ? AND branch <> '' AND archived_at IS NULL",
      slug,
      branch,
    )
    if (!row) return null
    this.sql.exec('UPDATE environments SET archived_at = ? WHERE locator = ?', Date.now(), row.locator as string)
    return { id: row.id as string, locator: row.locator as string }
  }

  async listBranches(): Promise<{ id: string; name: string; createdAt: number; updatedAt: number; isPaused: boolean }[]> {
    const rows = this.sql
      .exec<Row>("SELECT * FROM environments WHERE branch <> '' AND archived_at IS NULL ORDER BY created_at DESC")
      .toArray()
    return rows.map((row) => ({
      id: row.id as string,
      name: row.branch as string,
      createdAt: row.created_at as number,
      updatedAt: row.updated_at as number,
      isPaused: this.first('SELECT 1 FROM paused WHERE locator = ?', row.locator as string) !== undefined,
    }))
  }

  /** The list of branches shows what EnvironmentDO took. */
  async setPaused(locator: string, paused: boolean): Promise<void> {
    await this.environmentObject(locator).setPaused(paused)
    if (paused) this.sql.exec('INSERT OR IGNORE INTO paused VALUES (?)', locator)
    else this.sql.exec('DELETE FROM paused WHERE locator = ?', locator)
  }

  async regenerateKey(locator: string, revokeNow = false): Promise<EnvironmentAccess | null> {
    const row = this.first('SELECT * FROM environments WHERE locator = ? AND parent IS NULL', locator)
    if (!row) return null
    const key = await mintSecretKey(this.root(), row.slug as EnvironmentSlug, locator)
    const sealed = await encrypt(this.root(), keyLabel, key)
    this.ctx.storage.transactionSync(() => {
      if (revokeNow) this.sql.exec('DELETE FROM old_keys WHERE locator = ?', locator)
      else this.sql.exec('INSERT INTO old_keys VALUES (?, ?, ?)', locator, row.key_sealed, Date.now() + graceMs)
      // Only a revocation ends the old key at once, so only it moves the epoch; in grace both keys are good.
      const step = revokeNow ? 1 : 0
      this.sql.exec('UPDATE environments SET key_sealed = ?, key_epoch = key_epoch + ? WHERE locator = ?', sealed, step, locator)
    })
    const rows = this.sql.exec<Row>('SELECT * FROM environments WHERE locator = ? OR parent = ?', locator, locator).toArray()
    const epoch = rows.find((entry) => entry.locator === locator)?.key_epoch as number
    if (revokeNow) await Promise.all(rows.map((entry) => this.environmentObject(entry.locator as string).setKeyEpoch(epoch)))
    return this.environmentByLocator(locator)
  }

  async listVariables(locator: string): Promise<{ name: string; value: string; isSecret: boolean }[]> {
    const row = this.first('SELECT * FROM environments WHERE locator = ?', locator)
    if (!row) return []
    const merged = new Map<string, { name: string; value: string; isSecret: boolean }>()
    for (const home of [row.parent, locator]) {
      if (!home) continue
      const variables = this.sql.exec<Row>('SELECT * FROM variables WHERE locator = ? ORDER BY name', home).toArray()
      for (const variable of variables) {
        const value = await decrypt(this.root(), variableLabel, variable.value_sealed as string)
        merged.set(variable.name as string, { name: variable.name as string, value, isSecret: variable.is_secret === 1 })
      }
    }
    return [...merged.values()]
  }

  /** All or nothing, over both environments. */
  async setVariables(
    locator: string,
    variables: Record<string, string>,
    options: { override: boolean; isSecret?: boolean },
    parentVariables: Record<string, string> = {},
  ): Promise<{ conflicts: string[] }> {
    const parent = this.first('SELECT parent FROM environments WHERE locator = ?', locator)?.parent as string | null
    const wanted: [home: string, name: string, sealed: string][] = []
    for (const [home, values] of [
      [locator, variables],
      [parent, parentVariables],
    ] as const) {
      if (!home) continue
      for (const [name, value] of Object.entries(values)) {
        wanted.push([home, name, await encrypt(this.root(), variableLabel, value)])
      }
    }
    const known = (home: string, name: string): Row | undefined =>
      this.first('SELECT is_secret FROM variables WHERE locator = ? AND name = ?', home, name)
    const conflicts = options.override ? [] : wanted.filter(([home, name]) => known(home, name)).map(([, name]) => name)
    if (conflicts.length > 0) return { conflicts }
    this.ctx.storage.transactionSync(() => {
      for (const [home, name, sealed] of wanted) {
        const isSecret = options.isSecret === undefined ? (known(home, name)?.is_secret ?? 0) : options.isSecret ? 1 : 0
        this.sql.exec('INSERT OR REPLACE INTO variables VALUES (?, ?, ?, ?)', home, name, sealed, isSecret)
      }
    })
    await this.pushVariables(parent && Object.keys(parentVariables).length > 0 ? parent : locator)
    return { conflicts: [] }
  }

  async deleteVariable(locator: string, name: string): Promise<boolean> {
    const known = this.first('SELECT 1 FROM variables WHERE locator = ? AND name = ?', locator, name)
    if (!known) return false
    this.sql.exec('DELETE FROM variables WHERE locator = ? AND name = ?', locator, name)
    await this.pushVariables(locator)
    return true
  }

  /** Branches inherit, so they get theirs too. */
  private async pushVariables(locator: string): Promise<void> {
    const rows = this.sql
      .exec<Row>('SELECT * FROM environments WHERE (locator = ? OR parent = ?) AND archived_at IS NULL', locator, locator)
      .toArray()
    for (const row of rows) {
      const list = await this.listVariables(row.locator as string)
      const variables = Object.fromEntries(list.map((variable) => [variable.name, variable.value]))
      await this.environmentObject(row.locator as string).setVariables(this.identity(row), variables)
    }
  }

  private async rootEnvironment(slug: EnvironmentSlug, owner: string): Promise<Row> {
    return this.ensure(slug, owner, '', null)
  }

  private async ensure(slug: EnvironmentSlug, owner: string, branch: string, parent: string | null): Promise<Row> {
    const find = (): Row | undefined =>
      this.first(
        'SELECT * FROM environments WHERE slug = ? AND user_id = ? AND branch = ? AND archived_at IS NULL',
        slug,
        owner,
        branch,
      )
    const known = find()
    if (known) return known
    const projectId = this.summary().id
    for (;;) {
      const locator = randomText(6)
      if (!(await this.directory().registerLocator(locator, projectId))) continue
      const sealed = parent ? null : await encrypt(this.root(), keyLabel, await mintSecretKey(this.root(), slug, locator))
      const region = parent ? this.regionOf(parent) : regionOfNew(readRegions(this.env.REGIONS))
      const meanwhile = find()
      if (meanwhile) return meanwhile
      if (region) await this.makeObjects(locator, region)
      const now = Date.now()
      // A concurrent call may have made it meanwhile: the unique index decides, the loser's locator stays unused.
      this.sql.exec(
        'INSERT OR IGNORE INTO environments VALUES (?, ?, ?, ?, ?, ?, ?, 1, NULL, ?, ?, NULL)',
        locator,
        mintEnvironmentId(locator, now),
        slug,
        owner,
        branch,
        parent,
        sealed,
        now,
        now,
      )
      return find() as Row
    }
  }

  private regionOf(locator: string): string | undefined {
    return this.first('SELECT region FROM regions WHERE locator = ?', locator)?.region as string | undefined
  }

  /**
   * The first call of an object is what makes it, so the place is named here, before anybody knows the environment. RunDO and
   * HistoryDO are made by EnvironmentDO, and so near it.
   */
  private async makeObjects(locator: string, region: string): Promise<void> {
    const locationHint = readRegions(this.env.REGIONS).get(region)
    this.sql.exec('INSERT OR REPLACE INTO regions VALUES (?, ?)', locator, region)
    if (!locationHint) return
    const { ENVIRONMENT, TASK, SCHEDULER } = this.env
    const made = <T>(namespace: DurableObjectNamespace, name: string): T =>
      namespace.get(namespace.idFromName(name), { locationHint }) as unknown as T
    await Promise.all([
      made<EnvironmentObject>(ENVIRONMENT, objectNames.environment(locator)).wake(),
      made<TaskObject>(TASK, objectNames.task(locator)).currentDeployment(),
      made<SchedulerObject>(SCHEDULER, objectNames.scheduler(locator)).wake(),
    ])
  }

  private async access(row: Row): Promise<EnvironmentAccess> {
    const holder = row.parent ? (this.first('SELECT * FROM environments WHERE locator = ?', row.parent) as Row) : row
    const now = Date.now()
    this.sql.exec('DELETE FROM old_keys WHERE expires_at <= ?', now)
    const old = this.sql
      .exec<Row>('SELECT key_sealed FROM old_keys WHERE locator = ? ORDER BY expires_at DESC', holder.locator as string)
      .toArray()
    return {
      identity: this.identity(row),
      apiKey: await decrypt(this.root(), keyLabel, holder.key_sealed as string),
      keyEpoch: holder.key_epoch as number,
      previousKeys: await Promise.all(old.map((entry) => decrypt(this.root(), keyLabel, entry.key_sealed as string))),
    }
  }

  private identity(row: Row): EnvironmentIdentity {
    const project = this.summary()
    const slug = row.slug as EnvironmentSlug
    const region = this.regionOf(row.locator as string)
    return {
      id: row.id as string,
      locator: row.locator as string,
      slug,
      type: types[slug],
      projectId: project.id,
      projectRef: project.ref,
      projectName: project.name,
      organizationId: project.organizationId,
      organizationSlug: project.organizationSlug,
      organizationTitle: project.organizationTitle,
      ...(row.branch ? { branchName: row.branch as string } : {}),
      ...(region ? { region } : {}),
    }
  }

  private summary(): ProjectSummary {
    const row = this.first('SELECT summary FROM project')
    if (!row) throw new Error('The project was not initialised.')
    return JSON.parse(row.summary as string)
  }

  private root(): string {
    if (!this.env.ROOT_SECRET) throw new Error('ROOT_SECRET is not set.')
    return this.env.ROOT_SECRET
  }

  private directory(): DirectoryObject {
    return this.env.DIRECTORY.get(this.env.DIRECTORY.idFromName(objectNames.directory)) as unknown as DirectoryObject
  }

  private environmentObject(locator: string): EnvironmentObject {
    const id = this.env.ENVIRONMENT.idFromName(objectNames.environment(locator))
    return this.env.ENVIRONMENT.get(id) as unknown as EnvironmentObject
  }

  private first(query: string, ...values: SqlStorageValue[]): Row | undefined {
    return this.sql.exec<Row>(query, ...values).toArray()[0]
  }
}
