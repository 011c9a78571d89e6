/** A light English stemmer: forms of one word meet in one stem, which need not be a word itself ("resizing" → "resiz"). */

/** Forms the rules do not reach. Several are verbs and their nouns: a task `notify` is meant by "notification". */
const irregular: Record<string, string> = {
  sent: 'send',
  built: 'build',
  ran: 'run',
  made: 'make',
  paid: 'pay',
  bought: 'buy',
  sold: 'sell',
  found: 'find',
  got: 'get',
  gotten: 'get',
  taken: 'take',
  took: 'take',
  written: 'write',
  wrote: 'write',
  read: 'read',
  lost: 'lose',
  left: 'leave',
  began: 'begin',
  begun: 'begin',
  came: 'come',
  went: 'go',
  gone: 'go',
  done: 'do',
  did: 'do',
  kept: 'keep',
  held: 'hold',
  broke: 'break',
  broken: 'break',
  chosen: 'choose',
  given: 'give',
  notification: 'notify',
  notified: 'notify',
  notifies: 'notify',
  notifications: 'notify',
  transformation: 'transform',
  transformations: 'transform',
  reminder: 'remind',
  reminders: 'remind',
  conversion: 'convert',
  conversions: 'convert',
  people: 'person',
  children: 'child',
  indices: 'index',
  indexes: 'index',
  data: 'data',
  media: 'media',
  news: 'news',
  series: 'series',
  synchronise: 'sync',
  synchronize: 'sync',
  synchronization: 'sync',
  synchronised: 'sync',
  synchronized: 'sync',
  synchronizing: 'sync',
  synching: 'sync',
}

const known = new Map<string, string>()
/** Words come from users: the memory of stems is bounded. */
const KNOWN_AT_MOST = 5_000

export function stem(word: string): string {
  const before = known.get(word)
  if (before !== undefined) return before
  const result = ended(Object.hasOwn(irregular, word) ? (irregular[word] as string) : suffixless(singular(word)))
  if (known.size >= KNOWN_AT_MOST) known.clear()
  known.set(word, result)
  return result
}

/** Also the third person of a verb: "uploads" → "upload". A word itself, unlike a stem. */
export function singular(word: string): string {
  if (word.length < 4 || !word.endsWith('s') || /(?:ss|us|is)$/.test(word) || Object.hasOwn(irregular, word)) return word
  if (word.endsWith('ies')) return word.length > 4 ? `${word.slice(0, -3)}y` : word.slice(0, -1)
  if (/(?:sses|xes|zzes|ches|shes|uses|oes)$/.test(word))
    return /(?:causes|houses|pauses|browses|oes)$/.test(word) && !/(?:goes|echoes|heroes)$/.test(word)
      ? word.slice(0, -1)
      : word.slice(0, -2)
  return word.slice(0, -1)
}

function suffixless(word: string): string {
  if (word.endsWith('ied') && word.length > 4) return `${word.slice(0, -3)}y`
  for (const suffix of ['ing', 'ed']) {
    if (!word.endsWith(suffix) || word.length - suffix.length < 3) continue
    const base = word.slice(0, -suffix.length)
    // "string", "speed": what is left has to hold a vowel, and "ee" is no ending.
    if (/[aeiouy]/.test(base) && !word.endsWith('eed')) return undoubled(base)
  }
  // "generation" and "generate" end alike; "station" stays.
  return word.endsWith('tion') && word.length > 7 ? word.slice(0, -3) : word
}

function undoubled(base: string): string {
  const last = base.at(-1) as string
  return base.length > 3 && last === base.at(-2) && !/[aeioulsz]/.test(last) ? base.slice(0, -1) : base
}

function ended(word: string): string {
  if (word.length < 4) return word
  if (/[^aeiou]y$/.test(word)) return `${word.slice(0, -1)}i`
  return word.endsWith('e') ? word.slice(0, -1) : word
}
