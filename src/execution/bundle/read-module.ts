/** What a module of the bundle imports and exports, read by a lexer that needs no WebAssembly (refused in a Worker). */
import { type Export, type Import, parse } from 'es-module-lexer/js'
import { BundleError } from './bundle-error.ts'
import { isRelative, resolvePath } from './paths.ts'

/** One binding an import statement makes. `name` is null for a namespace. */
export interface ImportedName {
  local: string
  name: string | null
}
export interface StaticImportOf {
  /** Bundle path, or the specifier of something outside of the bundle. */
  target: string
  isBundled: boolean
  names: ImportedName[]
}
export interface ModuleShape {
  path: string
  imports: readonly Import[]
  exports: readonly Export[]
  /** Static imports and re-exports, in source order, one per statement. */
  statics: StaticImportOf[]
  /** Static specifiers of `import()`. */
  dynamics: { target: string; isBundled: boolean }[]
}

export function readModule(path: string, source: string): ModuleShape {
  let lexed: ReturnType<typeof parse>
  try {
    lexed = parse(source, path)
  } catch (error) {
    throw new BundleError('UNREADABLE_MODULE', `${path} is not a JavaScript module that can be read: ${(error as Error).message}`)
  }
  const [imports, exports] = lexed
  const statics: StaticImportOf[] = []
  const dynamics: ModuleShape['dynamics'] = []
  for (const found of imports) {
    if (found.type === 'import-meta' || found.specifier === undefined) continue
    const isBundled = isRelative(found.specifier)
    const target = isBundled ? resolvePath(path, found.specifier) : found.specifier
    if (found.type === 'dynamic') dynamics.push({ target, isBundled })
    else statics.push({ target, isBundled, names: importedNames(source.slice(found.importStart, found.start)) })
  }
  return { path, imports, exports, statics, dynamics }
}

/** Reads the clause of `import a, { b as c }, * as d from "`. Re-exports bind nothing. */
export function importedNames(statement: string): ImportedName[] {
  const clause = /^import\b([\s\S]*?)\bfrom\s*["']$/.exec(statement.replace(/\/\*[\s\S]*?\*\//g, ' '))?.[1]?.trim()
  if (!clause) return []
  const names: ImportedName[] = []
  const braces = clause.indexOf('{')
  const outside = braces < 0 ? clause : clause.slice(0, braces)
  for (const part of outside.split(',')) {
    const namespace = /^\*\s*as\s+(\S+)$/.exec(part.trim())?.[1]
    if (namespace) names.push({ local: namespace, name: null })
    else if (part.trim()) names.push({ local: part.trim(), name: 'default' })
  }
  if (braces >= 0) {
    for (const part of clause.slice(braces + 1, clause.lastIndexOf('}')).split(',')) {
      const [name, local] = part.trim().split(/\s+as\s+/)
      if (name) names.push({ local: local ?? name, name: unquote(name) })
    }
  }
  return names
}

function unquote(name: string): string {
  return name.startsWith('"') || name.startsWith("'") ? name.slice(1, -1) : name
}
