/** The bench's jobs as Restate handlers: `node service.mjs <port>`. */
import { createServer } from 'node:http2'
import * as restate from '@restatedev/restate-sdk'

const noop = restate.service({
  name: 'noop',
  handlers: { run: async () => ({ startedAt: Date.now() }) },
})

const fanOut = restate.service({
  name: 'fan-out',
  handlers: {
    run: async (ctx, { count }) => {
      const calls = Array.from({ length: count }, () => ctx.serviceClient(noop).run({}))
      return { ok: (await restate.RestatePromise.all(calls)).length }
    },
  },
})

const sleeper = restate.service({
  name: 'sleeper',
  handlers: {
    run: async (ctx, { until }) => {
      const at = new Date(until).getTime()
      const early = at - (await ctx.date.now())
      await ctx.sleep(Math.max(0, early))
      return { late: Date.now() - at, early }
    },
  },
})

createServer(restate.createEndpointHandler({ services: [noop, fanOut, sleeper] })).listen(Number(process.argv[2]), '127.0.0.1')
