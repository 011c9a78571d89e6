/**
 * One pass over the text of a bundled module: finds references to given names, and top-level await, without a parse tree
 * (a tree of a 4 MB bundle does not fit a Worker). Relies on what esbuild prints: semicolons everywhere, and no nested scope
 * that shadows an imported name, but for the own name of a class or function expression (lowered decorators keep it). Checked
 * against a real parser in scan.test.ts.
 */
export interface Reference {
  start: number
  end: number
  name: string
  /** `{ name }` in an object literal: the key has to be kept. */
  isShorthand: boolean
  /** Called as a plain function: must not get a `this`. */
  isCall: boolean
}
export interface Scan {
  references: Reference[]
  hasTopLevelAwait: boolean
}

type BracketKind = 'paren' | 'square' | 'block' | 'function' | 'object' | 'class' | 'template'
interface Bracket {
  kind: BracketKind
  /** A `)` that ends the head of if, for, while…: a statement follows. */
  isHead: boolean
  isFor: boolean
  /** Next in an object or class is a member name. */
  atKey: boolean
  /** Closing it ends a value (object, function expression…), so `/` divides. */
  isValue: boolean
  ternaries: number
  inCase: boolean
  /** Inside the body of an arrow function without braces. */
  arrowBody: boolean
  /** `class` was read, its body is awaited; and whether as an expression. */
  awaitsClass: false | 'statement' | 'expression'
  awaitsFunction: false | 'statement' | 'expression'
  /** Own name of the class or function expression whose body is awaited, and of the one this is the body of. */
  awaitedName: string
  ownName: string
}

const beforeExpression = new Set(
  'return typeof case delete do else in instanceof new throw void yield await extends default'.split(' '),
)
const heads = new Set(['if', 'for', 'while', 'with', 'switch', 'catch'])
const identifier = /[\p{ID_Start}$_\\](?:[\p{ID_Continue}$\\]|\u200c|\u200d)*/uy
const numeral = /(?:0[xob][\da-f_]+n?|(?:\d[\d_]*)?\.?\d*[\d_]*(?:e[+-]?\d+)?n?)/iy

