/**
 * Names of the payload's fields, as far as the code of a task without a schema tells them: `({ videoId, format }) => …`,
 * `payload.videoId`, `const { format } = payload`. A hint for sentences, never a rule: types are gone, and code can do anything.
 */
const most = 50
const name = /^[A-Za-z_$][\w$]*/

export function payloadFields(run: unknown): string[] {
  if (typeof run !== 'function') return []
  const source = Function.prototype.toString.call(run).slice(0, 100_000)
  const parameter = firstParameter(source)
  if (parameter === undefined) return []
  if (parameter.startsWith('{')) return propertiesOf(parameter)
  const own = name.exec(parameter)?.[0]
  if (own === undefined) return []
  const escaped = own.replaceAll('$', '\\$')
  const read = [...source.matchAll(new RegExp(`(?<![\\w$.])${escaped}\\??\\.([A-Za-z_$][\\w$]*)(?![\\w$]|\\s*\\()`, 'g'))].map(
    (match) => match[1] as string,
  )
  const taken = [...source.matchAll(new RegExp(`(\\{[^{}]*\\})\\s*=\\s*${escaped}(?![\\w$.(\\[])`, 'g'))].flatMap((match) =>
    propertiesOf(match[1] as string),
  )
  return [...new Set([...taken, ...read])].slice(0, most)
}

/** The text of the first parameter: a pattern up to its closing brace, or a name. */
function firstParameter(source: string): string | undefined {
  const head = /^(?:async\b\s*)?(?:function\b\s*\*?\s*[\w$]*\s*|[\w$]+\s*(?=\())?(\(?)\s*/.exec(source)
  const rest = source.slice(head?.[0].length ?? 0)
  if (!rest.startsWith('{')) return name.exec(rest)?.[0]
  let depth = 0
  for (const [index, char] of [...rest].entries()) {
    if (char === '{') depth += 1
    if (char === '}') depth -= 1
    if (depth === 0) return [...rest].slice(0, index + 1).join('')
  }
  return undefined
}

/** Top-level names of `{ a, b: c, d = 1, e: { f }, ...rest }`. */
function propertiesOf(pattern: string): string[] {
  const found: string[] = []
  let depth = 0
  let part = ''
  for (const char of `${pattern.slice(1, -1)},`) {
    if ('{[('.includes(char)) depth += 1
    if ('}])'.includes(char)) depth -= 1
    if (char !== ',' || depth > 0) {
      part += char
      continue
    }
    const property = name.exec(part.trim())?.[0]
    if (property) found.push(property)
    part = ''
  }
  return [...new Set(found)].slice(0, most)
}
