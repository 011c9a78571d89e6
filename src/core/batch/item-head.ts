/** Reads index and task of a batch item from the beginning of its JSON text: the whole was too large to keep. */
const token = /\s*(?:("(?:[^"\\]|\\.)*")|(-?[\d.eE+-]+|true|false|null)|([{}[\],:]))/y

export function readItemHead(head: string): { index: number; task: string } | undefined {
  const found: Record<string, unknown> = {}
  let depth = 0
  let key: string | undefined
  let previous = ''
  token.lastIndex = 0
  for (let match = token.exec(head); match; match = token.exec(head)) {
    const [, text, literal, mark] = match
    if (mark === '{' || mark === '[') depth += 1
    else if (mark === '}' || mark === ']') depth -= 1
    // The last number may go on behind the cut.
    else if (depth === 1 && !mark && token.lastIndex < head.length) {
      if (previous === ':' && key !== undefined) found[key] = read(text ?? (literal as string))
      else if (text) key = read(text) as string
    }
    previous = mark ?? ''
    const { index, task } = found
    if (typeof index === 'number' && Number.isInteger(index) && index >= 0 && typeof task === 'string') return { index, task }
  }
  return undefined
}

function read(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
