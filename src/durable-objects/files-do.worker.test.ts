/// <reference types="@cloudflare/vitest-plugin/types" />
import { abortAllDurableObjects, runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test'
import { describe, expect, it } from 'vitest'
import { fileLimits } from '../contracts/files.ts'
import { randomText } from '../contracts/ids.ts'
import type { EnvironmentIdentity } from '../contracts/rpc.ts'
import { globFiles, listFolder, readFile, removeFiles, statFile, writeFile, writeFiles } from '../operations/files.ts'
import { putGarbage } from '../storage/file-table.ts'
import type { FilesDO } from './files-do.ts'
import { bindings, newIdentity } from './testing.ts'

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
const large = new Uint8Array(fileLimits.inlineBytes + 1).fill(7)

async function read(identity: EnvironmentIdentity, path: string): Promise<Uint8Array> {
  const { body } = await readFile(bindings, identity, path)
  return new Uint8Array(await new Response(body as BodyInit).arrayBuffer())
}
const list = async (identity: EnvironmentIdentity, path: string, limit = 1_000): Promise<string[]> => {
  const names: string[] = []
  for (let after: string | undefined; ; ) {
    const { entries, next } = await listFolder(bindings, identity, path, after, limit)
    names.push(...entries.map(({ path, type }) => (type === 'file' ? path : `${path}/`)))
    if (!next) return names
    after = next
  }
}
const stub = (identity: EnvironmentIdentity): DurableObjectStub<FilesDO> =>
  bindings.FILES.get(bindings.FILES.idFromName(identity.locator)) as DurableObjectStub<FilesDO>
const objects = async (identity: EnvironmentIdentity): Promise<string[]> =>
  (await bindings.BUCKET.list({ prefix: `files/${identity.projectId}/` })).objects.map(({ key }) => key)

describe('the file tree', () => {
  it('keeps small files in rows and large ones in the bucket, over a reset', async () => {
    const identity = newIdentity()
    await writeFile(bindings, identity, '/a.txt', bytes('small'))
    await writeFile(bindings, identity, '/b.bin', large)
    expect(await objects(identity)).toHaveLength(1)
    await abortAllDurableObjects()
    expect(new TextDecoder().decode(await read(identity, '/a.txt'))).toBe('small')
    expect(await read(identity, '/b.bin')).toEqual(large)
    expect(await statFile(bindings, identity, '/b.bin')).toMatchObject({ type: 'file', size: large.length })
  })

  it('lists folders by page, each child once, and finds by pattern', async () => {
    const identity = newIdentity()
    const paths = ['/a', '/a.d/x', '/a.d/y/z', '/b-/1', '/b/2', '/b/3', '/b/.hidden/4', '/c']
    await writeFiles(
      bindings,
      identity,
      paths.map((path) => ({ path, bytes: bytes(path) })),
    )
    const expected = ['/a', '/a.d/', '/b-/', '/b/', '/c']
    for (const limit of [1, 2, 1_000]) expect(await list(identity, '/', limit)).toEqual(expected)
    for (const limit of [1, 2, 1_000]) expect(await list(identity, '/b', limit)).toEqual(['/b/.hidden/', '/b/2', '/b/3'])
    await expect(list(identity, '/none')).rejects.toThrow('There is no folder /none.')
    const glob = async (root: string, pattern: string, hidden = false): Promise<string[]> =>
      (await globFiles(bindings, identity, root, pattern, { limit: 1_000, hidden })).entries.map(({ path }) => path)
    expect(await glob('/', '**')).toEqual(['/a', '/a.d/x', '/a.d/y/z', '/b-/1', '/b/2', '/b/3', '/c'])
    expect(await glob('/b', '**', true)).toEqual(['/b/.hidden/4', '/b/2', '/b/3'])
    expect(await glob('/a.d', '*')).toEqual(['/a.d/x'])
    const first = await globFiles(bindings, identity, '/', '**', { limit: 3, hidden: false })
    expect(first.next).toBe('/a.d/y/z')
    const second = await globFiles(bindings, identity, '/', '**', { limit: 3, hidden: false, after: first.next })
    expect(second.entries.map(({ path }) => path)).toEqual(['/b-/1', '/b/2', '/b/3'])
  })

  it('never makes a path both file and folder, and a refused write changes nothing', async () => {
    const identity = newIdentity()
    await writeFile(bindings, identity, '/a/b', bytes('1'))
    await expect(writeFile(bindings, identity, '/a', bytes('2'))).rejects.toThrow('/a is a folder')
    await expect(writeFile(bindings, identity, '/a/b/c', bytes('2'))).rejects.toThrow('/a/b is a file')
    const two = [
      { path: '/d', bytes: bytes('2') },
      { path: '/d/e', bytes: bytes('2') },
    ]
    await expect(writeFiles(bindings, identity, two)).rejects.toThrow('/d is a file')
    expect(await list(identity, '/')).toEqual(['/a/'])
  })

  it('a folder of more than one transaction is removed whole', async () => {
    const identity = newIdentity()
    const files = Array.from({ length: fileLimits.removedRows }, (_, n) => ({ path: `/many/${n}`, bytes: bytes('x') }))
    await writeFiles(bindings, identity, files)
    await writeFile(bindings, identity, '/kept', bytes('x'))
    await expect(removeFiles(bindings, identity, '/many', false)).rejects.toThrow('with recursive')
    expect(await removeFiles(bindings, identity, '/many', true)).toBe(fileLimits.removedRows)
    await expect(removeFiles(bindings, identity, '/many', true)).rejects.toThrow('no file or folder')
    expect(await list(identity, '/')).toEqual(['/kept'])
  })

  it('objects of the bucket live while somebody may read them, and go in the end', async () => {
    const identity = newIdentity()
    await writeFile(bindings, identity, '/f', large)
    await writeFile(bindings, identity, '/f', large)
    // A reader that began before.
    expect(await objects(identity)).toHaveLength(2)
    expect(await runDurableObjectAlarm(stub(identity))).toBe(true)
    expect(await objects(identity), 'too early').toHaveLength(2)
    const makeDue = (): Promise<void> =>
      runInDurableObject(stub(identity), (_, { storage }) => {
        storage.sql.exec('UPDATE garbage SET due_at = 1')
      })
    await makeDue()
    await runDurableObjectAlarm(stub(identity))
    expect(await objects(identity)).toHaveLength(1)
    expect(await read(identity, '/f')).toEqual(large)
    await removeFiles(bindings, identity, '/f', false)
    await makeDue()
    await runDurableObjectAlarm(stub(identity))
    expect(await objects(identity)).toEqual([])
  })

  it('an upload that nobody finishes, or finishes too late, leaves nothing', async () => {
    const identity = newIdentity()
    const object = `files/${identity.projectId}/${identity.locator}/${randomText(24)}`
    await writeFile(bindings, identity, '/other', bytes('x'))
    await bindings.BUCKET.put(object, large)
    await runInDurableObject(stub(identity), (_, { storage }) => putGarbage(storage.sql, object, 1))
    await runInDurableObject(stub(identity), (instance) => instance.alarm())
    expect(await objects(identity)).toEqual([])
    const late = await stub(identity).write([{ path: '/late', object, size: large.length }])
    expect(late).toMatchObject({ ok: false, error: { status: 409, message: expect.stringContaining('too long') } })
    await expect(statFile(bindings, identity, '/late')).rejects.toThrow('no file')
  })

  it('a large file whose answer was lost is written again without harm, and totals stay right', async () => {
    const identity = newIdentity()
    const object = `files/${identity.projectId}/${identity.locator}/${randomText(24)}`
    await stub(identity).reserve(object)
    await bindings.BUCKET.put(object, large)
    const file = { path: '/f', object, size: large.length }
    const first = await stub(identity).write([file])
    expect(await stub(identity).write([file])).toEqual(first)
    expect(await read(identity, '/f')).toEqual(large)
    await writeFiles(bindings, identity, [
      { path: '/a', bytes: bytes('12') },
      { path: '/b', bytes: bytes('345') },
      { path: '/a', bytes: bytes('1') },
    ])
    const totals = (): Promise<unknown> =>
      runInDurableObject(stub(identity), (_, { storage }) =>
        Object.fromEntries([...storage.sql.exec('SELECT name, value FROM totals')].map(({ name, value }) => [name, value])),
      )
    expect(await totals()).toEqual({ bytes: large.length + 4, files: 3 })
    await removeFiles(bindings, identity, '/', true)
    expect(await totals()).toEqual({ bytes: 0, files: 0 })
  })

  it('says no at the limit of the tree, before anything is written', async () => {
    const identity = newIdentity()
    await writeFile(bindings, identity, '/a', bytes('x'))
    await runInDurableObject(stub(identity), (_, { storage }) => {
      storage.sql.exec(`UPDATE totals SET value = ${fileLimits.treeBytes} WHERE name = 'bytes'`)
    })
    await expect(writeFile(bindings, identity, '/b', bytes('xx'))).rejects.toThrow(`at most ${fileLimits.treeBytes} bytes`)
    expect(await list(identity, '/')).toEqual(['/a'])
  })

  it('an environment without files has no tables', async () => {
    const identity = newIdentity()
    expect(await list(identity, '/')).toEqual([])
    await expect(readFile(bindings, identity, '/x')).rejects.toThrow('no file /x')
    const tables = await runInDurableObject(stub(identity), (_, { storage }) => [
      ...storage.sql.exec("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '\\_cf%' ESCAPE '\\'"),
    ])
    expect(tables).toEqual([])
  })
})
