/** Which files differ between two commits, and how. */
import type { structuredPatch } from 'diff'
import git from 'isomorphic-git'
import type { Tree } from './tree.ts'

export interface FileChange {
  /** Within the repository. */
  path: string
  status: 'added' | 'modified' | 'removed'
  /** Lines; both 0 when there is no patch. */
  additions: number
  deletions: number
  /** The hunks of a unified diff. Absent for binary files and for files that have next to nothing in common. */
  patch?: string
}

interface Place {
  fs: Tree
  dir: string
  cache: object
}

/** Lines that may differ before the search for the shortest diff is given up. */
const mostEdits = 5_000

export async function changesBetween(
  place: Place,
  from: string,
  to: string,
  compare: typeof structuredPatch,
): Promise<FileChange[]> {
  const trees = [git.TREE({ ref: await commitOf(place, from) }), git.TREE({ ref: await commitOf(place, to) })]
  const found = await git.walk({
    ...place,
    trees,
    map: async (path, entries) => {
      const [before, after] = entries
      if (path === '.') return undefined
      const [oldOid, newOid] = await Promise.all([before?.oid(), after?.oid()])
      // Null: what lies beneath is the same as well.
      if (oldOid === newOid) return null
      const [oldType, newType] = await Promise.all([before?.type(), after?.type()])
      const isOld = oldType === 'blob'
      const isNew = newType === 'blob'
      if (!isOld && !isNew) return undefined
      const contents = [isOld ? await before?.content() : undefined, isNew ? await after?.content() : undefined]
      const status = isOld && isNew ? 'modified' : isNew ? 'added' : 'removed'
      return { path, status, ...patchOf(contents as (Uint8Array | undefined)[], compare) } satisfies FileChange
    },
  })
  return (flat(found) as FileChange[]).sort((one, other) => (one.path < other.path ? -1 : 1))
}

async function commitOf(place: Place, ref: string): Promise<string> {
  const names = [ref, `refs/remotes/origin/${ref}`]
  const tries = [
    ...names.map((name) => () => git.resolveRef({ ...place, ref: name })),
    () => git.expandOid({ ...place, oid: ref }),
  ]
  for (const attempt of tries) {
    // Known is not there: the parents of a shallow clone's last commit are only named.
    const found = await attempt()
      .then((oid) => git.readCommit({ ...place, oid }))
      .catch(() => undefined)
    if (found) return found.oid
  }
  throw new Error(`${place.dir} has no commit, branch or tag ${ref}; a clone with a depth holds only the newest.`)
}

function patchOf(
  [before, after]: (Uint8Array | undefined)[],
  compare: typeof structuredPatch,
): Pick<FileChange, 'additions' | 'deletions' | 'patch'> {
  const none = { additions: 0, deletions: 0 }
  if ([before, after].some((bytes) => bytes?.subarray(0, 8_000).includes(0))) return none
  const [oldText, newText] = [before, after].map((bytes) => (bytes ? new TextDecoder().decode(bytes) : '')) as [string, string]
  const patch = compare('', '', oldText, newText, undefined, undefined, { maxEditLength: mostEdits })
  if (!patch) return none
  // Of no lines, the place is the line before.
  const range = (start: number, lines: number): string => `${lines === 0 ? start - 1 : start},${lines}`
  const lines = patch.hunks.flatMap((hunk) => [
    `@@ -${range(hunk.oldStart, hunk.oldLines)} +${range(hunk.newStart, hunk.newLines)} @@`,
    ...hunk.lines,
  ])
  const count = (sign: string): number => patch.hunks.flatMap(({ lines }) => lines).filter((line) => line.startsWith(sign)).length
  return { additions: count('+'), deletions: count('-'), patch: lines.join('\n') }
}

function flat(found: unknown): unknown[] {
  return Array.isArray(found) ? found.flatMap(flat) : found === undefined || found === null ? [] : [found]
}
