/** Fake bindings for tests of the HTTP door: one environment, objects made of the methods a test gives. */
import { mintSecretKey } from '../auth/keys.ts'
import type { Env } from '../contracts/bindings.ts'
import { mintEnvironmentId, randomText } from '../contracts/ids.ts'
import type { EnvironmentAccess } from '../contracts/objects.ts'
import type { EnvironmentIdentity, EnvironmentSlug, RunDetail } from '../contracts/rpc.ts'

export const rootSecret = 'a'.repeat(64)
function identityOf(locator: string, slug: EnvironmentSlug = 'prod'): EnvironmentIdentity {
  return {
    id: mintEnvironmentId(locator),
    locator,
    slug,
    type: 'PRODUCTION',
    projectId: 'prj1',
    projectRef: 'proj_test',
    projectName: 'Test',
    organizationId: 'org1',
    organizationSlug: 'org',
    organizationTitle: 'Org',
  }
}

export interface Fakes {
  locator?: string
  environment?: Record<string, unknown>
  directory?: Record<string, unknown>
  project?: Record<string, unknown>
  task?: Record<string, unknown>
}

export async function fakeEnv(fakes: Fakes = {}): Promise<{ env: Env; access: EnvironmentAccess; calls: string[] }> {
  const calls: string[] = []
  // Its own each time: what the Worker remembers about keys outlives a test.
  const locator = fakes.locator ?? randomText(6)
  const access: EnvironmentAccess = {
    identity: identityOf(locator),
    apiKey: await mintSecretKey(rootSecret, 'prod', locator),
    keyEpoch: 1,
    previousKeys: [],
  }
  const namespace = (name: string, methods: Record<string, unknown>): unknown => ({
    idFromName: (id: string) => id,
    get: () =>
      new Proxy(methods, {
        get: (target, method: string) => {
          calls.push(`${name}.${method}`)
          return target[method]
        },
      }),
  })
  const objects = new Map<string, { bytes: Uint8Array; type: string }>()
  const bucket = {
    put: async (key: string, value: string | Uint8Array | ArrayBuffer, options?: { httpMetadata?: { contentType?: string } }) => {
      const bytes = typeof value === 'string' ? new TextEncoder().encode(value) : new Uint8Array(value)
      objects.set(key, { bytes, type: options?.httpMetadata?.contentType ?? '' })
    },
    get: async (key: string) => {
      const found = objects.get(key)
      return found ? { body: found.bytes, size: found.bytes.length, httpMetadata: { contentType: found.type } } : null
    },
    head: async (key: string) => (objects.has(key) ? { checksums: {} } : null),
  }
  const env = {
    ROOT_SECRET: rootSecret,
    RATE_LIMIT: 'off',
    DIRECTORY: namespace('directory', { locate: async () => ({ projectId: 'prj1' }), ...fakes.directory }),
    PROJECT: namespace('project', { environmentByLocator: async () => access, init: async () => undefined, ...fakes.project }),
    ENVIRONMENT: namespace('environment', fakes.environment ?? {}),
    TASK: namespace('task', fakes.task ?? {}),
    BUCKET: bucket,
  } as unknown as Env
  return { env, access, calls }
}

export function runDetail(id: string, extra: Partial<RunDetail> = {}): RunDetail {
  return {
    id,
    task: 'hello',
    status: 'COMPLETED_SUCCESSFULLY',
    createdAt: 1_700_000_000_000,
    updatedAt: 1_700_000_001_000,
    startedAt: 1_700_000_000_500,
    completedAt: 1_700_000_001_000,
    tags: ['b', 'a'],
    queue: 'task/hello',
    depth: 0,
    resumeParentOnCompletion: false,
    attemptNumber: 1,
    priorityMs: 0,
    isTest: false,
    durationMs: 500,
    costInCents: 0,
    baseCostInCents: 0,
    traceId: '0'.repeat(32),
    spanId: '0'.repeat(16),
    version: '20261124.1',
    payload: { data: '{"json":{"when":"2026-01-01T00:00:00.000Z"},"meta":{}}', dataType: 'application/super+json' },
    output: { data: 'done', dataType: 'text/plain' },
    ...extra,
  }
}
