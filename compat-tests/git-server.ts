/** Repositories over HTTP, by git's own server program. */
import { execFileSync, spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'

export interface GitServer {
  url: string
  /** Paths that were asked for, with their method. */
  asked: string[]
  /** Answers 401 to those who do not bring it. */
  password: string | undefined
  /** Commits what the files hold now, null for removed ones, and gives the commit. */
  commit(repository: string, message: string, files: Record<string, string | Uint8Array | null>): string
  git(repository: string, ...args: string[]): string
  close(): Promise<void>
}

export async function startGitServer(): Promise<GitServer> {
  const root = mkdtempSync(join(tmpdir(), 'trigger-do-git-'))
  const backend = join(execFileSync('git', ['--exec-path'], { encoding: 'utf8' }).trim(), 'git-http-backend')
  const asked: string[] = []
  const server = createServer((request, response) => {
    const { pathname, search } = new URL(request.url ?? '/', 'http://localhost')
    asked.push(`${request.method} ${pathname}`)
    const given = Buffer.from((request.headers.authorization ?? '').replace('Basic ', ''), 'base64').toString()
    if (result.password !== undefined && !given.endsWith(`:${result.password}`)) {
      response.writeHead(401, { 'www-authenticate': 'Basic realm="git"' }).end()
      return
    }
    const env = {
      ...{ GIT_PROJECT_ROOT: root, GIT_HTTP_EXPORT_ALL: '1', PATH_INFO: pathname, QUERY_STRING: search.slice(1) },
      ...{ REQUEST_METHOD: request.method, CONTENT_TYPE: request.headers['content-type'] ?? '', PATH: process.env.PATH },
      GIT_PROTOCOL: String(request.headers['git-protocol'] ?? ''),
      HTTP_CONTENT_ENCODING: String(request.headers['content-encoding'] ?? ''),
    }
    const child = spawn(backend, { env, stdio: ['pipe', 'pipe', 'inherit'] })
    request.pipe(child.stdin)
    const chunks: Buffer[] = []
    child.stdout.on('data', (chunk) => chunks.push(chunk))
    child.once('close', () => {
      const output = Buffer.concat(chunks)
      const end = output.indexOf('\r\n\r\n')
      const headers = output.subarray(0, end).toString().split('\r\n')
      for (const line of headers) {
        const [name, value] = line.split(': ') as [string, string]
        if (name.toLowerCase() === 'status') response.statusCode = Number.parseInt(value, 10)
        else response.setHeader(name, value)
      }
      response.end(output.subarray(end + 4))
    })
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const { port } = server.address() as { port: number }
  const git = (repository: string, ...args: string[]): string =>
    execFileSync('git', ['-c', 'user.name=Ada', '-c', 'user.email=ada@example.com', '-c', 'init.defaultBranch=main', ...args], {
      cwd: join(root, repository),
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
    }).trim()
  const result: GitServer = {
    url: `http://127.0.0.1:${port}`,
    asked,
    password: undefined,
    git,
    commit(repository, message, files) {
      const folder = join(root, repository)
      mkdirSync(folder, { recursive: true })
      git(repository, 'init', '--quiet')
      for (const [path, content] of Object.entries(files)) {
        mkdirSync(dirname(join(folder, path)), { recursive: true })
        if (content === null) rmSync(join(folder, path))
        else writeFileSync(join(folder, path), content)
      }
      git(repository, 'add', '--all')
      git(repository, 'commit', '--quiet', '--message', message)
      return git(repository, 'rev-parse', 'HEAD')
    },
    async close() {
      server.closeAllConnections()
      await new Promise((done) => server.close(done))
      rmSync(root, { recursive: true, force: true })
    },
  }
  return result
}
