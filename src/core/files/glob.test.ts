import { describe, expect, it } from 'vitest'
import { compileGlob } from './glob.ts'
import { foldersOf, rangeOf, readPath } from './path.ts'

function match(pattern: string, path: string, hidden = false): boolean {
  const glob = compileGlob(pattern, hidden)
  if ('refusal' in glob) throw new Error(glob.refusal)
  return glob.match(path)
}

describe('globs', () => {
  it.each([
    ['**/*.ts', 'a.ts'],
    ['**/*.ts', 'src/deep/er/a.ts'],
    ['*.ts', 'a.ts'],
    ['src/**', 'src/a/b.txt'],
    ['src/**/index.*', 'src/index.js'],
    ['**/{test,spec}/*.{ts,tsx}', 'a/spec/x.tsx'],
    ['{a,{b,c}}/x', 'c/x'],
    ['file-?.md', 'file-ö.md'],
    ['file-?.md', 'file-😀.md'],
    ['[a-c]*[!0-9]', 'b1x'],
    ['**', 'anything/at/all'],
    ['a*b*c', 'aXbXbc'],
    ['./src/*', 'src/x'],
    ['.github/**', '.github/workflows/ci.yml'],
    ['**/.env', 'a/.env'],
    ['{one}', '{one}'],
    ['a[', 'a['],
  ])('%s fits %s', (pattern, path) => expect(match(pattern, path)).toBe(true))

  it.each([
    ['*.ts', 'src/a.ts'],
    ['**/*.ts', 'a.tsx'],
    ['**/*.ts', '.git/a.ts'],
    ['*', '.env'],
    ['src/**/index.*', 'lib/index.js'],
    ['file-?.md', 'file-10.md'],
    ['[!a]x', 'ax'],
    ['a*b*c', 'aXbXd'],
    ['src', 'src/a'],
    ['a/**/b', 'a/c'],
  ])('%s does not fit %s', (pattern, path) => expect(match(pattern, path)).toBe(false))

  it('hidden files are met when asked for', () => {
    expect(match('**', '.git/config', true)).toBe(true)
    expect(match('*', '.env', true)).toBe(true)
  })

  it('a pattern made to take for ever takes no time', () => {
    const started = performance.now()
    const path = Array.from({ length: 60 }, () => 'a'.repeat(16)).join('/')
    expect(match('**/*a*a*a*a*a*a*a*a*b/'.repeat(20), path)).toBe(false)
    expect(match(`${'a*'.repeat(200)}b`, 'a'.repeat(1000))).toBe(false)
    expect(performance.now() - started).toBeLessThan(500)
  })

  it.each([
    ['', 'empty'],
    ['x'.repeat(600), '512'],
    ['{a,b}'.repeat(7), '64'],
  ])('refuses %s', (pattern, words) => expect(compileGlob(pattern)).toMatchObject({ refusal: expect.stringContaining(words) }))
})

describe('paths', () => {
  it.each([
    ['a/b', '/a/b'],
    ['//a///b/', '/a/b'],
    ['./a', '/a'],
    ['', '/'],
    ['/ä/..b', '/ä/..b'],
  ])('%s is %s', (text, path) => expect(readPath(text)).toEqual({ path }))

  it.each([
    ['../a', '..'],
    ['a\u0000b', 'control'],
    ['a\ud800', 'Unicode'],
    ['x'.repeat(2000), '1024'],
    ['a/'.repeat(65), '64'],
  ])('refuses %j', (text, words) => expect(readPath(text)).toMatchObject({ refusal: expect.stringContaining(words) }))

  it('folders and the range of what is beneath one', () => {
    expect(foldersOf('/a/b/c.txt')).toEqual(['/a', '/a/b'])
    expect(foldersOf('/c.txt')).toEqual([])
    expect(rangeOf('/')).toEqual({ from: '/', to: '0' })
    expect(rangeOf('/a')).toEqual({ from: '/a/', to: '/a0' })
  })
})
