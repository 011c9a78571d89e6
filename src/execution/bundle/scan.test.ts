import { parse } from 'acorn'
import { build } from 'esbuild'
import { describe, expect, it } from 'vitest'
import { scanModule } from './scan.ts'

/** Every place where a parser sees one of the names used as a value. */
function parsedReferences(source: string, names: Set<string>): number[] {
  const found = new Set<number>()
  const visit = (node: unknown, key: string, parent: Record<string, unknown> | undefined, own: string[] = []): void => {
    if (Array.isArray(node)) {
      for (const item of node) visit(item, key, parent, own)
      return
    }
    if (!node || typeof node !== 'object' || typeof (node as { type?: unknown }).type !== 'string') return
    const { type, start, name } = node as { type: string; start: number; name?: string }
    if (type === 'ImportDeclaration' || type === 'ExportNamedDeclaration') {
      visit((node as unknown as { declaration: unknown }).declaration, 'declaration', node as never)
      return
    }
    if (type === 'Identifier' && name !== undefined && names.has(name) && !own.includes(name)) {
      const isName =
        (parent?.type === 'MemberExpression' && key === 'property' && !parent.computed) ||
        (['Property', 'MethodDefinition', 'PropertyDefinition'].includes(parent?.type as string) &&
          key === 'key' &&
          !parent?.computed &&
          !parent?.shorthand) ||
        key === 'label'
      if (!isName) found.add(start)
    }
    const id = /^(?:Class|Function)Expression$/.test(type) && (node as { id?: { name: string } | null }).id?.name
    for (const [child, value] of Object.entries(node)) visit(value, child, node as never, id ? [...own, id] : own)
  }
  visit(parse(source, { ecmaVersion: 'latest', sourceType: 'module' }), '', undefined)
  return [...found].sort((a, b) => a - b)
}

const scanned = (source: string, names: string[], skip: { start: number; end: number }[] = []) =>
  scanModule(source, new Set(names), skip)

const hard = `
var r1 = a / 2 / b; if (a) /a b/.test(b); var r2 = [/[/]a/, /\\/a/g];
var o = { a, b: a, a: 1, a() { return b; }, get b() { return a; }, async a() {}, *b() {}, [a]: b, "a": b, ...a, async *[b]() {} };
class K extends a { a = b; static b = a; #a = 1; a() { return this.#a + a; } static { b(); } get [a]() { return #a in b; } static async *a() {} 'b' = 1; }
var t = \`a \${a ? \`\${b}\` : { a }} b\`; x.a.b?.a?.[a]; a?.(b); new a(b); new a; a\`x\`;
switch (a) { case a: b(); default: { a(); } case b ? a : b: break; }
var tern = a ? { a } : b ? a : { b };
outer: for (const k of a) { continue outer; }
for (var q of /a/.exec(b)) a(q);
const f = (p = a, { q: w = b } = {}) => ({ a, b }); const g = function() { return /a/.test(b); } / a;
function h() {} /a/.test(b);
const c2 = class { a() {} }; async () => { await a; for await (const y of b) a(y); };
a++ / b; (a) / b / a; do a(); while (b) /a/.test(b);
var s = 'a' + "b\\"a" + 1.5e3 / a; 1 .a; 5..b; 0xa; 1_0n / a; // a b
/* a */ return_(a); typeof a; void b; o = { if: a, class: b, default: a, get: a, set: b, static: a, async: b };
const own = class a extends b { static { this.x = a; } b() { return a; } }; a(b); const fn = function* b(x = b) { yield b; return a; }; b();
if (a) { b } else { a } ({ a }); { a; b } try { a } catch { b } finally { a } try { a } catch (e) { b }
`

describe('scanModule', () => {
  it('finds the same references as a parser in hard places', () => {
    const names = ['a', 'b']
    expect(scanned(hard, names).references.map((found) => found.start)).toEqual(parsedReferences(hard, new Set(names)))
  })

  it('finds the same references as a parser in a real bundle, minified or not', async () => {
    for (const minify of [false, true]) {
      const { outputFiles } = await build({
        stdin: { contents: `export * from 'zod'; export * from 'hono'; export * from 'cron-parser'`, resolveDir: process.cwd() },
        bundle: true,
        format: 'esm',
        platform: 'node',
        minify,
        keepNames: true,
        write: false,
        target: 'es2022',
      })
      const source = outputFiles?.[0]?.text ?? ''
      // Names declared by top-level functions and variables of the output, as imports of another chunk would be.
      const declarations = minify ? /\b(?:function|class|var) ([\w$]+)/g : /^(?:var|function|let|const) ([\w$]+)/gm
      const names = new Set([...source.matchAll(declarations)].map((match) => match[1] as string))
      names.delete('extends')
      const ends = [...source.matchAll(/export ?\{[^}]*\};?/g)].map((match) => ({
        start: match.index,
        end: match.index + match[0].length,
      }))
      const found = scanned(source, [...names], ends).references.map(({ start }) => start)
      expect(found.length).toBeGreaterThan(2_000)
      expect(found).toEqual(parsedReferences(source, names))
    }
  }, 30_000)

  it('tells calls, shorthand and top-level await', () => {
    const { references } = scanned('a(1); new a(2); f({ a }); b.a(); a?.(); a`x`', ['a'])
    expect(references.map(({ isCall, isShorthand }) => [isCall, isShorthand])).toEqual([
      [true, false],
      [false, false],
      [false, true],
      [true, false],
      [true, false],
    ])
    const has = (source: string) => scanned(source, []).hasTopLevelAwait
    expect(has('await x()')).toBe(true)
    expect(has('for await (const y of x) {}')).toBe(true)
    expect(has('if (a) { await x() }')).toBe(true)
    expect(
      has('const f = async () => { await x() }; class A { async m() { await x() } }; var o = { async m() { await 1 } }'),
    ).toBe(false)
    expect(has('const f = async (x) => await x; g(async () => await y, 1)')).toBe(false)
    expect(has('x.await; ({ await: 1 }); "await"; // await')).toBe(false)
  })
})
