// biome-ignore-all lint/suspicious/noTemplateCurlyInString: sources of callbacks
/** Which callbacks may be recorded: written as programs write them, and read as source. */
import { describe, expect, it } from 'vitest'
import { isRecordable } from './scan.ts'

declare const trigger: (strings: TemplateStringsArray, ...values: unknown[]) => never
declare const x: { tasks: never }
/** Parsed, never run. */
const parse = (source: string): (() => unknown) => new Function(`return (${source}\n)`)()

describe('callbacks that are recorded', () => {
  it.each([
    'file => trigger`process ${file}`',
    '(file) => trigger`process ${file.url} at ${file.meta[0].size}`',
    '({ url, ...rest }) => ({ url, job: trigger`process ${url}` })',
    '([first, second]) => [trigger`a ${first}`, trigger`b ${second}`]',
    'function (file) { return trigger`process ${file}` }',
    'function named(file) { return (trigger`process ${file}`) }',
    'file => { return trigger`process ${file?.url}` }',
    'uploads => uploads.map(u => trigger`thumb ${u}`)',
    'uploads => uploads.items.map((u) => trigger`thumb ${u}`.checkpoint("done").map(t => trigger`publish ${t}`))',
    'x => trigger.tasks.trigger("resize", { x, size: 10 })',
    'x => trigger2.tasks.trigger("resize", x)',
    '/* if */ x => trigger`if (a && b) else ${x} // not a comment` // while',
    "x => ({ 'a && b': \"it's ? !\", y: x.if.delete })",
    'x => trigger`escaped \\` \\${ ? } ${x}`',
    'x => trigger`nested ${`in ${x.name} there`} done`',
    'x => trigger`${{ a: { b: x } }}`',
    'x => ({ a: 1.5e3, b: 0xff, c: [1, 2], d: true, e: null })',
    'x => (0, module.trigger)`a ${x}`',
    'x => module.trigger`a ${x}`',
    '() => trigger`a`',
    'x => [...x]',
  ])('%s', (source) => {
    expect(isRecordable(parse(source))).toBe(true)
  })
})

describe('callbacks that are carried out here', () => {
  it.each([
    'async x => trigger`a ${x}`',
    'async function (x) { return trigger`a ${x}` }',
    'function* (x) { yield x }',
    'x => x.ok ? trigger`a` : trigger`b`',
    'x => x.ok && trigger`a`',
    'x => x.ok || trigger`a`',
    'x => x.a ?? x.b',
    'x => ({ a: !x })',
    'x => x === 1',
    'x => x == null',
    'x => x != 1',
    'x => x < 1',
    'x => x > 1',
    'x => trigger`a ${x + 1}`',
    'x => trigger`a ${x.n * 2}`',
    'x => trigger`a ${x.n - 2}`',
    'x => trigger`a ${x.n / 2}`',
    'x => trigger`a ${x.n % 2}`',
    'x => trigger`a ${x.n ** 2}`',
    'x => trigger`a ${-x.n}`',
    'x => trigger`a ${x.n | 0}`',
    'x => trigger`a ${~x.n}`',
    'x => trigger`a ${x.ok ? 1 : 2}`',
    'x => trigger`a ${`b ${x ? 1 : 2}`}`',
    '(x = 1) => x',
    '({ a = 1 }) => a',
    'x => { if (x) return 1 }',
    'x => { for (;;) {} }',
    'x => { while (0) {} }',
    'x => { switch (x) {} }',
    'x => { try { return x } finally {} }',
    'x => { throw x }',
    'x => new Date(x)',
    'x => typeof x',
    'x => ("a" in x)',
    'x => (x instanceof Date)',
    'x => { delete x.a }',
    'x => { const y = x; return y }',
    'x => { x.a = 1 }',
    'x => x.n++',
    'x => helper(x)',
    'x => lib.helper(x)',
    'x => x.toUpperCase()',
    'x => x.filter(Boolean)',
    'x => x.map(helper)',
    'x => [x].map(helper)',
    'x => x.map?.(y => y)',
    'x => Boolean(x)',
    'x => Array.isArray(x)',
    'x => (() => x)()',
    'x => { console.log(x); return x }',
    'x => tasks.trigger("a", x)',
    'x => sdk.tasks.trigger("a", x)',
    'x => other.trigger("a", x)',
    'x => trigger.with({ tags: ["a"] })`a ${x}`',
    'x => trigger.runs.get(x)',
    'x => this.y',
    'function () { return arguments[0] }',
    'x => import("y")',
    'x => /a/.test(x)',
    'class { constructor(x) {} }',
  ])('%s', (source) => {
    expect(isRecordable(parse(source) as () => unknown)).toBe(false)
  })

  it('native and bound functions, methods', () => {
    expect(isRecordable(String)).toBe(false)
    expect(isRecordable(((y: unknown) => y).bind(undefined))).toBe(false)
    expect(isRecordable({ run: (y: unknown) => y }.run)).toBe(true)
    const methods = {
      run(y: unknown) {
        return y
      },
    }
    expect(isRecordable(methods.run)).toBe(false)
  })

  it('reads what a test runner makes of this file', () => {
    expect(isRecordable((file: unknown) => trigger`process ${file}`)).toBe(true)
    expect(isRecordable((file: { a: number }) => trigger`process ${file.a + 1}`)).toBe(false)
    void (() => x)
  })
})
