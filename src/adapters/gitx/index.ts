/**
 * `trigger.do/gitx`: git repositories in the files of the environment, by `isomorphic-git` and `diff`, which are installed beside
 * this package. Over HTTP and HTTPS; works in tasks, in Workers and in Node.
 */
import { structuredPatch } from 'diff'
import git from 'isomorphic-git'
import http from 'isomorphic-git/http/web'
import { checkSettings, type Settings } from '../../client/settings.ts'
import { createFsx, type Fsx } from '../fsx/index.ts'
import { changesBetween, type FileChange } from './changes.ts'
import { Tree } from './tree.ts'

export type { Settings } from '../../client/settings.ts'
export type { FileChange } from './changes.ts'

export interface Repository {
  /** Of the working tree: `fsx.glob(repo.path, '**\/*.ts')`. What git itself keeps lies in `.git` there. */
  path: string
  /** What is checked out, as 40 hexadecimal digits. */
  commit: string
}

export interface CloneOptions {
  /** A branch, a tag, or a commit of 40 digits; the remote's default branch when left out. */
  ref?: string
  /** How many commits of the history come along, of that branch only; everything when left out. */
  depth?: number
  /** For repositories that are not public: a token of GitHub, GitLab and others. */
  token?: string
}

export interface Commit {
  commit: string
  message: string
  author: { name: string; email: string; at: Date }
  parents: string[]
}

export interface Gitx {
  /**
   * Brings a repository. Its place is named for the commit: once it is there, nothing is fetched again, and two runs never change
   * each other's files. It stays until `fsx.remove(repo.path, { recursive: true })`.
   */
  clone(url: string, options?: CloneOptions): Promise<Repository>
  /** Newest first, from what is checked out or from `ref`; 20 unless `limit` says otherwise. */
  log(repo: Repository | string, options?: { ref?: string; limit?: number }): Promise<Commit[]>
  /** What changed from one commit, branch or tag to another, or to what is checked out. */
  diff(repo: Repository | string, from: string, to?: string): Promise<FileChange[]>
}

const workplace = '/clone'
const markerName = '.git/trigger.do.json'
const oid = /^[0-9a-f]{40}$/

/**
 * Repositories in the files of another API or key.
 *
 * @example
 * const staging = createGitx({ accessToken: stagingKey })
 */
export function createGitx(settings: Settings = {}): Gitx {
  const fsx = createFsx({ ...checkSettings(settings) })

  return {
    async clone(address, options = {}) {
      const remote = new Remote(address, options)
      const wanted = await remote.find(options.ref)
      const known = remote.placeOf(wanted.commit)
      if (await fsx.stat(`${known}/${markerName}`)) return { path: known, commit: wanted.commit }
      const tree = Tree.empty()
      const commit = await remote.bring(tree, wanted)
      // The branch may have moved since it was looked up.
      const path = remote.placeOf(commit)
      const place = (name: string): string => path + name.slice(workplace.length)
      await fsx.writeMany(tree.entries().map((file) => ({ ...file, path: place(file.path) })))
      // Last: a clone that was cut off in the middle is not taken for a whole one.
      await fsx.write(`${path}/${markerName}`, JSON.stringify({ url: remote.url, commit }))
      return { path, commit }
    },

    async log(repo, { ref, limit = 20 } = {}) {
      if (!Number.isInteger(limit) || limit < 1) throw new RangeError('limit must be a whole number of at least 1.')
      const { at, fs } = await open(fsx, repo)
      const found = await git.log({ ...at, fs, ref: ref ?? 'HEAD', depth: limit })
      return found.map(({ oid: commit, commit: { message, author, parent } }) => ({
        commit,
        message,
        author: { name: author.name, email: author.email, at: new Date(author.timestamp * 1000) },
        parents: parent,
      }))
    },

    async diff(repo, from, to = 'HEAD') {
      const { at, fs } = await open(fsx, repo)
      return changesBetween({ ...at, fs }, from, to, structuredPatch)
    },
  }
}

