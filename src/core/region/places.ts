/**
 * The setting REGIONS: names that runs may ask for, some with the place of an environment's objects. `eu=weur,us=enam`, or
 * `eu,us` for names without a place. An environment gets the first that has one when it is made, and keeps it.
 */
const hints = ['wnam', 'enam', 'sam', 'weur', 'eeur', 'apac', 'apac-ne', 'apac-se', 'oc', 'afr', 'me'] as const

/** Where Cloudflare is asked to make an object; it decides, and an object never moves. */
export type Place = (typeof hints)[number]

/** Name → place, in the order of the setting. */
export function readRegions(setting: string | undefined): Map<string, Place | undefined> {
  const regions = new Map<string, Place | undefined>()
  for (const entry of (setting ?? '').split(',')) {
    const [name = '', place, ...rest] = entry.split('=').map((part) => part.trim())
    if (name === '' && place === undefined) continue
    const hint = hints.find((known) => known === place)
    if (name === '' || rest.length > 0 || (place !== undefined && !hint))
      throw new Error(`REGIONS: "${entry.trim()}" is not a name, or a name with a place: name=${hints.join('|')}.`)
    regions.set(name, hint)
  }
  return regions
}

/** Of an environment that is made now. */
export function regionOfNew(regions: Map<string, Place | undefined>): string | undefined {
  return [...regions].find(([, place]) => place !== undefined)?.[0]
}

/** Why a run cannot have the region it asks for. */
export function regionProblem(
  wanted: string,
  regions: Map<string, Place | undefined>,
  home: string | undefined,
): string | undefined {
  if (wanted === home) return undefined
  if (!regions.has(wanted)) return `The region you specified doesn't exist ("${wanted}").`
  if (regions.get(wanted) === undefined) return undefined
  const where = home === undefined ? 'was made without a region' : `is in "${home}"`
  return `The region you specified isn't available to you ("${wanted}"): this environment ${where}, and an environment never moves.`
}
