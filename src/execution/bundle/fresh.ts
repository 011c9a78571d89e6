/**
 * Writes layer.js: every module that is not shared becomes a function in a table, evaluated on demand once per run.
 * Must stay true: a module's text keeps its lines, so one line offset and a list of column shifts map a stack frame back.
 */
import type { Export } from 'es-module-lexer/js'
import { layerParameters } from './layer-contract.ts'
import { isRelative, relativePath, resolvePath } from './paths.ts'
import type { ModuleShape } from './read-module.ts'
import { scanModule } from './scan.ts'
import { taskOptionEdits } from './task-options.ts'

export interface Edit {
  start: number
  end: number
  text: string
}
/** [line in layer.js (from 1), column there from which on, characters to take off]. */
export type ColumnShift = [line: number, column: number, shift: number]

export interface FreshModule {
  entry: string
  /** Lines before the module's first line, inside its entry. */
  headLines: number
  lines: number
  shifts: ColumnShift[]
}

export function writeFreshModule(shape: ModuleShape, source: string): FreshModule {
  const prefix = freePrefix(source)
  const deps: string[] = []
  const locals = new Map<string, string>()
  const indexOf = (target: string): number => {
    const known = deps.indexOf(target)
    return known < 0 ? deps.push(target) - 1 : known
  }
  for (const found of shape.statics) {
    const index = indexOf(found.target)
    for (const { local, name } of found.names) {
      // esbuild's helper for CommonJS would find the isolate's require, not the run's.
      locals.set(local, name === '__require' ? 'require' : name === null ? `${prefix}${index}` : member(prefix, index, name))
    }
  }
  const edits: Edit[] = [...statementEdits(shape, source), ...expressionEdits(shape, source, prefix), ...taskOptionEdits(source)]
  const skip = edits.map(({ start, end }) => ({ start, end })).sort((a, b) => a.start - b.start)
  const scan = scanModule(
    source,
    new Set(locals.keys()),
    skip.filter(({ start, end }) => end > start),
  )
  for (const found of scan.references) {
    const target = locals.get(found.name) as string
    const text = found.isShorthand ? `${found.name}: ${target}` : found.isCall && target.includes('.') ? `(0, ${target})` : target
    edits.push({ start: found.start, end: found.end, text })
  }
  const { getters, stars } = exportGetters(shape, prefix, indexOf, locals)
  const parameters = [prefix, ...deps.map((_, index) => `${prefix}${index}`)].join(', ')
  const { text, shifts } = applyEdits(source, edits)
  const head =
    `${JSON.stringify(shape.path)}: { deps: ${JSON.stringify(deps)}, stars: ${JSON.stringify(stars)}, isAsync: ${scan.hasTopLevelAwait}, ` +
    `run: ${scan.hasTopLevelAwait ? 'async ' : ''}function* (${parameters}) { ${prefix}.exports({ ${getters.join(', ')} }); yield;\n`
  return { entry: `${head}${text}\n} },\n`, headLines: 1, lines: countLines(text), shifts }
}

export function writeJsonModule(path: string, json: string): FreshModule {
  const entry = `${JSON.stringify(path)}: { deps: [], stars: [], isAsync: false, run: function* ($td) { const value = JSON.parse(${JSON.stringify(json)}); $td.exports({ default: () => value }); yield;\n} },\n`
  return { entry, headLines: 1, lines: 0, shifts: [] }
}

export function writeLayer(
  modules: { path: string; module: FreshModule }[],
  sharedPaths: string[],
  externals: string[],
): { text: string; lineOffsets: Record<string, { line: number; lines: number; shifts: ColumnShift[] }> } {
  const parts = [`export function layer(${layerParameters.join(', ')}) { return { table: { __proto__: null,\n`]
  const lineOffsets: Record<string, { line: number; lines: number; shifts: ColumnShift[] }> = {}
  let line = 2
  for (const { path, module } of modules) {
    const first = line + module.headLines
    lineOffsets[path] = {
      line: first,
      lines: module.lines,
      shifts: module.shifts.map(([at, column, shift]) => [at + first - 1, column, shift]),
    }
    parts.push(module.entry)
    line += countLines(module.entry) - 1
  }
  parts.push('} } }\n')
  const loader = (specifier: string): string => `() => import(${JSON.stringify(specifier)})`
  parts.push(
    `export const sharedModules = { ${sharedPaths.map((path) => `${JSON.stringify(path)}: ${loader(relativePath('layer.js', path))}`).join(', ')} };\n`,
    `export const externalModules = { ${externals.map((name) => `${JSON.stringify(name)}: ${loader(name)}`).join(', ')} };\n`,
  )
  return { text: parts.join(''), lineOffsets }
}

