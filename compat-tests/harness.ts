/** What scenarios share: the SDK configured for one project, plain HTTP, and waiting for a condition. */
import { configure, runs, tasks } from '@trigger.dev/sdk'
import { inject } from 'vitest'
import type { Project } from './cli.ts'
import { deployFixture as deployTo, type PlatformProcess } from './platform-process.ts'

export { type PlatformProcess, startPlatform } from './platform-process.ts'

export const endpoints = inject('endpoints')
export const plain = inject('plain')

export function useProject(project: Project): void {
  configure({ baseURL: endpoints.apiUrl, accessToken: project.secretKey, requestOptions: { retry: { maxAttempts: 1 } } })
}

const deployed = new WeakMap<PlatformProcess, Project>()

/** For scenarios with a platform of their own: deploys, and `useEnvironment` then talks to what was deployed last. */
export async function deployFixture(
  platform: PlatformProcess,
  name: string,
  environment?: Parameters<typeof deployTo>[2],
): Promise<Project> {
  const project = await deployTo(platform, name, environment)
  deployed.set(platform, project)
  return project
}

export function useEnvironment(platform: PlatformProcess): void {
  configure({ baseURL: platform.endpoints.apiUrl, accessToken: deployed.get(platform)?.secretKey })
}

export interface Answer {
  status: number
  // biome-ignore lint/suspicious/noExplicitAny: bodies of every route
  body: any
  headers: Headers
}

/** Plain HTTP with the plain project's production key unless told otherwise. */
export async function http(method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Answer> {
  const response = await fetch(endpoints.apiUrl + path, {
    method,
    headers: { authorization: `Bearer ${plain.secretKey}`, 'content-type': 'application/json', ...headers },
    body: body === undefined ? undefined : typeof body === 'string' ? body : JSON.stringify(body),
  })
  const text = await response.text()
  let parsed: unknown = text
  try {
    parsed = JSON.parse(text)
  } catch {}
  return { status: response.status, body: parsed, headers: response.headers }
}

export async function until<T>(probe: () => Promise<T | undefined | false>, what: string, timeoutMs = 30_000): Promise<T> {
  const deadline = Date.now() + timeoutMs
  for (;;) {
    const value = await probe()
    if (value !== undefined && value !== false) return value
    if (Date.now() > deadline) throw new Error(`Waited ${timeoutMs / 1000} s for ${what}`)
    await new Promise((done) => setTimeout(done, 100))
  }
}

type Retrieved = Awaited<ReturnType<typeof runs.retrieve>>

export function finished(id: string, timeoutMs = 40_000): Promise<Retrieved> {
  return until(
    async () => {
      const run = await runs.retrieve(id)
      // Over REST these two never look completed, as upstream.
      return run.isCompleted || run.status === 'EXPIRED' || run.status === 'TIMED_OUT' ? run : undefined
    },
    `${id} to finish`,
    timeoutMs,
  )
}

export function hasStatus(id: string, status: string, timeoutMs = 20_000): Promise<Retrieved> {
  return until(
    async () => {
      const run = await runs.retrieve(id)
      return run.status === status ? run : undefined
    },
    `${id} to be ${status}`,
    timeoutMs,
  )
}

type Options = Parameters<typeof tasks.trigger>[2]

export async function runTask(id: string, payload: unknown = {}, options?: Options): Promise<Retrieved> {
  const handle = await tasks.trigger(id, payload, options)
  return finished(handle.id)
}

let counter = 0
/** A name no other scenario uses. */
export function unique(prefix: string): string {
  return `${prefix}-${process.pid}-${Date.now().toString(36)}-${counter++}`
}

/** A record of the stand-in server: the URL tasks post to, and what they posted. */
export function record(): { url: string; read(): Promise<string[]> } {
  const url = `${inject('standIn')}/record/${unique('r')}`
  return { url, read: async () => (await (await fetch(url)).json()) as string[] }
}
