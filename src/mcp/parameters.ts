/** The parameters of a tool that a user defines: their types, the arguments they stand for, and the check of what an agent sends. */

export type ParameterType = 'string' | 'number' | 'integer' | 'boolean' | 'object' | 'array'

export interface Parameter {
  readonly type: ParameterType
  readonly description?: string
  /** An agent may leave it out; it is undefined then. */
  readonly optional?: boolean
  /** For strings: the only values there are. */
  readonly enum?: readonly string[]
}
export type Parameters = Readonly<Record<string, Parameter>>

interface Values {
  string: string
  number: number
  integer: number
  boolean: boolean
  // biome-ignore lint/suspicious/noExplicitAny: only the tool knows its fields
  object: Record<string, any>
  // biome-ignore lint/suspicious/noExplicitAny: only the tool knows its items
  array: any[]
}
type ValueOf<P extends Parameter> = P extends { readonly enum: readonly (infer E)[] } ? E : Values[P['type']]
type OptionalNames<P extends Parameters> = { [K in keyof P]: P[K] extends { readonly optional: true } ? K : never }[keyof P]

/** What `execute` gets. */
export type Arguments<P extends Parameters> = { [K in Exclude<keyof P, OptionalNames<P>>]: ValueOf<P[K]> } & {
  [K in OptionalNames<P>]?: ValueOf<P[K]> | undefined
}

export const parameterTypes: readonly string[] = ['string', 'number', 'integer', 'boolean', 'object', 'array']

export function schemaOf(parameters: Parameters): Record<string, unknown> {
  const properties = Object.fromEntries(
    Object.entries(parameters).map(([name, { optional: _optional, ...schema }]) => [name, schema]),
  )
  const required = Object.keys(parameters).filter((name) => !parameters[name]?.optional)
  return { type: 'object', properties, additionalProperties: false, ...(required.length > 0 ? { required } : {}) }
}

/** A sentence for each argument that does not fit; none when all do. */
export function problemsOf(parameters: Parameters, given: Record<string, unknown>): string[] {
  const unknown = Object.keys(given).filter((name) => !Object.hasOwn(parameters, name))
  const names = Object.keys(parameters).join(', ') || 'none'
  return [
    ...unknown.map((name) => `There is no parameter ${name}; there are: ${names}.`),
    ...Object.entries(parameters).flatMap(([name, parameter]) => {
      const value = Object.hasOwn(given, name) ? given[name] : undefined
      if (value === undefined) return parameter.optional ? [] : [`${name} is missing.`]
      if (!fits(parameter, value)) return [`${name} must be ${article(parameter.type)}, not ${kindOf(value)}.`]
      if (parameter.enum && !parameter.enum.includes(value as string))
        return [`${name} must be one of ${parameter.enum.join(', ')}.`]
      return []
    }),
  ]
}

function fits({ type }: Parameter, value: unknown): boolean {
  if (type === 'integer') return Number.isInteger(value)
  if (type === 'number') return typeof value === 'number' && Number.isFinite(value)
  return kindOf(value) === type
}

function kindOf(value: unknown): string {
  return value === null ? 'null' : Array.isArray(value) ? 'array' : typeof value
}

function article(type: ParameterType): string {
  return `${/^[aio]/.test(type) ? 'an' : 'a'} ${type}`
}
