/** Where a run's process exports its spans and logs (cli-engine-protocol.md §7): answered at once, stored behind. */
import { OperationError } from '../contracts/errors.ts'
import { limits } from '../contracts/limits.ts'
import { type OtlpSignal, otlpSignals, readExport, storeExport, telemetryCaller } from '../operations/telemetry.ts'
import { readBytes } from './request.ts'
import { type App, route } from './route.ts'

export function telemetryRoutes(app: App): void {
  for (const signal of otlpSignals) {
    route(
      app,
      {
        method: 'post',
        path: `/otel/:token/v1/${signal}`,
        operationId: `export${signal[0]?.toUpperCase()}${signal.slice(1)}`,
        summary: `${signal} of runs in OpenTelemetry's format, JSON or protobuf; the token in the address is the credential`,
        tag: 'telemetry',
        open: true,
      },
      async (c) => {
        const caller = await telemetryCaller(c.env, c.req.param('token') as string)
        const encoding = c.req.header('content-encoding')?.toLowerCase() ?? 'identity'
        if (!['identity', 'gzip'].includes(encoding))
          throw new OperationError('UNSUPPORTED_MEDIA_TYPE', 'Telemetry may be compressed with gzip only.')
        const bytes = await readBytes(c, limits.telemetryBodyBytes, encoding === 'gzip')
        const found = readExport(signal as OtlpSignal, c.req.header('content-type') ?? '', bytes)
        // A collector that is slow makes the run slow.
        c.executionCtx.waitUntil(
          storeExport(c.env, caller, found).catch((error) => console.error('telemetry was not stored', String(error))),
        )
        return c.json({})
      },
    )
  }
}
