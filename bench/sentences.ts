/** Understanding sentences among 500 tasks, beside a fuzzy search for the same words (Fuse.js), which finds a task and nothing else. */
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { root } from '../scripts/local-host.ts'
import { catalog } from '../src/core/nl/fixtures/catalog.ts'
import { heldOut } from '../src/core/nl/fixtures/held-out.ts'
import { sentences } from '../src/core/nl/fixtures/sentences.ts'
import type { Sentence, TaskEntry } from '../src/core/nl/sentence.ts'
import { prepareTasks } from '../src/core/nl/task-index.ts'
import { understand } from '../src/core/nl/understand.ts'
import { median, printTable, quantile } from './measure.ts'
import { installOnce } from './peers/trigger-do.ts'

const taskCount = 500
const clock = { now: Date.UTC(2026, 10, 24, 12), timezone: 'UTC' }
const verbs =
  'archive check convert copy export import index merge notify publish refresh render repair send sync validate'.split(' ')
const nouns =
  'account address avatar basket campaign catalog contract coupon customer delivery event feed file invoice ledger message order parcel payment photo price product profile quote refund report review shipment stock ticket'.split(
    ' ',
  )

/** The tasks the sentences are about, among others that share their words. */
function tasks(): TaskEntry[] {
  const others = verbs.flatMap((verb) =>
    nouns.map((noun): TaskEntry => ({ id: `${verb}-${noun}`, fields: [{ name: `${noun}Id`, required: true, type: 'string' }] })),
  )
  const known = new Set(catalog.map(({ id }) => id))
  return [...catalog, ...others.filter(({ id }) => !known.has(id))].slice(0, taskCount)
}

export async function run(share: number): Promise<void> {
  const folder = join(root, 'bench/search')
  installOnce(folder)
  const { default: Fuse } = await import(createRequire(join(folder, 'package.json')).resolve('fuse.js'))
  const entries = tasks()
  const all = [...sentences, ...heldOut].map(([sentence]) => sentence)
  const index = prepareTasks(entries)
  const fuse = new Fuse(entries, { keys: ['id', 'description', 'keywords'], includeScore: true })
  const ours = (sentence: Sentence): unknown => understand(sentence, index, clock)
  const theirs = (sentence: Sentence): unknown => fuse.search(sentence.strings.join(' ').trim(), { limit: 5 })
  const preparing = [() => prepareTasks(entries), () => new Fuse(entries, { keys: ['id', 'description', 'keywords'] })].map(
    (prepare) => median(Array.from({ length: 20 }, () => timed(prepare))),
  )
  const rounds = Math.ceil(50 * share)
  const taken: [number[], number[]] = [[], []]
  for (let round = -3; round < rounds; round++)
    for (const sentence of all)
      for (const [which, read] of [ours, theirs].entries()) {
        const ms = timed(() => read(sentence))
        if (round >= 0) taken[which]?.push(ms)
      }
  const row = (name: string, which: 0 | 1): (string | number)[] => [
    name,
    quantile(taken[which], 0.5),
    quantile(taken[which], 0.99),
    quantile(taken[which], 1),
    preparing[which] as number,
  ]
  printTable(
    `${all.length} sentences, ${rounds} times, among ${entries.length} tasks, ms`,
    ['', 'p50', 'p99', 'longest', 'preparing the tasks'],
    [row('understand (task, payload, time, event)', 0), row('Fuse.js (task only)', 1)],
  )
  console.log(`ratio at p99: ${(quantile(taken[0], 0.99) / quantile(taken[1], 0.99)).toFixed(2)}`)
}

function timed(action: () => unknown): number {
  const startedAt = performance.now()
  action()
  return performance.now() - startedAt
}
