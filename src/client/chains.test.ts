/** Chains: what is recorded is one request, what is not is cut, and both come to the same. */
import { describe, expect, it } from 'vitest'
import { MemoryApi } from './testing.ts'

/** Words of a job → its output; the rest echoes. */
const outputs: Record<string, (values: never[]) => unknown> = {
  'download _': ([url]) => ({ url, bytes: 10, parts: [{ id: 'a' }, { id: 'b' }], tags: null }),
  'fetch uploads': () => ['u1', 'u2', 'u3'],
  'thumb _': ([upload]) => `thumb of ${upload}`,
  'pair up': () => ['left', 'right'],
  'count up': () => 41,
  'say nothing': () => undefined,
}
const work = (words: string, values: unknown[]): unknown =>
  outputs[words] ? outputs[words](values as never[]) : { words, values }

function start(): MemoryApi & { t: MemoryApi['trigger'] } {
  const api = new MemoryApi(work)
  return Object.assign(api, { t: api.trigger })
}

describe('one request', () => {
  it('for a chain of three jobs', async () => {
    const { t, sent, done } = start()
    const result = await t`download ${'http://a'}`
      .map((file) => t`process ${file}`)
      .map((processed) => t`upload ${processed} to CDN`)
    expect(sent.map(({ path }) => path)).toEqual(['/api/v1/plans'])
    expect(done.map(({ words }) => words)).toEqual(['download _', 'process _', 'upload _ to CDN'])
    expect(result).toMatchObject({ values: [{ values: [{ url: 'http://a' }] }] })
  })

  it('for a fan-out and what comes after it', async () => {
    const { t, sent, done } = start()
    const result = await t`fetch uploads`
      .map((uploads: string[]) => uploads.map((u) => t`thumb ${u}`))
      .map((thumbs) => t`gallery ${thumbs}`)
    expect(sent).toHaveLength(1)
    expect(done).toHaveLength(5)
    expect(result.values).toEqual([['thumb of u1', 'thumb of u2', 'thumb of u3']])
  })

  it('for checkpoints, and as the contract writes them', async () => {
    const { t, sent } = start()
    await t`download ${1}`.checkpoint('downloaded').map((data) => t`transform ${data}`)
    expect(sent).toHaveLength(1)
    expect(sent[0]?.body.plan).toEqual({
      $then: {
        of: { $checkpoint: { name: 'downloaded', of: { $run: { strings: ['download ', ''], values: [1] } } } },
        as: 0,
        do: { $run: { strings: ['transform ', ''], values: [{ $var: 0 }] } },
      },
    })
  })

  it('for inner chains, named tasks, objects, arrays and destructuring', async () => {
    const { t, sent } = start()
    const { trigger } = { trigger: t }
    const result = await t`download ${'x'}`.map(({ url, parts: [first], tags }) => ({
      url,
      tags,
      all: [trigger`thumb ${first.id}`.map((thumb) => trigger`publish ${thumb}`), 7],
      named: trigger.tasks.trigger('resize', { of: first, size: 10 }),
    }))
    expect(sent).toHaveLength(1)
    expect(result).toEqual({
      url: 'x',
      tags: null,
      all: [{ words: 'publish _', values: ['thumb of a'] }, 7],
      named: { words: 'resize', values: [{ of: { id: 'a' }, size: 10 }] },
    })
  })

  it('for a fan-out that only changes data, as a value', async () => {
    const { t, sent } = start()
    const result = await t`download ${'x'}`.map((file) => t`zip ${file.parts.map((part: { id: string }) => part.id)}`)
    expect(sent).toHaveLength(1)
    expect(result.values).toEqual([['a', 'b']])
  })

  it('and data that look like a plan mean themselves', async () => {
    const { t, sent } = start()
    const mine = { $var: 3 }
    const result = await t`echo ${mine}`.map((echo) => ({ echo, also: { $task: 'x' }, job: t`again ${{ a: mine }}` }))
    expect(sent).toHaveLength(1)
    expect(result).toEqual({
      echo: { words: 'echo _', values: [mine] },
      also: { $task: 'x' },
      job: { words: 'again _', values: [{ a: mine }] },
    })
  })

  it('with captured values and arrays', async () => {
    const { t, sent } = start()
    const sizes = [1, 2]
    const at = new Date(0)
    const result = await t`download ${'x'}`.map((file) => sizes.map((size) => t`resize ${file.url} to ${size} at ${at}`))
    expect(sent).toHaveLength(1)
    expect(result.map((each: { values: unknown[] }) => each.values)).toEqual([
      ['x', 1, '1970-01-01T00:00:00.000Z'],
      ['x', 2, '1970-01-01T00:00:00.000Z'],
    ])
  })
})

