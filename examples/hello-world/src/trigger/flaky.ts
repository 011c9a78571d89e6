import { logger, task } from '@trigger.dev/sdk'

/** Fails until the third attempt: shows retries with growing delays. */
export const flaky = task({
  id: 'flaky',
  retry: { maxAttempts: 3, minTimeoutInMs: 500, factor: 2, randomize: false },
  run: async (_payload: unknown, { ctx }) => {
    logger.warn(`Attempt ${ctx.attempt.number}`)
    if (ctx.attempt.number < 3) throw new Error('Not yet')
    return { attempts: ctx.attempt.number }
  },
})
