/**
 * The SDK, when the project has it. Tasks are Trigger.dev tasks underneath, and registering one cannot wait, so it is loaded with this
 * module; a bundle that only uses `trigger` leaves the module out.
 */
import type * as Sdk from '@trigger.dev/sdk'

let reason: unknown
const sdk: typeof Sdk | undefined = await import('@trigger.dev/sdk').catch((error) => {
  reason = error
  return undefined
})

export function sdkFor(what: string): typeof Sdk {
  if (sdk) return sdk
  throw new Error(`${what} of trigger.do needs the package @trigger.dev/sdk: npm install @trigger.dev/sdk`, { cause: reason })
}

export function sdkIfAny(): typeof Sdk | undefined {
  return sdk
}
