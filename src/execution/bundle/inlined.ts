/**
 * Library modules esbuild placed in the run worker itself, because nothing else reaches their copy: so it is with
 * `TriggerTracer` when the project has its own `@trigger.dev/core` beside the CLI's. They are cut out at esbuild's own
 * comments into a module the isolate can import; the run worker's bootstrap is left behind.
 */
export interface InlinedModule {
  path: string
  text: string
  names: string[]
}

const comment = /^\/\/ (\S+\.(?:js|mjs|cjs|ts|mts|cts))$/gm
const declaration = /^(?:var|let|const|class|function|async function|function\*)\s+([A-Za-z_$][\w$]*)/gm

export function inlinedModules(workerPath: string, text: string): InlinedModule | undefined {
  const marks = [...text.matchAll(comment)]
  const first = marks[0]
  if (!first) return undefined
  const kept: string[] = []
  marks.forEach((mark, index) => {
    if (isBootstrap(mark[1] as string)) return
    kept.push(text.slice(mark.index, marks[index + 1]?.index ?? text.length))
  })
  const body = kept.join('\n')
  const names = [...new Set([...body.matchAll(declaration)].map((match) => match[1] as string))]
  if (names.length === 0) return undefined
  return {
    path: workerPath.replace(/[^/]+$/, 'inlined-core.mjs'),
    text: `${text.slice(0, first.index)}\n${body}\nexport { ${names.join(', ')} };\n`,
    names,
  }
}

/** The CLI's own entry points start processes and talk to a parent that does not exist here. */
function isBootstrap(source: string): boolean {
  return /(?:^|\/)trigger\.dev\//.test(source) || source.includes('/entryPoints/')
}
