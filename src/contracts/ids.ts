/**
 * Public ids: prefix + `_` + time(9) + random(10) + locator(6) + partition(1), all of [0-9a-v], so they sort by time inside
 * an environment and each names its home (design §5). Exactly one underscore: upstream helpers split on it.
 */
const alphabet = '0123456789abcdefghijklmnopqrstuv'
const timeLength = 9
const randomLength = 10
export const locatorLength = 6
const bodyPattern = /^[0-9a-v]{26}$/

export type IdPrefix =
  | 'run'
  | 'batch'
  | 'waitpoint'
  | 'deployment'
  | 'worker'
  | 'packet'
  | 'upload'
  | 'sched'
  | 'bulk'
  | 'event'
  | 'subscription'

export function mintId(prefix: IdPrefix, locator: string, partition = '0', now = Date.now()): string {
  return `${prefix}_${encodeTime(now)}${randomText(randomLength)}${locator}${partition}`
}

/** An environment's own id has no prefix and ends in its locator; it is the `sub` of public tokens. */
export function mintEnvironmentId(locator: string, now = Date.now()): string {
  return `${encodeTime(now)}${randomText(randomLength)}${locator}`
}

/** The locator an id names, or undefined when it is not one of ours. */
export function locatorOf(id: string): string | undefined {
  const body = bodyOf(id)
  return body?.slice(-1 - locatorLength, -1)
}

export function partitionOf(id: string): string | undefined {
  return bodyOf(id)?.slice(-1)
}

export function timeOf(id: string): number | undefined {
  const body = bodyOf(id)
  if (!body) return undefined
  let time = 0
  for (const char of body.slice(0, timeLength)) time = time * 32 + alphabet.indexOf(char)
  return time
}

/** The same id in another environment: time and chance stay, so twice gives the same id; what is no id of ours stays as it is. */
export function relocateId(id: string, locator: string): string {
  return bodyOf(id) ? `${id.slice(0, -1 - locatorLength)}${locator}0` : id
}

/** Sorts before every id of that kind minted at or after the time. */
export function firstIdAt(prefix: IdPrefix, time: number): string {
  return `${prefix}_${encodeTime(time)}`
}

export function locatorOfEnvironment(environmentId: string): string | undefined {
  return /^[0-9a-v]{25}$/.test(environmentId) ? environmentId.slice(-locatorLength) : undefined
}

export function randomText(length: number): string {
  let text = ''
  for (const byte of crypto.getRandomValues(new Uint8Array(length))) text += alphabet[byte & 31]
  return text
}

function bodyOf(id: string): string | undefined {
  const parts = id.split('_')
  const body = parts[1]
  return parts.length === 2 && body && bodyPattern.test(body) ? body : undefined
}

function encodeTime(now: number): string {
  let rest = now
  let text = ''
  for (let index = 0; index < timeLength; index++) {
    text = alphabet[rest % 32] + text
    rest = Math.floor(rest / 32)
  }
  return text
}
