/** The top-level fields of a payload's JSON Schema, as far as filling a payload needs them. */
import type { Field, FieldType } from './sentence.ts'

const types = new Set<unknown>(['string', 'number', 'integer', 'boolean', 'array', 'object'])

/** Nothing when the schema does not describe an object's properties: the payload is then as if there were no schema. */
export function fieldsOfSchema(schema: unknown): Field[] | undefined {
  const parts = objectParts(schema, schema, 0)
  if (!parts.some((part) => isRecord(part.properties))) return undefined
  const fields = new Map<string, Field>()
  const required = new Set(parts.flatMap((part) => (Array.isArray(part.required) ? part.required : [])))
  for (const part of parts) {
    for (const [name, property] of Object.entries(isRecord(part.properties) ? part.properties : {})) {
      fields.set(name, fieldOf(name, resolved(property, schema), required.has(name), schema))
    }
  }
  return [...fields.values()]
}

/** Whether the schema refuses fields it does not name. */
export function isClosedSchema(schema: unknown): boolean {
  return objectParts(schema, schema, 0).some((part) => part.additionalProperties === false)
}

function fieldOf(name: string, property: unknown, required: boolean, root: unknown): Field {
  if (!isRecord(property)) return { name, required }
  const options = alternatives(property).map((option) => resolved(option, root))
  const kinds = [...new Set(options.flatMap(typesOf))]
  const nullable = kinds.includes('null')
  const single = kinds.filter((kind) => kind !== 'null')
  const described =
    options.find((option): option is Record<string, unknown> => isRecord(option) && option.type !== 'null') ?? property
  const list = 'const' in described ? [described.const] : described.enum
  return {
    name,
    required: required && !('default' in property),
    ...(single.length === 1 && types.has(single[0]) ? { type: single[0] as FieldType } : {}),
    ...(nullable ? { nullable } : {}),
    ...(Array.isArray(list) ? { enum: list } : {}),
    ...(typeof described.format === 'string' ? { format: described.format } : {}),
    ...(typeof property.description === 'string' ? { description: property.description } : {}),
  }
}

function alternatives(property: Record<string, unknown>): unknown[] {
  const options = property.anyOf ?? property.oneOf
  return Array.isArray(options) && options.length > 0 ? options : [property]
}

function typesOf(option: unknown): unknown[] {
  if (!isRecord(option)) return ['unknown']
  if (option.type !== undefined) return Array.isArray(option.type) ? option.type : [option.type]
  const listed = Array.isArray(option.enum) ? option.enum : 'const' in option ? [option.const] : undefined
  return listed
    ? [...new Set(listed.map((value) => (value === null ? 'null' : Array.isArray(value) ? 'array' : typeof value)))]
    : ['unknown']
}

/** The schema itself and what `allOf` adds to it; a schema may refer to itself, so the depth is bounded. */
function objectParts(schema: unknown, root: unknown, depth: number): Record<string, unknown>[] {
  const part = resolved(schema, root)
  if (!isRecord(part) || depth > 4) return []
  const added = Array.isArray(part.allOf) ? part.allOf.slice(0, 20) : []
  return [part, ...added.flatMap((one) => objectParts(one, root, depth + 1))]
}

function resolved(schema: unknown, root: unknown): unknown {
  let current = schema
  for (let hops = 0; hops < 5 && isRecord(current) && typeof current.$ref === 'string'; hops++) {
    if (!current.$ref.startsWith('#/')) return {}
    const path = current.$ref.slice(2).split('/')
    current = path.reduce<unknown>((value, key) => (isRecord(value) && Object.hasOwn(value, key) ? value[key] : undefined), root)
  }
  return current
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
