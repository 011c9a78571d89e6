/** Past tenses for the names of events: "fails" → "failed", "ships" → "shipped", "pays" → "paid". */
const irregularPast: Record<string, string> = {
  send: 'sent',
  build: 'built',
  run: 'run',
  make: 'made',
  pay: 'paid',
  buy: 'bought',
  sell: 'sold',
  find: 'found',
  get: 'got',
  take: 'taken',
  write: 'written',
  read: 'read',
  lose: 'lost',
  leave: 'left',
  begin: 'begun',
  come: 'came',
  go: 'gone',
  do: 'done',
  keep: 'kept',
  hold: 'held',
  break: 'broken',
  choose: 'chosen',
  give: 'given',
  fall: 'fallen',
  rise: 'risen',
  become: 'become',
  set: 'set',
  reset: 'reset',
  put: 'put',
  cut: 'cut',
  split: 'split',
  rebuild: 'rebuilt',
  draw: 'drawn',
  meet: 'met',
  hang: 'hung',
  shut: 'shut',
  sync: 'synced',
}
const baseOfPast = new Map(Object.entries(irregularPast).map(([base, past]) => [past, base]))

export function isIrregularPast(word: string): boolean {
  return baseOfPast.has(word)
}

/** Of a verb's base form. */
export function pastOf(base: string): string {
  if (Object.hasOwn(irregularPast, base)) return irregularPast[base] as string
  if (base.endsWith('e')) return `${base}d`
  if (/[^aeiou]y$/.test(base)) return `${base.slice(0, -1)}ied`
  // One closed syllable doubles its last letter ("ship"), and so do "submit" and its like.
  if (/^[^aeiou]*[aeiou][bdgklmnprt]$/.test(base) || /(?:mit|fer|cur|gret|enrol|plan|top)$/.test(base))
    return `${base + base.at(-1)}ed`
  return `${base}ed`
}

/** "sh" and the like take "es", so the third person's base is not just without its s. */
export function baseOfThird(word: string): string {
  if (word.endsWith('ies') && word.length > 4) return `${word.slice(0, -3)}y`
  if (/(?:ss|x|zz|ch|sh|o)es$/.test(word)) return word.slice(0, -2)
  return /[^s]s$/.test(word) ? word.slice(0, -1) : word
}
