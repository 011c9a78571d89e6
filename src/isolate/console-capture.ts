/** A `console` per run: every line becomes a log record of that run. Text that is a JSON object is logged by its fields. */
import { format, inspect } from 'node:util'
import type { SpanRecord } from '../contracts/rpc.ts'
import { real } from './operations.ts'
import type { RunTelemetry } from './telemetry.ts'

export interface ConsoleSettings {
  /** False after `disableConsoleInterceptor: true` in the project's config. */
  capture: boolean
}

export function makeConsole(telemetry: RunTelemetry | undefined, settings: ConsoleSettings): Console {
  if (!telemetry) return real.console
  const counts = new Map<string, number>()
  const timers = new Map<string, number>()
  let indent = ''
  const write = (level: SpanRecord['level'], args: unknown[]): void => {
    if (!settings.capture) return
    const text = indent + format(...args)
    const fields = parseObject(text)
    if (fields) telemetry.log(level, messageOf(fields) ?? level, flatten(fields))
    else telemetry.log(level, text)
  }
  const methods: Record<string, (...args: never[]) => void> = {
    log: (...args: unknown[]) => write('LOG', args),
    info: (...args: unknown[]) => write('INFO', args),
    warn: (...args: unknown[]) => write('WARN', args),
    error: (...args: unknown[]) => write('ERROR', args),
    debug: (...args: unknown[]) => write('DEBUG', args),
    trace: (...args: unknown[]) =>
      write('DEBUG', [`Trace: ${format(...args)}\n${new Error().stack?.split('\n').slice(2).join('\n')}`]),
    dir: (value: unknown, options?: object) => write('LOG', [inspect(value, options)]),
    dirxml: (...args: unknown[]) => write('LOG', args),
    table: (value: unknown) => write('LOG', [inspect(value)]),
    assert: (condition: unknown, ...args: unknown[]) => {
      if (!condition) write('ERROR', args.length > 0 ? ['Assertion failed:', ...args] : ['Assertion failed'])
    },
    count: (label = 'default') => {
      counts.set(label, (counts.get(label) ?? 0) + 1)
      write('LOG', [`${label}: ${counts.get(label)}`])
    },
    countReset: (label = 'default') => counts.delete(label),
    group: (...args: unknown[]) => {
      if (args.length > 0) write('LOG', args)
      indent += '  '
    },
    groupEnd: () => {
      indent = indent.slice(2)
    },
    time: (label = 'default') => timers.set(label, Date.now()),
    timeLog: (label = 'default', ...args: unknown[]) =>
      write('LOG', [`${label}: ${Date.now() - (timers.get(label) ?? 0)}ms`, ...args]),
    timeEnd: (label = 'default') => {
      const started = timers.get(label)
      if (started !== undefined) write('LOG', [`${label}: ${Date.now() - started}ms`])
      timers.delete(label)
    },
  }
  methods.groupCollapsed = methods.group as never
  return Object.assign(Object.create(real.console), methods) as Console
}

function parseObject(text: string): Record<string, unknown> | undefined {
  if (!text.startsWith('{')) return undefined
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined
  } catch {
    return undefined
  }
}

function messageOf(fields: Record<string, unknown>): string | undefined {
  return ['message', 'msg', 'body', 'error'].map((key) => fields[key]).find((value) => typeof value === 'string') as
    | string
    | undefined
}

/** `{a: {b: 1}, c: [2]}` → `{'a.b': 1, 'c.[0]': 2}`, the form the SDK gives to attributes. */
function flatten(value: Record<string, unknown>, limit = 1024): Record<string, unknown> {
  const result: Record<string, unknown> = {}
  let left = limit
  const visit = (key: string, item: unknown): void => {
    if (left <= 0) return
    if (typeof item === 'object' && item !== null) {
      const isArray = Array.isArray(item)
      for (const [name, inner] of Object.entries(item)) visit(`${key}.${isArray ? `[${name}]` : name}`, inner)
    } else {
      left--
      result[key] = item
    }
  }
  for (const [name, item] of Object.entries(value)) visit(name, item)
  return result
}