export function scanModule(source: string, names: ReadonlySet<string>, skip: readonly { start: number; end: number }[]): Scan {
  const references: Reference[] = []
  let hasTopLevelAwait = false
  const stack: Bracket[] = [bracket('block')]
  let top = stack[0] as Bracket
  let functions = 0
  /** Whether an expression (so also a regex) may start here, and whether a statement may. */
  let expression = true
  let statement = true
  let previous = ''
  let skipAt = 0
  let at = 0

  const push = (kind: BracketKind, more?: Partial<Bracket>): void => {
    top = Object.assign(bracket(kind), more)
    stack.push(top)
    if (kind === 'function') functions++
  }
  const pop = (): Bracket => {
    const closed = top
    if (stack.length > 1) stack.pop()
    top = stack[stack.length - 1] as Bracket
    if (closed.kind === 'function') functions--
    return closed
  }
  const after = (text: string, nextExpression: boolean, nextStatement = false): undefined => {
    previous = text
    expression = nextExpression
    statement = nextStatement
  }

  while (at < source.length) {
    const hole = skip[skipAt]
    if (hole && at >= hole.start) {
      at = Math.max(at, hole.end)
      skipAt++
      after(';', true, true)
      continue
    }
    const char = source[at] as string
    const code = source.charCodeAt(at)
    if (code <= 32 || code === 0xa0 || code === 0xfeff || code === 0x2028 || code === 0x2029) {
      at++
      continue
    }
    if (char === '/') {
      const next = source[at + 1]
      if (next === '/' || next === '*') {
        at = endOfComment(source, at)
        continue
      }
      if (expression) {
        at = endOfRegex(source, at)
        after('/re/', false)
      } else {
        at++
        after('/', true)
      }
      continue
    }
    if (char === '"' || char === "'") {
      at = endOfString(source, at, char)
      after('""', false)
      continue
    }
    if (char === '`') {
      at = templateText(at + 1)
      continue
    }
    if ((code >= 48 && code <= 57) || (char === '.' && /\d/.test(source[at + 1] ?? ''))) {
      numeral.lastIndex = at
      at += Math.max(1, numeral.exec(source)?.[0].length ?? 1)
      after('0', false)
      continue
    }
    if (char === '#') {
      at++
      const end = word(at)
      at = Math.max(end, at)
      after('#x', false)
      continue
    }
    const end = word(at)
    if (end > at) {
      readWord(source.slice(at, end), at, end)
      at = end
      continue
    }
    at = readPunctuator(char, at)
  }
  return { references, hasTopLevelAwait }

  function word(from: number): number {
    const first = source.charCodeAt(from)
    const isStart =
      (first >= 97 && first <= 122) || (first >= 65 && first <= 90) || first === 36 || first === 95 || first === 92 || first > 127
    if (!isStart) return from
    identifier.lastIndex = from
    return from + (identifier.exec(source)?.[0].length ?? 0)
  }

  function readWord(text: string, start: number, wordEnd: number): undefined {
    if (previous === '.' || previous === '?.') return after('name', false)
    if (top.atKey) return readKey(text, start, wordEnd)
    // Minifiers use `of` as a name, so what stands before it decides.
    if (text === 'of' && top.isFor && !expression) return after(text, true)
    if (names.has(text)) {
      if (isNameOfExpression()) {
        top.awaitedName = text
        return after('name', false)
      }
      if (stack.some((open) => open.ownName === text || open.awaitedName === text)) return after('name', false)
      return readReference(text, start, wordEnd)
    }
    if (text === 'function') {
      top.awaitsFunction = statement || previous === 'async-statement' ? 'statement' : 'expression'
      return after(text, false)
    }
    if (text === 'class') {
      top.awaitsClass = statement ? 'statement' : 'expression'
      return after(text, false)
    }
    if (text === 'async') return after(statement ? 'async-statement' : text, false)
    if (text === 'case' || (text === 'default' && statement)) top.inCase = true
    if (text === 'await') {
      if (functions === 0 && !stack.some((open) => open.arrowBody || open.kind === 'class')) hasTopLevelAwait = true
      if (previous === 'for') return
    }
    if (text === 'else' || text === 'do' || text === 'try' || text === 'finally') return after(text, true, true)
    if (heads.has(text)) return after(text, true)
    return after(
      beforeExpression.has(text) || text === 'break' || text === 'continue' ? text : 'name',
      beforeExpression.has(text),
    )
  }

  function isNameOfExpression(): boolean {
    if (previous === 'class') return top.awaitsClass === 'expression'
    return (previous === 'function' || previous === '*') && top.awaitsFunction === 'expression'
  }

  function readKey(text: string, start: number, wordEnd: number): undefined {
    const next = source[skipBlank(wordEnd)]
    if (top.kind === 'class') {
      if (text === 'static' && next === '{') {
        top.atKey = false
        return after('static', true, true)
      }
      return after('key', false)
    }
    if ((next === ',' || next === '}') && previous !== '*') {
      if (names.has(text)) references.push({ start, end: wordEnd, name: text, isShorthand: true, isCall: false })
      return after('name', false)
    }
    after('key', false)
  }

  function readReference(text: string, start: number, wordEnd: number): undefined {
    const nextAt = skipBlank(wordEnd)
    const next = source[nextAt]
    const isLabel = (statement && next === ':' && !top.inCase) || previous === 'break' || previous === 'continue'
    if (!isLabel) {
      const isOptionalCall = source.startsWith('?.', nextAt) && source[skipBlank(nextAt + 2)] === '('
      const isCall = (next === '(' || next === '`' || isOptionalCall) && previous !== 'new' && previous !== '@'
      references.push({ start, end: wordEnd, name: text, isShorthand: false, isCall })
    }
    after('name', false)
  }

  function readPunctuator(char: string, from: number): number {
    switch (char) {
      case '(': {
        const isMember = top.kind === 'object' || top.kind === 'class'
        if (isMember && top.atKey) top.atKey = false
        push('paren', { isHead: heads.has(previous), isFor: previous === 'for' })
        after(char, true)
        return from + 1
      }
      case ')': {
        const closed = pop()
        after(closed.isHead ? 'head)' : ')', closed.isHead, closed.isHead)
        return from + 1
      }
      case '[':
        push('square')
        after(char, true)
        return from + 1
      case ']':
        pop()
        after(char, false)
        return from + 1
      case '{':
        openBrace()
        return from + 1
      case '}': {
        const closed = pop()
        if (closed.kind === 'template') return templateText(from + 1)
        if (top.kind === 'class' && (closed.kind === 'function' || closed.kind === 'block')) {
          top.atKey = true
          after('}', true)
        } else after('}', !closed.isValue, !closed.isValue)
        return from + 1
      }
      case ';':
        top.ternaries = 0
        top.arrowBody = false
        if (top.kind === 'class') top.atKey = true
        after(char, true, top.kind !== 'paren')
        return from + 1
      case ',':
        top.arrowBody = false
        if (top.kind === 'object') top.atKey = true
        after(char, true)
        return from + 1
      case ':':
        if (top.ternaries > 0) {
          top.ternaries--
          after(char, true)
        } else if (top.kind === 'object') {
          top.atKey = false
          after(char, true)
        } else {
          top.inCase = false
          after(char, true, true)
        }
        return from + 1
      case '?':
        if (source[from + 1] === '?') {
          after('??', true)
          return from + (source[from + 2] === '=' ? 3 : 2)
        }
        if (source[from + 1] === '.' && !/\d/.test(source[from + 2] ?? '')) {
          after('?.', true)
          return from + 2
        }
        top.ternaries++
        after(char, true)
        return from + 1
      case '=':
        if (source[from + 1] === '>') {
          if (source[skipBlank(from + 2)] !== '{') top.arrowBody = true
          after('=>', true)
          return from + 2
        }
        if (top.kind === 'class' || top.kind === 'object') top.atKey = false
        after(char, true)
        return from + 1
      case '.':
        if (source.startsWith('...', from)) {
          if (top.kind === 'object') top.atKey = false
          after('...', true)
          return from + 3
        }
        after(char, false)
        return from + 1
      case '+':
      case '-':
        if (source[from + 1] === char) return from + 2
        after(char, true)
        return from + 1
      default:
        after(char, true)
        return from + 1
    }
  }

  function openBrace(): undefined {
    if (top.awaitsClass && previous !== '=' && previous !== '(') {
      const isValue = top.awaitsClass === 'expression'
      top.awaitsClass = false
      push('class', { atKey: true, isValue, ownName: takeAwaitedName() })
      return after('{', false)
    }
    if (previous === '=>') {
      push('function', { isValue: true })
      return after('{', true, true)
    }
    if (previous === ')') {
      const isValue = top.awaitsFunction === 'expression' || top.kind === 'object'
      top.awaitsFunction = false
      push('function', { isValue, ownName: takeAwaitedName() })
      return after('{', true, true)
    }
    const isBlock = statement || previous === 'head)' || previous === 'catch' || previous === 'static' || previous === 'else'
    if (isBlock) {
      push('block')
      return after('{', true, true)
    }
    push('object', { atKey: true, isValue: true })
    after('{', true)
  }

  function takeAwaitedName(): string {
    const name = top.awaitedName
    top.awaitedName = ''
    return name
  }

  /** Reads the text of a template from after its opening quote or a `}`. */
  function templateText(from: number): number {
    for (let index = from; index < source.length; index++) {
      const char = source[index]
      if (char === '\\') index++
      else if (char === '`') {
        after('``', false)
        return index + 1
      } else if (char === '$' && source[index + 1] === '{') {
        push('template')
        after('{', true)
        return index + 2
      }
    }
    return source.length
  }

  function skipBlank(from: number): number {
    let index = from
    for (;;) {
      if (source.charCodeAt(index) <= 32) index++
      else if (source[index] === '/' && (source[index + 1] === '/' || source[index + 1] === '*'))
        index = endOfComment(source, index)
      else return index
    }
  }
}

function bracket(kind: BracketKind): Bracket {
  return {
    kind,
    isHead: false,
    isFor: false,
    atKey: false,
    isValue: false,
    ternaries: 0,
    inCase: false,
    arrowBody: false,
    awaitsClass: false,
    awaitsFunction: false,
    awaitedName: '',
    ownName: '',
  }
}

function endOfComment(source: string, at: number): number {
  const isLine = source[at + 1] === '/'
  const end = source.indexOf(isLine ? '\n' : '*/', at + 2)
  return end < 0 ? source.length : end + (isLine ? 0 : 2)
}

function endOfString(source: string, at: number, quote: string): number {
  let index = at + 1
  while (index < source.length && source[index] !== quote) index += source[index] === '\\' ? 2 : 1
  return index + 1
}

function endOfRegex(source: string, at: number): number {
  let inSet = false
  let index = at + 1
  for (; index < source.length; index++) {
    const char = source[index]
    if (char === '\\') index++
    else if (char === '\n') return at + 1
    else if (char === '[') inSet = true
    else if (char === ']') inSet = false
    else if (char === '/' && !inSet) break
  }
  index++
  while (/[a-z]/.test(source[index] ?? '')) index++
  return index
}
