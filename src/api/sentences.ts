/** Sentences and plans: jobs in the words of the one who wants them. */
import { z } from 'zod'
import { OperationError } from '../contracts/errors.ts'
import { limits } from '../contracts/limits.ts'
import { planLimits } from '../contracts/plan.ts'
import type { Caller } from '../contracts/rpc.ts'
import { isFinalStatus } from '../contracts/statuses.ts'
import { triggerOptionsSchema } from '../contracts/trigger.schema.ts'
import type { EnvironmentPrincipal } from '../operations/authenticate.ts'
import { operate } from '../operations/operate.ts'
import { startPlan } from '../operations/plans.ts'
import { waitForRun } from '../operations/runs.ts'
import * as sentences from '../operations/sentences.ts'
import * as responses from './client-responses.ts'
import { presentDetail } from './present-run.ts'
import { environmentOf, forbidden, isModern, originOf, readBody, requireScope, tokenHeaders } from './request.ts'
import { type App, type Ctx, route } from './route.ts'
import { requireParent, triggerContext } from './trigger.ts'

const tag = 'sentences'

const timezone = z
  .string()
  .max(limits.scheduleTextChars)
  .refine(isZone, { error: 'timezone must be an IANA name, such as Europe/Berlin' })
  .optional()
/** Seconds the answer may be held back for the end of the run. */
const wait = z.number().min(0).max(limits.longPollSeconds).optional()
const sentence = z.object({ strings: z.array(z.string()), values: z.array(z.unknown()), timezone })
const sentenceBody = sentence.extend({ wait, options: triggerOptionsSchema.optional() })
const planBody = z.object({ plan: z.unknown(), timezone, wait, options: triggerOptionsSchema.optional() })

export function sentenceRoutes(app: App): void {
  route(
    app,
    {
      method: 'post',
      path: '/api/v1/sentences',
      operationId: 'startSentence',
      summary: 'Do what a sentence says: start a run, make a schedule, or subscribe to an event',
      response: responses.startedSentence,
      tag,
      body: sentenceBody,
    },
    async (c) => {
      const { principal, caller } = await environmentOf(c)
      const body = await readBody(c, sentenceBody, { maxBytes: limits.sentenceBytes })
      requireParent(principal, body.options?.parentRunId)
      const started = await sentences.start(
        c.env,
        caller,
        complete(body),
        body.options,
        triggerContext(c, principal),
        ({ kind, task }) => {
          // A token for a task may run it, not make it run for ever.
          if (kind !== 'run' && principal.scopes) throw forbidden()
          requireScope(c, principal, { task })
        },
      )
      if (started.kind !== 'run') return c.json(started)
      const headers = await tokenHeaders(principal, [`read:runs:${started.id}`], 3_600)
      return c.json({ ...started, ...(await ended(c, principal, caller, started.id, body.wait)) }, 200, headers)
    },
  )

  route(
    app,
    {
      method: 'post',
      path: '/api/v1/sentences/explain',
      operationId: 'explainSentence',
      summary: 'What a sentence would do; nothing is started',
      response: responses.understanding,
      tag,
      body: sentence,
    },
    async (c) => {
      const { principal, caller } = await environmentOf(c)
      requireScope(c, principal)
      const body = await readBody(c, sentence, { maxBytes: limits.sentenceBytes })
      return c.json(await sentences.explain(c.env, caller, complete(body)))
    },
  )

  route(
    app,
    {
      method: 'post',
      path: '/api/v1/sentences/operate',
      operationId: 'operate',
      summary: 'Do what an agent asks for in a sentence: also cancel or replay the runs it describes',
      response: responses.operated,
      tag,
      body: sentence,
    },
    async (c) => {
      const { principal, caller } = await environmentOf(c)
      const body = await readBody(c, sentence, { maxBytes: limits.sentenceBytes })
      return c.json(await operate(c.env, caller, complete(body), triggerContext(c, principal)))
    },
  )

  route(
    app,
    {
      method: 'post',
      path: '/api/v1/plans',
      operationId: 'startPlan',
      summary: 'Start a chain of jobs as one run',
      response: responses.startedPlan,
      tag,
      body: planBody,
    },
    async (c) => {
      const { principal, caller } = await environmentOf(c)
      const body = await readBody(c, planBody, { maxBytes: planLimits.bytes * 2 })
      requireParent(principal, body.options?.parentRunId)
      const started = await startPlan(c.env, caller, body, body.options, triggerContext(c, principal), (task) =>
        requireScope(c, principal, { task }),
      )
      const headers = await tokenHeaders(principal, [`read:runs:${started.id}`], 3_600)
      return c.json({ kind: 'plan', ...started, ...(await ended(c, principal, caller, started.id, body.wait)) }, 200, headers)
    },
  )
}

function complete<S extends { strings: string[]; values: unknown[] }>(sentence: S): S {
  if (sentence.strings.length === sentence.values.length + 1) return sentence
  throw new OperationError('INVALID_REQUEST', 'Validation error: a sentence has one value less than strings at "values"')
}

/** The run, when it ends within the time the caller is willing to wait. */
async function ended(
  c: Ctx,
  principal: EnvironmentPrincipal,
  caller: Caller,
  id: string,
  seconds: number | undefined,
): Promise<{ run?: Record<string, unknown> }> {
  if (!seconds) return {}
  const run = await waitForRun(c.env, caller, id, seconds * 1_000)
  if (!isFinalStatus(run.status)) return {}
  return { run: await presentDetail(c.env, run, principal.access.identity, originOf(c), isModern(c)) }
}

function isZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: name })
    return true
  } catch {
    return false
  }
}
