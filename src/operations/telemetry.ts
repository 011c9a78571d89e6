/** Spans and log lines that a run's process exports: read, and handed to the environment whose token the address carries. */
import { readOtelToken } from '../auth/otel-token.ts'
import type { Env } from '../contracts/bindings.ts'
import { OperationError } from '../contracts/errors.ts'
import { locatorOf } from '../contracts/ids.ts'
import type { Caller } from '../contracts/rpc.ts'
import { logsOf, type OtlpLogs, type OtlpTraces, type SpansByRun, spansOf } from '../telemetry/otlp.ts'
import { checkMessage, readLogs, readTraces } from '../telemetry/otlp-protobuf.ts'
import { accessByLocator } from './authenticate.ts'
import { callEnvironment } from './objects.ts'

export const otlpSignals = ['traces', 'logs', 'metrics'] as const
export type OtlpSignal = (typeof otlpSignals)[number]

const protobuf = /^application\/(x-)?protobuf\b/i

export async function telemetryCaller(env: Env, token: string): Promise<Caller> {
  const named = await readOtelToken(env.ROOT_SECRET as string, token)
  const access = named && (await accessByLocator(env, named.locator))
  if (!named || !access) throw new OperationError('UNAUTHENTICATED', 'The address of this exporter is not valid.')
  // The epoch of the address, so that a revoked key ends its telemetry, too.
  return { environment: access.identity, keyEpoch: named.keyEpoch }
}

/** Metrics are read for their form only: nothing serves them yet. */
export function readExport(signal: OtlpSignal, contentType: string, bytes: Uint8Array): SpansByRun {
  const isBinary = protobuf.test(contentType)
  if (!isBinary && !/^application\/json\b/i.test(contentType))
    throw new OperationError('INVALID_REQUEST', 'Telemetry is taken as application/json or application/x-protobuf.')
  try {
    if (isBinary) {
      if (signal === 'traces') return spansOf(readTraces(bytes))
      if (signal === 'logs') return logsOf(readLogs(bytes))
      checkMessage(bytes)
      return {}
    }
    const message = JSON.parse(new TextDecoder().decode(bytes)) as unknown
    if (typeof message !== 'object' || message === null || Array.isArray(message)) throw new Error('It is no JSON object.')
    if (signal === 'traces') return spansOf(message as OtlpTraces)
    return signal === 'logs' ? logsOf(message as OtlpLogs) : {}
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    throw new OperationError('INVALID_REQUEST', `The telemetry cannot be read: ${why}`)
  }
}

/** Runs of other environments are passed over: the address speaks for one. */
export async function storeExport(env: Env, caller: Caller, found: SpansByRun): Promise<void> {
  const { locator } = caller.environment
  const own = Object.fromEntries(Object.entries(found).filter(([runId]) => locatorOf(runId) === locator))
  if (Object.keys(own).length === 0) return
  await callEnvironment(env, locator, '0', (environment) => environment.addSpans(caller, own))
}
