/**
 * A task file esbuild put together with the SDK (always so when the project has its own `@trigger.dev/core` and one task
 * file) would evaluate the whole SDK anew in each run. It is cut at esbuild's comments: the SDK and what it is made of
 * become a shared module beside it, the rest stays fresh. Left whole when the cut is not certain.
 */
import { isRelative, resolvePath } from './paths.ts'
import { importedNames, readModule } from './read-module.ts'

/** The SDK's own packages and dependencies: their state hangs off one global symbol, or there is none. */
const sdkPackages = new Set([
  '@bugsnag/cuid',
  '@electric-sql/client',
  '@google-cloud/precise-date',
  '@jsonhero/path',
  '@microsoft/fetch-event-source',
  '@protobuf-ts/runtime',
  '@s2-dev/streamstore',
  'dequal',
  'eventsource',
  'eventsource-parser',
  'jose',
  'nanoid',
  'std-env',
  'superjson',
  'uncrypto',
  'zod',
  'zod-validation-error',
])
const comment = /^\/\/ (\S+\.(?:js|mjs|cjs|jsx|ts|mts|cts|tsx|json))$/gm
const declaration = /^(?:var|let|const|class|function|async function|function\*)\s+([A-Za-z_$][\w$]*)/gm
const importStatement = /^import\s[^;]*?from\s+"[^"]+";$|^import\s+"[^"]+";$/gm

export interface SdkPart {
  path: string
  text: string
  /** What is left of the module: the same lines, with the part's blanked out. */
  rest: string
}

export function cutSdkPart(path: string, text: string, isShareable: (target: string) => boolean): SdkPart | undefined {
  const marks = [...text.matchAll(comment)]
  const first = marks[0]?.index
  if (first === undefined) return undefined
  const head = text.slice(0, first)
  const kept: string[] = []
  const left: string[] = []
  const foreign: string[] = []
  marks.forEach((mark, index) => {
    const segment = text.slice(mark.index, marks[index + 1]?.index ?? text.length)
    const source = mark[1] as string
    if (isSdk(source) && index < marks.length - 1) {
      kept.push(segment)
      left.push(segment.replace(/[^\n]+/g, ''))
      return
    }
    left.push(segment)
    if (source.includes('node_modules/')) foreign.push(segment)
  })
  if (!kept.some((segment) => segment.includes('@trigger.dev/core'))) return undefined
  const body = kept.join('')
  const names = declared(body)
  const rest = left.join('')
  // Own code is never used by the SDK; another package could be, and then the cut would separate the two.
  const mentioned = identifiers(body)
  if (declared(foreign.join('\n')).some((name) => mentioned.has(name))) return undefined
  if (declared(rest).some((name) => names.includes(name))) return undefined
  const imports = usedImports(path, head + body, mentioned)
  if (!imports?.every((found) => isShareable(found.target))) return undefined
  const partPath = path.replace(/\.mjs$/, '.sdk.mjs')
  const wanted = identifiers(rest)
  const used = names.filter((name) => wanted.has(name))
  const partName = partPath.slice(partPath.lastIndexOf('/') + 1)
  const link = `import { ${used.join(', ')} } from "./${partName}";`
  // On the first line of the head, so that every other line keeps its number.
  return {
    path: partPath,
    text: `${imports.map((found) => found.statement).join('\n')}\n${body.replace(importStatement, '')}\nexport { ${names.join(', ')} };\n`,
    rest: `${link} ${head}${rest}`,
  }
}

function declared(code: string): string[] {
  return [...new Set([...code.matchAll(declaration)].map((match) => match[1] as string))]
}

/** Names that may be variables: not those behind a dot. */
function identifiers(code: string): Set<string> {
  return new Set(code.match(/(?<![\w$.])[A-Za-z_$][\w$]*/g))
}

/** Statements of the imports the code uses; undefined when it cannot be read. */
function usedImports(path: string, code: string, mentioned: Set<string>): { statement: string; target: string }[] | undefined {
  let shape: ReturnType<typeof readModule>
  try {
    shape = readModule(path, code)
  } catch {
    return undefined
  }
  const used: { statement: string; target: string }[] = []
  for (const found of shape.imports) {
    if (found.type !== 'static' || found.specifier === undefined) continue
    const names = importedNames(code.slice(found.importStart, found.start))
    if (names.length > 0 && !names.some((name) => mentioned.has(name.local))) continue
    const target = isRelative(found.specifier) ? resolvePath(path, found.specifier) : ''
    used.push({ statement: `${code.slice(found.importStart, found.importEnd)};`, target })
  }
  return used
}

export function isSdk(source: string): boolean {
  const at = source.lastIndexOf('node_modules/')
  if (at < 0) return false
  const [scope, name] = source.slice(at + 'node_modules/'.length).split('/')
  if (scope === '@trigger.dev' || scope === '@opentelemetry') return true
  return sdkPackages.has(scope?.startsWith('@') ? `${scope}/${name}` : (scope ?? ''))
}
