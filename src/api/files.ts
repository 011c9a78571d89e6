/** The file tree of an environment (docs/design/files.md): what `trigger.do/fsx` and `trigger.do/gitx` are made of. */
import { z } from 'zod'
import { fromBase64 } from '../auth/crypto.ts'
import { OperationError } from '../contracts/errors.ts'
import { type FileEntry, type FolderEntry, fileLimits } from '../contracts/files.ts'
import { cleanPath, globFiles, listFolder, readFile, removeFiles, statFile, writeFile, writeFiles } from '../operations/files.ts'
import { iso } from './present-run.ts'
import * as queries from './queries.ts'
import { environmentOf, readBody, readBytes } from './request.ts'
import * as responses from './responses.ts'
import { type App, type Ctx, route } from './route.ts'

const tag = 'files'
const batchSchema = z.object({
  files: z
    .array(z.object({ path: z.string().min(1), content: z.string() }))
    .min(1)
    .max(fileLimits.batchFiles),
})

export function fileRoutes(app: App): void {
  route(
    app,
    {
      method: 'get',
      path: '/api/v1/files',
      operationId: 'listFiles',
      query: queries.fileFilter,
      summary: 'What lies in a folder, or the files beneath it that fit a pattern',
      response: responses.fileList,
      tag,
    },
    async (c) => {
      const { caller } = await environmentOf(c)
      const path = cleanPath(c.req.query('path') ?? '/')
      const after = c.req.query('after')
      const limit = limitOf(c)
      const pattern = c.req.query('pattern')
      if (pattern === undefined) {
        const { entries, next } = await listFolder(c.env, caller.environment, path, after && cleanPath(after), limit)
        return c.json({ data: entries.map(present), ...(next ? { next } : {}) })
      }
      const options = { after: after && cleanPath(after), limit, hidden: c.req.query('hidden') === 'true' }
      const { entries, next } = await globFiles(c.env, caller.environment, path, pattern, options)
      return c.json({ data: entries.map(presentFile), ...(next ? { next } : {}) })
    },
  )

  route(
    app,
    {
      method: 'get',
      path: '/api/v1/files/entry',
      operationId: 'statFile',
      query: queries.filePath,
      summary: 'Whether a path is a file or a folder, and the size of a file',
      response: responses.fileEntry,
      tag,
    },
    async (c) => {
      const { caller } = await environmentOf(c)
      return c.json(present(await statFile(c.env, caller.environment, pathOf(c))))
    },
  )

  route(
    app,
    {
      method: 'get',
      path: '/api/v1/files/content',
      operationId: 'readFile',
      query: queries.filePath,
      summary: 'The bytes of a file',
      bytes: 'response',
      tag,
    },
    async (c) => {
      const { caller } = await environmentOf(c)
      const { body, size, modifiedAt } = await readFile(c.env, caller.environment, pathOf(c))
      return new Response(body as BodyInit, {
        headers: {
          'content-type': 'application/octet-stream',
          'content-length': String(size),
          'last-modified': new Date(modifiedAt).toUTCString(),
          'x-content-type-options': 'nosniff',
          'content-disposition': 'attachment',
          'cache-control': 'private, no-store',
        },
      })
    },
  )

  route(
    app,
    {
      method: 'put',
      path: '/api/v1/files/content',
      operationId: 'writeFile',
      query: queries.filePath,
      summary: 'Store the body as a file; one that is there is replaced',
      bytes: 'body',
      response: responses.fileEntry,
      tag,
    },
    async (c) => {
      const { caller } = await environmentOf(c)
      const bytes = await readBytes(c, fileLimits.fileBytes).catch((error) => {
        if (!(error instanceof OperationError) || error.code !== 'TOO_LARGE') throw error
        throw new OperationError('TOO_LARGE', `A file is at most ${fileLimits.fileBytes} bytes long.`)
      })
      return c.json(presentFile(await writeFile(c.env, caller.environment, pathOf(c), bytes)))
    },
  )

  route(
    app,
    {
      method: 'post',
      path: '/api/v1/files/batch',
      operationId: 'writeFiles',
      body: batchSchema,
      summary: 'Store many files at once, their contents in base64',
      response: responses.filesWritten,
      tag,
    },
    async (c) => {
      const { caller } = await environmentOf(c)
      const { files } = await readBody(c, batchSchema, { maxBytes: fileLimits.batchBodyBytes })
      const decoded = files.map(({ path, content }, index) => ({ path: cleanPath(path), bytes: decode(content, index) }))
      return c.json({ written: await writeFiles(c.env, caller.environment, decoded) })
    },
  )

  route(
    app,
    {
      method: 'delete',
      path: '/api/v1/files',
      operationId: 'removeFiles',
      query: queries.fileRemoval,
      summary: 'Remove a file, or with `recursive` a folder',
      response: responses.filesRemoved,
      tag,
    },
    async (c) => {
      const { caller } = await environmentOf(c)
      const recursive = c.req.query('recursive') === 'true'
      return c.json({ removed: await removeFiles(c.env, caller.environment, pathOf(c), recursive) })
    },
  )
}

function pathOf(c: Ctx): string {
  const path = c.req.query('path')
  if (!path) throw new OperationError('INVALID_REQUEST', 'The query parameter path is missing.')
  return cleanPath(path)
}

function decode(content: string, index: number): Uint8Array {
  if (content.length % 4 === 0 && /^[A-Za-z0-9+/]*={0,2}$/.test(content)) return fromBase64(content)
  throw new OperationError('INVALID_REQUEST', `files.${index}.content is not base64.`)
}

function limitOf(c: Ctx): number {
  const text = c.req.query('limit') ?? String(fileLimits.page)
  const limit = Number(text)
  if (/^\d{1,5}$/.test(text) && limit >= 1 && limit <= fileLimits.page) return limit
  throw new OperationError('INVALID_REQUEST', `limit must be a whole number from 1 to ${fileLimits.page}.`)
}

function present({ modifiedAt, ...entry }: FolderEntry): object {
  return { ...entry, ...(modifiedAt === undefined ? {} : { modifiedAt: iso(modifiedAt) }) }
}

function presentFile(entry: FileEntry): object {
  return present({ ...entry, type: 'file' })
}
