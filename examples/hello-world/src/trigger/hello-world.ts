import { logger, task, wait } from '@trigger.dev/sdk'

export const helloWorld = task({
  id: 'hello-world',
  run: async (payload: { name: string }, { ctx }) => {
    logger.info(`Hello, ${payload.name}!`, { run: ctx.run.id, attempt: ctx.attempt.number })
    await wait.for({ seconds: 2 })
    logger.info('Two seconds later')
    return { greeting: `Hello, ${payload.name}!` }
  },
})
