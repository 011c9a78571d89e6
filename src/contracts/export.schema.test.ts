/** What the document shows as an example is a file this platform takes. */
import { describe, expect, it } from 'vitest'
import { createApp, documentInfo } from '../api/app.ts'
import { exportLineSchema } from './export.schema.ts'

const document = createApp().getOpenAPI31Document(documentInfo) as unknown as {
  paths: Record<string, { post: { requestBody: { content: Record<string, { example: string }> } } }>
}
const example = document.paths['/api/v1/environment/import']?.post.requestBody.content['application/x-ndjson']?.example as string
const lines = example
  .trimEnd()
  .split('\n')
  .map((line) => JSON.parse(line))
const run = lines.find((line) => line.kind === 'run')
const field = (line: unknown): string | undefined => exportLineSchema.safeParse(line).error?.issues[0]?.path.join('.')

describe('lines of an export', () => {
  it('are taken as the document shows them', () => {
    for (const line of lines) expect(exportLineSchema.safeParse(line).error?.issues, JSON.stringify(line)).toBeUndefined()
    expect(lines.map((line) => line.kind)).toEqual(['environment', 'queue', 'schedule', 'run', 'end'])
  })

  it('are refused by the field', () => {
    const changed = (more: object): object => ({ ...run, run: { ...run.run, ...more } })
    expect(field({ kind: 'other' })).toBe('kind')
    expect(field(changed({ id: 'run_1' }))).toBe('run.id')
    expect(field(changed({ status: 'DONE' }))).toBe('run.status')
    expect(field(changed({ completedAt: undefined }))).toBe('run.completedAt')
    expect(field(changed({ createdAt: 'today' }))).toBe('run.createdAt')
    expect(field(changed({ tags: Array.from({ length: 11 }, String) }))).toBe('run.tags')
    expect(field({ ...run, payload: { data: 'x'.repeat(40_000), dataType: 'text/plain' } })).toBe('payload.data')
    expect(field({ ...run, spans: [{ kind: 'span' }] })).toBe('spans.0.traceId')
    expect(field({ ...lines[0], format: 2 })).toBe('format')
  })

  it('lose what is not known here', () => {
    expect(exportLineSchema.parse({ ...run, later: 1, run: { ...run.run, engine: { lease: 1 } } })).toEqual(run)
  })
})
