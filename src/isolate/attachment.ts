/**
 * RunDO needs a way to the attempt only when it waits or is cancelled: it gets it with the first call to the platform or
 * after a moment, and a run that ends at once costs no call for it. What RunDO has for the attempt before, it keeps.
 */
import type { IsolateControl, IsolatePlatform } from '../contracts/isolate.ts'
import { real } from './operations.ts'

const attachAfterMs = 50

export type RunPlatform = Pick<IsolatePlatform, 'fetch' | 'telemetry'>

export class Attachment {
  /** What the attempt calls. RPC keeps the order of calls, so RunDO is attached before it hears of a wait. */
  readonly platform: RunPlatform
  readonly #timer: ReturnType<typeof setTimeout>
  #isAttached = false

  constructor(platform: IsolatePlatform, control: () => IsolateControl) {
    const attach = (): void => {
      if (this.#isAttached) return
      this.#isAttached = true
      // Refused when the run was given to another start; so will be all it calls.
      platform.attach(control()).catch(() => {})
    }
    this.platform = {
      fetch: (request) => {
        attach()
        return platform.fetch(request)
      },
      telemetry: (spans) => platform.telemetry(spans),
    }
    this.#timer = real.setTimeout(attach, attachAfterMs)
  }

  end(): void {
    this.#isAttached = true
    real.clearTimeout(this.#timer)
  }
}
