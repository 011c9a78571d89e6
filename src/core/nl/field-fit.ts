/** Whether a value fits a field, and how well it does by its type and look. */
import type { Field } from './sentence.ts'
import type { PreparedField } from './task-index.ts'

export interface Fitting {
  value: unknown
  isPlaceholder: boolean
}

/** What is wrong with the value for the field, in words; undefined when it fits. Nothing is coerced. */
export function misfit(field: Field, { value, isPlaceholder }: Fitting): string | undefined {
  if (isPlaceholder) return undefined
  if (value === null) return field.nullable || field.type === undefined ? undefined : `wants ${wanted(field)}, got null`
  const got = typeName(value)
  if (field.enum && !field.enum.some((one) => isSame(one, value))) return `wants ${wanted(field)}, got ${shown(value)}`
  if (field.type !== undefined && field.type !== got && !(field.type === 'number' && got === 'integer')) {
    return `wants ${wanted(field)}, got ${article(got === 'integer' ? 'number' : got)} (${shown(value)})`
  }
  if (typeof value !== 'string' || field.type === 'array') return undefined
  if (field.format === 'email' && !looksLikeEmail(value)) return `wants an email address, got ${shown(value)}`
  if (/^ur[il]$/.test(field.format ?? '') && !looksLikeUrl(value)) return `wants a URL, got ${shown(value)}`
  return undefined
}

export function typeName(value: unknown): string {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'array'
  return Number.isInteger(value) ? 'integer' : typeof value
}

export function wanted({ type, enum: list, format }: Field): string {
  if (list) {
    const names = list.slice(0, 10).map(shown)
    return `one of ${names.join(', ')}${list.length > 10 ? ', …' : ''}`
  }
  if (format && type !== 'array') return `${type ? article(type) : 'a value'} (${format})`
  return type ? article(type) : 'a value'
}

function article(name: string): string {
  return `${/^[aeiou]/.test(name) ? 'an' : 'a'} ${name}`
}

export function shown(value: unknown): string {
  const text =
    typeof value === 'string'
      ? JSON.stringify(value)
      : Array.isArray(value)
        ? `${value.length} items`
        : typeof value === 'object' && value !== null
          ? 'an object'
          : String(value)
  return text.length > 60 ? `${text.slice(0, 57)}…` : text
}

export function isSame(one: unknown, other: unknown): boolean {
  return Object.is(one, other) || (typeof one === 'object' && one !== null && JSON.stringify(one) === JSON.stringify(other))
}

export function looksLikeEmail(value: string): boolean {
  return value.length < 321 && /^[^@\s]+@[^@\s]+$/.test(value)
}

export function looksLikeUrl(value: string): boolean {
  return /^[a-z][a-z0-9+.-]{0,30}:\/\/\S/i.test(value.slice(0, 60))
}

const addressNames = new Set(['email', 'mail', 'recipi', 'recipient', 'address'])
const urlNames = new Set(['url', 'uri', 'link', 'href'])

/** How well a fitting value's look goes with the field; negative where the name asks for another look. */
export function lookScore(field: PreparedField, { value, isPlaceholder }: Fitting): number {
  if (isPlaceholder) return 0
  const isAddress = field.format === 'email' || field.stems.some((one) => addressNames.has(one))
  const isUrl = /^ur[il]$/.test(field.format ?? '') || field.stems.some((one) => urlNames.has(one))
  let score = field.enum ? 6 : 0
  if (Array.isArray(value) || typeof value === 'boolean' || typeof value === 'number')
    return score + (field.type === undefined ? 1 : 4)
  if (typeof value === 'object') return score + (field.type === 'object' ? 4 : 0)
  if (typeof value !== 'string') return score
  if (looksLikeEmail(value)) score += isAddress ? 6 : -1
  else if (isAddress && field.enum === undefined) score -= 4
  if (looksLikeUrl(value)) score += isUrl ? 6 : field.stems.includes('id') ? -3 : 0
  else if (isUrl) score -= 3
  return score + (field.type === 'string' ? 1 : 0)
}