describe('client-side stages', () => {
  it('cut the chain: before, here, after', async () => {
    const api = start()
    const { t } = api
    const result = await t`download ${'x'}`
      .map((file) => t`process ${file}`)
      .map(async (processed) => (await t`check ${processed.words}`).values[0])
      .map((words) => t`first ${words}`)
      .map((r) => t`second ${r}`)
    expect(api.posts().map(({ path }) => path)).toEqual(['/api/v1/plans', '/api/v1/sentences', '/api/v1/plans'])
    expect(result).toMatchObject({ words: 'second _', values: [{ values: ['process _'] }] })
  })

  it.each<[string, (t: MemoryApi['trigger']) => PromiseLike<unknown>, unknown]>([
    ['branch', (t) => t`count up`.map((n) => (n > 40 ? t`many ${n}` : t`few ${n}`)), { words: 'many _', values: [41] }],
    ['arithmetic', (t) => t`count up`.map((n) => t`next ${n + 1}`), { words: 'next _', values: [42] }],
    ['text', (t) => t`count up`.map((n) => t`say ${`n is ${n}`}`), { words: 'say _', values: ['n is 41'] }],
    ['array spread', (t) => t`pair up`.map((pair) => [...pair, 'more']), ['left', 'right', 'more']],
    ['array rest', (t) => t`pair up`.map(([, ...rest]) => rest), ['right']],
    ['object spread', (t) => t`count up`.map((n) => ({ ...[n], n })), { 0: 41, n: 41 }],
    ['methods', (t) => t`pair up`.map((pair) => pair.join('+')), 'left+right'],
    ['index of a fan-out', (t) => t`pair up`.map((p) => p.map((s: string, i: number) => t`at ${[s, i]}`)), undefined],
    ['promises in objects', (t) => t`count up`.map((n) => ({ n: Promise.resolve(n), j: [t`x ${n}`] })), undefined],
    ['a date', (t) => t`count up`.map((n) => ({ n, at: new Date(0) })), { n: 41, at: new Date(0) }],
    ['nothing', (t) => t`count up`.map(() => undefined), undefined],
  ])('%s', async (name, make, expected) => {
    const { t } = start()
    const result = await make(t)
    if (expected !== undefined || name === 'nothing') expect(result).toEqual(expected)
    else expect(JSON.stringify(result)).toMatch(/41|left/)
  })

  it('calls a callback once with the real value, and starts bare statements in it', async () => {
    const api = start()
    const { t, done } = api
    const seen: unknown[] = []
    // biome-ignore lint/suspicious/useIterableCallbackReturn: a bare statement is what is tested
    const result = await t`count up`.map((n) => {
      seen.push(n)
      t`notify ${n}`
    })
    expect(result).toBeUndefined()
    expect(seen).toEqual([41])
    await settled()
    expect(api.posts()).toHaveLength(2)
    expect(done.at(-1)).toEqual({ words: 'notify _', values: [41] })
  })

  it('never lose a job the callback does not return, nor run one twice', async () => {
    const { t, done } = start()
    await t`count up`.map((n) => {
      t`bare ${n}`
      return t`returned ${n}`
    })
    await settled()
    expect(done.map(({ words }) => words).sort()).toEqual(['bare _', 'count up', 'returned _'])
  })

  it('for a job of another instance', async () => {
    const one = start()
    const other = start()
    const result = await one.t`count up`.map((n) => other.t`elsewhere ${n}`)
    expect(result).toEqual({ words: 'elsewhere _', values: [41] })
    expect([one.posts().length, other.posts().length]).toEqual([1, 1])
  })

  it('a change of data at the end of one needs no request', async () => {
    const api = start()
    const { t } = api
    expect(await t`count up`.map((n) => n + 1).map((n) => ({ n }))).toEqual({ n: 42 })
    expect(api.posts()).toHaveLength(1)
  })

  it('takes the value of a stage that is too large for a plan', async () => {
    const api = new MemoryApi((words, values) =>
      words === 'big' ? 'x'.repeat(200_000) : { words, length: String(values[0]).length },
    )
    const result = await api.trigger`big`.map((text) => text + text).map((text) => api.trigger`use ${text}`)
    expect(result).toEqual({ words: 'use _', length: 400_000 })
    expect(api.posts().map(({ path }) => path)).toEqual(['/api/v1/sentences', '/api/v1/sentences'])
  })

  it('rejects when a callback throws, and later stages do not start', async () => {
    const api = start()
    const { t } = api
    const chain = t`count up`
      .map((n) => {
        throw new Error(`not ${n}`)
      })
      .map((n) => t`never ${n}`)
    await expect(chain).rejects.toThrow('not 41')
    expect(api.posts()).toHaveLength(1)
  })

  it('does not go on from a schedule', async () => {
    const { t } = start()
    await expect(t`every day at 3am, run cleanup`.map(async (r) => r)).rejects.toThrow('the sentence made a schedule')
  })
})