/**
 * Repositories in the files of the environment the code runs in, or whose key is configured.
 *
 * @example
 * const repo = await gitx.clone('https://github.com/acme/app', { depth: 20 })
 * const files = await fsx.glob(repo.path, '**\/*.ts')
 * const [last] = await gitx.log(repo)
 */
export const gitx: Gitx = /* @__PURE__ */ createGitx()

interface Wanted {
  /** What `clone` is told: nothing for the default branch. */
  ref?: string
  commit: string
  isCommit?: boolean
}

class Remote {
  readonly url: string
  readonly #folder: string
  readonly #options: CloneOptions
  readonly #access: { http: typeof http; url: string; onAuth?: () => { username: string; password: string } }

  constructor(address: string, options: CloneOptions) {
    const { depth, token } = options
    const url = URL.canParse(address) ? new URL(address) : undefined
    if (url?.protocol !== 'https:' && url?.protocol !== 'http:')
      throw new TypeError(`A repository is cloned from an address that begins with https:// or http://, not ${address}.`)
    if (depth !== undefined && (!Number.isInteger(depth) || depth < 1))
      throw new RangeError('depth must be a whole number of at least 1.')
    const [username, password] = [decodeURIComponent(url.username), decodeURIComponent(url.password)]
    const auth = token ? { username: 'x-access-token', password: token } : username ? { username, password } : undefined
    // What is stored holds no secret.
    url.username = ''
    url.password = ''
    this.url = url.href
    this.#options = options
    this.#access = { http, url: this.url, ...(auth ? { onAuth: () => auth } : {}) }
    this.#folder = `/git/${url.host}${url.pathname.replace(/\.git\/?$|\/$/, '')}`
  }

  placeOf(commit: string): string {
    return `${this.#folder}/${commit}${this.#options.depth ? `-depth-${this.#options.depth}` : ''}`
  }

  async find(ref: string | undefined): Promise<Wanted> {
    if (ref !== undefined && oid.test(ref)) return { commit: ref, isCommit: true }
    const refs = await git.listServerRefs({ ...this.#access, symrefs: true, peelTags: true })
    const names = ref === undefined ? ['HEAD'] : [ref, `refs/heads/${ref}`, `refs/tags/${ref}`]
    const found = names.map((name) => refs.find((known) => known.ref === name)).find(Boolean)
    if (!found) {
      if (ref === undefined) throw new Error(`${this.url} has no commits.`)
      throw new Error(`${this.url} has no branch or tag ${ref}.`)
    }
    return { commit: found.peeled ?? found.oid, ...(ref === undefined ? {} : { ref }) }
  }

  async bring(fs: Tree, { ref, commit, isCommit }: Wanted): Promise<string> {
    const at = { fs, dir: workplace }
    const { depth } = this.#options
    await git.clone({
      ...this.#access,
      ...at,
      // As git itself: with a depth, one branch; without, all branches and tags.
      singleBranch: depth !== undefined && !isCommit,
      noCheckout: isCommit === true,
      ...(ref === undefined ? {} : { ref }),
      ...(depth === undefined ? {} : { depth }),
    })
    if (isCommit) {
      await git.checkout({ ...at, ref: commit }).catch((error) => {
        throw new Error(`${commit} is not among what was cloned of ${this.url}${depth ? ` with a depth of ${depth}` : ''}.`, {
          cause: error,
        })
      })
      return commit
    }
    return git.resolveRef({ ...at, ref: 'HEAD' })
  }
}

async function open(fsx: Fsx, repo: Repository | string): Promise<{ fs: Tree; at: { dir: string; cache: object } }> {
  const dir = typeof repo === 'string' ? repo : repo.path
  const fs = await Tree.of(fsx, dir)
  if (fs.isEmpty) throw new Error(`${dir} is not a repository: clone it first.`)
  return { fs, at: { dir, cache: {} } }
}
