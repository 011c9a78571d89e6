import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { expect, it } from 'vitest'
import { applyEdits } from './fresh.ts'
import { linkBundle } from './link.ts'
import { makeBundle } from './sample-bundle.fixture.ts'
import { taskOptionEdits, withoutTaskOptions } from './task-options.ts'

const kept = (source: string): string => applyEdits(source, taskOptionEdits(source)).text

it('hands our options over with a task, on the same lines', () => {
  const source = `function createTask(params2) {
  resourceCatalog.registerTaskMetadata({
    id: params2.id,
    ttl: params2.ttl
  });
}`
  const text = kept(source)
  expect(text.split('\n')).toHaveLength(source.split('\n').length)
  const create = new Function('resourceCatalog', `${text}; return createTask`)
  const seen: unknown[] = []
  create({ registerTaskMetadata: (task: unknown) => seen.push(task) })({ id: 'a', ttl: '1m', rateLimit: { limit: 1 } })
  expect(seen).toEqual([{ id: 'a', ttl: '1m', rateLimit: { limit: 1 } }])
})

it('finds every way in which the installed SDK makes tasks', () => {
  const folder = dirname(createRequire(import.meta.url).resolve('@trigger.dev/sdk/package.json'))
  const source = readFileSync(join(folder, 'dist/esm/v3/shared.js'), 'utf8')
  expect(taskOptionEdits(source)).toHaveLength(source.match(/registerTaskMetadata\(/g)?.length as number)
})

it('says at deploy when an SDK is too different', async () => {
  const sources = { 'src/trigger/a.ts': `import { task } from '@trigger.dev/sdk'\nexport const a = task({ id: 'a' })` }
  const { linked } = linkBundle(await makeBundle({ sources }), 'h')
  expect(linked.warnings).toEqual([withoutTaskOptions])
})