describe('branches of a chain', () => {
  it('two of one job: it runs once', async () => {
    const api = start()
    const { t, done } = api
    const base = t`count up`
    const [a, b] = await Promise.all([base.map((n) => t`a ${n}`), base.map((n) => t`b ${n}`)])
    expect([a.values, b.values]).toEqual([[41], [41]])
    expect(done.filter(({ words }) => words === 'count up')).toHaveLength(1)
    expect(api.posts()).toHaveLength(3)
  })

  it('a job that is awaited and mapped runs once', async () => {
    const { t, done } = start()
    const base = t`count up`
    const [n, a] = await Promise.all([base, base.map((n) => t`a ${n}`)])
    expect([n, a.values]).toEqual([41, [41]])
    expect(done).toHaveLength(2)
  })

  it('a job that was sent is where the chain goes on from', async () => {
    const api = start()
    const { t } = api
    const base = t`count up`
    await base
    expect(await base.map((n) => t`a ${n}`).map((n) => t`b ${n}`)).toMatchObject({ words: 'b _' })
    expect(api.posts().map(({ path }) => path)).toEqual(['/api/v1/sentences', '/api/v1/plans'])
  })

  it('a job that became part of a chain says so', async () => {
    const { t, done } = start()
    const base = t`count up`
    await base.map((n) => t`a ${n}`)
    await expect(base).rejects.toThrow('"count up" was sent as a part of the chain')
    await expect(base.cancel()).rejects.toThrow('part of the chain')
    expect(done).toHaveLength(2)
  })
})

describe('refusals in the face of the caller', () => {
  it('while a callback is recorded, and nothing is sent', async () => {
    const { t, sent } = start()
    expect(() => t`count up`.map((n) => t`a ${n} b ${undefined}`)).toThrow('Value 2 of the sentence is undefined.')
    expect(() => t`count up`.map((n) => trigger(t, { n, f: 1n }))).not.toThrow()
    const big = 1n
    expect(() => t`count up`.map((n) => t`a ${{ n, big }}`)).toThrow('Value 1 of the sentence.big is a bigint')
    expect(() => t`count up`.map('x' as never)).toThrow('.map takes a function')
    expect(() => t`count up`.checkpoint('')).toThrow('1 to 128 characters')
    await settled()
    // Only the chain whose callback calls a function, which is cut.
    expect(sent.filter(({ path }) => path !== '/api/v1/sentences')).toEqual([])
  })

  it('a plan the server refuses', async () => {
    const { t } = start()
    const { trigger } = { trigger: t }
    let chain = trigger`one`.map((n: unknown) => trigger`two ${n}`)
    for (let i = 0; i < 60; i++) chain = chain.map((n: unknown) => trigger`more ${n}`)
    await expect(chain).rejects.toMatchObject({ name: 'SentenceError', code: 'PLAN_TOO_DEEP' })
  })
})

function trigger(t: MemoryApi['trigger'], value: unknown): unknown {
  return [t, value].length
}

async function settled(): Promise<void> {
  for (let i = 0; i < 50; i++) await undefined
}
