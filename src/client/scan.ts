/**
 * Whether a callback can be recorded: a placeholder cannot see a branch, a comparison, arithmetic or what another function
 * does with it, so their source must not hold any. Careful rather than clever: what is refused here costs a round trip, what
 * is let through must mean the same with a placeholder as with the value.
 */

const forbiddenWords = new Set(
  (
    'if else switch for while do try throw await yield new delete typeof in instanceof void async class super this arguments ' +
    'import eval with const let var'
  ).split(' '),
)
const forbiddenMarks = '?&|!=<>+-*/%^~@#\\'
const inlineFunction = /^\s*(?:\(|function\b|[\p{ID_Continue}$]+\s*=>)/u
const identifierStart = /[\p{ID_Start}$_]/u
const identifierPart = /[\p{ID_Continue}$\u200c\u200d]/u

const known = new WeakMap<object, boolean>()

export function isRecordable(callback: (...input: never[]) => unknown): boolean {
  const before = known.get(callback)
  if (before !== undefined) return before
  const source = Function.prototype.toString.call(callback)
  const result = !/\[native code\]\s*\}$/.test(source) && new Scan(source).passes()
  known.set(callback, result)
  return result
}

class Scan {
  readonly #source: string
  #at = 0
  /** The tokens so far that matter for what a bracket means. */
  #tokens: string[] = []

  constructor(source: string) {
    this.#source = source
  }

  passes(): boolean {
    return this.#code(false) && this.#at >= this.#source.length
  }

  /** To the end, or behind the brace that closes a template's expression. */
  #code(inTemplate: boolean): boolean {
    const source = this.#source
    let braces = 0
    while (this.#at < source.length) {
      const mark = source[this.#at] as string
      if (/\s/.test(mark)) this.#at++
      else if (source.startsWith('//', this.#at)) this.#skipTo('\n')
      else if (source.startsWith('/*', this.#at)) this.#skipTo('*/')
      else if (mark === '"' || mark === "'") this.#string(mark)
      else if (mark === '`') {
        this.#at++
        if (!this.#template()) return false
        this.#tokens.push('`')
      } else if (identifierStart.test(mark)) {
        if (!this.#word()) return false
      } else if (/[0-9]/.test(mark)) this.#number()
      else if (source.startsWith('=>', this.#at) || source.startsWith('...', this.#at)) {
        this.#tokens.push(mark === '=' ? '=>' : '...')
        this.#at += mark === '=' ? 2 : 3
      } else if (/^\?\.(?![0-9])/.test(source.slice(this.#at, this.#at + 3))) {
        this.#tokens.push('?.')
        this.#at += 2
      } else {
        if (forbiddenMarks.includes(mark)) return false
        if (mark === '(' && !this.#mayOpen()) return false
        if (mark === '{') braces++
        if (mark === '}' && braces-- === 0 && inTemplate) {
          this.#at++
          return true
        }
        this.#tokens.push(mark)
        this.#at++
      }
    }
    return !inTemplate
  }

  /** A parenthesis that groups or holds parameters, or a call of a method that is recorded. */
  #mayOpen(): boolean {
    const [before = '', second = '', third = '', fourth = '', fifth = ''] = this.#tokens.slice(-5).reverse()
    if (!/^[\p{ID_Start}$_]|^[)\]`"0?]/u.test(before)) return true
    if (before === 'return' || before === 'function') return second !== '.'
    if (second === 'function') return true
    if (second !== '.' && second !== '?.') return false
    // A function from elsewhere would be handed the placeholder unread.
    if (before === 'map') return inlineFunction.test(this.#source.slice(this.#at + 1, this.#at + 200))
    if (before === 'checkpoint') return true
    // Bundlers write trigger2 and trigger$1; the tasks of another library must not be called twice.
    return before === 'trigger' && third === 'tasks' && fourth === '.' && fifth.startsWith('trigger')
  }

  #word(): boolean {
    const start = this.#at
    while (this.#at < this.#source.length && identifierPart.test(this.#source[this.#at] as string)) this.#at++
    const word = this.#source.slice(start, this.#at)
    const last = this.#tokens.at(-1)
    this.#tokens.push(word)
    return last === '.' || last === '?.' || !forbiddenWords.has(word)
  }

  #number(): void {
    while (/[0-9A-Za-z_.]/.test(this.#source[this.#at] ?? '')) this.#at++
    this.#tokens.push('0')
  }

  #string(quote: string): void {
    this.#at++
    while (this.#at < this.#source.length && this.#source[this.#at] !== quote) this.#at += this.#source[this.#at] === '\\' ? 2 : 1
    this.#at++
    this.#tokens.push('"')
  }

  #template(): boolean {
    while (this.#at < this.#source.length) {
      const mark = this.#source[this.#at]
      if (mark === '`') {
        this.#at++
        return true
      }
      if (mark === '$' && this.#source[this.#at + 1] === '{') {
        this.#at += 2
        this.#tokens.push('{')
        if (!this.#code(true)) return false
      } else this.#at += mark === '\\' ? 2 : 1
    }
    return false
  }

  #skipTo(end: string): void {
    const found = this.#source.indexOf(end, this.#at + 2)
    this.#at = found < 0 ? this.#source.length : found + end.length
  }
}
