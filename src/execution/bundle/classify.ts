/**
 * Where each task file can run, read from its imports: in an isolate, or only on a Node host.
 * A package that is not in the upload, or that drives a native program, is certain; a builtin import alone is a guess, as many
 * packages import what they never use.
 */
import type { LinkedBundle } from '../../contracts/rpc.ts'
import { type ModuleShape, readModule } from './read-module.ts'
import { closureOf } from './shared.ts'
import type { BundleFiles } from './unpack.ts'

export interface PlacementReason {
  /** Source file of the task, as in build.json. */
  file: string
  import: string
  /** What happens, and the way out, in one sentence. */
  sentence: string
}
export interface Placement {
  /** Reasons why a task file needs a Node host. */
  refusals: PlacementReason[]
  warnings: string[]
  /** Source file of the task → its host. */
  hosts: Record<string, 'isolate' | 'node'>
}

/** The CLI always leaves it out; the linker has a stand-in. */
const harmlessExternals = new Set(['import-in-the-middle'])
const nativePackages =
  /^(?:sharp|canvas|@napi-rs\/canvas|puppeteer(?:-core)?|playwright(?:-core)?|@playwright\/test|fluent-ffmpeg|better-sqlite3|bcrypt)(?:\/|$)/
const processBuiltins = new Set(['child_process', 'worker_threads', 'vm', 'cluster', 'v8', 'inspector', 'repl'])

export function classifyTasks(files: BundleFiles, linked: LinkedBundle): Placement {
  const shapes = new Map<string, ModuleShape | undefined>()
  const shapeOf = (path: string): ModuleShape | undefined => {
    if (!shapes.has(path)) {
      const source = files.get(path)
      shapes.set(path, typeof source === 'string' && !path.endsWith('.json') ? readModule(path, source) : undefined)
    }
    return shapes.get(path)
  }
  const shared = new Set(Object.keys(linked.shared))
  const missing = new Set(linked.externals.map(({ name }) => name).filter((name) => !harmlessExternals.has(name)))
  const placement: Placement = { refusals: [], warnings: [], hosts: {} }
  const entries = [
    ...linked.files.map(({ entry, out }) => ({ entry, out })),
    { entry: 'trigger.config.ts', out: linked.configPath },
    ...(linked.initPath ? [{ entry: 'init.ts', out: linked.initPath }] : []),
  ]
  const sections = new Map<string, Section[]>()
  const sectionsOf = (path: string): Section[] => {
    const known = sections.get(path) ?? readSections(files.get(path) as string)
    sections.set(path, known)
    return known
  }
  for (const { entry, out } of entries) {
    placement.hosts[entry] = 'isolate'
    const seen = new Set<string>()
    const closure = closureOf([out], (next) => (shared.has(next) ? undefined : shapeOf(next)))
    const subject = subjectOf(entry, [...closure].flatMap(sectionsOf))
    const refuse = (specifier: string, reason: string): void => {
      placement.refusals.push({
        file: entry,
        import: specifier,
        sentence: `${subject} imports ${reason}; run this task on a Node host, or remove the import.`,
      })
    }
    for (const name of bundledNatives([...closure].flatMap(sectionsOf))) {
      seen.add(name)
      refuse(name, `"${name}", which ${reasonFor(name)}`)
    }
    for (const path of closure) {
      for (const specifier of outsideImports(shapeOf(path), files.get(path) as string)) {
        const builtin = specifier.replace(/^node:/, '')
        const name = packageName(specifier)
        if (seen.has(name)) continue
        seen.add(name)
        if (missing.has(name) || nativePackages.test(specifier) || /\.node$/.test(specifier)) {
          refuse(specifier, `"${name}", which ${reasonFor(specifier)}`)
        } else if (processBuiltins.has(builtin.split('/')[0] ?? '')) {
          if (isOwnImport(sectionsOf(path), builtin)) {
            refuse(specifier, `"${builtin}" in its own code, which an isolate does not have`)
          } else {
            placement.warnings.push(
              `${entry} reaches a package that imports "${builtin}": calling it fails in an isolate; if the task needs it, run it on a Node host.`,
            )
          }
        }
      }
    }
  }
  for (const { file } of placement.refusals) placement.hosts[file] = 'node'
  for (const path of files.keys()) {
    if (path.endsWith('.node')) placement.warnings.push(`The upload holds the native add-on ${path}; an isolate cannot load it.`)
  }
  for (const name of missing) {
    if (!placement.refusals.some((refusal) => packageName(refusal.import) === name)) {
      placement.warnings.push(
        `The package "${name}" is external, so it is not in the upload; no task file imports it statically.`,
      )
    }
  }
  return placement
}