/** Import and export statements go; what they declare stays. */
function statementEdits(shape: ModuleShape, source: string): Edit[] {
  const edits: Edit[] = []
  for (const found of shape.imports) {
    if (found.type !== 'static' && found.type !== 'reexport-star') continue
    edits.push(
      blank(source, found.importStart, endOfStatement(source, found.attributesStart >= 0 ? found.importEnd : found.end + 1)),
    )
  }
  for (const start of new Set(shape.exports.map((found) => found.exportStart))) {
    if (edits.some((edit) => edit.start <= start && start < edit.end)) continue
    const rest = source.slice(start, start + 200)
    const braces = /^export\s*\{/.test(rest)
    if (braces) {
      const end = source.indexOf('}', start) + 1
      const from = /^\s*from\s*(?:"[^"]*"|'[^']*')/.exec(source.slice(end, end + 1000))
      edits.push(blank(source, start, endOfStatement(source, end + (from?.[0].length ?? 0))))
      continue
    }
    const declared = /^export\s+default\s+(?=(?:async\s+)?function\b\s*\*?\s*[\w$]|class\s+(?!extends\b)[\w$])/.exec(rest)
    const value = /^export\s+default\b/.exec(rest)
    const plain = /^export\s+/.exec(rest)
    if (declared) edits.push(blank(source, start, start + declared[0].length))
    else if (value) edits.push({ start, end: start + value[0].length, text: 'const $td_default =' })
    else if (plain) edits.push(blank(source, start, start + plain[0].length))
  }
  return mergeOverlaps(edits)
}

function expressionEdits(shape: ModuleShape, source: string, prefix: string): Edit[] {
  const edits: Edit[] = []
  for (const found of shape.imports) {
    if (found.type === 'import-meta') edits.push({ start: found.start, end: found.end, text: `${prefix}.meta` })
    if (found.type === 'dynamic') {
      // `import` alone: what stands in the parentheses is an expression like any other.
      edits.push({ start: found.importStart, end: found.importStart + 'import'.length, text: `${prefix}.import` })
      if (found.specifier !== undefined && !found.glob && isRelative(found.specifier)) {
        const text = JSON.stringify(resolvePath(shape.path, found.specifier))
        edits.push({ start: found.dynamicStart, end: found.dynamicStart + literalLength(source, found.dynamicStart), text })
      }
    }
  }
  return edits.filter(({ start, end }) => end > start)
}

function literalLength(source: string, start: number): number {
  const quote = source[start]
  if (quote !== '"' && quote !== "'" && quote !== '`') return 0
  const end = source.indexOf(quote, start + 1)
  return end < 0 ? 0 : end + 1 - start
}

function exportGetters(
  shape: ModuleShape,
  prefix: string,
  indexOf: (target: string) => number,
  locals: Map<string, string>,
): { getters: string[]; stars: number[] } {
  const getters: string[] = []
  const stars: number[] = []
  const target = (from: string): string => (isRelative(from) ? resolvePath(shape.path, from) : from)
  for (const found of shape.exports as readonly Export[]) {
    if (found.type === 'reexport-all') {
      stars.push(indexOf(target(found.from)))
      continue
    }
    const key = JSON.stringify(found.name)
    if (found.type === 'reexport') {
      const index = indexOf(target(found.from))
      getters.push(`${key}: () => ${found.importName === null ? `${prefix}${index}` : member(prefix, index, found.importName)}`)
      continue
    }
    const local = found.localName ?? '$td_default'
    getters.push(`${key}: () => ${locals.get(local) ?? local}`)
  }
  return { getters, stars }
}

/** Names that the module itself does not use. */
function freePrefix(source: string): string {
  let prefix = '$td'
  while (source.includes(prefix)) prefix += '_'
  return prefix
}

function member(prefix: string, index: number, name: string): string {
  return /^[A-Za-z_$][\w$]*$/.test(name) ? `${prefix}${index}.${name}` : `${prefix}${index}[${JSON.stringify(name)}]`
}

function blank(source: string, start: number, end: number): Edit {
  return { start, end, text: source.slice(start, end).replace(/[^\n]+/g, '') }
}

function endOfStatement(source: string, from: number): number {
  const rest = /^[^\S\n]*;?/.exec(source.slice(from, from + 50))
  return from + (rest?.[0].length ?? 0)
}

function mergeOverlaps(edits: Edit[]): Edit[] {
  const sorted = edits.sort((a, b) => a.start - b.start)
  return sorted.filter((edit, index) => index === 0 || edit.start >= (sorted[index - 1] as Edit).end)
}

export function applyEdits(source: string, edits: Edit[]): { text: string; shifts: ColumnShift[] } {
  const sorted = edits.sort((a, b) => a.start - b.start || a.end - b.end)
  const parts: string[] = []
  const shifts: ColumnShift[] = []
  let at = 0
  let line = 1
  /** Start of the current line in the source, and how much longer the output's line is by now. */
  let lineStart = 0
  let shift = 0
  const advance = (to: number): void => {
    for (let next = source.indexOf('\n', at); next >= 0 && next < to; next = source.indexOf('\n', next + 1)) {
      line++
      lineStart = next + 1
      shift = 0
    }
    at = to
  }
  for (const edit of sorted) {
    if (edit.start < at) continue
    parts.push(source.slice(at, edit.start), edit.text)
    advance(edit.start)
    const before = shift
    advance(edit.end)
    const grown = edit.text.length - (edit.end - edit.start)
    if (!edit.text.includes('\n') && grown !== 0) {
      shift = before + grown
      shifts.push([line, edit.end - lineStart + shift, shift])
    }
  }
  parts.push(source.slice(at))
  return { text: parts.join(''), shifts }
}

function countLines(text: string): number {
  let lines = 1
  for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) lines++
  return lines
}
