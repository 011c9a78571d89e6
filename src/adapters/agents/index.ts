/**
 * `trigger.do/agents`: ralph, who does what an agent (or a person in a hurry) asks for in one sentence. He understands by the grammar of
 * the platform, offline, and refuses with a {@link SentenceError} what he does not.
 */
import { request } from '../../client/http.ts'
import { checkSettings, connect, type Settings, timezoneOf } from '../../client/settings.ts'
import { toJson } from '../../client/values.ts'
import type { Understanding } from '../../contracts/sentence.ts'

export type { Settings } from '../../client/settings.ts'

/** What was done, and as what the sentence was understood. */
export type Done =
  | { kind: 'run' | 'schedule' | 'event'; id: string; understood: Understanding }
  | {
      kind: 'bulk'
      /** Of the bulk action: `runs.bulk.retrieve(id)` of the SDK tells how far it is. */
      id: string
      understood: { kind: 'bulk'; action: 'replay' | 'cancel'; filter: Record<string, unknown>; inWords: string }
    }

export type Ralph = (strings: TemplateStringsArray, ...values: unknown[]) => Promise<Done>

/**
 * A ralph of its own, for another API, key or time zone.
 *
 * @example
 * const staging = createRalph({ baseURL: 'https://jobs.example.com', accessToken: stagingKey })
 */
export function createRalph(settings: Settings = {}): Ralph {
  const own = { ...checkSettings(settings) }
  return async (template, ...values) => {
    if (!Array.isArray(template) || !Array.isArray(template.raw) || template.length !== values.length + 1)
      throw new TypeError('ralph is a template tag: write ralph`retry all failed jobs`, without parentheses.')
    const strings = template.map((text, index) => text ?? template.raw[index])
    const place = (index: number): string => `value ${index + 1} of the sentence`
    const plain = values.map((value, index) => toJson(value, place(index), { undefinedProperty: 'refuse' }))
    const timezone = timezoneOf(own)
    const body = { strings, values: plain, ...(timezone ? { timezone } : {}) }
    return request<Done>(connect(own), 'POST', '/api/v1/sentences/operate', { body })
  }
}

/**
 * Does what a sentence says, with the settings of `configure` or of the environment.
 *
 * @example
 * await ralph`set up background job to process uploaded videos`
 * await ralph`schedule daily cleanup at 3am`
 * const { understood } = await ralph`retry all failed jobs from yesterday`
 */
export const ralph: Ralph = /* @__PURE__ */ createRalph()
