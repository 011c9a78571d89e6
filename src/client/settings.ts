/** Where the API is and who asks: what `configure` was given, else the environment, read at the moment of a call. */

export interface Settings {
  /** Of the API; `TRIGGER_API_URL` when left out. */
  baseURL?: string
  /** A secret key or a public token; `TRIGGER_SECRET_KEY` when left out. */
  accessToken?: string
  /** IANA name for times in sentences that name none; UTC when left out. */
  timezone?: string
  fetch?: typeof fetch
}

export interface Connection {
  baseURL: string
  accessToken: string
  fetch: typeof fetch
}

const names = ['baseURL', 'accessToken', 'timezone', 'fetch']
const configured: Settings = {}

/**
 * Settings of `trigger`, and of every instance that does not have its own.
 *
 * @example
 * configure({ baseURL: 'https://jobs.example.com', accessToken: env.TRIGGER_SECRET_KEY, timezone: 'Europe/Berlin' })
 */
export function configure(settings: Settings): void {
  Object.assign(configured, checkSettings(settings))
}

export function checkSettings(settings: Settings): Settings {
  for (const [name, value] of Object.entries(settings)) {
    if (!names.includes(name)) throw new TypeError(`trigger.do has no setting ${name}; there are ${names.join(', ')}.`)
    const wanted = name === 'fetch' ? 'function' : 'string'
    if (value !== undefined && typeof value !== wanted) throw new TypeError(`Setting ${name} must be a ${wanted}.`)
  }
  return settings
}

export function timezoneOf(own: Settings): string | undefined {
  return own.timezone ?? configured.timezone
}

export function connect(own: Settings): Connection {
  const baseURL = own.baseURL ?? configured.baseURL ?? environment('TRIGGER_API_URL')
  if (!baseURL) throw new Error('trigger.do does not know its API: set TRIGGER_API_URL or call configure({ baseURL }).')
  const accessToken = own.accessToken ?? configured.accessToken ?? environment('TRIGGER_SECRET_KEY')
  if (!accessToken) throw new Error('trigger.do has no key: set TRIGGER_SECRET_KEY or call configure({ accessToken }).')
  // Browsers refuse their fetch when it is called as a method of something else.
  const send: typeof fetch = own.fetch ?? configured.fetch ?? ((...input) => fetch(...input))
  return { baseURL: baseURL.replace(/\/+$/, ''), accessToken, fetch: send }
}

/** Browsers have no process; Workers have one with `nodejs_compat`. */
export function environment(name: string): string | undefined {
  const { process } = globalThis as { process?: { env?: Record<string, string | undefined> } }
  return process?.env?.[name]
}