/** Machines above the smallest presets promise memory that an isolate does not have: said, never refused. */
export function machineWarning(task: string, preset: string | undefined): string | undefined {
  if (!preset || !/^(?:medium|large)/.test(preset)) return undefined
  return `Task "${task}" asks for the machine ${preset}; an isolate has 128 MB whatever the preset says.`
}

/** Specifiers of import statements, `import()` and of `require` calls with a literal. */
function outsideImports(shape: ModuleShape | undefined, source: string): string[] {
  if (!shape) return []
  const found = [...shape.statics, ...shape.dynamics].filter((next) => !next.isBundled).map((next) => next.target)
  for (const match of source.matchAll(/\b(?:__)?require\d*\(\s*["']([^"'./][^"']*|[^"']+\.node)["']\s*\)/g))
    found.push(match[1] as string)
  return found
}

/** What a chunk took from one source file. esbuild says so in comments (`// src/lib/x.ts`), which the linker keeps. */
interface Section {
  owner: string
  text: string
}

function readSections(source: string): Section[] {
  const parts = source.split(/^[ \t]*\/\/ (\S.*\.[cm]?[jt]sx?)$/m)
  return Array.from({ length: (parts.length - 1) / 2 }, (_, i) => ({
    owner: parts[2 * i + 1] as string,
    text: parts[2 * i + 2] as string,
  }))
}

/** The tasks of a file by their ids, where these are written out; else the file alone. */
function subjectOf(entry: string, sections: Section[]): string {
  const ids: string[] = []
  for (const { owner, text } of sections) {
    if (owner !== entry) continue
    for (const match of text.matchAll(/\b\w*task\w*\(\{\s*id: "([^"\\]+)"/gi)) ids.push(`"${match[1]}"`)
  }
  return ids.length > 0 ? `Task ${ids.join(', ')} (${entry})` : entry
}

/** Packages inside the upload that only drive a native program: bundling them does not bring the program along. */
function bundledNatives(sections: Section[]): string[] {
  const names = new Set<string>()
  for (const { owner } of sections) {
    const path = owner.split('node_modules/').at(-1) as string
    if (path !== owner && nativePackages.test(path)) names.add(packageName(path))
  }
  // Of a package and its core only the one the task imports.
  return [...names].filter((name) => ![...names].some((other) => name.startsWith(`${other}-`)))
}

/** Whether the user's own code, not a package, names the builtin: esbuild leaves import statements under their module's comment. */
function isOwnImport(sections: Section[], builtin: string): boolean {
  const statement = new RegExp(`(?:from\\s*|import\\s*\\(?\\s*|require\\d*\\(\\s*)["'](?:node:)?${builtin}["']`)
  return sections.some(({ owner, text }) => !owner.includes('node_modules/') && statement.test(text))
}

function packageName(specifier: string): string {
  if (specifier.startsWith('node:')) return specifier.slice(5)
  const parts = specifier.split('/')
  return specifier.startsWith('@') ? parts.slice(0, 2).join('/') : (parts[0] as string)
}

function reasonFor(specifier: string): string {
  if (specifier.endsWith('.node')) return 'is a native add-on'
  return nativePackages.test(specifier) ? 'needs a native program or add-on' : 'is external and so not in the upload'
}
