import { gzipSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { defaultUnpackLimits, unpackBundle } from './unpack.ts'

interface Entry {
  name: string
  body?: string
  type?: string
  size?: number
}

function tar(entries: Entry[], { hasEnd = true } = {}): Buffer {
  const parts: Buffer[] = []
  for (const { name, body = '', type = '0', size } of entries) {
    const bytes = Buffer.from(body)
    const header = Buffer.alloc(512)
    header.write(name.slice(0, 100))
    header.write((size ?? bytes.length).toString(8).padStart(11, '0'), 124)
    header.fill(' ', 148, 156)
    header.write(type, 156)
    header.write('ustar\u000000', 257, 'latin1')
    header.write(
      `${header
        .reduce((sum: number, byte: number) => sum + byte, 0)
        .toString(8)
        .padStart(6, '0')}\0 `,
      148,
      'latin1',
    )
    parts.push(header, bytes, Buffer.alloc((512 - (bytes.length % 512)) % 512))
  }
  if (hasEnd) parts.push(Buffer.alloc(1024))
  return Buffer.concat(parts)
}

function stream(bytes: Uint8Array, chunk = 1000): ReadableStream<Uint8Array> {
  let at = 0
  return new ReadableStream({
    pull(controller) {
      if (at >= bytes.byteLength) return controller.close()
      controller.enqueue(new Uint8Array(bytes.subarray(at, at + chunk)))
      at += chunk
    },
  })
}
const unpack = (entries: Entry[], limits = {}) =>
  unpackBundle(stream(gzipSync(tar(entries))), { ...defaultUnpackLimits, ...limits })
const pax = (key: string, value: string): string => {
  const rest = ` ${key}=${value}\n`
  const bytes = Buffer.byteLength(rest)
  const length = bytes + String(bytes + 2).length
  return `${length}${rest}`
}

describe('unpackBundle', () => {
  it('reads files, long names and extended headers, and keeps what the linker needs', async () => {
    const long = `${'d/'.repeat(80)}long.mjs`
    const files = await unpack([
      { name: './a.mjs', body: 'ä'.repeat(2_000) },
      { name: 'dir/', type: '5' },
      { name: 'Containerfile', body: 'FROM x' },
      { name: 'native.node', body: 'binary' },
      { name: '././@LongLink', type: 'L', body: `${long}\0` },
      { name: 'cut.mjs', body: 'long' },
      { name: 'PaxHeader', type: 'x', body: pax('path', 'from-pax/ü.mjs') },
      { name: 'short.mjs', body: 'pax' },
    ])
    expect([...files.keys()]).toEqual(['a.mjs', 'native.node', long, 'from-pax/ü.mjs'])
    expect(files.get('a.mjs')).toBe('ä'.repeat(2_000))
    expect(files.get(long)).toBe('long')
  })

  it.each([
    ['BAD_ARCHIVE', [{ name: 'x', type: 'x', body: `${pax('path', 'a')}rest` }], {}],
    ['UNSAFE_PATH', [{ name: '../evil.mjs', body: 'x' }], {}],
    ['UNSAFE_PATH', [{ name: '/etc/evil.mjs', body: 'x' }], {}],
    [
      'UNSAFE_PATH',
      [
        { name: 'x', type: 'x', body: pax('path', 'a/../../b.mjs') },
        { name: 'b.mjs', body: 'x' },
      ],
      {},
    ],
    ['UNSUPPORTED_ENTRY', [{ name: 'link.mjs', type: '2' }], {}],
    ['UNSUPPORTED_ENTRY', [{ name: 'link.mjs', type: '1' }], {}],
    ['UNSUPPORTED_ENTRY', [{ name: 'null', type: '3' }], {}],
    ['TOO_MANY_FILES', [{ name: 'a.mjs' }, { name: 'b.mjs' }], { files: 1 }],
    ['FILE_TOO_LARGE', [{ name: 'a.mjs', size: 70_000_000 }], {}],
    ['ARCHIVE_TOO_LARGE', [{ name: 'a.bin', body: 'x'.repeat(5_000) }], { totalBytes: 4_000 }],
    ['BUNDLE_TOO_LARGE', [{ name: 'a.mjs', body: 'x'.repeat(5_000) }], { keptBytes: 4_000 }],
  ] as [string, Entry[], object][])('refuses %s: %j', async (code, entries, limits) => {
    await expect(unpack(entries, limits)).rejects.toMatchObject({ name: 'BundleError', code })
  })

  it('names the number in its sentence', async () => {
    await expect(unpack([{ name: 'a.mjs', size: 70_000_000 }])).rejects.toThrow(
      '"a.mjs" is 66.8 MiB; a file may be at most 60 MiB.',
    )
  })

  it('refuses what is no gzip, no tar, or cut off', async () => {
    await expect(unpackBundle(stream(Buffer.from('hello, this is not gzip')))).rejects.toMatchObject({ code: 'NOT_GZIP' })
    await expect(unpackBundle(stream(gzipSync(Buffer.alloc(2_000, 'a'))))).rejects.toMatchObject({ code: 'BAD_ARCHIVE' })
    await expect(unpackBundle(stream(gzipSync(tar([{ name: 'a.mjs', body: 'abc' }]).subarray(0, 600))))).rejects.toMatchObject({
      code: 'TRUNCATED_ARCHIVE',
    })
    const whole = gzipSync(tar([{ name: 'a.mjs', body: Array.from({ length: 5_000 }, (_, i) => i * 7919).join() }]))
    await expect(unpackBundle(stream(whole.subarray(0, whole.length / 2)))).rejects.toMatchObject({ code: 'TRUNCATED_ARCHIVE' })
  })
})
