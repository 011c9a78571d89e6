import { task } from '@trigger.dev/sdk'
import { z } from 'zod'

const schemas = Array.from({ length: 50 }, (_, index) =>
  z.object({ id: z.string(), count: z.number().int().min(index), tags: z.array(z.string()).optional() }),
)
export const fiftySchemas = task({ id: 'schemas', run: async () => ({ ready: schemas.length }) })
